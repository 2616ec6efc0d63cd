"""The web application: the live page, the HTTP API, and the sidecar about itself."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, render_template
from werkzeug.middleware.proxy_fix import ProxyFix

from sidecar.web import problems, security
from sidecar.web.api import api
from sidecar.web.metrics import prometheus
from sidecar.web.parts import WebParts


def create_app(parts: WebParts) -> Flask:
    """Build the WSGI application around its parts."""
    app = Flask(__name__)
    # Behind the site the page stands below a path; nothing else is taken from a proxy.
    prefixed: Any = ProxyFix(app.wsgi_app, x_for=0, x_proto=0, x_host=0, x_prefix=1)
    app.wsgi_app = prefixed  # type: ignore[method-assign]
    problems.register(app)
    security.register(app, parts)
    app.register_blueprint(api(parts))
    for blueprint in parts.more:
        app.register_blueprint(blueprint)

    @app.get("/")
    def page() -> str:
        paths = {rule.rule for rule in app.url_map.iter_rules()}
        capacity = "/api/v1/capacity" in paths
        return render_template("page.html", version=parts.version, site=parts.site, capacity=capacity)

    @app.get("/healthz")
    def alive() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def ready() -> Response:
        told = parts.ready()
        lines = [f"{part}: {'ready' if ok else 'not ready'}{f' ({text})' if text else ''}" for part, (ok, text) in told.items()]
        status = 200 if all(ok for ok, _ in told.values()) else 503
        return Response("\n".join(lines) + "\n", status=status, mimetype="text/plain")

    @app.get("/metrics")
    def metrics() -> Response:
        text = prometheus(parts.health(), parts.ready(), parts.version)
        return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")

    return app

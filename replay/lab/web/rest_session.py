"""Sessions, users, tokens and site facts over REST: what clients and the sidecar ask before they trust a cookie."""

import re
from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, jsonify, request

from replay.lab.web import replies
from replay.lab.web.auth import TOKEN_LIFE_S, Accounts, Sessions
from replay.lab.web.catalogue import Catalogue
from replay.lab.web.errors import Refused
from replay.lab.web.gate import Gate, user_name, web_session

VERSION = "1.9.3.6"
_INTERVAL = re.compile(r"(\d{1,6}) (second|minute|hour)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


class SessionRoutes:
    """/data/JSESSION, /data/auth, /data/services/auth and tokens, users, site configuration."""

    def __init__(
        self, gate: Gate, accounts: Accounts, sessions: Sessions, catalogue: Catalogue, now: Callable[[], datetime]
    ) -> None:
        self._gate = gate
        self._accounts = accounts
        self._sessions = sessions
        self._catalogue = catalogue
        self._started = now()
        self._now = now

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("session", __name__)
        add = routes.add_url_rule
        add("/data/JSESSION", view_func=self.jsession)
        add("/data/JSESSION", view_func=self.end, methods=["DELETE"])
        add("/data/auth", view_func=self.auth)
        add("/data/services/auth", view_func=self.log_in, methods=["PUT", "POST"])
        add("/data/services/tokens/issue", view_func=self.issue)
        add("/data/services/tokens/show", view_func=self.show_tokens)
        add("/data/services/tokens/validate/<alias>/<secret>", view_func=self.validate)
        add("/data/services/tokens/invalidate/<alias>", view_func=self.invalidate)
        add("/data/services/tokens/invalidate/<alias>/<secret>", view_func=self.invalidate, endpoint="invalidate_pair")
        add("/data/users", view_func=self.users)
        add("/data/projects/<project>/users", view_func=self.project_users)
        add("/data/user/<name>/sessions", view_func=self.user_sessions)
        add("/xapi/users/username", view_func=self.username)
        add("/xapi/users/profile", view_func=self.profile)
        add("/xapi/users/profile/<name>", view_func=self.profile)
        add("/xapi/users/<name>/roles", view_func=self.roles)
        add("/xapi/users/<name>/groups", view_func=self.groups)
        add("/xapi/users/active", view_func=self.active)
        add("/xapi/users/active/<name>", view_func=self.active_user)
        add("/xapi/users/active/<name>", view_func=self.kill, methods=["DELETE"])
        add("/xapi/access/projects", view_func=self.access)
        add("/xapi/siteConfig/buildInfo", view_func=self.build_info)
        add("/xapi/siteConfig/uptime", view_func=self.uptime)
        add("/xapi/siteConfig/<name>", view_func=self.site_value)
        add("/xapi/siteConfig", view_func=self.configure, methods=["POST"])
        add("/xapi/plugins", view_func=self.plugins)
        return routes

    def jsession(self) -> Response:
        """The id of the session at hand, a new one when the cookie was worthless; open to everybody."""
        session = web_session()
        token = f"; XNAT_CSRF={session.csrf}" if request.args.get("CSRF") == "true" else ""
        return replies.text(session.id + token)

    def end(self) -> Response:
        """Ends the session at hand."""
        self._gate.log_out()
        return replies.text("")

    def auth(self) -> Response:
        """Says in a sentence who is logged in."""
        token = f"; XNAT_CSRF={web_session().csrf}" if request.args.get("CSRF") == "true" else ""
        return replies.text(f"User '{user_name()}' is logged in{token}")

    def log_in(self) -> Response:
        """Logs in with a form of username and password; the body is the session id."""
        name = request.form.get("username", "")
        user = self._accounts.check(name, request.form.get("password", ""))
        if user is None:
            self._gate.record_login(name or "guest", "FAILED (BadCredentialsException): Bad credentials")
            return replies.error_page(401, "Login attempt failed. Please try again.")
        session = self._gate.log_in(user)
        self._gate.record_login(user, "SUCCESS")
        return replies.text(session.id)

    def issue(self) -> Response:
        """Makes an alias token for the user at hand."""
        token = self._accounts.issue_token(user_name())
        return jsonify(
            {
                "alias": token.alias,
                "secret": token.secret,
                "singleUse": False,
                "estimatedExpirationTime": round(self._now().timestamp() * 1000) + TOKEN_LIFE_S * 1000,
                "xdatUserId": token.user,
            }
        )

    def show_tokens(self) -> Response:
        """Lists nothing: secrets are shown once, when they are made."""
        return jsonify([])

    def validate(self, alias: str, secret: str) -> Response:
        """Tells whose token this is."""
        user = self._accounts.check(alias, secret)
        return jsonify({"valid": user} if user else {})

    def invalidate(self, alias: str, secret: str = "") -> Response:
        """Makes one's own token worthless."""
        token = self._accounts.token(alias)
        if token is not None and token.user != user_name() and self._accounts.check(alias, secret) is None:
            raise Refused(403, "This token belongs to another user.")
        self._accounts.forget_token(alias)
        return replies.text("")

    def users(self) -> Response:
        """Lists the users."""
        rows = [_user_row(number, name) for number, name in enumerate(self._accounts.names(), 1)]
        return replies.table(request, rows, list(rows[0]))

    def project_users(self, project: str) -> Response:
        """Lists the users of a project with their groups: everybody is a member."""
        found = self._catalogue.the_project(project)["id"]
        rows = [
            {**_user_row(number, name), "displayname": "Members", "GROUP_ID": f"{found}_member"}
            for number, name in enumerate(self._accounts.names(), 1)
        ]
        return replies.table(request, rows, list(rows[0]))

    def user_sessions(self, name: str) -> Response:
        """Counts the sessions of a user."""
        self._own_or_admin(name)
        return replies.text(str(len(self._sessions.of_users().get(name, []))))

    def username(self) -> Response:
        """The login name alone."""
        return replies.text(user_name())

    def profile(self, name: str = "") -> Response:
        """The profile of the user at hand or, for administrators, of another."""
        wanted = name or user_name()
        self._own_or_admin(wanted)
        if wanted not in self._accounts.names():
            raise Refused(404, f"There is no user {wanted}.")
        number = self._accounts.names().index(wanted) + 1
        return jsonify(
            {
                "id": number,
                "username": wanted,
                "firstName": wanted.capitalize(),
                "lastName": "Practice",
                "email": f"{wanted}@example.org",
                "enabled": True,
                "verified": True,
                "admin": self._accounts.is_admin(wanted),
            }
        )

    def roles(self, name: str) -> Response:
        """The site roles of a user."""
        self._own_or_admin(name)
        return jsonify(["Administrator"] if self._accounts.is_admin(name) else [])

    def groups(self, name: str) -> Response:
        """The groups of a user."""
        self._own_or_admin(name)
        return jsonify([f"{project['id']}_member" for project in self._catalogue.projects()])

    def active(self) -> Response:
        """Active users and their session ids, for administrators."""
        if not self._accounts.is_admin(user_name()):
            raise Refused(403, "Only administrators see who is active.")
        found = self._sessions.of_users()
        return jsonify({name: {"sessions": ids, "count": len(ids)} for name, ids in found.items()})

    def active_user(self, name: str) -> Response:
        """The session ids of one user."""
        self._own_or_admin(name)
        return jsonify(self._sessions.of_users().get(name, []))

    def kill(self, name: str) -> Response:
        """Ends all sessions of a user."""
        self._own_or_admin(name)
        ended = self._sessions.of_users().get(name, [])
        for session_id in ended:
            self._sessions.close(session_id)
        return jsonify(ended)

    def access(self) -> Response:
        """The role of the user at hand in every project."""
        role = "Owners" if self._accounts.is_admin(user_name()) else "Members"
        return jsonify([{"ID": project["id"], "name": project["name"], "role": role} for project in self._catalogue.projects()])

    def build_info(self) -> Response:
        """Version facts; open to everybody."""
        return jsonify({"version": VERSION, "buildNumber": "1", "commit": "practice", "buildDate": f"{self._started:%Y-%m-%d}"})

    def uptime(self) -> Response:
        """How long the application has been running."""
        seconds = round((self._now() - self._started).total_seconds())
        days, rest = divmod(seconds, 86400)
        return jsonify({"days": days, "hours": rest // 3600, "minutes": rest % 3600 // 60, "seconds": rest % 60})

    def site_value(self, name: str) -> Response:
        """A few site preferences."""
        values = {
            "siteId": "XNAT",
            "siteUrl": request.host_url.rstrip("/") + self._gate.path_of(""),
            "siteHome": "/app/template/Index.vm",
            "siteLogoPath": "",
            "sessionTimeout": interval_text(self._sessions.timeout_s),
            "requireLogin": "true",
        }
        if name not in values:
            raise Refused(404, f"There is no site preference {name}.")
        return replies.text(values[name])

    def configure(self) -> Response:
        """Sets site preferences, for administrators: of those there is one here, how long a session lives unused."""
        if not self._accounts.is_admin(user_name()):
            raise Refused(403, "Only administrators may change site preferences.")
        values = request.get_json(silent=True)
        wanted = values["sessionTimeout"] if isinstance(values, dict) and set(values) == {"sessionTimeout"} else None
        interval = _INTERVAL.fullmatch(str(wanted))
        if interval is None:
            raise Refused(400, 'Send {"sessionTimeout": "15 minutes"}: no other preference can be changed here.')
        self._sessions.timeout_s = int(interval[1]) * _SECONDS[interval[2]]
        return replies.text("")

    def plugins(self) -> Response:
        """The plugins: the viewer."""
        viewer = {"id": "ohifViewerPlugin", "name": "XNAT OHIF Viewer Plugin", "version": "3.7.2"}
        return jsonify({viewer["id"]: viewer})

    def _own_or_admin(self, name: str) -> None:
        if name != user_name() and not self._accounts.is_admin(user_name()):
            raise Refused(403, "Only administrators may ask about other users.")


def interval_text(seconds: float) -> str:
    """As site preferences are written: `15 minutes`, `20 seconds`."""
    whole = round(seconds)
    return f"{whole // 60} minutes" if whole % 60 == 0 else f"{whole} seconds"


def _user_row(number: int, name: str) -> dict[str, str]:
    return {
        "firstname": name.capitalize(),
        "login": name,
        "xdat_user_id": str(number),
        "email": f"{name}@example.org",
        "lastname": "Practice",
    }

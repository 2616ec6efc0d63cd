"""Browsers with nothing, with the extension, and with Grafana's Faro web SDK in the page, each leaving a trace."""

from __future__ import annotations

import base64
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException

from replay.lab.folders import cache_directory
from tests.bench.page_trace import TRACED
from tests.support.extension import SOURCE, load_package
from tests.support.extension_page import Person
from tests.support.extension_together import Journal, Place, build, chromium, overview, truth_extension
from tests.support.waiting import wait_until

FARO = "grafana-faro-web-sdk-2.12.1"
VARIANTS = ("none", "ours", "faro")
START_FARO = """
GrafanaFaroWebSdk.initializeFaro({url: "%s", app: {name: "lab", version: "1"},
  instrumentations: GrafanaFaroWebSdk.getWebInstrumentations({captureConsole: true})});
"""
#: in every page of every variant: long tasks and how soon input was answered, of all documents of a round
METER = """
if (window === top) {
  const seen = {longtask: [], event: []};
  const earlier = () => JSON.parse(sessionStorage.getItem("meter") ?? '{"longtask": [], "event": []}');
  const take = (entry) => {
    if (entry.entryType === "longtask" || entry.interactionId) seen[entry.entryType].push(entry.duration);
  };
  const observers = [["longtask", {}], ["event", {durationThreshold: 16}]].map(([type, more]) => {
    const one = new PerformanceObserver((list) => list.getEntries().forEach(take));
    one.observe({type, buffered: true, ...more});
    return one;
  });
  window.meter = () => {
    for (const one of observers) one.takeRecords().forEach(take);
    const before = earlier();
    return {longtask: [...before.longtask, ...seen.longtask], event: [...before.event, ...seen.event]};
  };
  addEventListener("pagehide", () => {
    sessionStorage.setItem("meter", JSON.stringify(window.meter()));
    seen.longtask = [];
    seen.event = [];
  });
}
"""


class Collector:
    """Takes what Faro posts, from any page, and counts."""

    def __init__(self) -> None:
        self.posts = 0
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.posts += 1
                self._allow()

            def do_OPTIONS(self) -> None:
                self._allow()

            def _allow(self) -> None:
                self.send_response(202)
                for name in ("Origin", "Headers", "Methods"):
                    self.send_header(f"Access-Control-Allow-{name}", "*")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._http.server_port}/collect"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def faro_bundle() -> str:
    """The SDK as npm has it, from the cache that `make setup` fills."""
    archive = cache_directory(os.environ) / "npm" / f"{FARO}.tgz"
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/dist/bundle/faro-web-sdk.iife.js")
        assert member is not None
        return member.read().decode()


def in_page(folder: Path, name: str, text: str) -> Path:
    """A script that is brought into the page's own world as a site would load it, before the page's scripts."""
    folder.mkdir(parents=True)
    (folder / f"{name}.js").write_text(text, encoding="utf-8")
    script = {"matches": ["http://127.0.0.1/*"], "js": [f"{name}.js"], "run_at": "document_start", "world": "MAIN"}
    manifest = {"manifest_version": 3, "name": name, "version": "1", "content_scripts": [script]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@contextmanager
def browser(folder: Path, variant: str, where: Place, collector: Collector, trace: Path) -> Iterator[Person]:
    """A fresh browser of this variant, which leaves a trace of all that it did."""
    extensions = [truth_extension(folder / "truth"), in_page(folder / "meter", "meter", METER)]
    if variant == "ours":
        extensions.append(build(folder / "extension", where, auth="token") / "chromium")
    if variant == "faro":
        extensions.append(in_page(folder / "faro", "faro", faro_bundle() + START_FARO % collector.url))
    downloads = folder / "downloads"
    downloads.mkdir()
    tracing = ("", "-file=" + str(trace), "-format=json", "-duration=0")
    arguments = tuple(f"--trace-startup{one or '=' + TRACED}" for one in tracing)
    driver = chromium(extensions, folder, downloads, arguments)
    driver.set_script_timeout(60)
    journal = Journal(where.sidecar.journal)
    try:
        person = Person(driver, journal, downloads)
        if variant == "ours":
            overview(person, "chromium")  # it answers when it is ready for the first page
        yield person
    finally:
        with suppress(WebDriverException):
            driver.execute_cdp_cmd("Browser.close", {})  # the driver would not wait for the trace
        wait_until(lambda: trace.exists() and trace.read_bytes()[-9:].rstrip().endswith(b"}"), "the trace", 60)
        driver.quit()
        journal.close()


def address_of(variant: str) -> str | None:
    """What is in the addresses of a variant's scripts."""
    if variant == "ours":
        key = json.loads((SOURCE / "manifest.json").read_text(encoding="utf-8"))["key"]
        return str(load_package().extension_id(base64.b64decode(key)))
    return "/faro.js" if variant == "faro" else None

"""A page that the practice system cannot show: a viewer made of the elements of XNAT's fork of OHIF."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.extension_page import ROOT

FORK = ROOT / "tests" / "extension" / "page" / "fixtures" / "fork.html"
SLICES = 40
#: behaves as the fork's source says: thumbnails change the scan, the wheel the slice, the button plays; its library sends events
BEHAVIOUR = """
<style>.viewport-element {width: 400px; height: 300px; background: #222} button {min-width: 30px; min-height: 20px}
.xnat-thumbnail {width: 80px; height: 60px; background: #ccc; margin: 2px}</style>
<script>
window.shown = 0;
const pane = document.getElementById("pane"), icon = () => document.querySelector("#play svg");
const send = (name) => pane.dispatchEvent(new CustomEvent(name, {bubbles: true}));
const show = () => {
  window.shown += 1;
  send("cornerstonenewimage");
  requestAnimationFrame(() => send("cornerstoneimagerendered"));
};
const load = async (scan) => {
  for (let from = 0; from < SLICES; from += 8) {
    await Promise.all(Array.from({length: 8}, (_, index) =>
      fetch(`/xnat/data/experiments/E/scans/${scan}/resources/DICOM/files/${from + index}.dcm`)
        .then((answer) => answer.arrayBuffer())));
    if (from === 0) show();
  }
};
const scans = [...document.querySelectorAll(".xnat-thumbnail")];
scans.forEach((one, index) => one.addEventListener("click", () => {
  if (one.classList.contains("active")) return;
  scans.forEach((other) => other.classList.toggle("active", other === one));
  load(index + 1);
}));
pane.addEventListener("wheel", () => { send("cornerstonetoolsstackscroll"); show(); });
let timer = null;
document.getElementById("play").addEventListener("click", () => {
  const playing = icon().getAttribute("name") === "stop";
  const fresh = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  fresh.setAttribute("name", playing ? "play" : "stop");
  icon().replaceWith(fresh); // as React does it
  if (playing) clearInterval(timer); else timer = setInterval(show, 42);
});
load(1);
</script>"""


class FixtureSite:
    """Serves the page, and bytes in place of slices, on a loopback port."""

    def __init__(self) -> None:
        fork = FORK.read_text(encoding="utf-8").replace("</body>", BEHAVIOUR.replace("SLICES", str(SLICES)) + "</body>")

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = urlsplit(self.path)
                if path.path.endswith("/VIEWER"):
                    body, kind = fork, "text/html"
                else:
                    body, kind = "x" * 1000, "application/dicom"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

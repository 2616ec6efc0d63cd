"""OHIF v3 as it is published, over a DICOMweb service of a few lines with two small synthetic series.

The viewer is 50 MB and not part of the project: set-up fetches it by name, version and checksum.
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydicom.dataset import Dataset

from replay.lab.folders import cache_directory
from tests.support.lab_web import dicom_slice

STUDY = "1.2.826.0.1.3680043.10.66.1"
SLICES = 24
CONFIG = """window.config = {routerBasename: "/", showStudyList: true, extensions: [], modes: [],
  defaultDataSourceName: "dicomweb",
  investigationalUseDialog: {option: "never"}, dataSources: [{namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
  sourceName: "dicomweb", configuration: {friendlyName: "test", name: "test", wadoUriRoot: "/dicom-web", qidoRoot: "/dicom-web",
  wadoRoot: "/dicom-web", qidoSupportsIncludeField: false, imageRendering: "wadors", thumbnailRendering: "wadors",
  enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: false}}]};"""
BOUNDARY = "slice"


def ohif3(folder: Path) -> Path:
    """The viewer's files, unpacked into `folder` without what CT viewing does not need; skips where set-up did not fetch them."""
    packed = cache_directory(os.environ) / "npm" / "ohif-app-3.13.2.tgz"
    if not packed.exists():
        pytest.skip(f"OHIF v3 is not there: {packed} (run `make setup`)")
    left_out = ("package/dist/ort/", "package/dist/dicom-microscopy-viewer/")
    with tarfile.open(packed) as archive:
        wanted = [one for one in archive if not one.name.endswith(".map") and not one.name.startswith(left_out)]
        archive.extractall(folder, members=wanted)  # noqa: S202  (its checksum was compared when it was fetched)
    return folder / "package" / "dist"


def _series(number: int) -> list[Dataset]:
    return [
        dicom_slice(
            patient="TEST",
            study=STUDY,
            series=f"{STUDY}.{number}",
            series_number=number,
            instance=instance,
            description=f"S{number}",
        )
        for instance in range(1, SLICES + 1)
    ]


class Ohif3Site:
    """Serves viewer and images on a loopback port."""

    def __init__(self, dist: Path) -> None:
        series = {f"{STUDY}.{number}": _series(number) for number in (1, 2)}
        every = [one for slices in series.values() for one in slices]
        by_uid = {str(one.SOPInstanceUID): one for one in every}

        def described(one: Dataset) -> dict[str, Any]:
            copy = Dataset()
            copy.update({element.tag: element for element in one if element.keyword != "PixelData"})
            return {**copy.to_json_dict(), "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}}

        def answer(path: str) -> tuple[bytes, str]:
            found = re.fullmatch(
                r"/dicom-web/studies(?:/[^/]+)?(?:/series(?:/([^/]+))?)?(?:/instances/([^/]+))?(/metadata|/frames/1)?", path
            )
            if not found:
                return b"[]", "application/dicom+json"
            uid, instance, tail = found.groups()
            if tail == "/frames/1":
                head = (
                    f"--{BOUNDARY}\\r\\nContent-Type: application/octet-stream\\r\\n\\r\\n".encode()
                    .decode("unicode_escape")
                    .encode()
                )
                body = head + by_uid[instance].PixelData + f"\r\n--{BOUNDARY}--\r\n".encode()
                return body, f'multipart/related; type="application/octet-stream"; boundary={BOUNDARY}'
            if tail == "/metadata":
                known = [described(one) for one in (series[uid] if uid else every)]
            elif "/series" in path:
                counts = {"00201209": {"vr": "IS", "Value": [SLICES]}}
                known = [{**described(slices[0]), **counts} for slices in series.values()]
            else:
                counts = {"00201206": {"vr": "IS", "Value": [2]}, "00201208": {"vr": "IS", "Value": [len(every)]},
                          "00080061": {"vr": "CS", "Value": ["CT"]}}  # fmt: skip
                known = [{**described(every[0]), **counts}]
            return json.dumps(known).encode(), "application/dicom+json"

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                if path.startswith("/dicom-web"):
                    body, kind = answer(path)
                elif path == "/app-config.js":
                    body, kind = CONFIG.encode(), "text/javascript"
                else:
                    file = dist / path.lstrip("/")
                    file = file if file.is_file() else dist / "index.html"
                    body, kind = file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.viewer = f"{self.url}/viewer?StudyInstanceUIDs={STUDY}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

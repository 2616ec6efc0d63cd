"""What a repetition transfers, from a packet capture."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from replay.campaign_folder import CAPTURE
from replay.campaign_markers import Told
from replay.campaign_recording import port_of
from replay.capture import (
    Capture,
    CaptureDiskFullError,
    CaptureNotPermittedError,
    CaptureProgramMissingError,
    CaptureResult,
    InterfaceError,
)
from replay.failures import ConnectionFailedError, Kind
from replay.packets import Server, Window, read_metrics
from replay.results import Repetition
from replay.transfers import reports_of_capture, tell
from sidecar.model.faults import Fault


def server_of(site: str) -> Server:
    """The addresses and the port behind a site's address; raises ConnectionFailedError when its name has none now."""
    parts = urlsplit(site)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionFailedError(f"the name {host} has no address ({error})", "look at the network and the site") from error
    hosts = frozenset(str(address[0]).partition("%")[0] for *_, address in found)
    return Server(hosts, port_of(site))


class PacketRecorder:
    """Captures the packets between this machine and the site; the file is removed when it has been read, unless `keep`."""

    def __init__(self, site: str, *, keep: bool) -> None:
        self._site = site
        self._keep = keep

    def kind_of(self, error: Fault) -> Kind | None:
        """What kind of failure an error of the capture, or of reading it, is."""
        if isinstance(error, CaptureNotPermittedError | CaptureProgramMissingError | InterfaceError):
            return "permission"
        if isinstance(error, CaptureDiskFullError):
            return "disk"
        kind: Kind = getattr(error, "kind", "capture")
        return kind

    @contextmanager
    def recording(self, folder: Path) -> Iterator[PacketRecording]:
        """Capture until this is left; raises CaptureError, InterfaceError or ConnectionFailedError."""
        server = server_of(self._site)
        recording = PacketRecording(folder / CAPTURE, server, keep=self._keep)
        try:
            with Capture(server.hosts, server.port, folder / CAPTURE) as capture:
                yield recording
            recording.captured = capture.result
        finally:
            if recording.captured is None and not self._keep:
                (folder / CAPTURE).unlink(missing_ok=True)


class PacketRecording:
    """One capture; `captured` is there when it has ended in order."""

    def __init__(self, file: Path, server: Server, *, keep: bool) -> None:
        self._file = file
        self._server = server
        self._keep = keep
        self.meter = None
        self.captured: CaptureResult | None = None

    def measure(self, result: Repetition, told: Told) -> Mapping[str, Any]:
        """Read the capture, note in `result` how it was made, tell the transfers; raises CaptureFormatError."""
        windows = [
            Window(action.action_id, action.begin_ns, action.begin_ns + action.duration_ns)
            for action in result.actions
            if action.duration_ns is not None
        ]
        metrics = read_metrics(self._file, self._server, windows=windows)
        if self.captured is not None:
            captured = self.captured
            result.capture = {
                "program": captured.program,
                "interface": captured.interface,
                "snaplen": captured.snaplen,
                "packets": captured.packets,
                "dropped_by_kernel": captured.dropped_by_kernel,
                "proof": captured.proof,
            }
        tell(reports_of_capture(metrics), told)
        if not self._keep:
            self._file.unlink()
        return {"source": "capture", **metrics.to_json()}

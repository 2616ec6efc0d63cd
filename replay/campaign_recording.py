"""Where the sizes of a repetition come from: a packet capture, or what the browser says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from replay.campaign import Recorder
from replay.campaign_markers import Told
from replay.failures import Kind
from replay.results import Repetition
from replay.transfers import browser_json, reports_of_browser, tell
from replay.transfers_browser import BrowserMeter
from sidecar.model.faults import Fault

_PORTS = {"http": 80, "https": 443}


def port_of(site: str) -> int:
    """The port of a site's address."""
    parts = urlsplit(site)
    return parts.port or _PORTS[parts.scheme]


def recorder_for(site: str, *, capture: bool, keep: bool) -> Recorder:
    """A capture, or what the browser says where nothing may be captured."""
    if not capture:
        return BrowserRecorder()
    from replay.campaign_capture import PacketRecorder  # reading captures needs numpy, which nobody else waits for

    return PacketRecorder(site, keep=keep)


class BrowserRecorder:
    """Nothing is captured: sizes and times are the browser's, and marked so."""

    @contextmanager
    def recording(self, folder: Path) -> Iterator[BrowserRecording]:  # noqa: ARG002 (the protocol's)
        """A meter for the browser of one repetition."""
        yield BrowserRecording()

    def kind_of(self, error: Fault) -> Kind | None:  # noqa: ARG002 (the protocol's)
        """None: every error says so itself."""
        return None


class BrowserRecording:
    """What the browser of one repetition says of its requests."""

    def __init__(self) -> None:
        self.meter = BrowserMeter()

    def measure(self, result: Repetition, told: Told) -> Mapping[str, Any]:
        """Sum up per action, and tell it."""
        reports = reports_of_browser(self.meter.exchanges(), result.actions)
        tell(reports, told)
        return {**browser_json(reports), "dropped": self.meter.dropped}

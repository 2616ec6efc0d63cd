"""What an error of the capture means for the campaign, and where the sizes of a repetition come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay import campaign_capture
from replay.campaign import CampaignFailedError
from replay.campaign_capture import PacketRecorder, server_of
from replay.campaign_recording import BrowserRecorder, port_of, recorder_for
from replay.capture import CaptureDroppedError, CaptureNotPermittedError
from replay.failures import ConnectionFailedError
from replay.packets import Server
from replay.transfers import Exchange
from sidecar.model.faults import Fault
from tests.support.campaign_fakes import CampaignBrowser, Field


def refusing(error: Fault, *, at_end: bool) -> Any:
    """A capture that fails with this error."""

    class Capture:
        result = None

        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Capture:
            if not at_end:
                raise error
            return self

        def __exit__(self, *_: object) -> None:
            raise error

    return Capture


def recorded(tmp_path: Path, **limits: int) -> Field:
    field = Field(tmp_path, **limits)
    field.recorder = PacketRecorder("http://127.0.0.1:8080", keep=False)  # type: ignore[assignment]
    return field


def test_a_capture_that_is_not_permitted_ends_the_campaign_before_anything_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = CaptureNotPermittedError("dumpcap may not capture", "join the group wireshark")
    monkeypatch.setattr(campaign_capture, "Capture", refusing(error, at_end=False))
    field = recorded(tmp_path, repetitions=3)
    with pytest.raises(CampaignFailedError, match=r"repetition 1 failed: dumpcap may not capture: join the group wireshark"):
        field.run()
    assert field.browsers == []
    failure = field.result("failed", "repetition-001-attempt-1").failure
    assert failure is not None
    assert failure.kind == "permission"


def test_a_capture_that_lost_packets_is_tried_again_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = CaptureDroppedError("3 of 9 packets were dropped", "calm the machine")
    monkeypatch.setattr(campaign_capture, "Capture", refusing(error, at_end=True))
    field = recorded(tmp_path, attempts=2)
    with pytest.raises(CampaignFailedError, match="3 of 9 packets were dropped"):
        field.run()
    assert len(field.browsers) == 2
    assert not list(field.out.rglob("capture.pcapng"))


def test_the_server_is_known_by_its_addresses_and_port() -> None:
    assert server_of("https://127.0.0.1/xnat") == Server(frozenset({"127.0.0.1"}), 443)
    assert [port_of(site) for site in ("http://a", "https://a", "http://a:8080/x")] == [80, 443, 8080]
    with pytest.raises(ConnectionFailedError, match=r"the name no\.such\.host\.invalid has no address"):
        server_of("http://no.such.host.invalid")


def test_without_a_capture_the_browser_says_the_sizes_and_they_are_marked_so(tmp_path: Path) -> None:
    field = Field(tmp_path)
    recorder = recorder_for("http://site", capture=False, keep=False)
    assert isinstance(recorder, BrowserRecorder)
    field.recorder = recorder  # type: ignore[assignment]
    original = field._ports
    began_ns = field.time.clock().wall_ns()
    exchange = Exchange(start_ns=began_ns, end_ns=began_ns + 10**9, down_bytes=500, up_bytes=20)

    @contextmanager
    def opened(*_: object) -> Iterator[CampaignBrowser]:
        with field._opened(None) as browser:  # type: ignore[arg-type]
            browser.meter = lambda meter: meter._exchanges.append(exchange)  # type: ignore[method-assign]
            yield browser

    field._ports = lambda told: replace(original(told), browser=opened)  # type: ignore[method-assign]
    field.run()
    transfers = json.loads((field.out / "r1" / "repetition-001" / "transfers.json").read_text())
    assert transfers["source"] == "browser"
    assert (transfers["whole"]["down_bytes"], transfers["whole"]["down_rate"]) == (500, 500)
    assert "retransmitted" not in transfers["whole"]

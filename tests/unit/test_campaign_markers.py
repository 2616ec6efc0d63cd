"""A run's marker channel: what the sidecar has not got is kept beside the run and delivered once, at its true time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replay import campaign_markers
from replay.campaign_deliver import UndeliveredError, deliver
from replay.campaign_folder import opened_run
from replay.campaign_markers import Channel, kept_sessions
from replay.clock_offset import Offset
from replay.marker_client import ChannelRefusedError, MarkerClient
from replay.marker_link import placed
from replay.outbox import Entry, Outbox
from sidecar.model.actions import pair
from sidecar.model.faults import UsageFault
from sidecar.model.records import Marker, Session, Transfer
from tests.support.campaign_fakes import Field
from tests.support.marker_fakes import Served, serving, url_of

NOBODY = "ws://127.0.0.1:9/markers"
ONE, TWO = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_markers, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(campaign_markers, "AWAY_WAIT_S", 0.01)


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    folder = tmp_path / "outbox"
    folder.mkdir()
    return folder


class Patient(MarkerClient):
    """Waits for a sidecar that is there however slow the machine is."""

    def start(self, timeout_s: float = 15.0) -> None:
        super().start(15.0)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as running:
        yield running


def channel(url: str, outbox: Path, said: list[str] | None = None, **more: Any) -> Channel:
    client = MarkerClient if url == NOBODY else Patient
    return Channel(url, token="", outbox=outbox, say=(said if said is not None else []).append, connect=client, **more)


def tell(told: Any) -> str:
    told.run("r1", setup="wan", scenario="researcher", role="researcher", repetition=3)
    action_id: str = told.begin("login")
    told.end(action_id)
    told.transfer(
        start_ns=time.time_ns(), duration_ns=5, down_bytes=7, up_bytes=8, packets=9, retransmitted=1, action_id=action_id
    )
    return action_id


def stored(served: Served) -> list[Marker]:
    return [marker for _, marker in served.journal.read(Marker, limit=10**6)]


def test_a_session_that_was_delivered_leaves_no_file(served: Served, outbox: Path) -> None:
    with channel(url_of(served.server), outbox).session(ONE) as told:
        action_id = tell(told)
        assert told.offset() is not None
    assert list(outbox.iterdir()) == []
    assert {marker.action_id for marker in stored(served)} == {action_id}


def test_a_sidecar_that_is_away_is_said_once_and_gets_everything_later_and_once(served: Served, outbox: Path) -> None:
    said: list[str] = []
    away = channel(NOBODY, outbox, said)
    ids = []
    for session in (ONE, TWO):
        with away.session(session) as told:
            ids.append(tell(told))
            assert told.offset() is None
    assert kept_sessions(outbox) == 2
    assert len(said) == 1
    assert "no answer from the marker channel" in said[0]
    assert "delivered later" in said[0]
    for _ in range(2):
        assert channel(url_of(served.server), outbox).deliver() == 0
    assert list(outbox.iterdir()) == []
    assert sorted(marker.action_id for marker in stored(served)) == sorted(ids * 2)
    ran = [session for _, session in served.journal.read(Session)]
    assert {(one.session, one.run, one.setup, one.repetition) for one in ran} == {(ONE, "r1", "wan", 3), (TWO, "r1", "wan", 3)}
    assert sorted(transfer.action_id or "" for _, transfer in served.journal.read(Transfer)) == sorted(ids)


def test_what_a_killed_process_was_writing_is_removed_and_the_whole_file_delivered(served: Served, outbox: Path) -> None:
    with channel(NOBODY, outbox).session(ONE) as told:
        action_id = tell(told)
    (outbox / f"{ONE}.jsonl.part").write_text('{"ack": 0}\n{"se', encoding="utf-8")
    (outbox / f"{TWO}.jsonl.part").write_text("", encoding="utf-8")
    assert channel(url_of(served.server), outbox).deliver() == 0
    assert list(outbox.iterdir()) == []
    assert {marker.action_id for marker in stored(served)} == {action_id}


def test_what_is_delivered_later_stands_at_its_time_in_the_sidecars_clock(served: Served, outbox: Path) -> None:
    began_ns, began_mono_ns = time.time_ns(), time.monotonic_ns()
    with channel(NOBODY, outbox).session(ONE) as told:
        tell(told)
    # The sidecar's clock (a manual one) stands still: what it says now was true at this moment of ours, too.
    channel(url_of(served.server), outbox).deliver()
    now_mono_ns = time.monotonic_ns()
    ((_, transfer),) = served.journal.read(Transfer)
    earliest_ns = served.clock.wall_ns() - (now_mono_ns - began_mono_ns)
    assert earliest_ns <= transfer.start_ns <= served.clock.wall_ns() + 10**8
    for marker in stored(served):
        assert marker.offset_ns is not None
        assert marker.wall_ns >= began_ns
        assert earliest_ns - 10**8 <= marker.wall_ns + marker.offset_ns <= served.clock.wall_ns() + 10**8


def test_actions_that_a_killed_process_left_open_are_given_up_when_it_is_delivered(served: Served, outbox: Path) -> None:
    url = url_of(served.server)
    killed = Patient(url, session=ONE, outbox_file=outbox / f"{ONE}.jsonl")
    killed.start()
    done = killed.begin("login")
    killed.end(done)
    left = killed.begin("play")
    assert killed.flush()  # it is acknowledged, and was never ended
    channel(url, outbox).deliver()
    killed.close(timeout_s=0)
    actions = pair(stored(served), sources={}).actions
    assert {(action.action_id, action.outcome) for action in actions} == {(done, "completed"), (left, "cancelled")}
    assert list(outbox.iterdir()) == []


def test_open_actions_are_known_however_often_the_file_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "outbox.jsonl"
    with Outbox(file=file) as outbox:
        for action_id, phase in (("1", "begin"), ("2", "begin"), ("1", "end")):
            outbox.put("marker", {"action_id": action_id, "action": "login", "phase": phase})
        outbox.acknowledge(3)
    for _ in range(3):
        with Outbox(file=file) as outbox:
            assert outbox.open_actions == {"2": "login"}


def test_a_refusal_ends_a_run_that_was_never_let_in(outbox: Path) -> None:
    with serving({"token": "right"}) as served:
        refused = channel(url_of(served.server), outbox)
        with pytest.raises(ChannelRefusedError), refused.session(ONE):
            pytest.fail("the session began")


def test_what_was_told_before_the_machine_was_started_anew_is_placed_by_its_wall_clock(tmp_path: Path) -> None:
    file = tmp_path / "outbox.jsonl"
    with Outbox(file=file, boot="monday") as outbox:
        outbox.put("marker", {"wall_ns": 1000, "mono_ns": 900, "offset_ns": None, "offset_error_ns": None, "phase": "end"})
        outbox.put("transfer", {"start_ns": 1000, "told": [1000, 900]})
    with Outbox(file=file, boot="tuesday") as outbox, Outbox(file=file, boot="tuesday") as again:
        entries = list(outbox.after(0))
        assert [entry.earlier for entry in again.after(0)] == [True, True]
    moments: list[tuple[int, int]] = []

    def at(wall_ns: int, mono_ns: int) -> Offset:
        moments.append((wall_ns, mono_ns))
        return Offset(offset_ns=50, error_ns=2)

    marker, transfer = (placed(entry, at, (7000, 20)) for entry in entries)
    assert moments == [(7000, 20), (7000, 20)]
    assert (marker.fields["offset_ns"], marker.fields["mono_ns"], transfer.fields["start_ns"]) == (50, 900, 1050)
    same_boot = placed(Entry(1, "transfer", {"start_ns": 1000, "told": [1000, 900]}), at, (7000, 20))
    assert moments[-1] == (1000, 900)
    assert same_boot.fields == {"start_ns": 1050}


def test_a_campaign_does_not_fail_when_the_sidecar_is_away_and_deliver_makes_it_good(served: Served, tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)
    field.markers_url = NOBODY
    folder = field.run(markers=NOBODY)
    assert kept_sessions(folder.outbox) == 2
    said: list[str] = []
    with pytest.raises(UndeliveredError, match="2 sessions could not be delivered") as undelivered:
        deliver(field.out, None, "", said.append)
    assert undelivered.value.exit_status == 1
    monkey = url_of(served.server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign_markers, "FIRST_WAIT_S", 15.0)
        with opened_run(field.out, field.manifest(markers=NOBODY)):
            assert deliver(folder.path, monkey, "", said.append) == 0
            assert "r1 is being played" in said[-2]
        assert deliver(folder.path, monkey, "", said.append) == 0
        assert said[-1] == "2 sessions delivered, 0 kept"
        assert deliver(field.out, monkey, "", said.append) == 0
    told = {json.loads(path.read_text())["actions"][0]["action_id"] for path in folder.path.glob("*/result.json")}
    assert {marker.action_id for marker in stored(served)} == told
    assert len(stored(served)) == 4


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="there is no run in"):
        deliver(tmp_path, None, "", print)

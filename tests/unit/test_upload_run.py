"""Exams and bursts against a site in memory: what is told, tried again, resumed, left alone and removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from replay.campaign_folder import Manifest, opened_run
from replay.campaign_markers import Channel
from replay.campaign_patience import Limits
from replay.player import NO_ACTION
from replay.results import Repetition
from replay.route_model import Route, RouteTraceError, RouteUnstableError
from replay.upload.clean_up import clean_up
from replay.upload.exam_upload import ExamUpload, How
from replay.upload.faults import ExamError, NotOursError, SiteAnswerError, SiteFullError, UploadIncompleteError
from replay.upload.ledger import LEDGER, Entry, Ledger
from replay.upload.schedule import Burst, schedule
from replay.upload.uploader import Tools, Uploader
from sidecar.model.faults import Fault
from tests.support.campaign_fakes import DETOUR, HOME, Notes
from tests.support.replay_fakes import FakeTime
from tests.support.upload_fakes import FakeMarkers, FakeSite, FakeSource, an_exam, gone

SESSION = "ab" * 16
ENTRY = Entry(
    exam=1, burst=1, project="UP", label="TM-run-0001", study="1.2.3", files=2, bytes=1000, source="one",
    state="intended", at_ns=1,
)  # fmt: skip


class OneExam:
    """An exam of 3000 bytes, about to be sent."""

    def __init__(self, folder: Path, how: How | None = None) -> None:
        (folder / "one.zip").write_bytes(b"z" * 3000)
        self.exam = an_exam(folder / "one.zip")
        self.site = FakeSite()
        self.time = FakeTime()
        self.markers = FakeMarkers(self.time)
        self.said: list[str] = []
        self.ledger = Ledger(folder / LEDGER)
        self.how = how or How()

    def upload(self, *, fresh: bool = True) -> Entry:
        entry = self.ledger.get(1) or self.ledger.put(ENTRY)
        return ExamUpload(
            site=self.site, sender=None, ledger=self.ledger, how=self.how, clock=self.time.clock(), markers=self.markers,
            session=SESSION, say=self.said.append,
        ).upload(entry, self.exam, fresh=fresh)  # fmt: skip

    @property
    def state(self) -> str | None:
        known = self.ledger.get(1)
        return known.state if known else None


def test_an_upload_is_noted_before_its_first_byte_and_told_until_it_is_verified(tmp_path: Path) -> None:
    case = OneExam(tmp_path, How(rate=1000))
    case.site.late_files = 2
    noted: list[str] = []
    case.site.on_send = lambda _entry: noted.append((tmp_path / LEDGER).read_text())
    done = case.upload()
    assert '"TM-run-0001"' in noted[0]
    assert (done.state, done.experiment) == ("verified", "E1")
    assert case.site.received == {"TM-run-0001": 3000}
    assert case.markers.told == [("begin upload", 0.0), ("end ['bytes']", pytest.approx(5.0))]
    assert done.action is not None
    assert done.action["duration_ns"] == pytest.approx(5e9), "3 s throttled, 2 s until the catalogue has all files"
    assert case.site.headers == [f"00-{SESSION}-{1:016x}-01", f"00-{SESSION}-{NO_ACTION}-01"]


def test_what_breaks_off_is_removed_and_sent_again_from_its_begin(tmp_path: Path) -> None:
    case = OneExam(tmp_path)
    case.site.sends = [gone(), gone(), None]
    assert case.upload().state == "verified"
    sent = ["send TM-run-0001", "connect", "remove TM-run-0001"]
    assert case.site.did == [*sent, *sent, "send TM-run-0001"]
    assert case.site.waiting == {}
    assert [told for told, _ in case.markers.told] == ["begin upload", "cancel"] * 2 + ["begin upload", "end ['bytes']"]
    assert case.time.pauses == [1.0, 2.0]


def test_a_site_that_stays_away_ends_the_run_after_the_timeout(tmp_path: Path) -> None:
    case = OneExam(tmp_path, How(limits=Limits(timeout_s=100)))
    case.site.sends = [gone() for _ in range(50)]
    with pytest.raises(Fault, match="connection failed"):
        case.upload()
    assert case.time.now_s == pytest.approx(100)
    assert case.state == "intended"


def test_an_exam_that_the_site_chokes_on_is_given_up_after_some_attempts_and_removed(tmp_path: Path) -> None:
    case = OneExam(tmp_path, How(limits=Limits(attempts=2)))
    case.site.sends = [SiteAnswerError("the site answered 500", "look")] * 9
    with pytest.raises(ExamError, match="500"):
        case.upload()
    assert case.site.did.count("send TM-run-0001") == 2
    assert case.site.waiting == {}


@pytest.mark.parametrize("fault", [SiteFullError("no room", "make some"), NotOursError("theirs", "look")])
def test_what_another_attempt_would_not_cure_ends_the_run_at_once(tmp_path: Path, fault: Fault) -> None:
    case = OneExam(tmp_path)
    case.site.sends = [fault]
    with pytest.raises(type(fault)):
        case.upload()
    assert case.site.did == ["send TM-run-0001"]


def test_other_bytes_than_were_sent_are_an_error_unless_only_files_are_counted(tmp_path: Path) -> None:
    case = OneExam(tmp_path)
    case.site.changes_bytes = 4
    with pytest.raises(ExamError, match=r"1004 bytes in the archive, not 1000.*verify=count"):
        case.upload()
    assert case.site.archived == {}
    assert case.markers.told[-1][0] == "cancel"
    case.how = How(verify="count")
    assert case.upload(fresh=False).state == "verified"


def test_checksums_are_compared_after_the_action(tmp_path: Path) -> None:
    case = OneExam(tmp_path, How(verify="checksum"))
    case.site.wrong_digests = True
    with pytest.raises(ExamError, match="not those that were sent"):
        case.upload()
    assert case.markers.told[-1][0].startswith("end")
    assert case.site.archived == {}
    case.site.wrong_digests = False
    assert case.upload(fresh=False).state == "verified"


def test_the_prearchive_is_waited_for_until_it_is_ready(tmp_path: Path) -> None:
    case = OneExam(tmp_path, How(destination="prearchive", limits=Limits(timeout_s=30, attempts=1)))
    case.site.not_ready = 7
    assert case.upload().state == "verified"
    assert case.time.now_s == 7
    (tmp_path / "again").mkdir()
    never = OneExam(tmp_path / "again", case.how)
    never.site.not_ready = 10_000
    with pytest.raises(ExamError, match="did not become ready to archive within 30 s"):
        never.upload()


def test_an_exam_that_was_archived_before_a_crash_is_only_verified(tmp_path: Path) -> None:
    case = OneExam(tmp_path)
    case.upload()
    case.ledger.change(1, state="archived")
    assert case.upload(fresh=False).state == "verified"
    assert case.site.did.count("send TM-run-0001") == 1
    case.ledger.change(1, state="archived")
    case.site.archived["TM-run-0001"] = replace(case.site.archived["TM-run-0001"], files=1)
    assert case.upload(fresh=False).state == "verified"
    assert case.site.did[-2:] == ["remove TM-run-0001", "send TM-run-0001"]


class Runs:
    """Runs of uploads in one folder, against one site."""

    def __init__(self, folder: Path) -> None:
        (folder / "one.zip").write_bytes(b"z" * 300)
        self.out = folder / "out"
        self.site = FakeSite()
        self.source = FakeSource(folder / "one.zip")
        self.time = FakeTime()
        self.notes = Notes()
        self.bursts: Sequence[Burst] = schedule(4, bursts=2, every_s=3600, variation=0, seed=1)
        self.routes: list[tuple[str | None, ...] | Fault] = []
        self.route_changes = 10

    def run(self) -> None:
        manifest = Manifest(
            run="run", setup="lan", scenario="upload", role="uploader", scenario_sha256="", parameters={}, seed=1,
            site="http://site.test", host="site.test", users=1, capture=False, repetitions=2, markers="none", created_ns=1,
        )  # fmt: skip
        with opened_run(self.out, manifest, one_route=False) as folder:
            tools = Tools(
                site=self.site, sender=None, source=self.source, progress=self.notes, clock=self.time.clock(), versions={},
                channel=Channel("none", token="", outbox=folder.outbox, say=self.notes.say),
                trace=self.trace,
            )  # fmt: skip
            ledger = Ledger(folder.path / LEDGER)
            Uploader(project="UP", bursts=self.bursts, how=How(), folder=folder, ledger=ledger, tools=tools,
                     route_changes=self.route_changes).run()  # fmt: skip

    def trace(self, _method: str) -> Route:
        hops = self.routes.pop(0) if self.routes else HOME
        if isinstance(hops, Fault):
            raise hops
        return Route(hops, "udp", 1)

    def burst(self, number: int) -> Repetition:
        return Repetition.load(self.out / f"run/repetition-{number:03d}")

    def ledger(self) -> Ledger:
        return Ledger(self.out / "run" / LEDGER)

    def sent(self) -> list[str]:
        return [one.removeprefix("send TM-run-") for one in self.site.did if one.startswith("send")]


def test_a_change_of_the_route_is_noted_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    away = RouteTraceError("nobody answered", "look at the network")
    away.retry = True
    runs.routes = [HOME, away, DETOUR]
    runs.bursts = schedule(3, bursts=3, every_s=3600, variation=0, seed=1)
    runs.run()
    assert [runs.burst(number).route for number in (1, 2, 3)] == [1, 1, 2]
    manifest = json.loads((runs.out / "run/manifest.json").read_text())
    assert [one["hops"] for one in manifest["routes"]] == [list(HOME), list(DETOUR)]
    assert [said for said in runs.notes.said if "route" in said] == [
        "the route of burst 2 is not known (nobody answered)",
        "the route changed from 10.0.0.1 10.0.0.2 to 10.0.0.1 10.0.9.9 10.0.0.2 before burst 3: those before are not like it",
    ]
    sent = runs.sent()
    runs.run()
    assert (runs.sent(), len(set(sent))) == (sent, len(sent)), "bursts on an earlier route stay finished"


def test_a_route_that_changes_too_often_ends_the_run_before_a_burst(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.route_changes = 0
    runs.routes = [HOME, DETOUR]
    with pytest.raises(RouteUnstableError, match="changed 1 times"):
        runs.run()
    assert len(list(runs.out.glob("run/repetition-*"))) == 1
    runs.run()
    assert len(list(runs.out.glob("run/repetition-*"))) == 2


def test_bursts_keep_their_distance_and_each_is_a_result(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run()
    assert runs.time.pauses == [3600]
    assert runs.sent() == ["0001", "0002", "0003", "0004"]
    assert [len(runs.burst(number).actions) for number in (1, 2)] == [2, 2]
    assert runs.burst(2).started_ns - runs.burst(1).started_ns == 3600 * 10**9
    assert not runs.site.connected, "nobody stays logged in over the pause"
    assert runs.site.did.count("connect") == 2


def test_a_burst_that_takes_too_long_is_followed_at_once_and_that_is_said(tmp_path: Path) -> None:
    runs = Runs(tmp_path)

    def slow(_entry: Entry) -> None:
        runs.time.now_s += 3000

    runs.site.on_send = slow
    runs.run()
    assert runs.time.pauses == []
    assert any("burst 2 begins 2400 s late" in said for said in runs.notes.said)


def test_a_stopped_run_goes_on_at_the_exam_where_it_stopped_and_keeps_the_distance(tmp_path: Path) -> None:
    runs = Runs(tmp_path)

    def stop(entry: Entry) -> None:
        if entry.exam == 4:
            raise KeyboardInterrupt

    runs.site.on_send = stop
    with pytest.raises(KeyboardInterrupt):
        runs.run()
    assert [one.state for one in runs.ledger()] == ["verified", "verified", "verified", "intended"]
    runs.site.on_send = lambda _entry: None
    runs.run()
    assert runs.sent() == ["0001", "0002", "0003", "0004", "0004"]
    assert runs.source.made == [1, 2, 3, 4, 4]
    assert [action.outcome for action in runs.burst(2).actions] == ["completed", "completed"]
    assert not [one for one in runs.notes.said if "late" in one]


def test_a_run_that_is_given_again_early_waits_for_the_rest_of_the_distance(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.bursts = runs.bursts[:1]
    runs.run()
    runs.bursts = schedule(4, bursts=2, every_s=3600, variation=0, seed=1)
    runs.time.now_s += 600
    runs.run()
    assert runs.time.pauses == [3000]


def test_a_bad_exam_does_not_hold_up_the_others_and_follows_when_it_is_corrected(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.source.broken = {2: ExamError("two is broken", "mend it")}
    with pytest.raises(UploadIncompleteError, match=r"1 of 4 exams .*TM-run-0002 \(two is broken\)"):
        runs.run()
    assert runs.sent() == ["0001", "0003", "0004"]
    evidence = json.loads((runs.out / "run/failed/repetition-001-attempt-1/result.json").read_text())
    assert len(evidence["actions"]) == 1
    assert any("TM-run-0002 (exam 2): two is broken: mend it" in said for said in runs.notes.said)
    runs.source.broken = {}
    runs.run()
    assert runs.sent() == ["0001", "0003", "0004", "0002"]
    assert len(runs.burst(1).actions) == 2


def test_nothing_is_sent_into_a_project_with_other_peoples_data_or_onto_their_labels(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.site.others = {"PATIENT_7"}
    with pytest.raises(NotOursError, match="holds data that no upload of ours made"):
        runs.run()
    runs.site.others = {"TM-run-0003", "TM-another-0001"}
    with pytest.raises(NotOursError, match="TM-run-0003 is already in project UP"):
        runs.run()
    assert runs.sent() == []
    assert list(runs.ledger()) == []


def test_somebody_elses_data_that_appear_between_bursts_stop_the_run(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.time = FakeTime((10.0, lambda: runs.site.others.add("PATIENT_7")))
    with pytest.raises(NotOursError):
        runs.run()
    assert runs.sent() == ["0001", "0002"]


def test_cleaning_up_removes_what_is_in_the_ledger_and_nothing_else(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run()
    theirs = replace(runs.site.archived["TM-run-0001"], experiment="E9")
    runs.site.archived["TM-else-0001"] = theirs
    said: list[str] = []
    clean_up(runs.site, runs.ledger(), lambda: 7, said.append)
    assert runs.site.archived == {"TM-else-0001": theirs}
    assert said == ["4 exams removed"]
    asked = len(runs.site.did)
    clean_up(runs.site, runs.ledger(), lambda: 8, said.append)
    assert len(runs.site.did) == asked, "what was removed is not asked for again"


def test_cleaning_up_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run()

    class Breaks(FakeSite):
        def remove(self, entry: Entry) -> int:
            if entry.exam == 3:
                raise gone()
            return super().remove(entry)

    flaky = Breaks()
    flaky.archived = runs.site.archived
    with pytest.raises(Fault, match="connection failed"):
        clean_up(flaky, runs.ledger(), lambda: 7, lambda _said: None)
    assert [one.state for one in runs.ledger()] == ["removed", "removed", "verified", "verified"]
    clean_up(runs.site, runs.ledger(), lambda: 8, lambda _said: None)
    assert runs.site.archived == {}

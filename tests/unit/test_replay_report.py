"""`tracemark report DIR`: replayed runs read again from their folders, side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.report import cli as replayed
from replay.report import files, page, text
from replay.report.runs import USAGE, Run, notes_of, read_runs
from replay.report.spread import Axis, Spread
from replay.report.usage import await_usage
from replay.results import ResultError
from replay.sidecar_api import Sidecar, SidecarAwayError
from sidecar.__main__ import main
from sidecar.model.faults import UsageFault
from tests.support.replay_runs import ACTIONS, READING, manifest, usage_answer, write_run
from tests.unit.test_html_report import Outline

#: miles per gallon of R's data set mtcars; quantile(mtcars$mpg) is 10.4, 15.425, 19.2, 22.8, 33.9
MPG = (
    21.0, 21.0, 22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4, 10.4, 14.7, 32.4, 30.4, 33.9, 21.5,
    15.5, 15.2, 13.3, 19.2, 27.3, 26.0, 30.4, 15.8, 19.7, 15.0, 21.4,
)  # fmt: skip
values = st.lists(st.floats(1e-6, 1e9) | st.just(0.0), min_size=1, max_size=40)


def test_quartiles_and_whiskers_are_those_of_a_known_table() -> None:
    spread = Spread.of(MPG)
    assert spread is not None
    assert (spread.n, spread.q1, spread.q3) == (32, 15.425, 22.8)
    assert spread.median == pytest.approx(19.2)
    # 1.5 interquartile ranges above the box end at 33.8625: 33.9 is beyond, 32.4 the end of the whisker
    assert (spread.low, spread.high, spread.outliers) == (10.4, 32.4, (33.9,))


def test_one_value_is_its_own_quartiles_and_none_has_none() -> None:
    one = Spread.of([7.0])
    assert one is not None
    assert (one.low, one.q1, one.median, one.q3, one.high, one.outliers) == (7, 7, 7, 7, 7, ())
    assert Spread.of([]) is None


@given(values)
def test_every_value_is_within_the_whiskers_or_an_outlier(some: list[float]) -> None:
    spread = Spread.of(some)
    assert spread is not None
    within = [value for value in spread.values if spread.low <= value <= spread.high]
    assert sorted([*within, *spread.outliers]) == sorted(some)
    assert spread.low <= spread.high


@given(values)
def test_every_value_has_its_place_on_the_axis(some: list[float]) -> None:
    axis = Axis.of(some)
    assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value in some)
    ticks = axis.ticks()
    assert ticks == sorted(ticks)
    assert [ticks[0], ticks[-1]] == pytest.approx([axis.low, axis.high])


def test_an_axis_is_logarithmic_only_where_values_are_far_apart() -> None:
    assert Axis.of([3.0, 40.0]) == Axis(low=0.0, high=40.0, log=False)
    wide = Axis.of([0.3, 40.0])
    assert (wide.low, wide.high, wide.log) == (0.2, 50.0, True)
    assert wide.ticks() == pytest.approx([0.2, 0.5, 1, 2, 5, 10, 20, 50])
    assert not Axis.of([0.0, 1e6]).log, "zero has no place on a logarithmic axis"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three finished runs of one scenario, each with another setup, as `tracemark replay --out` leaves them."""
    for setup in ("wan", "lan", "vpn"):
        write_run(tmp_path / "out", manifest(f"down-{setup}", setup=setup))
    return tmp_path / "out"


def runs_in(folder: Path) -> list[Run]:
    return read_runs([folder])


def test_a_folder_of_runs_is_read_in_the_order_lan_vpn_wan(out: Path) -> None:
    runs = read_runs([out, out / "down-lan"])
    assert [run.manifest.run for run in runs] == ["down-lan", "down-vpn", "down-wan"], "each once"
    lan, _, wan = runs
    assert lan.down is not None
    assert wan.down is not None
    assert lan.up is not None
    assert lan.down.n == 6
    assert lan.down.low > wan.down.high, "the network made for the WAN is slower"
    assert lan.down.median / lan.up.median > 20
    assert list(lan.durations) == list(ACTIONS)
    assert not notes_of(runs)


def test_the_terminal_shows_tables_and_boxes_with_units(out: Path) -> None:
    told = text.render(runs_in(out))
    assert "down-lan: researcher, setup lan, 6 of 6 repetitions" in told
    assert "researcher: throughput down, server to client" in told
    lan = next(line for line in told.splitlines() if line.startswith("LAN down-lan"))
    assert "#" in lan
    assert "MB/s" in lan
    assert lan.endswith("n 6")
    assert "log scale" in told
    assert max(map(len, told.splitlines())) <= 120


def test_a_box_is_drawn_to_scale() -> None:
    spread = Spread.of([10, 20, 30, 40, 50, 95])
    assert spread is not None
    assert text.line(spread, Axis(low=0, high=100, log=False), 101) == (
        " " * 10 + "|" + "-" * 11 + "[" + "=" * 12 + "#" + "=" * 12 + "]" + "-" + "|" + " " * 44 + "o" + " " * 5
    )
    few = Spread.of([10, 20])
    assert few is not None
    assert text.line(few, Axis(low=0, high=100, log=False), 101).strip() == "o    #    o"


def test_json_and_csv_hold_the_same_numbers(out: Path) -> None:
    runs = runs_in(out)
    told = json.loads(files.as_json(runs))
    lan = told["runs"][0]
    assert (told["format"], lan["run"], lan["setup"], lan["finished"]) == (1, "down-lan", "lan", 6)
    lines = list(csv.DictReader(io.StringIO(files.as_csv(runs))))
    row = next(one for one in lines if (one["run"], one["measure"]) == ("down-lan", "down_bytes_per_s"))
    assert float(row["median"]) == pytest.approx(lan["down_bytes_per_s"]["median"])
    download = next(one for one in lines if (one["run"], one["action"], one["measure"]) == ("down-lan", "download", "duration_s"))
    assert float(download["q3"]) == pytest.approx(lan["durations_s"]["download"]["q3"])
    assert {one["measure"] for one in lines} >= {"up_bytes_per_s", "retransmitted_segments"}


def test_the_page_is_whole_fetches_nothing_and_names_units(out: Path) -> None:
    made = page.render(runs_in(out), made_ns=1_700_000_000 * 10**9, version="1.0")
    outline = Outline()
    outline.feed(made)
    assert not outline.open
    assert not outline.references
    assert "script" not in outline.seen
    assert outline.seen.count("figure") == 3
    assert "Throughput down" in made
    assert "DOWNLOAD" in made
    assert "4 hops" in made
    assert "192.0.2." not in made, "addresses stay in the run's folder"
    # a box per run and action, and one per run in each direction
    assert made.count('role="img"') == 3 * len(ACTIONS) + 6


def test_what_a_run_is_called_cannot_break_the_page(tmp_path: Path) -> None:
    known = manifest("a", scenario="<b>&", parameters={})
    write_run(tmp_path, known)
    made = page.render(runs_in(tmp_path), made_ns=0, version="1")
    assert "<b>&" not in made.replace("<b><", "")
    assert "&lt;b&gt;&amp;" in made


def test_a_half_run_is_shown_as_such(tmp_path: Path) -> None:
    write_run(tmp_path, manifest("half", repetitions=10), played=2)
    (tmp_path / "half" / "repetition-003.part").mkdir()
    runs = runs_in(tmp_path)
    assert "half is unfinished: 2 of 10 repetitions." in text.render(runs)
    assert "2 of 10 (unfinished)" in page.render(runs, made_ns=0, version="1")
    assert json.loads(files.as_json(runs))["runs"][0]["unfinished"] is True


def test_a_run_without_a_finished_repetition_says_what_to_do(tmp_path: Path) -> None:
    write_run(tmp_path, manifest("begun"), played=0)
    runs = runs_in(tmp_path)
    assert "begun is unfinished: 0 of 6 repetitions." in text.render(runs)
    assert "No repetition is finished yet" in page.render(runs, made_ns=0, version="1")
    assert len(files.as_csv(runs).splitlines()) == 1


def test_different_scenarios_are_shown_apart(out: Path) -> None:
    write_run(out, manifest("reading", scenario="radiologist"), actions=READING)
    runs = runs_in(out)
    assert any("different scenarios" in note for note in notes_of(runs))
    made = page.render(runs, made_ns=0, version="1")
    assert made.count("<figure>") == 6
    assert made.index("<h2>Radiologist") < made.index("OPEN VIEWER") < made.index("<h2>Researcher")


def test_sessions_of_many_users_are_values_of_one_run_without_those_that_failed(tmp_path: Path) -> None:
    known = manifest("crowd", users=3, repetitions=1)
    write_run(tmp_path, known)
    whole = tmp_path / "crowd" / "repetition-001"
    for number in (1, 2, 3):
        user = whole / f"user-{number:02d}"
        user.mkdir()
        raw = json.loads((whole / "result.json").read_text()) | {"user": number}
        if number == 3:
            raw["failure"] = {"kind": "site", "what": "it broke off", "remedy": "again", "step": None, "name": None}
        (user / "result.json").write_text(json.dumps(raw))
        (user / "transfers.json").write_bytes((whole / "transfers.json").read_bytes())
    told = json.loads((whole / "result.json").read_text()) | {"users": {"asked": 3}}
    (whole / "result.json").write_text(json.dumps(told))
    run = runs_in(tmp_path)[0]
    assert run.down is not None
    assert (run.down.n, run.durations["login"].n, run.summary.finished) == (2, 2, 1)
    assert "1 of 1, 3 users each" in page.render([run], made_ns=0, version="1")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"scenario_sha256": "0" * 64}, "content of the scenario"),
        ({"parameters": {"term": "b"}}, "parameters"),
        ({"users": 10}, "number of users"),
        ({"exam_bytes": 5}, "size of the downloaded exam"),
        ({"engine": "http"}, "what plays them (a browser, or requests alone)"),
    ],
)
def test_runs_that_cannot_be_compared_are_named(out: Path, fields: dict[str, Any], what: str) -> None:
    write_run(out, manifest("other", **fields))
    assert any(what in note for note in notes_of(runs_in(out)))


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="holds no run"):
        read_runs([tmp_path])
    with pytest.raises(UsageFault, match="nowhere is no folder"):
        read_runs([tmp_path / "nowhere"])


def _newer(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))


def _no_json(folder: Path) -> None:
    (folder / "repetition-002" / "result.json").write_text("{")


def _other_shape(folder: Path) -> None:
    (folder / "repetition-002" / "transfers.json").write_text('{"windows": [], "whole": 5}')


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1}')


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (_newer, "has format 2, and this version reads format 1: update Tracemark"),
        (_no_json, "result.json cannot be read"),
        (_other_shape, "cannot be read"),
        (_no_manifest, "is no manifest"),
    ],
)
def test_what_cannot_be_read_is_named_with_a_remedy(out: Path, harm: Callable[[Path], None], what: str) -> None:
    harm(out / "down-lan")
    with pytest.raises(ResultError, match=what) as caught:
        runs_in(out)
    assert "down-lan" in str(caught.value)


def test_the_sidecars_usage_is_kept_beside_the_run_and_shown(out: Path) -> None:
    (out / "down-lan" / USAGE).write_text(json.dumps(usage_answer(list(ACTIONS), 6)))
    runs = runs_in(out)
    told = text.render(runs)
    assert "researcher: what each action cost" in told
    assert "0.600 (0.540-0.660)" in told
    assert "Server load per action" in page.render(runs, made_ns=0, version="1")
    assert any("cpu_seconds" in line for line in files.as_csv(runs).splitlines())


def test_what_the_sidecar_counts_beyond_the_finished_repetitions_is_told(out: Path) -> None:
    (out / "down-lan" / USAGE).write_text(json.dumps(usage_answer(list(ACTIONS), 6)))
    assert not [note for note in notes_of(runs_in(out)) if "figures hold" in note]
    (out / "down-lan" / USAGE).write_text(json.dumps(usage_answer(list(ACTIONS), 8)))
    (told,) = [note for note in notes_of(runs_in(out)) if "figures hold" in note]
    assert told.startswith("down-lan: The sidecar's figures hold 10 actions more, of attempts that failed, were interrupted or")


class Away(Sidecar):
    """Does not answer, or answers for some runs only."""

    def __init__(self, *known: str) -> None:
        super().__init__("http://sidecar.test:8050")
        self.known = known
        self.asked: list[tuple[str, int, int]] = []

    def usage(self, run: str, from_ns: int, to_ns: int) -> dict[str, Any]:
        self.asked.append((run, from_ns, to_ns))
        if run not in self.known:
            raise SidecarAwayError("the sidecar does not answer", "start it")
        return usage_answer(["download"], 6, factor=2)


def test_the_sidecar_is_asked_for_the_time_of_each_run_and_may_be_away(out: Path) -> None:
    (out / "down-vpn" / USAGE).write_text(json.dumps(usage_answer(["login"], 6)))
    said: list[str] = []
    sidecar = Away("down-lan")
    lan, vpn, wan = replayed.with_usage(runs_in(out), sidecar, said.append)
    assert [row.cpu_seconds for row in lan.usage] == [1.2, 0.16]
    assert vpn.usage[0].action == "login", "what was kept stays"
    assert wan.usage == ()
    assert len(said) == 2
    name, from_ns, to_ns = sidecar.asked[0]
    assert name == "down-lan"
    assert from_ns < lan.from_ns < lan.to_ns < to_ns


def test_usage_is_awaited_until_every_action_is_joined() -> None:
    late = usage_answer(["login"], 2)
    late["rows"][0]["measured"] = 1
    answers = [usage_answer([], 0), usage_answer(["login"], 1), late, usage_answer(["login"], 2)]
    pauses: list[float] = []
    assert await_usage(lambda: answers.pop(0), {"login": 2}, pauses.append)["rows"][0]["count"] == 2
    assert len(pauses) == 3
    assert await_usage(lambda: usage_answer([], 0), {"login": 2}, pauses.append)["rows"] == [], "it does not wait for ever"


def command(*arguments: str) -> int:
    return main(["report", *arguments])


def test_the_command_tells_its_options_apart(out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.delenv("TRACEMARK_SIDECAR", raising=False)
    assert command(str(out), "--format", "csv") == 0
    assert capsys.readouterr().out.startswith("run,scenario,setup")
    assert command(str(out), "--out", str(out / "p.html")) == 0
    assert capsys.readouterr().out == ""
    assert (out / "p.html").read_text().startswith("<!doctype html>")
    for wrong, what in (
        (["--out", "x.html", "--format", "csv"], "--format is for the folders"),
        ([], "--out is missing"),
        ([str(out), "--run", "lan-7"], "--run does not select"),
        ([str(out), "--out", str(out / "no" / "p.html")], "cannot be written"),
        ([str(out), "--sidecar", "sidecar:8050"], "no address of a sidecar"),
    ):
        assert command(*wrong) == 2
        assert what in capsys.readouterr().err

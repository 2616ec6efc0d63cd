"""What a run came to: quartiles, rates, and the table that people read."""

from __future__ import annotations

from typing import Any

from replay.results import ActionResult, Repetition
from replay.summary import Quartiles, Summary, rows_of, table

Played = tuple[Repetition, dict[str, Any] | None]


def played(number: int, seconds: float, rate: float | None, *, outcome: Any = "completed") -> Played:
    result = Repetition(
        run="r", setup="wan", scenario="researcher", role="researcher", repetition=number, session="a" * 32, seed=1, started_ns=1,
        versions={}, duration_ns=int(seconds * 3e9),
    )  # fmt: skip
    result.actions.append(
        ActionResult(action="download", action_id=f"{number:016x}", begin_ns=1, duration_ns=int(seconds * 1e9), outcome=outcome)
    )
    if rate is None:
        return result, None
    window = {
        "duration_ns": 10**9,
        "down_bytes": int(rate),
        "up_bytes": 9,
        "down_rate": rate,
        "up_rate": rate / 100,
        "retransmitted": 1,
        "out_of_order": 1,
    }
    return result, {"source": "capture", "whole": {**window, "duration_ns": 7 * 10**9}, "windows": {f"{number:016x}": window}}


def summary(*results: Played, **fields: Any) -> Summary:
    usual: dict[str, Any] = {
        "run": "r", "scenario": "researcher", "setup": "wan", "finished": len(results), "wanted": 5, "failed": 0, "discarded": 0,
        "source": "capture", "route": "10.0.0.1 * 10.0.0.2",
    }  # fmt: skip
    return Summary(**{**usual, **fields}, rows=rows_of(results))


def test_quartiles_are_those_of_every_statistics_package() -> None:
    assert Quartiles.of([4, 1, 3, 2]) == Quartiles(low=1, q1=1.75, median=2.5, q3=3.25, high=4)
    assert Quartiles.of([7]) == Quartiles(low=7, q1=7, median=7, q3=7, high=7)
    assert Quartiles.of([]) is None


def test_an_action_is_summed_up_over_the_repetitions() -> None:
    download, session = rows_of(
        [played(1, 10, 1e6), played(2, 20, 3e6), played(3, 30, None), played(4, 99, 5e6, outcome="cancelled")]
    )
    assert (download.action, download.count, download.retransmitted, download.down_bytes) == ("download", 3, 4, 4_000_000)
    assert download.duration_s is not None
    assert (download.duration_s.median, download.duration_s.q1) == (20, 15)
    assert download.down_rate is not None
    assert download.down_rate.median == 2e6
    assert session.duration_s is not None
    assert session.duration_s.low == 7  # first to last packet where there is a capture
    assert session.duration_s.high == 90  # the clock's where there is none


def test_the_table_shows_units_and_what_a_reader_must_know() -> None:
    text = table(summary(played(1, 10, 1.25e6), played(2, 14, 1.25e6), failed=3, discarded=2))
    lines = text.splitlines()
    assert lines[0] == "r: researcher, setup wan, 2 of 5 repetitions"
    (download,) = [line for line in lines if line.startswith("DOWNLOAD")]
    assert download.split()[:4] == ["DOWNLOAD", "2", "12.0", "(11.0-13.0)"]
    assert "1.25 MB/s" in download
    assert "12.5 kB/s" in download
    assert download.endswith(" 4")
    assert "3 attempts failed; the evidence is in" in text
    assert "because the route changed: 2 repetitions, in discarded/" in text
    assert "Route: 10.0.0.1 * 10.0.0.2" in text


def test_a_route_of_which_nothing_answered_is_said_to_be_unknown() -> None:
    text = table(summary(played(1, 10, None), route="* * *"))
    assert "Route: no hop answered, so a change of it would not be seen" in text


def test_sizes_of_the_browser_are_marked_so_and_absent_ones_are_no_zeros() -> None:
    text = table(summary(played(1, 10, None), source="browser"))
    assert "nothing was captured" in text
    (download,) = [line for line in text.splitlines() if line.startswith("DOWNLOAD")]
    assert download.split()[-3:] == ["-", "-", "-"]

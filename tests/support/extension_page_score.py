"""A scored run: rounds of what a person does, and how right the extension told it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from selenium.webdriver import Keys

from tests.support.extension_page import Person, Told, Truth
from tests.support.extension_page_steps import Visit

Step = Callable[[], Truth]


START_MS = 60.0  # of a single action, widely: the machine may be busy; the score has the distribution
END_MS = 250.0


def check(person: Person, truth: Truth, phase: str = "end") -> Told:
    """The extension told this action, and nothing else of that name, at the right times."""
    told = person.told(truth.action, truth.begin_ms, phase)
    assert abs(told.begin_ms - truth.begin_ms) < START_MS, (told, truth)
    if truth.end_ms is not None:
        assert told.end_ms is not None
        assert abs(told.end_ms - truth.end_ms) < END_MS, (told, truth)
    same = [one for one in person.collector.actions() if one.action == truth.action and one.begin_ms >= truth.begin_ms - START_MS]
    assert len(same) == 1, same
    return told


def since(person: Person, begin_ms: float) -> list[str]:
    """The names of all actions told since then."""
    return [one.action for one in person.collector.actions() if one.begin_ms >= begin_ms]


def rounds(visit: Visit, wanted: int) -> list[Truth]:
    """So many actions, in visits from login to logout with every action at least once."""
    truths: list[Truth] = []
    while len(truths) < wanted:
        visit.person.driver.delete_all_cookies()
        truths.extend([step() for step in steps_of(visit, len(truths))[: wanted - len(truths)]])
    return truths


def steps_of(visit: Visit, turn: int) -> list[Step]:
    """The steps of one visit."""
    again: Step = lambda: visit.change_by_drag(1) if visit.person.drags else visit.change_by_click(1)  # noqa: E731
    return [
        visit.login_page, visit.log_in, visit.project, visit.tab, visit.sort, lambda: visit.filter("COVID_00"),
        visit.clear_filter, visit.quick_search, visit.csv, visit.session, visit.download_scan, visit.download_scans,
        visit.open_viewer, lambda: visit.scroll_by_wheel(10 + turn % 7), lambda: visit.change_by_click(1),
        lambda: visit.scroll_by_keys(4), lambda: visit.change_by_key(Keys.PAGE_DOWN), visit.scroll_by_slider,
        again, lambda: visit.play(0.6), visit.measure, lambda: visit.scroll_by_wheel(-6),
        visit.home_in_viewer, lambda: visit.quick_search("COVID_0001_CT1"), visit.log_out,
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How right it was: a table, and errors of begins and ends in milliseconds."""

    table: str
    precision: float
    recall: float
    begin_p95: float
    end_p95: float


def score(truths: list[Truth], told: list[Told]) -> Score:
    """A told action counts once, for the nearest truth of its name within a second."""
    free = list(told)
    table: dict[str, _Row] = {}
    for truth in truths:
        row = table.setdefault(truth.action, _Row())
        row.true += 1
        near = [one for one in free if one.action == truth.action and one.phase == "end"]
        best = min(near, key=lambda one, at=truth.begin_ms: abs(one.begin_ms - at), default=None)  # type: ignore[misc]
        if best is None or abs(best.begin_ms - truth.begin_ms) > 1000:
            row.missed.append(truth)
            continue
        free.remove(best)
        row.begins.append(abs(best.begin_ms - truth.begin_ms))
        if truth.end_ms is not None and best.end_ms is not None:
            row.ends.append(abs(best.end_ms - truth.end_ms))
    whole = _Row()
    for row in table.values():
        whole.true += row.true
        whole.begins += row.begins
        whole.ends += row.ends
    lines = [f"{'action':14} {'true':>5} {'found':>6} {'begin p50':>10} {'p95':>6} {'end p50':>8} {'p95':>6}  (ms)"]
    lines += [row.line(action) for action, row in [*table.items(), ("all", whole)]]
    precision, recall = len(whole.begins) / max(1, len(told)), len(whole.begins) / max(1, whole.true)
    missed = [truth for row in table.values() for truth in row.missed]
    lines.append(f"precision {precision:.3f}, recall {recall:.3f}; told and not true: {free}; true and not told: {missed}")
    return Score(
        table="\n".join(lines), precision=precision, recall=recall, begin_p95=_at(whole.begins, 95), end_p95=_at(whole.ends, 95)
    )


@dataclass(slots=True)
class _Row:
    true: int = 0
    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    missed: list[Truth] = field(default_factory=list)

    def line(self, name: str) -> str:
        begin = f"{_at(self.begins, 50):10.1f} {_at(self.begins, 95):6.1f}"
        return f"{name:14} {self.true:5} {len(self.begins):6} {begin} {_at(self.ends, 50):8.1f} {_at(self.ends, 95):6.1f}"


def _at(values: list[float], percent: int) -> float:
    return statistics.quantiles([*values, *values], n=100, method="inclusive")[percent - 1] if values else float("nan")

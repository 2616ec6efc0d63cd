"""The report: one page that needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.analysis.usage import usage_table
from sidecar.model.catalogue import load_catalogue
from sidecar.model.display import nice
from sidecar.model.records import Gap
from sidecar.report.html import Meta, render_report
from sidecar.report.svg import HEIGHT, WIDTH, Look, chart, nice_bytes
from tests.unit.test_usage import ORDER, row

S = 1_000_000_000
T0 = 1_700_000_000 * S
LOOKS = {action.name: Look(label=action.label, colour=action.colour) for action in load_catalogue().actions}
ROWS = [
    {"time_ns": T0 + i * S, "cpu_percent": 10.0 * (i % 7), "memory_bytes": (2700 + i) << 20}
    for i in range(60)
    if not 20 <= i < 40
]
ACTIONS = [row(name, at=T0 // S + at, length=8).action for name, at in (("login", 1), ("open_viewer", 12), ("logout", 50))]


def page(site: str = "lab", reason: str = "container restarted") -> str:
    usage = usage_table([row("login"), row("open_viewer", 30.0, at=20)], order=ORDER)
    gaps = [Gap(part="cgroup", subject="web", start_ns=T0 + 20 * S, end_ns=T0 + 40 * S, reason=reason)]
    meta = Meta(site=site, version="1.0", from_ns=T0, to_ns=T0 + 60 * S, made_ns=T0, looks=LOOKS)
    return render_report(usage, {"web": ROWS, "db": []}, ACTIONS, meta, gaps)


class Outline(HTMLParser):
    """Collects tags and what they refer to, and notices tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another tag"


def test_the_page_is_well_formed_and_refers_to_nothing() -> None:
    outline = Outline()
    text = page()
    outline.feed(text)
    assert outline.open == []
    assert outline.references == []
    assert "script" not in outline.seen
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


def test_it_has_the_tables_the_curves_and_the_limits() -> None:
    text = page()
    for expected in ("Table 1. Server load during researcher interactions", "OPEN VIEWER", "Method and limits", "window sum"):
        assert expected in text
    assert text.count("<figure>") == 2
    assert "linear interpolation" in re.sub(r"\s+", " ", text)


def test_regions_and_gaps_are_named_on_hover() -> None:
    text = page()
    assert "<title>OPEN VIEWER, 8.0 s</title>" in text
    assert "<title>gap: container restarted (cgroup)</title>" in text
    assert LOOKS["open_viewer"].colour in text


def test_what_others_wrote_is_shown_as_text() -> None:
    text = page(site="<script>alert(1)</script>", reason='"><img src=x onerror=alert(2)>')
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_a_curve_is_broken_where_samples_stayed_away() -> None:
    text = chart("web", ROWS, [], [], LOOKS, (T0, T0 + 60 * S))
    paths = re.findall(r'<path class="(cpu|memory)" d="([^"]+)"', text)
    assert [kind for kind, _ in paths] == ["memory", "cpu"]
    assert all(path.count("M") == 2 for _, path in paths)
    whole = [{**sample, "cpu_percent": None if index == 5 else 1.0} for index, sample in enumerate(ROWS[:10])]
    cpu = re.findall(r'<path class="cpu" d="([^"]+)"', chart("web", whole, [], [], LOOKS, (T0, T0 + 10 * S)))
    assert cpu[0].count("M") == 2


@given(
    values=st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 2**42)), max_size=40),
    seconds=st.integers(1, 10**6),
    starts=st.lists(st.integers(-100, 10**6), max_size=5),
)
def test_everything_is_drawn_inside_the_frame(values: list[tuple[float, int]], seconds: int, starts: list[int]) -> None:
    span = (T0, T0 + seconds * S)
    step = seconds * S // (len(values) + 1)
    rows = [{"time_ns": T0 + i * step, "cpu_percent": cpu, "memory_bytes": memory} for i, (cpu, memory) in enumerate(values)]
    actions = [row("login", at=T0 // S + start, length=50).action for start in starts]
    svg = ElementTree.fromstring(chart("web", rows, actions, [], LOOKS, span))  # noqa: S314  (our own text)
    for path in svg.iter("path"):
        for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path.get("d", "")):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT
    for rect in svg.iter("rect"):
        assert float(rect.get("x", "0")) >= 0
        assert float(rect.get("x", "0")) + float(rect.get("width", "0")) <= WIDTH


@pytest.mark.parametrize(("value", "top"), [(0, 10), (10, 10), (11, 20), (37, 40), (99, 100), (510, 600), (1500, 2000)])
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert nice(value, 10) == top


@given(st.floats(0, 2**50))
def test_the_memory_axis_is_above_its_curve_and_not_far_above(value: float) -> None:
    assert max(value, 1024) / 2 <= nice_bytes(value) / 2 <= max(value, 1024)

"""Every kind of step that recordings need, in a real browser: what the page hears is a person's input."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from replay.browser import Browser, opened
from replay.chromium import BrowserMissingError, BrowserOptions, BrowserPaths
from replay.expectations import Scene
from replay.locate import BadLocatorError, Locator
from replay.settle import NotSettledError, Waiter, settle
from replay.sight import Before
from replay.steps import STEPS, Played, Stage
from replay.values import Values
from sidecar.model.faults import Fault
from tests.support.http_serving import serving
from tests.support.replay_fakes import scenario

pytestmark = pytest.mark.browser

PAGES = {
    "/": b"""<!doctype html><title>Bench</title><body style="height: 4000px; margin: 0">
<button id="go">go</button> <button id="icon" aria-label="Save the plan">*</button> <label>Words<input id="words"></label>
<select id="one"><option>None<option disabled>Never<option value="ct">CT<option value="mr">MR</select>
<select id="many" multiple size="4"><option>A<option>B<option>C<option>D</select>
<input id="box" type="checkbox"> <label>File<input id="file" type="file" style="display: none"></label>
<div id="from" draggable="true" style="width: 60px; height: 60px; background: #a00">from</div>
<div id="onto" style="width: 90px; height: 90px; background: #00a">onto</div>
<div id="pane" style="width: 200px; height: 100px; overflow: auto"><p style="height: 900px">pane</p></div>
<div id="host"></div><a id="tab" href="/other" target="_blank">tab</a>
<iframe id="outer" src="/frame" style="margin-top: 1200px; width: 500px; height: 300px"></iframe>
<script>
window.heard = [];
for (const kind of ["click", "dblclick", "auxclick", "contextmenu", "mouseover", "mousedown", "mousemove", "mouseup", "dragstart",
                    "drop", "change", "keydown"])
  addEventListener(kind, (event) => heard.push([kind, event.isTrusted, event.target.id, event.button ?? 0,
                                                event.key ?? "", event.ctrlKey ?? false]), true);
addEventListener("contextmenu", (event) => event.preventDefault());
addEventListener("dragover", (event) => event.preventDefault());
const shadow = host.attachShadow({mode: "open"});
shadow.innerHTML = "<p><button class=inner>deep</button></p>";
</script>""",
    "/frame": b"""<!doctype html><title>Frame</title><p style="height: 80px">frame</p><button id="in">in</button>
<iframe id="inner" src="/inner"></iframe><script>document.getElementById("in").onclick = (event) =>
  parent.heard.push(["click", event.isTrusted, "in", 0, "", false])</script>""",
    "/inner": b"""<!doctype html><title>Inner</title><p>inner</p><button id="deepest">deepest</button>
<script>document.getElementById("deepest").onclick = (event) => {
  parent.parent.heard.push(["click", event.isTrusted, "deepest", 0, "", false]);
  parent.document.getElementById("inner").remove();
}</script>""",
    "/other": b"<!doctype html><title>Other</title><p>other</p>",
}


class Answer(BaseHTTPRequestHandler):
    """Serves the pages."""

    def do_GET(self) -> None:
        body = PAGES.get(self.path, b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class Bench:
    """One page and what is played on it."""

    def __init__(self, browser: Browser, site: str) -> None:
        self.browser = browser
        self.site = site
        self.waiter = Waiter(time.monotonic, time.sleep)

    def play(self, *steps: dict[str, Any], given: dict[str, str] | None = None, **parameters: Any) -> Values:
        """Play these steps with their expectations; returns the values that they left behind."""
        loaded = scenario(*({"timeout_s": 20, **step} for step in steps), parameters=parameters)
        values = Values(loaded, given or {}, {"XNAT_PASSWORD": "hunter2"})
        stage = Stage(
            eyes=self.browser,
            hands=self.browser,
            waiter=self.waiter,
            values=values,
            site=self.site,
            random=random.Random(1),
            pause=time.sleep,
            speed=20,
        )
        for step in loaded.steps:
            played = STEPS[step.kind](stage, step, lambda: None)
            assert isinstance(played, Played)
            scene = Scene(eyes=self.browser, downloads=self.browser.downloads, values=values, before=Before())
            settle(scene, step.expect, step.refuse, self.waiter, step.timeout_s)
        return values

    def heard(self) -> list[list[Any]]:
        """What the page has heard since the last time."""
        found: list[list[Any]] = self.browser.run("return heard.splice(0)")
        assert all(trusted for _, trusted, *_ in found), found
        return found

    def kinds(self, target: str) -> list[str]:
        """The kinds of events that one element has heard."""
        return [kind for kind, _, element, *_ in self.heard() if element == target]

    def state(self, script: str) -> Any:
        """Something of the page."""
        return self.browser.run(f"return {script}")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answer)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        paths = BrowserPaths.find(os.environ)
    except BrowserMissingError as missing:
        pytest.skip(str(missing))
    with opened(BrowserOptions(paths=paths, hosts=("127.0.0.1",), window=(1000, 700), visible=False)) as running:
        yield running


@pytest.fixture
def bench(browser: Browser, site: str) -> Bench:
    found = Bench(browser, site)
    found.play(
        {"step": "open", "path": "/", "expect": [{"kind": "title", "is": "Bench"}, {"kind": "shown", "targets": ["id=tab"]}]}
    )
    found.waiter.until(lambda: (found.state("document.readyState") == "complete" or None, "still loading"), 20)
    found.heard()
    return found


def test_clicks_of_every_kind(bench: Bench) -> None:
    bench.play({"step": "double_click", "targets": ["id=go"]})
    assert bench.kinds("go")[-1] == "dblclick"
    bench.play({"step": "click", "targets": ["id=go"], "button": "right"})
    assert {"mousedown", "contextmenu", "mouseup"} <= set(bench.kinds("go"))
    bench.play({"step": "click", "targets": ["id=go"], "hold": "CTRL", "at": [3, 4]})
    assert ["click", True, "go", 0, "", True] in bench.heard()
    bench.play({"step": "hover", "targets": ["id=words"]})
    assert "mouseover" in bench.kinds("words")


def test_elements_are_found_by_what_a_person_calls_them_and_through_shadow_roots(bench: Bench) -> None:
    bench.play({"step": "click", "targets": ["aria=Save the plan"]}, {"step": "type", "targets": ["aria=Words"], "text": "a {b}"})
    assert "click" in bench.kinds("icon")
    assert bench.state("words.value") == "a {b}"
    bench.play({"step": "click", "targets": ["text=go"]})
    assert "click" in bench.kinds("go")
    bench.play(*({"step": "click", "targets": [one]} for one in ("shadow=#host >>> .inner", "shadow=button.inner", "aria=deep")))
    assert bench.kinds("host").count("click") == 3


def test_a_list_is_chosen_from_with_the_keys_and_a_flat_one_with_the_pointer(bench: Bench) -> None:
    chosen = {"kind": "selected", "targets": ["id=one"]}
    bench.play({"step": "select", "targets": ["id=one"], "option": "label=MR", "expect": [{**chosen, "is": "MR"}]})
    assert "change" in bench.kinds("one")
    bench.play({"step": "select", "targets": ["id=one"], "option": "value=ct", "expect": [{**chosen, "is": "CT"}]})
    bench.play({"step": "click", "targets": ["id=one"]}, {"step": "type", "targets": ["id=one"], "text": "mr"})
    bench.play({"step": "wait", "expect": [{**chosen, "is": "MR"}]})
    many = {"kind": "selected", "targets": ["id=many"]}
    bench.play(
        {"step": "select", "targets": ["id=many"], "option": "label=B", "expect": [{**many, "is": "B"}]},
        {"step": "select", "targets": ["id=many"], "option": "index=3", "mode": "add", "expect": [{**many, "is": "B, D"}]},
        {"step": "select", "targets": ["id=many"], "option": "label=B", "mode": "remove", "expect": [{**many, "is": "D"}]},
    )
    with pytest.raises(NotSettledError, match=r"no option label=XA; there are: None, Never, CT, MR"):
        bench.play({"step": "select", "targets": ["id=one"], "option": "label=XA", "timeout_s": 0.1})


def test_boxes_are_ticked_only_when_they_have_to_be(bench: Bench) -> None:
    ticked = {"kind": "checked", "targets": ["id=box"]}
    bench.play(
        {"step": "check", "targets": ["id=box"], "expect": [ticked]},
        {"step": "check", "targets": ["id=box"], "expect": [ticked]},
        {"step": "uncheck", "targets": ["id=box"], "expect": [{**ticked, "state": False}]},
    )
    assert bench.kinds("box").count("click") == 2


def test_a_file_is_chosen_in_a_hidden_field(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    file.write_bytes(b"DICM")
    bench.play({"step": "choose_file", "targets": ["id=file"], "file": "${file}"}, file=str(file))
    assert bench.kinds("file") == ["change"]
    assert bench.state("file.files[0].name") == "slice.dcm"
    with pytest.raises(Fault, match=r"there is no file .*absent\.dcm"):
        bench.play({"step": "choose_file", "targets": ["id=file"], "file": "absent.dcm"})


def test_things_are_dragged_onto_others_and_by_pixels(bench: Bench) -> None:
    bench.play({"step": "drag", "targets": ["id=from"], "onto": ["id=onto"]})
    bench.waiter.until(lambda: ("drop" in bench.kinds("onto") or None, "no drop"), 10)
    bench.play({"step": "drag", "targets": ["id=onto"], "at": [10, 10], "by": [40, 20]})
    heard = [kind for kind in bench.kinds("onto") if kind != "mouseover"]
    assert (heard[0], heard[-1]) == ("mousemove", "click")
    assert heard.count("mousemove") >= 5


def test_keys_go_to_the_element_that_is_named(bench: Bench) -> None:
    bench.play({"step": "press", "targets": ["id=words"], "keys": "${word}{{x{BACKSPACE}{SHIFT+HOME}"}, word="ab{ENTER}")
    assert bench.state("words.value") == "ab{ENTER}{"
    assert bench.state("words.selectionStart") == 0
    bench.play({"step": "press", "keys": "{DELETE}", "expect": [{"kind": "value", "targets": ["id=words"], "is": ""}]})


def test_page_and_panes_are_scrolled_with_the_wheel(bench: Bench) -> None:
    bench.play({"step": "scroll_to", "y": 777})
    assert bench.state("Math.abs(scrollY - 777) <= 1")
    bench.play({"step": "scroll_to", "y": 0}, {"step": "scroll_to", "targets": ["id=pane"], "y": 100000})
    assert bench.state("pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 2")
    bench.play({"step": "wheel", "targets": ["id=pane"], "notches": -2, "notches_per_s": 100})
    bench.waiter.until(lambda: (bench.state("pane.scrollTop + pane.clientHeight < pane.scrollHeight - 2") or None, "still"), 10)


def test_the_window_gets_another_size(bench: Bench) -> None:
    bench.play({"step": "resize", "size": [700, 600]})
    assert bench.state("outerWidth") == 700
    bench.play({"step": "resize", "size": [1000, 700]})


def test_frames_are_entered_left_and_may_vanish(bench: Bench) -> None:
    bench.play(
        {"step": "enter_frame", "targets": ["id=outer"]},
        {"step": "click", "targets": ["id=in"]},
        {"step": "enter_frame", "targets": ["id=inner"]},
        {"step": "wait", "expect": [{"kind": "text", "targets": ["css=p"], "is": "inner"}]},
        {"step": "leave_frame", "up_to": "parent"},
        {"step": "wait", "expect": [{"kind": "text", "targets": ["css=p"], "is": "frame"}]},
        {"step": "enter_frame", "targets": ["id=inner"]},
        {"step": "click", "targets": ["id=deepest"]},
        {"step": "leave_frame"},
        {"step": "click", "targets": ["id=go"]},
    )
    assert [element for kind, _, element, *_ in bench.heard() if kind == "click"] == ["in", "deepest", "go"]


def test_tabs_are_found_by_order_and_path_and_closed(bench: Bench) -> None:
    bench.play(
        {"step": "click", "targets": ["id=tab"]},
        {"step": "tab", "path": "/other$", "expect": [{"kind": "title", "is": "Other"}]},
        {"step": "tab", "which": "first", "expect": [{"kind": "title", "is": "Bench"}]},
        {"step": "tab", "which": "newest", "expect": [{"kind": "title", "contains": "Oth"}]},
        {"step": "close_tab", "expect": [{"kind": "title", "is_not": "Other"}]},
        {"step": "click", "targets": ["id=go"]},
    )
    assert "click" in bench.kinds("go")
    with pytest.raises(NotSettledError, match="none of 1 tabs shows /nowhere"):
        bench.play({"step": "tab", "path": "/nowhere", "timeout_s": 0.1})


def test_what_the_page_says_is_kept_for_later_steps(bench: Bench) -> None:
    values = bench.play(
        {"step": "store", "parameter": "title", "what": "title"},
        {"step": "store", "parameter": "many", "what": "count", "targets": ["css=#many option"]},
        {"step": "store", "parameter": "link", "what": "attribute", "attribute": "href", "targets": ["id=tab"]},
        {"step": "type", "targets": ["id=words"], "text": "${title} ${many} ${link}"},
        {"step": "store", "parameter": "title", "what": "value", "targets": ["id=words"]},
        title="", many="", link="",
    )  # fmt: skip
    assert values.fill("${title}") == "Bench 4 /other"


def test_a_locator_that_cannot_be_read_is_said_at_once_unless_another_one_works(bench: Bench) -> None:
    bench.play({"step": "click", "targets": ["css=[[", "xpath=//[", "id=go"]})
    assert "click" in bench.kinds("go")
    for bad in ("css=[[", "xpath=//[", "shadow=[["):
        with pytest.raises(BadLocatorError, match="cannot be read by the browser"):
            bench.browser.find(Locator.parse(bad))
    began = time.monotonic()
    with pytest.raises(BadLocatorError, match=r"no locator can be read: css=\[\[: cannot be read; xpath=//\[: cannot be read"):
        bench.play({"step": "click", "targets": ["css=[[", "xpath=//["]})
    assert time.monotonic() - began < 15


def test_conditions_tell_what_they_saw(bench: Bench) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kind": "text", "targets": ["id=go"], "is": "stop"}, "text 'go', wanted is 'stop'"),
        ({"kind": "title", "is_not": "Bench"}, "title 'Bench', wanted is_not 'Bench'"),
        ({"kind": "absent", "targets": ["id=go"]}, "id=go is still there"),
        ({"kind": "present", "targets": ["id=nothing"]}, "id=nothing: none"),
        ({"kind": "editable", "targets": ["id=go"]}, "id=go is not editable"),
        ({"kind": "checked", "targets": ["id=box"]}, "id=box is not ticked"),
    ]
    for expectation, words in cases:
        with pytest.raises(NotSettledError, match=words):
            bench.play({"step": "wait", "timeout_s": 0.05, "expect": [expectation]})
    bench.play({"step": "wait", "seconds": 0.01, "expect": [{"kind": "editable", "targets": ["id=words"]}]})

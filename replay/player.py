"""Plays one repetition of a scenario: gestures in the browser, markers to the sidecar, a label on every request.

An action begins just before the native input of its first step and ends when the expectations of its last step are met.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replay.expectations import Scene, Verdict
from replay.failures import Failure, failure_of
from replay.results import SCREENSHOT, ActionResult, Repetition, StepResult
from replay.scenario_shape import Scenario, Step
from replay.settle import Waiter, settle
from replay.sight import Before, Eyes, NotReadyError, before
from replay.steps import STEPS, Hands, Stage
from replay.steps_viewer import varied
from replay.trouble import STATUS_PAGE, Lookout
from replay.values import Values
from sidecar.model.faults import Fault

#: the parent id of requests that belong to no action
NO_ACTION = "0000000000000001"


class MarkerSink(Protocol):
    """Where the markers go; `replay.marker_client` sends them to the sidecar."""

    def begin(self, action: str) -> str:
        """Mark the begin of an action now; returns its id, 16 hexadecimal digits."""

    def end(self, action_id: str, **attributes: int | str) -> None:
        """Mark its end now."""

    def cancel(self, action_id: str) -> None:
        """Take the action back: it did not come to an end."""


class PlayedBrowser(Eyes, Hands, Protocol):
    """The browser as the player needs it: `replay.browser.Browser`."""

    downloads: Path

    def label(self, traceparent: str) -> None:
        """Send this header with every request from now on."""

    def watch(self, script: str) -> None:
        """Run this function in every document from now on."""

    def screenshot(self, path: Path) -> bool:
        """Leave a picture of the page."""

    def broken_downloads(self) -> int:
        """How many downloads have broken off so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Clocks and the pause, passed in."""

    wall_ns: Callable[[], int]
    mono_ns: Callable[[], int]
    pause: Callable[[float], None]

    @classmethod
    def system(cls) -> Time:
        """The machine's."""
        return cls(wall_ns=time.time_ns, mono_ns=time.monotonic_ns, pause=time.sleep)


class StepError(Fault):
    """A step that could not be played; names the scenario's file, the step and what was tried. `failure` says of what kind."""

    def __init__(self, file: str, failure: Failure, picture: Path | None) -> None:
        shown = f" (screenshot: {picture})" if picture else ""
        super().__init__(f"{file}: step {failure.step} ({failure.name}): {failure.what}", failure.remedy + shown)
        self.failure = failure


class Watcher(Protocol):
    """Is told how far a repetition is: `replay.campaign_progress`."""

    def step(self, number: int, name: str) -> None:
        """This step begins now."""

    def action(self, ended: ActionResult) -> None:
        """This action came to its end."""


def traceparent(session: str, action_id: str = NO_ACTION) -> str:
    """The header of W3C Trace Context: session as trace id, action as parent id."""
    return f"00-{session}-{action_id}-01"


class Player:
    """Plays scenarios on one site; `evidence` is the folder for the screenshot of a failure.

    What deletes something on the site is pressed only with `may_delete`.
    """

    def __init__(self, *, site: str, evidence: Path, clock: Time, watcher: Watcher, may_delete: bool = False) -> None:
        self._site = site.rstrip("/")
        self._may_delete = may_delete
        self._evidence = evidence
        self._clock = clock
        self._watcher = watcher

    def play(self, scenario: Scenario, values: Values, browser: PlayedBrowser, sink: MarkerSink, result: Repetition) -> None:
        """Play it and fill in `result`; raises StepError when a step fails, after its action has been cancelled."""
        lookout = Lookout(browser, browser.downloads, browser.broken_downloads, lambda: self._clock.mono_ns() / 1e9)
        play = _Play(self._clock, browser, sink, result, lookout)
        chance = random.Random(result.seed)  # noqa: S311 (variation, not a secret)
        speed = values.number("pace", 1.0)

        def pause(seconds: float) -> None:
            self._clock.pause(seconds)
            lookout.look()

        stage = Stage(
            eyes=browser,
            hands=browser,
            waiter=Waiter(lambda: self._clock.mono_ns() / 1e9, pause),
            values=values,
            site=self._site,
            random=chance,
            pause=self._clock.pause,
            speed=speed,
            may_delete=self._may_delete,
        )
        browser.watch(Path(__file__).with_name("watch.js").read_text(encoding="utf-8"))
        browser.label(traceparent(result.session))
        for step in scenario.steps:
            self._watcher.step(step.number, step.name)
            if step.think is not None:
                self._clock.pause(varied(step.think.seconds, step.think.variation, chance) / speed)
            try:
                ended = play.step(stage, step)
            except (Fault, NotReadyError) as error:
                play.cancel()
                raise self._failed(scenario, step, error, browser, result) from error
            except BaseException:
                play.cancel()
                raise
            if ended is not None:
                self._watcher.action(ended)

    def _failed(
        self, scenario: Scenario, step: Step, error: Fault | NotReadyError, browser: PlayedBrowser, result: Repetition
    ) -> StepError:
        status, said = _page_says(browser)
        result.failure = failure_of(error, step=step, status=status, said=said)
        picture = self._evidence / SCREENSHOT
        if browser.screenshot(picture):
            result.screenshot = picture.name
        return StepError(scenario.file, result.failure, picture if result.screenshot else None)


def _page_says(browser: PlayedBrowser) -> tuple[int, str]:
    """The status of the page that is shown, and what it says; nothing when it cannot be asked any more."""
    try:
        page = browser.run(STATUS_PAGE)
    except (Fault, NotReadyError):
        return 0, ""
    return int(page.get("status", 0)), str(page.get("said", ""))


class _Play:
    """The state of one repetition: the action that is open."""

    def __init__(self, clock: Time, browser: PlayedBrowser, sink: MarkerSink, result: Repetition, lookout: Lookout) -> None:
        self._clock = clock
        self._lookout = lookout
        self._browser = browser
        self._sink = sink
        self._result = result
        self._open: ActionResult | None = None
        self._open_mono_ns = 0
        self._ticks: int | None = None
        self._painted = 0

    def step(self, stage: Stage, step: Step) -> ActionResult | None:
        """Play one step; the action that ended with it, if one did."""
        earlier = Before()
        input_ns = 0

        def start() -> None:
            nonlocal earlier, input_ns
            earlier = before(self._browser, self._browser.downloads)
            if step.begins and step.action is not None:
                self._begin(step.action, earlier.images)
            input_ns = self._clock.wall_ns()

        played = STEPS[step.kind](stage, step, start)
        if played.ticks is not None:
            self._ticks = (self._ticks or 0) + played.ticks
        scene = Scene(eyes=self._browser, downloads=self._browser.downloads, values=stage.values, before=earlier)
        verdicts = settle(scene, step.expect, step.refuse, stage.waiter, step.timeout_s)
        if any(expectation.kind == "page" for expectation in step.expect):
            self._lookout.look_at_page()
        ended = self._end(verdicts) if step.ends else None
        self._result.steps.append(
            StepResult(
                number=step.number,
                name=step.name,
                step=step.kind,
                action=step.action,
                input_ns=input_ns,
                settled_ns=self._clock.wall_ns(),
                locator=str(played.found.locator) if played.found else None,
                rank=played.found.rank if played.found else None,
            )
        )
        return ended

    def cancel(self) -> None:
        """Take back the action that is open, if one is."""
        if self._open is not None:
            self._sink.cancel(self._open.action_id)
            self._open.outcome = "cancelled"
            self._open = None

    def _begin(self, action: str, painted: int) -> None:
        action_id = self._sink.begin(action)
        self._open_mono_ns = self._clock.mono_ns()
        self._open = ActionResult(action=action, action_id=action_id, begin_ns=self._clock.wall_ns())
        self._result.actions.append(self._open)
        self._ticks, self._painted = None, painted
        self._browser.label(traceparent(self._result.session, action_id))

    def _end(self, verdicts: list[Verdict]) -> ActionResult:
        assert self._open is not None  # noqa: S101 (the scenario's edges were checked)
        ended = self._open
        for verdict in verdicts:
            ended.attributes.update(verdict.attributes)
            if verdict.painted is not None:
                ended.attributes["images"] = max(0, verdict.painted - self._painted)
            if verdict.first_image_ms is not None:
                ended.attributes["first_image_ns"] = max(0, round(verdict.first_image_ms * 1e6) - ended.begin_ns)
        if self._ticks is not None:
            ended.attributes["ticks"] = self._ticks
        self._sink.end(ended.action_id, **ended.attributes)
        ended.duration_ns = self._clock.mono_ns() - self._open_mono_ns
        ended.outcome = "completed"
        self._open = None
        self._browser.label(traceparent(self._result.session))
        return ended

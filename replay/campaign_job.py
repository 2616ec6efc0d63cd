"""One repetition by one virtual user as a function: everything that it needs comes in, a result comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replay.chromium import BrowserOptions
from replay.durable import write_whole
from replay.failures import ClockJumpError, failure_of
from replay.player import MarkerSink, PlayedBrowser, Player, StepError, Time, Watcher
from replay.results import BROWSER_LOG, Repetition
from replay.scenario_shape import Scenario
from replay.transfers_browser import BrowserMeter
from replay.values import Values
from sidecar.model.faults import Fault

#: wall and monotonic clock may part by so much, and by what a kernel slews on NTP's word (500 ppm)
CLOCK_TOLERANCE_NS = 250_000_000
_SLEW = 500e-6


class CampaignBrowser(PlayedBrowser, Protocol):
    """The browser as a campaign needs it: `replay.browser.Browser`."""

    def meter(self, meter: BrowserMeter) -> None:
        """Tell this meter of every request from now on."""

    def versions(self) -> dict[str, str]:
        """The browser's and the driver's version."""

    def log(self) -> list[str]:
        """What its console holds since the last time somebody asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One repetition of one virtual user. `folder` gets its evidence; what is in `hidden` is never written there.

    `trial` is the opaque id by which the sidecar knows this attempt, the same for all its users, who have a `session` each; empty
    where nothing is told.
    """

    run: str
    setup: str
    site: str
    scenario: Scenario
    values: Values
    options: BrowserOptions
    repetition: int
    attempt: int
    session: str
    seed: int
    folder: Path
    trial: str = ""
    route: int = 1
    user: int = 1
    hidden: tuple[str, ...] = ()
    may_delete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a job is played with; each virtual user has markers, a watcher and a meter (if any) of its own."""

    browser: Callable[[BrowserOptions], AbstractContextManager[CampaignBrowser]]
    markers: MarkerSink
    watcher: Watcher
    clock: Time
    versions: dict[str, str]
    meter: BrowserMeter | None = None


def blank(job: Job, ports: Ports) -> Repetition:
    """The result of a job that has just begun."""
    return Repetition(
        run=job.run,
        setup=job.setup,
        scenario=job.scenario.name,
        role=job.scenario.role,
        repetition=job.repetition,
        attempt=job.attempt,
        user=job.user,
        route=job.route,
        session=job.session,
        seed=job.seed,
        started_ns=ports.clock.wall_ns(),
        versions=ports.versions,
    )


def play_repetition(job: Job, ports: Ports) -> Repetition:
    """Play it to its end or its failure, which is then in the result; may be called from any thread.

    Only what stops the program (KeyboardInterrupt) comes out as an exception; the open action is cancelled before.
    """
    clock = ports.clock
    result = blank(job, ports)
    wall_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
    try:
        with ports.browser(job.options) as browser:
            result.versions = {**ports.versions, **browser.versions()}
            if ports.meter is not None:
                browser.meter(ports.meter)
            player = Player(site=job.site, evidence=job.folder, clock=clock, watcher=ports.watcher, may_delete=job.may_delete)
            try:
                player.play(job.scenario, job.values, browser, ports.markers, result)
            finally:
                write_whole(job.folder / BROWSER_LOG, _text(browser.log(), job.hidden))
        _compare_clocks(clock.wall_ns() - wall_ns, clock.mono_ns() - mono_ns)
    except StepError as error:
        result.failure = error.failure
    except (Fault, OSError) as error:
        result.failure = failure_of(error)
    result.ended_ns = clock.wall_ns()
    result.duration_ns = clock.mono_ns() - mono_ns
    return result


def _text(lines: Iterable[str], hidden: Iterable[str]) -> bytes:
    text = "".join(f"{line}\n" for line in lines)
    for word in hidden:
        text = text.replace(word, "…")
    return text.encode()


def _compare_clocks(by_wall_ns: int, by_mono_ns: int) -> None:
    jump_ns = by_wall_ns - by_mono_ns
    if abs(jump_ns) > CLOCK_TOLERANCE_NS + _SLEW * by_mono_ns:
        raise ClockJumpError(
            f"this machine's clock was set by {jump_ns / 1e9:+.1f} s during the repetition", "let NTP keep it; it is played again"
        )

"""Records the requests of a session: plays one repetition in the browser and watches what it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from replay.campaign_job import CampaignBrowser, Job, Ports, play_repetition
from replay.chromium import BrowserOptions
from replay.http.correlate import Known, recording_of
from replay.http.observed import Stretch
from replay.http.record import RequestWatch, unread_notes
from replay.http.recording import Recording
from replay.results import Repetition
from replay.safety import accounts
from replay.scenario_shape import Scenario, Step
from replay.values import Values, texts_of
from sidecar.model.faults import Fault


class NotRecordedError(Fault):
    """The repetition that was to be recorded failed."""


def record(job: Job, ports: Ports) -> tuple[Recording, Repetition]:
    """Play the job once in the browser and record its requests; raises NotRecordedError, RecordingError."""
    watch = RequestWatch()

    @contextmanager
    def browser(options: BrowserOptions) -> Iterator[CampaignBrowser]:
        with ports.browser(options) as opened:
            yield opened
            watch.collect()

    result = play_repetition(job, replace(ports, browser=browser, meter=watch))
    if result.failure is not None:
        raise NotRecordedError(f"the session could not be recorded: {result.failure.what}", result.failure.remedy)
    known = known_of(job.scenario, job.values)
    notes = [f"{watch.left_out} requests beyond the limit are left out"] if watch.left_out else []
    notes += unread_notes(watch.unread)
    return recording_of(watch.observed(), stretches_of(job.scenario, result), job.site, known, notes), result


def known_of(scenario: Scenario, values: Values) -> Known:
    """What the texts of the requests may hold: the secrets of the account that played, and the scenario's parameters.

    The account is that of the values, not the environment's: one of many users has another.
    """
    referred = accounts([*texts_of(scenario), *map(str, scenario.parameters.values())])
    plain = {
        name: values.fill(f"${{{name}}}")
        for name, declared in scenario.parameters.items()
        if isinstance(declared, str) and "${env:" not in declared
    }
    return Known(
        scenario=scenario.name,
        role=scenario.role,
        secrets={name: values.fill(f"${{env:{name}}}") for name in referred},
        parameters=plain,
        pace=values.number("pace", 1.0),
    )


def stretches_of(scenario: Scenario, result: Repetition) -> list[Stretch]:
    """The actions of a repetition with the pauses before each, from the steps of the scenario."""
    made: list[Stretch] = []
    thinks: list[tuple[float, float]] = []
    ended = iter(result.actions)
    inside: list[Step] = []
    for step in scenario.steps:
        opened = step.begins or bool(inside)
        if step.think is not None and (not opened or step.begins):
            thinks.append((step.think.seconds, step.think.variation))
        if opened:
            inside.append(step)
        if step.ends and inside:
            action = next(ended)
            begin_ms = action.begin_ns / 1e6
            made.append(
                Stretch(
                    action=action.action,
                    action_id=action.action_id,
                    begin_ms=begin_ms,
                    end_ms=begin_ms + (action.duration_ns or 0) / 1e6,
                    thinks=tuple(thinks),
                    paced=_paced(inside),
                )
            )
            thinks, inside = [], []
    return made


def _paced(steps: Sequence[Step]) -> bool:
    """Whether a person's pauses are part of what takes time in an action."""
    return any(step.kind in ("scroll", "wheel", "wait") for step in steps) or any(step.think is not None for step in steps[1:])

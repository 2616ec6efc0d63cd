"""A recording of requests as a scenario of its own: for what was imported from an archive."""

from __future__ import annotations

import re
from pathlib import Path

from replay.harm import deletes
from replay.http.recording import Recording, Request
from replay.scenario_shape import Scenario, Step

_REFERENCE = re.compile(r"\$\{[^}]*\}")
#: a part of a page does nothing, whatever it is called
_FILE = re.compile(r"\.(?:js|css|map|png|gif|jpe?g|svg|ico|woff2?)$")
#: nobody looks at a page
_WINDOW = 1280, 800


def scenario_of(recording: Recording, file: Path) -> Scenario:
    """A step per action, for people; parameters that lead to the account's variables. Only `--engine http` can play it."""
    accounts = {name.lower(): f"${{env:{name}}}" for name in recording.accounts()}
    steps: list[Step] = []
    for number, phase in enumerate(recording.phases):
        if phase.action is not None:
            asked = next((one for one in recording.requests if one.phase == number), None)
            steps.append(_step(len(steps) + 1, phase.action, asked))
    return Scenario(
        file=str(file),
        name=recording.scenario,
        role=recording.role,
        description=f"{len(recording.requests)} recorded requests",
        parameters={"pace": 1, **accounts, **recording.parameters},
        window=_WINDOW,
        hosts=(),
        steps=tuple(steps),
    )


def deleting(recording: Recording) -> list[str]:
    """The requests that remove something, by their method or by the words that tell it of a step, as they may be shown."""
    return sorted({shown(one) for one in recording.requests if one.method == "DELETE" or _says_so(one.url)})


def _says_so(url: str) -> bool:
    return deletes(url) and not _FILE.search(url.partition("?")[0])


def shown(request: Request) -> str:
    """A request without its query and with dots for what differs from session to session."""
    return f"{request.method} {_REFERENCE.sub('…', request.url.partition('?')[0])}"


def _step(number: int, action: str, asked: Request | None) -> Step:
    return Step(
        number=number,
        name=shown(asked) if asked is not None else action,
        kind="open",
        action=action,
        part="whole",
        think=None,
        targets=(),
        text=shown(asked).partition(" ")[2] if asked is not None else "",
        pace=(),
        options={},
        onto=(),
        expect=(),
        refuse=(),
        timeout_s=0.0,
    )

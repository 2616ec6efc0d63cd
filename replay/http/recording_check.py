"""What a recording of requests must hold to be played, whoever or whatever has written into its file. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sidecar.model.catalogue import load_catalogue

if TYPE_CHECKING:
    from replay.http.recording import Phase, Recording, Request, Take

#: longer pauses and larger answers are damaged numbers
_MOST = 1e15
#: below the site's address, or outside its context path: `/favicon.ico` of a site that is /xnat
_ON_THE_SITE = re.compile(r"\$\{origin\|raw\}(?:[/?]|\Z)|[/?]")
_METHOD = re.compile(r"[A-Za-z]{1,20}")


def defects(recording: Recording) -> Iterator[str]:
    """What is wrong, from the outside in; nothing for what can be played."""
    if not _texts([recording.scenario, recording.role, *recording.notes]):
        yield "scenario, role or a note is no text"
    if not isinstance(recording.parameters, Mapping) or not _texts([*recording.parameters, *recording.parameters.values()]):
        yield "parameters is no object of texts"
    if not _number(recording.pace) or recording.pace <= 0 or not _count(recording.connections) or recording.connections < 1:
        yield "pace or connections is no number above 0"
    if not recording.requests:
        yield "it holds no request"
    for number, phase in enumerate(recording.phases):
        yield from (f"phase {number}: {what}" for what in _phase(phase))
    for number, request in enumerate(recording.requests):
        yield from (f"request {number}: {what}" for what in _request(request))


def _phase(one: Phase) -> Iterator[str]:
    if one.action is not None and one.action not in load_catalogue().names:
        yield f"{one.action!r} is no action"
    if not _number(one.settle_ms) or not all(len(think) == 2 and all(map(_number, think)) for think in one.thinks):
        yield "a pause is no number"


def _request(one: Request) -> Iterator[str]:
    if not isinstance(one.method, str) or not _METHOD.fullmatch(one.method):
        yield f"{one.method!r} is no method"
    if not isinstance(one.url, str) or not _ON_THE_SITE.match(one.url):
        yield f"{one.url!r} does not begin with a slash: it would leave the site"
    if not isinstance(one.headers, Mapping) or not _texts([*one.headers, *one.headers.values()]):
        yield "headers is no object of texts"
    if not _texts([one.kind, one.body or "", one.lands or ""]) or one.event not in ("phase", "head", "end"):
        yield "kind, body, lands or event is not what it may be"
    if not all(map(_count, (one.phase, one.status, one.of or 0, one.size or 0))):
        yield "phase, status, of or size is no number"
    if not all(map(_number, (one.delay_ms, *one.hop_ms))):
        yield "a time is no number"
    for take in one.takes:
        yield from _take(take)


def _take(one: Take) -> Iterator[str]:
    if not isinstance(one.name, str) or one.where not in ("head", "body") or one.form not in ("raw", "html", "json"):
        yield "what it takes is not named"
        return
    try:
        groups = re.compile(one.pattern).groups
    except (re.error, TypeError):
        groups = 0
    if groups < 1 or not _count(one.nth):
        yield f"{one.name} is taken by no pattern with a group"


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= _MOST


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST

"""What the replayer asks the sidecar over HTTP: what a run cost, and whether real people are at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from replay.address import taken_apart
from sidecar.model.faults import Fault, UsageFault

#: environment variable with the sidecar's address
VARIABLE = "TRACEMARK_SIDECAR"
#: seconds to wait for a connection, and for an answer
_TIMEOUT_S = (2.0, 20.0)
_PORTS = {8051: 8050}


class SidecarAwayError(Fault):
    """The sidecar's HTTP API cannot be reached."""

    retry = True


class SidecarAnswerError(Fault):
    """The sidecar's HTTP API answers what we cannot use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Who was at work in the last `window_s` seconds.

    `people` counts real sessions; None when they are fewer than `fewer_than`, which is all the sidecar tells then. `unnamed` is
    how many actions that an access log alone tells were open at once: at least so many people, named or not.
    """

    people: int | None
    fewer_than: int
    unnamed: int
    window_s: float

    def above(self, most: int) -> bool:
        """Whether more people than `most` are known to be at work."""
        return max(self.people or 0, self.unnamed) > most

    def __str__(self) -> str:
        people = f"fewer than {self.fewer_than}" if self.people is None else str(self.people)
        more = f", {self.unnamed} at once by the access log" if self.unnamed else ""
        return f"{people} real users active{more}"


class Sidecar:
    """The HTTP API at an address such as `http://127.0.0.1:8050`."""

    def __init__(self, url: str, request: Callable[..., requests.Response] = requests.request) -> None:
        parts = taken_apart(url, "http", "https")
        if parts is None or parts.query or parts.username:
            raise UsageFault(f"{url[:80]!r} is no address of a sidecar", "write for example http://127.0.0.1:8050")
        self.url = url.rstrip("/")
        self._request = request

    def usage(self, run: str, from_ns: int, to_ns: int) -> dict[str, Any]:
        """The answer of `/api/v1/usage` for one replayed run; raises SidecarAwayError or SidecarAnswerError."""
        answer = self._asked("/api/v1/usage", {"run": run, "source": "replay", "from": str(from_ns), "to": str(to_ns)})
        if not isinstance(answer.get("rows"), list):
            raise SidecarAnswerError(f"{self.url} answers without rows", "look whether that is a sidecar of this version")
        return answer

    def activity(self) -> Activity:
        """Whether real people are at work now; raises SidecarAwayError or SidecarAnswerError."""
        answer = self._asked("/api/v1/activity", {})
        try:
            people = answer["people"]
            return Activity(
                people=None if people is None else int(people),
                fewer_than=int(answer["min_group"]),
                unnamed=int(answer["unnamed_at_once"]),
                window_s=answer["window_ns"] / 1e9,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SidecarAnswerError(f"{self.url} does not say who is at work", "update the sidecar") from error

    def skipped(self, run: str, reason: str, token: str) -> None:
        """Tell that a run was left out, for the sidecar to keep as a gap; raises SidecarAwayError or SidecarAnswerError."""
        head = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._sent("POST", "/api/v1/skipped", json={"run": run, "reason": reason}, headers=head)
        if answer.status_code != requests.codes.accepted:
            raise SidecarAnswerError(
                f"{self.url} does not take it ({answer.status_code})", "give --token as for the marker channel"
            )

    def _sent(self, method: str, path: str, **more: Any) -> requests.Response:
        try:
            return self._request(method, self.url + path, timeout=_TIMEOUT_S, allow_redirects=False, **more)
        except requests.RequestException as error:
            raise SidecarAwayError(f"the sidecar at {self.url} does not answer", "start it, or name it with --sidecar") from error

    def _asked(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        answer = self._sent("GET", path, params=dict(query))
        if answer.status_code != requests.codes.ok:
            raise SidecarAnswerError(
                f"{self.url}{path} answers {answer.status_code}", "look whether that is the sidecar's HTTP API"
            )
        try:
            told = answer.json()
        except ValueError as error:
            raise SidecarAnswerError(
                f"{self.url}{path} answers no JSON", "look whether that is the sidecar's HTTP API"
            ) from error
        if not isinstance(told, dict):
            raise SidecarAnswerError(f"{self.url}{path} answers no object", "look whether that is the sidecar's HTTP API")
        return told


def beside(markers: str) -> str | None:
    """The HTTP API that by default stands beside a marker channel; None where that cannot be told from its address."""
    parts = taken_apart(markers, "ws")
    if parts is None or parts.hostname is None or parts.port not in _PORTS:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:{_PORTS[parts.port]}"

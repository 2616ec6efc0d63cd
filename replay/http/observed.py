"""One request as it was seen on its way, whoever saw it: `replay.http.record` in a browser, `replay.http.har` in an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Headers = tuple[tuple[str, str], ...]
#: how the browser came by an answer: from the server, from its cache, or from its cache after asking the server
Source = Literal["network", "cache", "revalidated"]


@dataclass(slots=True, kw_only=True)
class Observed:
    """A request and what became of it, redirects included; times in milliseconds since the epoch.

    `headers` and `url` are those of the first hop, `final_url`, `status` and `content` those of the last; `answers` holds the
    response headers of every hop, `hop_ms` how long after the head of each redirect the next hop began. `action_id` is the parent
    id of its traceparent. `content` is text, None where it is not known.
    """

    method: str
    url: str
    begin_ms: float
    headers: Headers = ()
    body: str | None = None
    head_ms: float | None = None
    end_ms: float | None = None
    status: int = 0
    final_url: str = ""
    answers: list[Headers] = field(default_factory=list)
    hop_ms: tuple[float, ...] = ()
    content: str | None = None
    size: int | None = None
    source: Source = "network"
    document: bool = False
    download: bool = False
    icon: bool = False
    action_id: str | None = None

    @property
    def done_ms(self) -> float | None:
        """When it was over; when its head came where the page never read its body; None when no answer came."""
        return self.end_ms if self.end_ms is not None else self.head_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of the session that begins at `begin_ms`: an action until `end_ms`, or what happens between two (action None).

    `thinks` are the pauses (seconds, variation) that a person makes before it; `paced` says that pauses are part of it.
    """

    action: str | None
    action_id: str | None
    begin_ms: float
    end_ms: float
    thinks: Sequence[tuple[float, float]] = ()
    paced: bool = False


def header(headers: Headers, name: str) -> str:
    """The value of a header, empty when it is not there."""
    return next((value for key, value in headers if key.lower() == name), "")

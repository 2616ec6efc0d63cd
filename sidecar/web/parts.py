"""What the web side needs from the rest of the sidecar; passed in, so that a test can pass in something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint

from sidecar.clock import Clock
from sidecar.journal.queries import Reader
from sidecar.model.catalogue import Catalogue
from sidecar.model.records import Marker
from sidecar.web.metrics import Health, Ready


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """The parts behind the page and the API.

    `health` tells each part's numbers about itself, `ready` whether each part does its work and a line about it; `containers`
    what the engine says now: mappings with `name` and, where known, `id`, `state`, `memory_limit_bytes`, `image`. `address` is
    where the server listens: on loopback, only requests for this machine's own names are answered. `more` are further paths;
    `open_actions` tells the begin markers of actions that have not ended. `allowed_hosts` are further names under which requests
    may come. `let_in` judges the XNAT cookie of requests that come through the site's own proxy: it raises TicketError for whom
    it does not let in; without it nobody comes in that way.
    """

    reader: Callable[[], Reader]
    clock: Clock
    catalogue: Catalogue
    version: str
    site: str
    min_group: int
    health: Callable[[], Health]
    ready: Callable[[], Ready]
    containers: Callable[[], Sequence[Mapping[str, Any]]]
    address: tuple[str, int]
    more: Sequence[Blueprint] = ()
    open_actions: Callable[[], Sequence[Marker]] = tuple
    allowed_hosts: Sequence[str] = ()
    let_in: Callable[[str], None] | None = None

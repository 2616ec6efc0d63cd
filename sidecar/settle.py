"""Settling: markers become actions, and an ended action is joined with its samples and requests.

Pure decisions first (`ready`), the loop that reads and writes the journal second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sidecar.analysis.join import covered, join
from sidecar.clock import Clock
from sidecar.journal.base import Journal
from sidecar.model.actions import pair
from sidecar.model.records import Action, ActionUsage, Marker, Record, Request, Sample, SampleSource
from sidecar.model.sink import Sink

log = logging.getLogger(__name__)

#: after its end an action waits this long for its log lines (nginx writes them at completion; the tailer looks every 0.2 s)
SETTLE_DELAY_NS = 2_000_000_000
#: and no longer than this for samples that do not come (a container that was removed, a source that is down)
GRACE_NS = 8_000_000_000
#: a session that is not connected and has told nothing for so long has vanished: its open actions end as unfinished
VANISHED_NS = 300_000_000_000
#: samples this far around an action are looked at, so that both of its edges lie between two samples
MARGIN_NS = 3_000_000_000
CURSOR = "settle/markers"


class Reading(Protocol):
    """What settling reads; fulfilled by `sidecar.journal.queries.Reader`."""

    def markers_of(self, action_ids: Sequence[str]) -> list[Marker]: ...

    def unsettled(self, before_ns: int, limit: int) -> list[Action]: ...

    def open_actions(self) -> list[tuple[str, str, int]]: ...

"""Where collectors put what they have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sidecar.model.records import Record


class Sink(Protocol):
    """Takes records for the next commit; never blocks."""

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        """Queue records and notes to be committed together; False when the queue is full and nothing was taken."""

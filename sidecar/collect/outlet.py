"""What a collector of samples hands on, and what it could not."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sidecar.model.records import Gap, Record
from sidecar.model.sink import Sink

_MOST_GAPS_KEPT = 1000


class Outlet:
    """Samples, and the gaps that were found meanwhile, on their way into `sink`.

    Samples that find no room are lost and counted. Gaps are few and wait for the next time; of too many the oldest are lost and
    counted.
    """

    def __init__(self, sink: Sink, most_gaps: int = _MOST_GAPS_KEPT) -> None:
        self._sink = sink
        self._gaps: deque[Gap] = deque(maxlen=most_gaps)
        self._counts = {"samples": 0, "samples_dropped": 0, "gaps_dropped": 0}

    def tell(self, gap: Gap) -> None:
        """Hand this on with the next samples."""
        self._counts["gaps_dropped"] += len(self._gaps) == self._gaps.maxlen
        self._gaps.append(gap)

    def put(self, samples: Sequence[Record]) -> None:
        """Hand on these, after the gaps that wait."""
        if not self._gaps and not samples:
            return
        if self._sink.put([*self._gaps, *samples]):
            self._gaps.clear()
            self._counts["samples"] += len(samples)
        else:
            self._counts["samples_dropped"] += len(samples)

    def counts(self) -> dict[str, int]:
        """`samples` handed on, `samples_dropped` and `gaps_dropped` since it was made."""
        return dict(self._counts)

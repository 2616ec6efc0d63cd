"""Two buckets: one for everything, and one that the operator keeps longer for what is small and is the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidecar.ship.shipper import Store

#: measurements that go to the long bucket as well, beside the roll-ups
KEPT_LONG: Final = ("action", "transfer", "gap")
ROLLED_UP: Final = "_1m"


class TwoBuckets:
    """Writes all lines to the first store and those worth keeping to the second as well, so that dashboards find everything of
    recent days in the first and the long view in the second."""

    def __init__(self, every: Store, long: Store) -> None:
        self._every = every
        self._long = long

    def write(self, lines: Sequence[str]) -> None:
        """As `Store.write`: when one of the two fails the lines are sent to both again, which changes nothing."""
        self._every.write(lines)
        if kept := [line for line in lines if is_kept_long(line)]:
            self._long.write(kept)


def is_kept_long(line: str) -> bool:
    """Whether a line of line protocol is of a measurement that is kept long."""
    # Every point has tags, and none of our measurements has a sign that is escaped.
    measurement = line.partition(",")[0]
    return measurement in KEPT_LONG or measurement.endswith(ROLLED_UP)

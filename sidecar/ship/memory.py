"""A store in memory: the public fake of InfluxDB as far as shipping can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sidecar.errors import InvalidRecordError, ShipError, ShipRefusedError
from sidecar.model.lines import Point, Tags, Value, from_line

Identity = tuple[str, Tags, int]


class MemoryStore:
    """Keeps points by (measurement, tags, time); a point written again adds to or overwrites the fields.

    `faults` are raised by the next calls, one each (None: the call is answered). `refuses` tells the points that are refused:
    then the whole call is, and nothing of it is stored.
    """

    def __init__(self) -> None:
        self.points: dict[Identity, dict[str, Value]] = {}
        self.calls: list[int] = []
        self.faults: list[ShipError | None] = []
        self.refuses: Callable[[Point], bool] = lambda _: False

    def write(self, lines: Sequence[str]) -> None:
        self.calls.append(len(lines))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        try:
            points = [from_line(line) for line in lines]
        except InvalidRecordError as error:
            raise ShipRefusedError(f"the store refuses points (400: unable to parse: {error.what})", "look at them") from error
        if any(map(self.refuses, points)):
            raise ShipRefusedError("the store refuses points (400: unable to parse)", "look at them")
        for point in points:
            self.points.setdefault((point.measurement, point.tags, point.time_ns), {}).update(point.fields)

    def of(self, measurement: str) -> list[Point]:
        """Points of one measurement, by time."""
        found = [Point(*identity[:2], fields, identity[2]) for identity, fields in self.points.items()]
        return sorted((point for point in found if point.measurement == measurement), key=lambda point: point.time_ns)

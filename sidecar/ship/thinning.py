"""Which samples become points: every Docker frame; of the faster sources one a second and container, with the peak since then."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sidecar.model.records import Sample

_SECOND_NS = 1_000_000_000
#: past this between two samples the CPU use in between is unknown
_HOLE_NS = 15 * _SECOND_NS


@dataclass(slots=True)
class _Series:
    before: Sample
    sent: Sample
    peak: float | None = None


class Thinner:
    """Takes samples in the order of commits. Remembers two samples per series; after a restart of the sidecar the first point of
    a series comes without CPU percentages."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Series] = {}

    def take(self, sample: Sample) -> tuple[Sample, float | None] | None:
        """The sample to ship and the highest CPU percentage since the last one shipped; None when this second has its point.

        For sources other than Docker `cpu_percent` becomes the mean, by the wall clock, since the last one shipped.
        """
        if sample.source == "docker":
            return sample, None
        key = (sample.container, sample.source)
        series = self._series.get(key)
        if series is None:
            self._series[key] = _Series(before=sample, sent=sample)
            return sample, None
        here = cpu_percent(series.before, sample)
        if here is not None:
            series.peak = here if series.peak is None else max(series.peak, here)
        series.before = sample
        if sample.time_ns // _SECOND_NS == series.sent.time_ns // _SECOND_NS:
            return None
        shipped = replace(sample, cpu_percent=cpu_percent(series.sent, sample)), series.peak
        series.sent, series.peak = sample, None
        return shipped


def cpu_percent(before: Sample, after: Sample) -> float | None:
    """CPU use between two samples in percent of one core, by the wall clock; None across a restart or a hole."""
    took = after.time_ns - before.time_ns
    used = after.cpu_total_ns - before.cpu_total_ns
    if before.container_id != after.container_id or used < 0 or not 0 < took < _HOLE_NS:
        return None
    return 100.0 * used / took

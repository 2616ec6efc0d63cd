"""What one action used on one container: its counters at the action's edges, joined. Pure.

An action seldom begins at the instant of a sample, so a counter is read between samples by linear interpolation. A counter that
falls (or a new container id) is a restart: from there it counts from zero again, so the step is the new value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sidecar.model.records import Action, ActionUsage, Request, Sample, SampleSource

#: two neighbouring samples further apart than this say nothing about the instants between them: an edge there is unknown
MAX_STEP_NS = 5_000_000_000
#: shorter steps are merged before a peak is looked for: extra samples may be a millisecond apart, and /proc counts in ticks of
#: 10 ms, a tenth of the time between two of its samples
MIN_STEP_NS: Mapping[SampleSource | None, int] = {"cgroup": 50_000_000, "docker": 50_000_000, "proc": 500_000_000}
#: which samples an action is joined with: the first source that covers it
SOURCES: tuple[SampleSource, ...] = ("cgroup", "proc", "docker")
#: the outermost log that knows a request speaks for it; the same request in an inner log is not counted again
SERVERS = ("nginx", "tomcat", "xnat")


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity over time, known at instants and linear between them; times ascend strictly."""

    times: Sequence[int]
    values: Sequence[int]

    def at(self, time_ns: int, max_step_ns: int | None = MAX_STEP_NS) -> int | None:
        """The value at an instant; None before the first, after the last, and inside a step longer than `max_step_ns`."""
        after = bisect_left(self.times, time_ns)
        if after == len(self.times):
            return None
        if self.times[after] == time_ns:
            return self.values[after]
        if after == 0:
            return None
        step = self.times[after] - self.times[after - 1]
        if max_step_ns is not None and step > max_step_ns:
            return None
        # Integers, so that what lies between neighbouring instants adds up exactly.
        rise = self.values[after] - self.values[after - 1]
        return self.values[after - 1] + rise * (time_ns - self.times[after - 1]) // step

    def between(self, start_ns: int, end_ns: int, max_step_ns: int | None = MAX_STEP_NS) -> int | None:
        """How much the value rose from `start_ns` to `end_ns`; None when one of the edges is unknown."""
        first, last = self.at(start_ns, max_step_ns), self.at(end_ns, max_step_ns)
        return None if first is None or last is None else last - first

    def inside(self, start_ns: int, end_ns: int) -> Sequence[int]:
        """The values known at instants from `start_ns` to `end_ns`."""
        return self.values[bisect_left(self.times, start_ns) : bisect_right(self.times, end_ns)]


def counter(samples: Iterable[Sample], read: Callable[[Sample], int | None]) -> Curve:
    """A counter over time with its restarts taken out: it starts at 0 with the first sample and never falls.

    Samples may come in any order; those without the counter are left out; of two with the same time the higher one counts.
    """
    known = sorted((sample.time_ns, value, sample.container_id) for sample in samples if (value := read(sample)) is not None)
    times: list[int] = []
    values: list[int] = []
    total = before = 0
    of = ""
    for time_ns, value, container_id in known:
        if times:
            total += value - before if value >= before and container_id == of else value
        before, of = value, container_id
        if times and times[-1] == time_ns:
            values[-1] = total
        else:
            times.append(time_ns)
            values.append(total)
    return Curve(times, values)


def level(samples: Iterable[Sample], read: Callable[[Sample], int | None]) -> Curve:
    """A quantity that rises and falls, such as memory, over time."""
    known = dict(sorted((sample.time_ns, value) for sample in samples if (value := read(sample)) is not None))
    return Curve(list(known), list(known.values()))


def cpu(samples: Iterable[Sample]) -> Curve:
    """CPU time in nanoseconds since the first sample, restarts taken out."""
    return counter(samples, lambda sample: sample.cpu_total_ns)


def cpu_at(samples: Iterable[Sample], time_ns: int) -> float | None:
    """CPU-seconds used from the first sample to an instant; None where the samples do not say."""
    value = cpu(samples).at(time_ns)
    return None if value is None else value / 1e9


def source_of(samples: Iterable[Sample], start_ns: int, end_ns: int) -> SampleSource | None:
    """The source to join an interval with: the first of SOURCES whose samples know the CPU counter at both edges."""
    by_source: dict[SampleSource, list[Sample]] = {}
    for sample in samples:
        by_source.setdefault(sample.source, []).append(sample)
    for source in SOURCES:
        if source in by_source and cpu(by_source[source]).between(start_ns, end_ns) is not None:
            return source
    return None


def covered(samples: Iterable[Sample], start_ns: int, end_ns: int) -> bool:
    """Whether the samples of one container are in: one source knows its counters at both edges."""
    return source_of(samples, start_ns, end_ns) is not None


def overlaps(action: Action, others: Iterable[Action]) -> int:
    """How many other actions were open at some time during this one."""
    return sum(
        other.action_id != action.action_id and other.start_ns < action.end_ns and other.end_ns > action.start_ns
        for other in others
    )


def requests_of(action: Action, requests: Iterable[Request]) -> list[Request]:
    """The requests that belong to an action, each counted in one log only.

    A request that names an action belongs to that one; one that names only a session to the action of that session during which
    it began. A request that names nobody is counted in each action during which it began (a window sum, as for CPU), except for
    replayed actions, whose requests always name them.
    """
    mine = []
    for request in requests:
        began_inside = action.start_ns <= request.start_ns < max(action.end_ns, action.start_ns + 1)
        if request.action_id is not None:
            belongs = request.action_id == action.action_id
        elif request.session is not None:
            belongs = began_inside and request.session == action.session
        else:
            belongs = began_inside and action.source != "replay"
        if belongs:
            mine.append(request)
    outermost = next((server for server in SERVERS if any(request.server == server for request in mine)), None)
    return [request for request in mine if request.server == outermost]


def join(
    action: Action,
    samples: Sequence[Sample],
    requests: Iterable[Request],
    overlapping: int,
    container: str | None = None,
) -> ActionUsage:
    """Join an ended action with one container's samples and with requests; `container` is needed only without samples.

    The CPU counter comes from `source_of(samples)`; network bytes only from frames (source docker), which alone know them.
    Numbers that the samples do not tell are None. `requests` and `sent_bytes` are the action's, the same on each container.
    Raises ValueError when the samples are of several containers, or there is neither sample nor name.
    """
    names = {sample.container for sample in samples} | ({container} if container is not None else set())
    if len(names) != 1:
        raise ValueError(f"an action is joined with one container at a time, not with {sorted(names)}")
    start_ns, end_ns = action.start_ns, action.end_ns
    source = source_of(samples, start_ns, end_ns)
    used = [sample for sample in samples if sample.source == source]
    frames = [sample for sample in samples if sample.source == "docker"]
    cpu_curve = cpu(used)
    cpu_ns = cpu_curve.between(start_ns, end_ns)
    mean, peak, peak_ns = _percent(cpu_curve, start_ns, end_ns, MIN_STEP_NS.get(source, 0))
    memory = level(used, lambda sample: sample.memory_bytes)
    at_begin, at_end = memory.at(start_ns), memory.at(end_ns)
    high = max((value for value in (at_begin, *memory.inside(start_ns, end_ns), at_end) if value is not None), default=None)
    throttled_ns = counter(used, lambda sample: sample.throttled_ns).between(start_ns, end_ns)
    mine = requests_of(action, requests)
    return ActionUsage(
        action_id=action.action_id,
        container=names.pop(),
        cpu_seconds=None if cpu_ns is None else cpu_ns / 1e9,
        cpu_percent_mean=mean,
        cpu_percent_peak=peak,
        peak_duration_s=None if peak_ns is None else peak_ns / 1e9,
        memory_bytes_peak=high,
        memory_rise_bytes=None if high is None or at_begin is None else high - at_begin,
        rx_bytes=counter(frames, lambda sample: sample.rx_bytes).between(start_ns, end_ns),
        tx_bytes=counter(frames, lambda sample: sample.tx_bytes).between(start_ns, end_ns),
        throttled_seconds=None if throttled_ns is None else throttled_ns / 1e9,
        samples=len(cpu_curve.inside(start_ns, end_ns)),
        hz=_rate(cpu_curve, start_ns, end_ns),
        sample_source=source,
        overlapped=overlapping,
        requests=len(mine),
        sent_bytes=sum(request.sent_bytes or 0 for request in mine),
    )


def _percent(curve: Curve, start_ns: int, end_ns: int, least_ns: int) -> tuple[float | None, float | None, int | None]:
    """Mean and peak in percent of one core, and for how many nanoseconds it was above half the way from mean to peak."""
    total = curve.between(start_ns, end_ns)
    if total is None:
        return None, None, None
    if end_ns == start_ns:
        return 0.0, 0.0, 0
    mean = 100 * total / (end_ns - start_ns)
    steps = []  # (percent, nanoseconds of the step that lie inside)
    for first, last in _steps(curve, start_ns, end_ns, least_ns):
        rise = curve.values[last] - curve.values[first]
        length = curve.times[last] - curve.times[first]
        inside = min(end_ns, curve.times[last]) - max(start_ns, curve.times[first])
        steps.append((100 * rise / length, inside))
    highest = max(percent for percent, _ in steps)
    peak = max(mean, highest)  # interpolated nanoseconds are whole: rounding must not put the peak below the mean
    threshold = min(highest, (mean + peak) / 2)
    return mean, peak, sum(inside for percent, inside in steps if percent >= threshold)


def _steps(curve: Curve, start_ns: int, end_ns: int, least_ns: int) -> list[tuple[int, int]]:
    """Index pairs of the steps that cover the window, ascending, without gaps; none below `least_ns` if possible."""
    first = bisect_right(curve.times, start_ns) - 1
    stop = bisect_left(curve.times, end_ns)
    steps = []
    for last in range(first + 1, stop + 1):
        if curve.times[last] - curve.times[first] >= least_ns:
            steps.append((first, last))
            first = last
    if first < stop:  # what is left is too short for a step of its own
        steps.append((steps.pop()[0] if steps else first, stop))
    return steps


def _rate(curve: Curve, start_ns: int, end_ns: int) -> float | None:
    """Median samples per second over the steps that touch the window."""
    first = max(0, bisect_right(curve.times, start_ns) - 1)
    times = curve.times[first : bisect_left(curve.times, end_ns) + 1]
    lengths = [after - before for before, after in pairwise(times)]
    return 1e9 / median(lengths) if lengths else None

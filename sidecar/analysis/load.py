"""What a container used in a whole stretch of time, and how much of it while no action was open. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.analysis.join import Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """CPU of one container over a stretch of time.

    `unattributed_cpu_seconds` is what was used while no action was open. `idle_cores` is the mean use in its calm part, which
    lasted `idle_seconds`; None when there was none.
    """

    container: str
    total_cpu_seconds: float
    unattributed_cpu_seconds: float
    idle_seconds: float
    idle_cores: float | None


def quiet(busy: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """The stretches of [from_ns, to_ns) that no interval of `busy` touches, ascending."""
    stretches = []
    at = from_ns
    for start_ns, end_ns in sorted(busy):
        if start_ns >= to_ns:
            break
        if start_ns > at:
            stretches.append((at, start_ns))
        at = max(at, end_ns)
    if at < to_ns:
        stretches.append((at, to_ns))
    return stretches


def load(
    container: str, cpu: Curve, actions: Iterable[tuple[int, int]], from_ns: int, to_ns: int, calm_ns: int = 0
) -> Load | None:
    """Total and idle use from a CPU curve (nanoseconds) and the intervals of *all* actions; None with fewer than two samples.

    Only the part of the stretch that the curve covers counts. Inside an absence the curve is taken as straight, so that quiet and
    busy parts always add up to the total. `calm_ns` at both ends of a quiet stretch does not count as idle: what an action left
    behind is still worked off there, and a coarse curve smears its last step into it.
    """
    if len(cpu.times) < 2:
        return None
    first, last = max(from_ns, cpu.times[0]), min(to_ns, cpu.times[-1])
    if first >= last:
        return None
    stretches = quiet(actions, first, last)
    calm = [
        (start + (calm_ns if start > first else 0), end - (calm_ns if end < last else 0))
        for start, end in stretches
        if end - start > 2 * calm_ns
    ]
    quiet_ns = sum(cpu.between(start, end, None) or 0 for start, end in stretches)
    idle_ns = sum(cpu.between(start, end, None) or 0 for start, end in calm)
    idle_time_ns = sum(end - start for start, end in calm)
    return Load(
        container=container,
        total_cpu_seconds=(cpu.between(first, last, None) or 0) / 1e9,
        unattributed_cpu_seconds=quiet_ns / 1e9,
        idle_seconds=idle_time_ns / 1e9,
        idle_cores=idle_ns / idle_time_ns if idle_time_ns else None,
    )

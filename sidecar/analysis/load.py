"""What a container used in a whole stretch of time, and how much of it while no action was open. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.analysis.join import Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """CPU of one container over a stretch of time.

    `unattributed_cpu_seconds` is what was used while no action was open, over `idle_seconds`; `idle_cores` is their ratio, None
    when some action was open all the time.
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


def load(container: str, cpu: Curve, actions: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> Load | None:
    """Total and idle use from a CPU curve (nanoseconds) and the intervals of *all* actions; None with fewer than two samples.

    Only the part of the stretch that the curve covers counts. Inside an absence the curve is taken as straight, so that idle and
    busy parts always add up to the total.
    """
    if len(cpu.times) < 2:
        return None
    first, last = max(from_ns, cpu.times[0]), min(to_ns, cpu.times[-1])
    if first >= last:
        return None
    stretches = quiet(actions, first, last)
    idle_ns = sum(cpu.between(start, end, None) or 0 for start, end in stretches)
    quiet_ns = sum(end - start for start, end in stretches)
    return Load(
        container=container,
        total_cpu_seconds=(cpu.between(first, last, None) or 0) / 1e9,
        unattributed_cpu_seconds=idle_ns / 1e9,
        idle_seconds=quiet_ns / 1e9,
        idle_cores=idle_ns / quiet_ns if quiet_ns else None,
    )

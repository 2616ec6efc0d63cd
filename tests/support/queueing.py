"""A closed processor-sharing server whose truth is known: people think, then their action shares the cores with the others'."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.model.outbox import ActionRow
from sidecar.model.records import Action, ActionUsage, Session

T0 = 1_700_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Done:
    """One ended action: whose, when, and the CPU-seconds that the whole container used meanwhile."""

    user: int
    name: str
    start_s: float
    end_s: float
    window_s: float
    own_s: float


def serve(
    users: int, cores: float, hours: float, draw: Callable[[random.Random], tuple[float, str, float]], seed: int
) -> list[Done]:
    """Run it: `draw` gives (seconds of thought, action, CPU-seconds of its one thread)."""
    chosen = random.Random(seed)
    now = used = shared = 0.0  # `shared` is the work that each running action has got so far
    running: list[tuple[float, int, str, float, float, float]] = []
    thinking: list[tuple[float, int, str, float]] = []
    done: list[Done] = []

    def think(user: int) -> None:
        thought, name, work = draw(chosen)
        heapq.heappush(thinking, (now + thought, user, name, work))

    for user in range(users):
        think(user)
    while now < hours * 3600:
        rate = min(1.0, cores / len(running)) if running else 0.0
        wakes = thinking[0][0] if thinking else float("inf")
        ends = now + (running[0][0] - shared) / rate if running else float("inf")
        then = min(wakes, ends)
        shared += rate * (then - now)
        used += rate * len(running) * (then - now)
        now = then
        if ends <= wakes:
            _, user, name, start, before, work = heapq.heappop(running)
            done.append(Done(user, name, start, now, used - before, work))
            think(user)
        else:
            _, user, name, work = heapq.heappop(thinking)
            heapq.heappush(running, (shared + work, user, name, now, used, work))
    return done


def rows(done: list[Done], *, idle: float = 0.0, role: str = "radiologist", first: int = 0, at_s: float = 0.0) -> list[ActionRow]:
    """The same as the journal would have it: window sums with idle use in them."""
    made = []
    for number, one in enumerate(done):
        session = f"session-{first + one.user:06}"
        action = Action(
            action_id=f"action-{first:04}-{number:08}",
            action=one.name,
            session=session,
            source="replay",
            start_ns=T0 + round((at_s + one.start_s) * 1e9),
            duration_ns=round((one.end_s - one.start_s) * 1e9),
            outcome="completed",
        )
        usage = ActionUsage(
            action_id=action.action_id,
            container="xnat-web",
            cpu_seconds=one.window_s + idle * (one.end_s - one.start_s),
            cpu_percent_mean=None,
            cpu_percent_peak=100.0,
            peak_duration_s=None,
            memory_bytes_peak=None,
            memory_rise_bytes=None,
            rx_bytes=None,
            tx_bytes=None,
            throttled_seconds=None,
            samples=10,
            hz=10.0,
            sample_source="cgroup",
            overlapped=0,
            requests=1,
            sent_bytes=1_000_000,
        )
        sitting = Session(session=session, source="replay", client="lab", started_ns=T0, role=role)
        made.append(ActionRow(number=number, action=action, session=sitting, usage={"xnat-web": usage}))
    return made


def p95(done: list[Done], name: str) -> float:
    """Seconds that 95 of 100 of these took."""
    every = sorted(one.end_s - one.start_s for one in done if one.name == name)
    return every[round(0.95 * (len(every) - 1))]

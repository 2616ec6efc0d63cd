"""Repetitions of two experiments with the noise that real ones have: machine state, restarts, cold starts, outliers."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from sidecar.analysis.compare import Repetition
from sidecar.model.catalogue import load_catalogue
from sidecar.model.records import Action, Record, Session
from tests.support.journal import usage

ACTIONS = tuple(f"action_{number}" for number in range(10))
#: noise of one repetition and of one restart: CPU, duration
NOISE, RESTART = (0.05, 0.08), (0.02, 0.03)


def replays(
    seed: int,
    change: Mapping[tuple[int, str], float] | None = None,
    *,
    everything: float = 0.0,
    blocks: int = 5,
    each: int = 6,
    in_turn: bool = True,
    noise: tuple[float, float] = NOISE,
) -> tuple[list[Repetition], list[Repetition]]:
    """Baseline and candidate; `change` is by (0 for CPU, 1 for duration; action), `everything` of all: 0.1 is 10 % more."""
    chosen = random.Random(seed)

    def half(sd: float) -> float:
        return sd * math.sqrt(0.5) * chosen.gauss(0, 1)

    made: tuple[list[Repetition], list[Repetition]] = ([], [])
    for block in range(blocks):
        shared = {(side, metric): half(RESTART[metric]) for side in (0, 1) for metric in (0, 1)}
        own = {(side, metric, name): half(RESTART[metric]) for side in (0, 1) for metric in (0, 1) for name in ACTIONS}
        for number in range(each):
            for side in (0, 1):
                state = [chosen.gauss(0, 1), chosen.gauss(0, 1)]
                values = {}
                for place, name in enumerate(ACTIONS):
                    logs = []
                    for metric in (0, 1):
                        sd = noise[metric] * (0.7 + 0.6 * place / 9)
                        log = sd * math.sqrt(0.5) * state[metric] + half(sd) + shared[side, metric] + own[side, metric, name]
                        log += 0.45 if number == 0 else 0.0
                        log += 0.15 + chosen.expovariate(2) if chosen.random() < 0.05 else 0.0
                        if side:
                            log += math.log1p(everything) + math.log1p((change or {}).get((metric, name), 0.0))
                        logs.append(math.log(3 + place) + log)
                    values[name] = (math.exp(logs[0]), math.exp(logs[1]))
                start = block * 1000 + number * 100 + side * 40 if in_turn else side * 100_000 + block * 1000 + number * 100
                made[side].append(Repetition(block=block, start_ns=start * 10**9, end_ns=(start + 60) * 10**9, values=values))
    return made


def recorded(
    baseline: list[Repetition], candidate: list[Repetition], first_ns: int, names: tuple[str, str] = ("before", "after")
) -> list[Record]:
    """The same as the sidecar would have them: sessions, actions one after the other, and what xnat-web used of it.

    Each block is a run of its own. Repetitions follow each other in the order of their starts, a pause between all actions.
    """
    made: list[Record] = []
    labels = dict(zip(ACTIONS, load_catalogue().names, strict=False))
    at_ns = first_ns
    numbers: dict[str, int] = {}
    every = [(one.start_ns, side, one) for side, of in enumerate((baseline, candidate)) for one in of]
    for start, side, one in sorted(every, key=lambda item: item[:2]):
        run = f"{names[side]}.block{one.block + 1}"
        numbers[run] = numbers.get(run, 0) + 1
        session = f"replay-{side}-{start // 10**9:08}"
        made.append(
            Session(
                session=session,
                source="replay",
                client="replay",
                started_ns=at_ns,
                role="researcher",
                setup="lan",
                run=run,
                repetition=numbers[run],
            )
        )
        for place, (name, (cpu, seconds)) in enumerate(one.values.items()):
            action_id = f"{session}-{place}"
            duration_ns = round(seconds * 1e9)
            made.append(
                Action(
                    action_id=action_id,
                    action=labels[name],
                    session=session,
                    source="replay",
                    start_ns=at_ns,
                    duration_ns=duration_ns,
                    outcome="completed",
                )
            )
            made.append(usage(action_id, "xnat-web", cpu_seconds=cpu, cpu_percent_peak=200.0, overlapped=0))
            at_ns += duration_ns + 2 * 10**9
    return made

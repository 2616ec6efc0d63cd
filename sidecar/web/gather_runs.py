"""From the journal to a verdict: the repetitions of two experiments, in blocks between restarts.

An experiment is a run, or several named NAME.block1, NAME.block2 and so on: then each is a block. Inside a run a restart of a
container between two repetitions begins a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sidecar.analysis.compare import Comparison, Repetition, compare
from sidecar.errors import UsageFault
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.model.outbox import ActionRow
from sidecar.model.records import Session
from sidecar.web.gather import counted_actions

_BLOCK = re.compile(r"(.+)\.block\d+")


def experiment_of(run: str) -> str:
    """The experiment that a run belongs to: its name without `.blockN`."""
    found = _BLOCK.fullmatch(run)
    return found[1] if found else run


def newest_experiment(reader: Reader, baseline: str) -> str | None:
    """The replayed experiment that began last, other than the baseline; None when there is none."""
    for session in reversed(reader.sessions()):
        if session.source == "replay" and session.run is not None and experiment_of(session.run) != baseline:
            return experiment_of(session.run)
    return None


def repetitions_seen(reader: Reader, experiment: str) -> int:
    """Ended actions of an experiment, of attempts that count: a cheap sign that there is something else to compare."""
    runs = {one.run for one in reader.sessions() if one.source == "replay" and one.run and experiment_of(one.run) == experiment}
    return sum(len(counted_actions(reader, ActionFilter(run=run))[0]) for run in runs)


def gather_comparison(reader: Reader, baseline: str, candidate: str) -> Comparison:
    """Compare two experiments; UsageFault when one of them has no repetition."""
    (one, out_of_one), (other, out_of_other) = _counted(reader, baseline), _counted(reader, candidate)
    told = compare(one, other)
    if baseline == candidate:
        return replace(told, notes=(*told.notes, *out_of_one, "both sides are the same run"))
    return replace(told, notes=(*told.notes, *out_of_one, *out_of_other))


def repetitions(reader: Reader, experiment: str) -> list[Repetition]:
    """The repetitions of an experiment in time; what a repetition did several times counts as its mean.

    Only completed actions count, of attempts that count. Raises UsageFault when there is none.
    """
    return _counted(reader, experiment)[0]


def _counted(reader: Reader, experiment: str) -> tuple[list[Repetition], list[str]]:
    """The repetitions, and a note for each run about what was left out."""
    sessions = [one for one in reader.sessions() if one.source == "replay" and one.run and experiment_of(one.run) == experiment]
    found: list[tuple[str, Repetition]] = []
    notes = []
    for run in dict.fromkeys(one.run for one in sessions):
        if run is None:
            continue
        rows, left_out = counted_actions(reader, ActionFilter(run=run, source="replay"))
        completed = [row for row in rows if row.action.outcome == "completed"]
        found += [(run, one) for one in _of_run([one for one in sessions if one.run == run], completed)]
        notes += [f"{run}: left out {left_out}"] * bool(left_out.actions)
    if not found and notes:
        raise UsageFault(f"nothing of the run {experiment!r} counts: {'; '.join(notes)}", "let its replay finish")
    if not found:
        known = sorted({experiment_of(one.run) for one in reader.sessions() if one.source == "replay" and one.run})
        raise UsageFault(f"there is no replayed run {experiment!r}", f"name one of: {', '.join(known) or 'none was recorded'}")
    found.sort(key=lambda item: item[1].start_ns)
    return _in_blocks(reader, found), notes


def _of_run(sessions: Sequence[Session], rows: Iterable[ActionRow]) -> list[Repetition]:
    """Users of a repetition act at the same time: they are one repetition together."""
    number = {one.session: one.repetition for one in sessions}
    by_repetition: dict[int | None, list[ActionRow]] = {}
    for row in rows:
        by_repetition.setdefault(number.get(row.action.session or ""), []).append(row)
    return [
        Repetition(
            block=0,
            start_ns=min(row.action.start_ns for row in of),
            end_ns=max(row.action.end_ns for row in of),
            values=_values(of),
        )
        for of in by_repetition.values()
    ]


def _values(rows: Sequence[ActionRow]) -> Mapping[str, tuple[float | None, float]]:
    by_action: dict[str, list[ActionRow]] = {}
    for row in rows:
        by_action.setdefault(row.action.action, []).append(row)
    values: dict[str, tuple[float | None, float]] = {}
    for name, of in by_action.items():
        used = [[one.cpu_seconds for one in row.usage.values()] for row in of]
        known = [sum(one for one in each if one is not None) for each in used if each and None not in each]
        cpu = sum(known) / len(known) if len(known) == len(of) else None
        values[name] = cpu, sum(row.action.duration_ns for row in of) / len(of) / 1e9
    return values


def _in_blocks(reader: Reader, found: Sequence[tuple[str, Repetition]]) -> list[Repetition]:
    """Numbers the blocks: a new one with each run and with each restart of a container that was seen."""
    names = reader.container_names()
    made: list[Repetition] = []
    block = -1
    last: dict[str, tuple[int, Repetition]] = {}
    for run, one in found:
        before = last.get(run)
        if before is None or _restarted(reader, names, before[1].end_ns, one.start_ns):
            block += 1
            at = block
        else:
            at = before[0]
        last[run] = at, one
        made.append(replace(one, block=at))
    return made


def _restarted(reader: Reader, names: Iterable[str], from_ns: int, to_ns: int) -> bool:
    if from_ns >= to_ns:
        return False
    for name in names:
        for source in reader.sources(name, from_ns, to_ns)[:1]:
            first = reader.sample_rows(name, source, from_ns, from_ns)[:1]
            last = reader.sample_rows(name, source, to_ns, to_ns)[-1:]
            if first and last:
                other = first[0].container_id != last[0].container_id
                if other or last[0].cpu_total_ns < first[0].cpu_total_ns:
                    return True
    return False

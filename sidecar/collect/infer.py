"""Actions inferred from access-log lines alone, by the catalogue's rules, for a site whose users have no extension yet.

A line says neither who asked nor why, so this is a reading and not a report: an action begins with a request that fits a rule and
grows by the requests that the rule lets follow. Where two people do the same thing at the same moment, follow-ups go to the
one that began first. Requests that a marker source has spoken for (they carry a session) are left out.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import parse_qs

from sidecar.collect.log_times import SECOND_NS
from sidecar.collect.log_values import query_format
from sidecar.collect.routes import experiment_of
from sidecar.model.catalogue import ActionRule, Catalogue, FollowUp
from sidecar.model.records import Action, Request, Server

#: open at once; past it the oldest ends early
MAX_OPEN = 512
#: bytes of a log that are read again after a restart, at most
REREAD = 1 << 20
#: experiments whose id and label are remembered as one, for as long as the process runs
MAX_EXPERIMENTS = 256
#: request times are cut to milliseconds, or to seconds where the log has no better
FINE_NS = 5_000_000
#: a log whose times go back by more than this was written with another clock: what was open ends
CLOCK_STEP_NS = 60 * SECOND_NS


@dataclass(slots=True, eq=False)
class _Open:
    """An action that has begun and may still grow; not `reported` where it only keeps its follow-ups from being actions."""

    rule: ActionRule
    #: the how many-eth action to begin
    number: int
    action_id: str
    file: str
    offset: int
    #: the line at which the file had no open action for the last time
    idle_before: int
    start_ns: int
    end_ns: int
    sent_bytes: int | None
    reported: bool
    experiments: set[str]
    used: list[int]
    #: how long after its end something may still follow
    grace_ns: int = 0

    @property
    def closes_ns(self) -> int:
        """When nothing can follow any more."""
        return self.end_ns + self.grace_ns

    def set_grace(self) -> None:
        """A follow-up may begin `within` a time and then last as long as its rule lets it."""
        last = max((place for place, count in enumerate(self.used) if count), default=0)
        wanted = [
            (step.within_ns if self.used[place] else step.first_within_ns) + step.lasts_ns
            for place, step in enumerate(self.rule.then)
            if place >= last and (not step.most or self.used[place] < step.most)
        ]
        self.grace_ns = max(wanted, default=0)


class Inference:
    """Reads one server's requests in the log's order and yields actions; `take` hands over those that have ended."""

    def __init__(self, catalogue: Catalogue, server: Server) -> None:
        self._rules = tuple(rule for rule in catalogue.rules if server in rule.servers)
        #: (method, route) -> the rules it can begin an action by, and the steps (rule, place) that it can be
        self._fitting: dict[tuple[str | None, str], tuple[tuple[ActionRule, ...], tuple[tuple[int, int, FollowUp], ...]]] = {}
        self._open: list[_Open] = []
        self._open_by_rule: dict[int, list[_Open]] = {rule.order: [] for rule in self._rules}
        #: no action closes before this; may be too early, never too late
        self._next_close_ns = 0
        self._now_ns = 0
        self._begun = 0
        self._done: list[Action] = []
        self._experiments: OrderedDict[str, set[str]] = OrderedDict()
        self.without_duration = 0
        self.forced = 0

    def see(self, request: Request, target: str, file: str, offset: int) -> None:
        """Take in one line. `target` is looked at and forgotten; `file` and `offset` name the line for the action's id."""
        end_ns = request.start_ns + (request.duration_ns or 0)
        if end_ns > self._now_ns:
            self._now_ns = end_ns
        elif end_ns < self._now_ns - CLOCK_STEP_NS:
            self._close(None)
            self._now_ns = end_ns
        if self._open and self._now_ns > self._next_close_ns:
            self._close(self._now_ns)
        if request.session is not None or request.route is None:
            return
        rules, steps = self._look_up(request.method, request.route)
        if steps and self._open and self._claim(request, target, end_ns, steps):
            return
        if rules:
            self._begin(rules, request, target, end_ns, file, offset)

    def settle(self, now_ns: int) -> None:
        """There is no line up to the wall clock's `now_ns` that has not been seen: end what can grow no more."""
        if self._open and now_ns > self._next_close_ns:
            self._close(now_ns)

    def take(self) -> list[Action]:
        """Actions that ended since the last call, in the order in which they ended."""
        done, self._done = self._done, []
        return done

    def give_back(self, actions: list[Action]) -> None:
        """Actions that could not be handed over; `take` yields them again."""
        self._done = [*actions, *self._done]

    @property
    def open_actions(self) -> int:
        return len(self._open)

    def needs_from(self, file: str, offset: int) -> int | None:
        """Where to begin to read again, to be at `offset` in the state in which it is now; None when nothing is open.

        That is where nothing was open for the last time, or, when that is more than REREAD bytes ago, the oldest action since;
        then what two actions could both have claimed may be the other's.
        """
        mine = [one for one in self._open if one.file == file]
        places = [*(one.idle_before for one in mine), *sorted(one.offset for one in mine)]
        return next((place for place in places if place >= offset - REREAD), None)

    def _look_up(
        self, method: str | None, route: str
    ) -> tuple[tuple[ActionRule, ...], tuple[tuple[int, int, FollowUp], ...]]:  # fmt: skip
        found = self._fitting.get((method, route))
        if found is None:
            rules = tuple(rule for rule in self._rules if method in rule.methods and rule.paths.match(route))
            steps = tuple(
                (rule.order, place, step)
                for rule in self._rules
                for place, step in enumerate(rule.then)
                if method in step.methods and step.paths.match(route)
            )
            found = self._fitting[method, route] = (rules, steps)
        return found

    def _claim(
        self, request: Request, target: str, end_ns: int, steps: tuple[tuple[int, int, FollowUp], ...]
    ) -> bool:  # fmt: skip
        """Whether the request belongs to an open action: to the one it suits best, of several to the one that began first."""
        experiment = experiment_of(target)
        coarse_ns = SECOND_NS if end_ns % SECOND_NS == 0 else FINE_NS
        best: tuple[int, int, _Open, int, FollowUp] | None = None
        for order, place, step in steps:
            for one in self._open_by_rule[order]:
                used = one.used[place]
                if step.most and used >= step.most:
                    continue
                within_ns = step.within_ns if used else step.first_within_ns
                if not one.start_ns - coarse_ns <= request.start_ns <= one.end_ns + within_ns + coarse_ns:
                    continue
                if step.format is not None and step.format != query_format(target):
                    break
                rank = self._rank(one, used, experiment) if step.same_experiment else 0
                if rank is not None and (best is None or (rank, one.number) < best[:2]):
                    best = (rank, one.number, one, place, step)
                    if not rank:
                        break
        if best is None:
            return False
        self._grow(*best[2:], request, end_ns, experiment)
        return True

    def _rank(self, one: _Open, used: int, experiment: str | None) -> int | None:
        """How well a request about an experiment suits an open viewer, 0 best; None when it is another's.

        A viewer's own URL may not name its experiment (ours is logged without the query), and images are asked for by label where
        the study was asked for by id: the first request of a kind teaches a viewer the name.
        """
        if experiment is None:
            return None
        if experiment in one.experiments:
            return 2 if used else 0
        if used:
            return None
        if not one.experiments:
            return 1
        return None if experiment in self._experiments else 3

    def _grow(self, one: _Open, place: int, step: FollowUp, request: Request, end_ns: int, experiment: str | None) -> None:
        one.used[place] += 1
        one.end_ns = max(one.end_ns, end_ns)
        one.sent_bytes = None if one.sent_bytes is None or request.sent_bytes is None else one.sent_bytes + request.sent_bytes
        if step.same_experiment and experiment is not None and experiment not in one.experiments:
            self._remember(one, experiment)
        if step.drops:
            self._remove(one)
            return
        if step.most or one.used[place] == 1:
            one.set_grace()
        if step.ends or not one.grace_ns:
            self._remove(one)
            self._finish(one)
        else:
            self._next_close_ns = min(self._next_close_ns, one.closes_ns)

    def _remember(self, one: _Open, experiment: str) -> None:
        """Id and label of an experiment mean the same one from now on."""
        one.experiments |= self._experiments.get(experiment, {experiment})
        for name in one.experiments:
            self._experiments[name] = one.experiments
            self._experiments.move_to_end(name)
        while len(self._experiments) > MAX_EXPERIMENTS:
            self._experiments.popitem(last=False)

    def _begin(
        self, rules: tuple[ActionRule, ...], request: Request, target: str, end_ns: int, file: str, offset: int
    ) -> None:  # fmt: skip
        asked_format = query_format(target)
        for rule in rules:
            if not rule.fits(request.method, request.route or "", request.status, asked_format):
                continue
            if rule.ignore:
                return
            reported = True
            if rule.content_type is not None and request.content_type != rule.content_type:
                if request.content_type is not None or asked_format not in (None, "html"):
                    continue
                reported = rule.assume == "action"
            self._begun += 1
            one = _Open(
                rule=rule,
                number=self._begun,
                action_id=action_id(file, offset),
                file=file,
                offset=offset,
                idle_before=min((other.idle_before for other in self._open if other.file == file), default=offset),
                start_ns=request.start_ns,
                end_ns=end_ns,
                sent_bytes=request.sent_bytes,
                reported=reported,
                experiments=set(),
                used=[0] * len(rule.then),
            )
            if not rule.then:
                self._finish(one)
                return
            if any(step.same_experiment for step in rule.then):
                for name in _named_experiments(target):
                    self._remember(one, name)
            if len(self._open) >= MAX_OPEN:
                self.forced += 1
                oldest = self._open[0]
                self._remove(oldest)
                self._finish(oldest)
            one.set_grace()
            self._next_close_ns = min(self._next_close_ns, one.closes_ns) if self._open else one.closes_ns
            self._open.append(one)
            self._open_by_rule[rule.order].append(one)
            return

    def _close(self, now_ns: int | None) -> None:
        for one in [one for one in self._open if now_ns is None or one.closes_ns < now_ns]:
            self._remove(one)
            self._finish(one)
        self._next_close_ns = min((one.closes_ns for one in self._open), default=0)

    def _remove(self, one: _Open) -> None:
        self._open.remove(one)
        self._open_by_rule[one.rule.order].remove(one)

    def _finish(self, one: _Open) -> None:
        if not one.reported:
            return
        if one.end_ns == one.start_ns:
            self.without_duration += 1
        self._done.append(
            Action(
                action_id=one.action_id,
                action=one.rule.action,
                session=None,
                source="access-log",
                start_ns=one.start_ns,
                duration_ns=one.end_ns - one.start_ns,
                outcome="completed",
                attributes={"evidence": "requests"} | ({} if one.sent_bytes is None else {"bytes": one.sent_bytes}),
            )
        )


def action_id(file: str, offset: int) -> str:
    """The id of an action that began with the line at `offset` of a file: the same whenever that line is read again."""
    return hashlib.blake2b(f"{file}:{offset}".encode(), digest_size=8).hexdigest()


def _named_experiments(target: str) -> set[str]:
    """The experiment that a viewer's URL names, by id and by label."""
    query = parse_qs(target.partition("?")[2])
    names = {value for key in ("experimentId", "experimentLabel") for value in query.get(key, ())}
    from_path = experiment_of(target)
    return names | ({from_path} if from_path else set())

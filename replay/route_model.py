"""The route to the server as a list of hops, whether two are the same, and what a change does to a campaign; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from sidecar.model.faults import Fault, UsageFault

Verdict = Literal["first", "same", "changed"]


class RouteUnstableError(Fault):
    """The route changed more often than the campaign allows."""


class RouteTraceError(Fault):
    """The route could not be traced now."""

    retry = True


class RouteRecordError(UsageFault):
    """A stored route is not one."""


@dataclass(frozen=True, slots=True)
class Route:
    """The routers on the way, nearest first, and the server last where it answered.

    `hops` are addresses without names, None where nothing answered; `others` are the further addresses that answered at the same
    distance (a load balancer's), hop by hop, or empty. `method` is how it was traced and may be given to the next `trace`;
    `at_ns` is when, by this machine's wall clock.
    """

    hops: tuple[str | None, ...]
    method: str
    at_ns: int
    others: tuple[tuple[str, ...], ...] = ()

    def answers(self) -> tuple[frozenset[str], ...]:
        """All addresses that answered, hop by hop."""
        more = [*self.others, *[()] * len(self.hops)]
        return tuple(
            frozenset(others if first is None else (first, *others)) for first, others in zip(self.hops, more, strict=False)
        )

    def __str__(self) -> str:
        return " ".join(hop or "*" for hop in self.hops)

    def to_json(self) -> dict[str, Any]:
        """For a result file; `others` is left out where there are none."""
        told: dict[str, Any] = {"hops": list(self.hops), "method": self.method, "at_ns": self.at_ns}
        return told | {"others": [list(more) for more in self.others]} if any(self.others) else told

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Route:
        """What `to_json` wrote. Raises RouteRecordError."""
        hops, others, method, at_ns = raw.get("hops"), raw.get("others", []), raw.get("method"), raw.get("at_ns")
        if (
            not isinstance(hops, list)
            or not all(hop is None or isinstance(hop, str) for hop in hops)
            or not isinstance(others, list)
            or not all(isinstance(more, list) and all(isinstance(one, str) for one in more) for more in others)
            or not isinstance(method, str)
            or type(at_ns) is not int
        ):
            raise RouteRecordError("a stored route has not the shape of one", "start a new run, or restore the run's manifest")
        return cls(tuple(hops), method, at_ns, tuple(tuple(more) for more in others))


def same_route(one: Route, other: Route) -> bool:
    """Whether the two hop lists can be of one route.

    Compared hop by hop: one that did not answer matches anything; where several answered (load balancing), one address in common
    is enough. Where both traces ended in an answer, they have to be of one length; a trace that was not answered at its end says
    nothing about what is behind its last answer.
    """
    first, second = _known(one), _known(other)
    if any(a and b and not a & b for a, b in zip(first, second, strict=False)):
        return False
    if len(first) == len(second):
        return True
    shorter = one if len(first) < len(second) else other
    return not _ended(shorter)


def merged(one: Route, other: Route) -> Route:
    """What two traces of the same route know together; method and time of the newer one (`other`)."""
    nobody: frozenset[str] = frozenset()
    both = [a | b for a, b in zip_longest(one.answers(), other.answers(), fillvalue=nobody)]
    if _ended(one) or _ended(other):
        both = both[: max(len(_known(one)), len(_known(other)))]
    hops: list[str | None] = []
    others: list[tuple[str, ...]] = []
    for number, addresses in enumerate(both):
        known = [route.hops[number] for route in (one, other) if number < len(route.hops)]
        first = next((hop for hop in known if hop is not None), None)
        hops.append(first)
        others.append(tuple(sorted(addresses - {first})) if first is not None else ())
    return Route(tuple(hops), other.method, other.at_ns, tuple(others) if any(others) else ())


def _known(route: Route) -> list[frozenset[str]]:
    """The hops up to the last one that answered."""
    answers = list(route.answers())
    while answers and not answers[-1]:
        answers.pop()
    return answers


def _ended(route: Route) -> bool:
    return bool(route.hops) and route.hops[-1] is not None


class RouteGuard:
    """Says of each repetition's route whether the repetitions before it still count; allows at most `limit` changes.

    What is compared with is everything known of the route since its last change, not the last trace alone: two traces with many
    silent hops cannot lead from one route to another unseen. `reference` and `resets` continue an interrupted run.
    """

    def __init__(self, limit: int, *, reference: Route | None = None, resets: int = 0) -> None:
        if limit < 0:
            raise UsageFault(f"a limit of {limit} route changes", "allow 0 or more")
        self.limit = limit
        self.resets = resets
        self.reference = reference

    def check(self, route: Route) -> Verdict:
        """`first`, `same`, or `changed`: then it is the first repetition on its route. RouteUnstableError past the limit."""
        if self.reference is None:
            self.reference = route
            return "first"
        if same_route(self.reference, route):
            self.reference = merged(self.reference, route)
            return "same"
        before, self.reference = self.reference, route
        self.resets += 1
        if self.resets > self.limit:
            raise RouteUnstableError(
                f"the route to the server changed {self.resets} times (last from {before} to {route})",
                f"measure when the network is steady, or allow more than {self.limit} changes",
            )
        return "changed"

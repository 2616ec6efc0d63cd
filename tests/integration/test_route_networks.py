"""Routes through real routers: both ways to trace agree, with and without root, and a change is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from replay.route import Route, RouteGuard
from tests.support.namespaces import ROUTERS, ROUTERS_6, SERVER, SERVER_6, Crossing, crossing

TRACE = """
import json, sys
from replay.route import trace
found = trace(sys.argv[1], port=8080, max_hops=8, method=sys.argv[2])
print(json.dumps(found.to_json()))
"""


@pytest.fixture(scope="module")
def between() -> Iterator[Crossing]:
    with crossing() as made:
        yield made


def traced(between: Crossing, server: str, method: str, *, privileged: bool = True) -> Route:
    return Route.from_json(json.loads(between.run(TRACE, server, method, privileged=privileged)))


@pytest.mark.parametrize(("server", "routers"), [(SERVER, ROUTERS), (SERVER_6, ROUTERS_6)], ids=["ipv4", "ipv6"])
def test_all_ways_see_each_route_and_the_guard_its_change(between: Crossing, server: str, routers: tuple[str, str]) -> None:
    guard = RouteGuard(1)
    verdicts = []
    for router in (0, 1):
        between.use(router)
        by_root = traced(between, server, "auto")
        own = traced(between, server, "python", privileged=False)
        unprivileged = traced(between, server, "auto", privileged=False)
        assert (by_root.method, own.method, unprivileged.method) == ("tcp", "python", "udp")
        # A router answers one address about once a second: at most two of the three may miss it, and our own asks again.
        assert own.hops == (routers[router], server)
        for one in (by_root, unprivileged):
            assert one.hops[0] in (routers[router], None)
            assert one.hops[1:] == (server,)
        verdicts += [guard.check(one) for one in (own, by_root, unprivileged)]
    assert verdicts == ["first", "same", "same", "changed", "same", "same"]
    assert guard.resets == 1

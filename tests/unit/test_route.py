"""Routes: what traceroute prints, when two are the same, and what a change does to a campaign."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import route as tracing
from replay.route import (
    Route,
    RouteGuard,
    RouteRecordError,
    RouteTraceError,
    RouteUnreadableError,
    RouteUnstableError,
    merged,
    parse_traceroute,
    route_of,
    same_route,
    trace,
)
from sidecar.model.faults import UsageFault
from tests.conftest import ROOT

CASES = ROOT / "tests" / "cases" / "traceroute"
A, B, C, D = "10.0.0.1", "10.0.0.2", "2001:db8::3", "10.0.0.4"


def case(name: str) -> str:
    return (CASES / f"{name}.txt").read_text(encoding="utf-8")


def route(*hops: str | None, others: tuple[tuple[str, ...], ...] = ()) -> Route:
    return Route(hops, "udp", 1, others)


# what is printed


@pytest.mark.parametrize(
    ("name", "hops"),
    [
        ("debian-udp", (("10.91.1.1",), ("10.91.50.1",))),
        ("debian-silent-router", ((), ("10.91.50.1",))),
        ("debian-balanced", (("10.91.2.1", "10.91.1.1"), ("10.91.50.1",))),
        ("debian-firewall", (("10.91.1.1",), (), (), (), (), ())),
        ("debian-no-route", (("10.91.1.1",),)),
        ("debian-prohibited", (("10.91.1.1",), (), (), (), (), (), ("10.91.1.1",))),
        ("debian-ipv6-loopback", (("::1",),)),
    ],
)
def test_recorded_output_is_read(name: str, hops: tuple[tuple[str, ...], ...]) -> None:
    assert parse_traceroute(case(name)) == hops


@pytest.mark.parametrize(
    ("line", "addresses"),
    [
        (" 1  10.0.0.1  0.1 ms !H  0.2 ms !<13> *", [A]),
        (" 1  10.0.0.1  0.1 ms !F-1400  10.0.0.2  0.2 ms !", [A, B]),
        (" 1  gw.example.org (10.0.0.1)  0.1 ms  0.2 ms  other.example.org (10.0.0.2)  0.1 ms", [A, B]),
        (" 1  10.0.0.1 (10.0.0.1)  0.1 ms  0.2 ms", [A]),
        (" 1  10.0.0.1 [AS64500]  0.1 ms", [A]),
        (" 1  2001:db8::3  0.1 ms  2001:0DB8::0003  0.2 ms", [C]),
        (" 1  fe80::1%eth0  0.1 ms", ["fe80::1"]),
        (" 1  10.0.0.1 <syn,ack>  0.1 ms", [A]),
        (" 1  10.0.0.1  0.1 ms\n    10.0.0.2  0.2 ms", [A, B]),
        ("10  10.0.0.1  0.1 ms", None),
        (" 1  gateway  0.1 ms", None),
        ("traceroute: unknown host", None),
        ("", None),
    ],
)
def test_marks_names_and_further_addresses(line: str, addresses: list[str] | None) -> None:
    text = f"traceroute to somewhere (10.9.9.9), 30 hops max\n{line}\n"
    if addresses is None:
        with pytest.raises(RouteUnreadableError):
            parse_traceroute(text)
    else:
        assert parse_traceroute(text) == (tuple(addresses),)


def test_only_the_server_ends_a_route() -> None:
    assert route_of(parse_traceroute(case("debian-udp")), "10.91.50.1", "udp", 5) == Route(("10.91.1.1", "10.91.50.1"), "udp", 5)
    assert route_of(parse_traceroute(case("debian-no-route")), "10.91.50.1", "udp", 5).hops == ("10.91.1.1", None)
    assert route_of(parse_traceroute(case("debian-prohibited")), "10.91.50.1", "udp", 5).hops == ("10.91.1.1", *[None] * 6)
    balanced = route_of(parse_traceroute(case("debian-balanced")), "10.91.50.1", "udp", 5)
    assert balanced == Route(("10.91.2.1", "10.91.50.1"), "udp", 5, (("10.91.1.1",), ()))


# sameness


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (route(A, B, D), route(A, B, D), True),
        (route(A, B, D), route(A, C, D), False),
        (route(A, None, D), route(A, C, D), True),
        (route(None, None, D), route(A, C, D), True),
        (route(A, D), route(A, B, D), False),  # both reached the server, over another number of routers
        (route(A, B, None), route(A, B, D), True),
        (route(A, None, None, None), route(A, B, D), True),
        (route(A, C, None, None), route(A, B, D), False),
        (route(A, B, C, None), route(A, B, D), False),  # something answers where the other has the server
        (route(None, None), route(A, B, D), True),
        (route(A, D, others=((B,), ())), route(B, D), True),
        (route(A, D, others=((B,), ())), route(C, D, others=((B, D), ())), True),
        (route(A, D, others=((B,), ())), route(C, D), False),
    ],
)
def test_a_hop_that_is_silent_matches_any_and_of_several_one_is_enough(one: Route, other: Route, same: bool) -> None:
    assert same_route(one, other) is same
    assert same_route(other, one) is same


hops = st.lists(st.none() | st.sampled_from([A, B, C]), min_size=1, max_size=6).map(tuple)
further = st.lists(st.lists(st.sampled_from([A, B, C, D]), max_size=2, unique=True).map(tuple), max_size=6).map(tuple)
routes = st.builds(Route, hops, st.just("udp"), st.integers(0, 10**18), further)


@given(routes)
def test_a_route_is_itself_and_comes_back_from_json(one: Route) -> None:
    assert same_route(one, one)
    assert same_route(Route.from_json(one.to_json()), one)
    assert Route.from_json(one.to_json()).hops == one.hops


@given(routes, routes)
def test_what_two_traces_know_together_is_the_route_of_both(one: Route, other: Route) -> None:
    if same_route(one, other):
        both = merged(one, other)
        assert same_route(both, one)
        assert same_route(both, other)


@pytest.mark.parametrize("raw", [{}, {"hops": "a", "method": "udp", "at_ns": 1}, {"hops": [1], "method": "udp", "at_ns": 1}])
def test_a_broken_record_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(RouteRecordError, match="stored route"):
        Route.from_json(raw)


# the guard


def test_a_change_is_told_once_and_the_new_route_counts_from_then_on() -> None:
    guard = RouteGuard(2)
    told = [guard.check(one) for one in (route(A, D), route(A, D), route(B, D), route(None, D), route(B, D), route(A, D))]
    assert told == ["first", "same", "changed", "same", "same", "changed"]
    assert guard.resets == 2


def test_silent_hops_do_not_lead_from_one_route_to_another() -> None:
    guard = RouteGuard(1)
    assert [guard.check(one) for one in (route(A, B, D), route(None, None, D), route(C, B, D))] == ["first", "same", "changed"]


def test_a_hop_that_answers_later_belongs_to_the_route() -> None:
    guard = RouteGuard(1)
    assert [guard.check(one) for one in (route(None, B, D), route(A, B, D), route(C, B, D))] == ["first", "same", "changed"]


def test_past_the_limit_the_campaign_ends() -> None:
    guard = RouteGuard(1)
    guard.check(route(A, D))
    assert guard.check(route(B, D)) == "changed"
    with pytest.raises(RouteUnstableError, match=r"changed 2 times .*allow more than 1"):
        guard.check(route(A, D))


def test_an_interrupted_run_goes_on_with_its_route() -> None:
    guard = RouteGuard(1, reference=route(A, D), resets=1)
    assert guard.check(route(A, D)) == "same"
    with pytest.raises(RouteUnstableError):
        guard.check(route(B, D))


# tracing


@pytest.mark.parametrize(
    ("program", "port", "raw_sockets", "methods"),
    [
        (True, True, True, ("tcp", "udp")),
        (True, True, False, ("udp",)),
        (True, False, True, ("udp",)),
        (False, True, True, ("python",)),
    ],
)
def test_the_method_follows_from_what_there_is(program: bool, port: bool, raw_sockets: bool, methods: tuple[str, ...]) -> None:
    assert tracing.choose(program, port, raw_sockets=raw_sockets) == methods


def test_the_program_is_asked_for_numbers_and_the_right_family() -> None:
    assert "-6" in tracing.command("traceroute", "2001:db8::1", "udp", None, 30)
    line = tracing.command("traceroute", "192.0.2.1", "tcp", 443, 12)
    assert {"-4", "-n", "-T"} < set(line)
    assert line[line.index("-p") + 1] == "443"
    assert line[line.index("-m") + 1] == "12"


def fake(folder: Path, script: str) -> None:
    program = folder / "traceroute"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_the_next_method_is_tried_when_no_hop_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, 'case "$*" in *-T*) echo " 1  * * *";; *) echo " 1  127.0.0.1  0.1 ms";; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(tracing, "_may_send_raw", lambda: True)
    assert trace("127.0.0.1", port=80, wall_ns=lambda: 7) == Route(("127.0.0.1",), "udp", 7)
    assert trace("127.0.0.1", port=80, method="tcp", wall_ns=lambda: 7) == Route((None,), "tcp", 7)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'connect: Network is unreachable' >&2; exit 1", "Network is unreachable.*check the network"),
        ("echo 'You do not have enough privileges' >&2; exit 1", "privileges.*use udp, or run as root"),
    ],
)
def test_a_failing_program_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    fake(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RouteTraceError, match=words):
        trace("127.0.0.1", method="udp")


def test_wrong_use_is_named() -> None:
    with pytest.raises(UsageFault, match="'icmp' is no way to trace"):
        trace("127.0.0.1", method="icmp")
    with pytest.raises(UsageFault, match="needs the server's port"):
        trace("127.0.0.1", method="tcp")
    with pytest.raises(RouteTraceError, match="has no address"):
        trace("no-such-host.invalid")

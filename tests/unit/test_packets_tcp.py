"""Judging segments: hand-made cases with the reference's verdict, and the law that the quick way is the exact way."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.packets.connections import Connections
from replay.packets.tcp import ACK, FIN, LOST, OUT_OF_ORDER, RETRANSMITTED, RST, SYN, ZERO_WINDOW, Judge, Segments
from replay.packets.tls import version_of

MS = 1_000_000


class Segment(NamedTuple):
    """Times in ms here."""

    at: float
    down: bool
    sequence: int
    acknowledged: int
    payload: int = 0
    flags: int = ACK
    window: int = 500


def marks(*segments: Segment) -> list[int]:
    judge = Judge()
    return [judge.one(round(one.at * MS), *one[1:]) for one in segments]


def opened(rtt: float = 40) -> tuple[Segment, ...]:
    """A handshake and a request of 10 bytes; the server continues at 1001, the client at 111."""
    return (
        Segment(0, False, 100, 0, 0, SYN),
        Segment(rtt - 1, True, 1000, 101, 0, SYN | ACK),
        Segment(rtt, False, 101, 1001),
        Segment(rtt + 1, False, 101, 1001, 10),
    )


def test_undisturbed_segments_have_no_marks() -> None:
    assert marks(*opened(), Segment(80, True, 1001, 111, 100), Segment(81, False, 111, 1101)) == [0] * 6


def test_a_hole_is_lost_and_what_fills_it_soon_is_late_or_else_repeated() -> None:
    before = (*opened(), Segment(80, True, 1001, 111, 100), Segment(80, True, 1201, 111, 100))
    assert marks(*before, Segment(90, True, 1101, 111, 100))[-2:] == [LOST, OUT_OF_ORDER]
    assert marks(*before, Segment(180, True, 1101, 111, 100))[-2:] == [LOST, RETRANSMITTED]


def test_what_duplicate_acknowledgements_ask_for_is_repeated_however_soon() -> None:
    asking = [Segment(80 + number, False, 111, 1101) for number in (1, 2, 3)]
    before = (*opened(), Segment(80, True, 1001, 111, 100), Segment(80, True, 1201, 111, 100), *asking)
    assert marks(*before, Segment(85, True, 1101, 111, 100))[-1] == RETRANSMITTED
    assert marks(*before[:-2], Segment(85, True, 1101, 111, 100))[-1] == OUT_OF_ORDER


def test_several_lost_segments_may_come_again_as_one() -> None:
    before = (*opened(), Segment(80, True, 1001, 111, 100), Segment(80, True, 1301, 111, 100))
    assert marks(*before, Segment(180, True, 1101, 111, 200))[-2:] == [LOST, RETRANSMITTED]


def test_an_acknowledgement_of_what_the_capture_missed_asks_for_nothing_unless_it_lies_beyond_all_that_was_sent() -> None:
    """By the reference: in the first case the other side's number 1101 counts as seen, in the second its word is not trusted."""
    before = (*opened(), Segment(80, True, 1001, 111, 100), Segment(81, False, 211, 1101, 100))
    soon = (Segment(82, True, 1201, 311, 1), Segment(82, True, 1101, 311, 100))
    assert marks(*before, *soon)[-3:] == [LOST, LOST, OUT_OF_ORDER]
    beyond = [one._replace(acknowledged=999) for one in soon]
    assert marks(*before[:-1], Segment(81, False, 111, 1101, 100), *beyond)[-2:] == [LOST, RETRANSMITTED]


def test_what_was_acknowledged_already_is_repeated() -> None:
    before = (*opened(), Segment(80, True, 1001, 111, 100), Segment(81, False, 111, 1101))
    assert marks(*before, Segment(82, True, 1001, 111, 100))[-1] == RETRANSMITTED


def test_a_repeated_syn_and_fin_are_repeated() -> None:
    assert marks(opened()[0], Segment(1000, False, 100, 0, 0, SYN))[-1] == RETRANSMITTED
    fin = Segment(100, False, 111, 1001, 0, FIN | ACK)
    assert marks(*opened(), fin, fin._replace(at=400))[-1] == RETRANSMITTED


@pytest.mark.parametrize("payload", [0, 1])
def test_a_keep_alive_is_not_a_repetition(payload: int) -> None:
    assert marks(*opened(), Segment(45_000, False, 110, 1001, payload))[-1] == 0


def test_zero_windows_are_counted_and_their_probes_are_not_repetitions() -> None:
    full = Segment(60, False, 111, 1001, window=0)
    probe = Segment(300, True, 1001, 111, 1)
    again = (Segment(301, False, 111, 1001, window=0), Segment(700, True, 1001, 111, 1), Segment(701, False, 111, 1001))
    assert marks(*opened(), full, probe, *again, Segment(702, True, 1001, 111, 100))[4:] == [
        *(ZERO_WINDOW, 0, ZERO_WINDOW, 0),
        *(0, 0),
    ]


def test_a_reset_beyond_the_newest_number_is_not_lost() -> None:
    assert marks(*opened(), Segment(80, True, 9000, 111, 0, RST))[-1] == 0


def test_numbers_go_round() -> None:
    start = 2**32 - 150
    segments = [Segment(number, True, (start + 100 * number) % 2**32, 1, 100) for number in range(5)]
    assert marks(Segment(0, False, 1, start), *segments) == [0] * 6
    assert marks(Segment(0, False, 1, start), segments[0], segments[2], segments[1]._replace(at=2.5))[-2:] == [LOST, OUT_OF_ORDER]
    # An acknowledgement half way round from what is sent lies before and after it: by the reference that is sent again.
    assert marks(Segment(0, False, 1, start), Segment(1, True, (start + 2**31 - 100) % 2**32, 1, 100))[-1] == RETRANSMITTED


@st.composite
def transfers(draw: st.DrawFn) -> list[Segment]:
    """Both directions of a connection with losses, repetitions, late segments, probes, closed windows, and numbers near 2^32."""
    number = st.sampled_from([1, 500, 2**31 - 700, 2**32 - 1500])
    base = {False: draw(number), True: draw(number)}
    following, highest = dict(base), dict(base)
    moment, found = 0.0, []
    calm = draw(st.sampled_from([10, 200]))
    if draw(st.booleans()):
        found += [
            Segment(0, False, base[False] - 1, 0, 0, SYN),
            Segment(9, True, base[True] - 1, base[False], 0, SYN | ACK),
        ]
    for _ in range(draw(st.integers(0, 120))):
        moment += draw(st.sampled_from([0, 0.1, 0.1, 0.1, 5, 25, 300]))
        down = draw(st.booleans())
        kind = draw(st.sampled_from(["data"] * calm + ["ack"] * calm + ["repeat", "hole", "probe", "full", "odd", "fin"]))
        payload = draw(st.sampled_from([1, 100, 100, 1448])) if kind in ("data", "repeat", "hole") else 0
        sequence = following[down]
        flags, window = ACK, draw(st.sampled_from([500] * 9 + [400]))
        if kind == "repeat":
            sequence -= draw(st.sampled_from([1, 100, 300, 1448]))
        elif kind == "hole":
            sequence += draw(st.sampled_from([100, 1448]))
        elif kind == "probe":
            sequence, payload = sequence - draw(st.integers(0, 1)), draw(st.integers(0, 1))
        elif kind == "full":
            window = 0
        elif kind == "odd":
            flags = draw(st.sampled_from([RST, RST | ACK, SYN | ACK, 0]))
        elif kind == "fin":
            flags = FIN | ACK
        acknowledged = highest[not down] - draw(st.sampled_from([0] * 8 + [100, 1448, -100]))
        found.append(Segment(moment, down, sequence % 2**32, acknowledged % 2**32, payload, flags, window))
        following[down] = max(following[down], sequence + payload + (kind == "fin"))
        highest[down] = following[down]
    return found


def columns(segments: list[Segment]) -> Segments:
    return Segments(
        np.array([round(one.at * MS) for one in segments], np.int64),
        np.array([one.down for one in segments], np.bool_),
        np.array([one.sequence for one in segments], np.uint32),
        np.array([one.acknowledged for one in segments], np.uint32),
        np.array([one.payload for one in segments], np.int64),
        np.array([one.flags for one in segments], np.int64),
        np.array([one.window for one in segments], np.int64),
    )


def state(judge: Judge) -> object:
    return judge._down, judge._up, judge._syn_ns, judge.rtt_ns


@settings(max_examples=100, deadline=None)
@given(transfers(), st.integers(0, 60))
def test_the_quick_way_is_the_exact_way(segments: list[Segment], start: int) -> None:
    exact = Judge()
    for one in segments[:start]:
        exact.one(round(one.at * MS), *one[1:])
    quick, rest = copy.deepcopy(exact), segments[start:]
    taken = quick.clean(columns(rest)) if rest else 0
    for one in rest[:taken]:
        assert exact.one(round(one.at * MS), *one[1:]) == 0
    assert state(quick) == state(exact)


def test_the_quick_way_takes_all_of_an_undisturbed_transfer() -> None:
    judge = Judge()
    for one in (*opened(), Segment(80, True, 1001, 111, 100), Segment(81, False, 111, 1101)):
        judge.one(round(one.at * MS), *one[1:])
    run = [Segment(90 + number, True, 1101 + 1448 * number, 111, 1448) for number in range(1000)]
    assert judge.clean(columns(run)) == 1000


@settings(max_examples=50, deadline=None)
@given(transfers())
def test_runs_of_any_length_are_judged_alike(segments: list[Segment]) -> None:
    run, key = columns(segments), (0, 0, 50000, 443)
    numbers, together = Connections()._judge(key, run)
    pieces = Connections()
    alone = [pieces._judge(key, run.at(slice(row, row + 1))) for row in range(len(segments))]
    assert numbers.tolist() == [int(number[0]) for number, _ in alone]
    assert together.tolist() == [int(mark[0]) for _, mark in alone]


def test_the_same_ports_again_are_another_connection_and_more_than_the_limit_are_not_followed() -> None:
    segments = columns([*opened(), *(one._replace(at=one.at + 900, sequence=one.sequence + 77777) for one in opened())])
    numbers, together = Connections()._judge((0, 0, 50000, 443), segments)
    assert numbers.tolist() == [0] * 4 + [1] * 4
    assert not together.any()
    limited = Connections(limit=1)
    assert limited._judge((0, 0, 50000, 443), segments)[0].tolist() == [0] * 4 + [-1] * 4
    assert limited.unfollowed == 4


def hello(version: int, chosen: int | None, message: int = 2) -> bytes:
    extensions = b"\x00\x17\x00\x00" + (b"" if chosen is None else b"\x00\x2b\x00\x02" + chosen.to_bytes(2, "big"))
    body = (
        version.to_bytes(2, "big")
        + bytes(32)
        + b"\x20"
        + bytes(32)
        + b"\x13\x01\x00"
        + len(extensions).to_bytes(2, "big")
        + extensions
    )
    handshake = bytes([message]) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x03" + len(handshake).to_bytes(2, "big") + handshake


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (hello(0x0303, 0x0304), "TLS 1.3"),
        (hello(0x0303, None), "TLS 1.2"),
        (hello(0x0301, None), "TLS 1.0"),
        (hello(0x0303, 0x0304, message=1), None),
        (b"HTTP/1.1 200 OK\r\n" + bytes(100), None),
        (b"", None),
    ],
)
def test_the_tls_version_is_read_from_the_servers_hello(data: bytes, version: str | None) -> None:
    assert version_of(data) == version


def test_a_hello_that_was_cut_off_says_nothing_wrong() -> None:
    for data, version in ((hello(0x0303, 0x0304), "TLS 1.3"), (hello(0x0303, None), "TLS 1.2")):
        for keep in range(len(data)):
            assert version_of(data[:keep]) in (None, version)

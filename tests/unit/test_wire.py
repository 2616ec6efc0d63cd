"""The codec of the marker channel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.checks import ATTRIBUTES, EVIDENCE
from sidecar.model.records import Marker
from sidecar.model.wire import (
    MAX_MESSAGE_BYTES,
    MAX_SEQ,
    Ack,
    CloseCode,
    ErrorReply,
    Hello,
    Markers,
    Message,
    Ping,
    Pong,
    RatingReport,
    Run,
    TransferReport,
    Welcome,
    WireError,
    decode,
    decode_reply,
    encode,
    from_marker,
    to_marker,
)

ACTIONS = frozenset(("login", "scroll"))
SESSION = "c0ffee00c0ffee00"
ITEM_FIELDS = ("seq", "action_id", "action", "phase", "wall_ns", "mono_ns", "offset_ns", "offset_error_ns", "attrs", "more")
times = st.integers(0, 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
seqs = st.integers(1, MAX_SEQ)
opaque = st.from_regex(r"[A-Za-z0-9_-]{8,64}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", fullmatch=True)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def some_markers(draw: st.DrawFn) -> Marker:
    wall_ns = draw(times)
    offset_ns = draw(maybe(st.integers(-wall_ns, 2**63 - 1 - wall_ns)))
    attributes = {name: st.sampled_from(EVIDENCE) if kind is str else counts for name, kind in ATTRIBUTES.items()}
    return Marker(
        session=SESSION,
        seq=draw(seqs),
        action_id=draw(opaque),
        action=draw(st.sampled_from(sorted(ACTIONS))),
        phase=draw(st.sampled_from(("begin", "end", "cancel"))),
        wall_ns=wall_ns,
        mono_ns=draw(times),
        offset_ns=offset_ns,
        offset_error_ns=None if offset_ns is None else draw(counts),
        received_ns=draw(times),
        attributes=draw(st.fixed_dictionaries({}, optional=attributes)),
    )


def client_messages() -> st.SearchStrategy[Message]:
    text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
    return st.one_of(
        st.builds(
            Hello,
            version=st.integers(0, 9),
            source=st.sampled_from(("extension", "replay")),
            client=names,
            session=opaque,
            token=maybe(text),
            ticket=maybe(text),
            resume_seq=maybe(seqs),
        ),
        st.builds(Ping, t0_ns=times),
        st.builds(Markers, items=st.lists(some_markers().map(from_marker), min_size=1, max_size=5).map(tuple)),
        st.builds(
            Run,
            run=names,
            seq=maybe(seqs),
            setup=maybe(st.sampled_from(("lan", "vpn", "wan"))),
            scenario=maybe(names),
            role=maybe(names),
            repetition=maybe(st.integers(0, 10**6)),
            attempt=maybe(opaque),
            series=maybe(st.integers(1, 10**6)),
            outcome=maybe(st.sampled_from(("finished", "failed"))),
        ),
        st.builds(
            TransferReport,
            seq=maybe(seqs),
            action_id=maybe(opaque),
            start_ns=times,
            duration_ns=times,
            down_bytes=counts,
            up_bytes=counts,
            packets=maybe(counts),
            retransmitted=maybe(counts),
            out_of_order=maybe(counts),
            lost=maybe(counts),
            method=maybe(st.sampled_from(("capture", "browser"))),
        ),
        st.builds(RatingReport, seq=maybe(seqs), action_id=maybe(opaque), time_ns=times, score=st.integers(1, 5)),
    )


def replies() -> st.SearchStrategy[Message]:
    return st.one_of(
        st.builds(Welcome, session=opaque, role=maybe(names), last_seq=st.integers(0, MAX_SEQ), time_ns=times),
        st.builds(Pong, t0_ns=times, t1_ns=times, t2_ns=times),
        st.builds(Ack, seq=maybe(st.integers(0, MAX_SEQ))),
        st.builds(
            ErrorReply,
            code=names.map(lambda name: name[:64]),
            message=names,
            seq=maybe(seqs),
            retry_after_ms=maybe(st.integers(0, 10**6)),
        ),
    )


@given(client_messages())
def test_every_client_message_comes_back_from_its_text(message: Message) -> None:
    assert decode(encode(message)) == message


@given(replies())
def test_every_reply_comes_back_from_its_text(message: Message) -> None:
    assert decode_reply(encode(message)) == message


@given(some_markers())
def test_every_marker_comes_back_from_its_item(marker: Marker) -> None:
    item = json.loads(json.dumps(from_marker(marker)))
    assert to_marker(item, marker.session, marker.received_ns, ACTIONS) == marker


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.text() | st.binary() | anything.map(json.dumps) | st.dictionaries(st.just("type"), anything).map(json.dumps))
def test_whatever_comes_is_refused_and_never_breaks_the_decoder(text: str | bytes) -> None:
    with pytest.raises(WireError) as refused:
        decode(text)
    assert refused.value.close_code == CloseCode.BAD_MESSAGE


@given(some_markers().map(from_marker), st.sampled_from(ITEM_FIELDS), anything)
def test_one_wrong_field_is_refused_by_name_and_nothing_else_happens(item: dict[str, object], field: str, value: object) -> None:
    item[field] = value
    refused = None
    try:
        marker = to_marker(item, SESSION, 1, ACTIONS)
    except WireError as error:
        refused = error
    if refused is None:
        assert from_marker(marker) == item
    else:
        assert refused.close_code is None
        assert refused.seq in (item["seq"], None)
        assert field == "seq" or refused.seq is not None


def a_marker(**fields: object) -> dict[str, object]:
    return {"seq": 7, "action_id": "a" * 16, "action": "login", "phase": "begin", "wall_ns": 10, "mono_ns": 3, **fields}


@pytest.mark.parametrize(
    ("fields", "code", "what"),
    [
        ({"action": "juggle"}, "unknown_action", "juggle"),
        ({"action": None}, "bad_item", "wrong type"),
        ({"phase": "middle"}, "bad_item", "middle"),
        ({"action_id": "short"}, "bad_item", "action_id"),
        ({"wall_ns": True}, "bad_item", "wall_ns"),
        ({"wall_ns": -1}, "bad_item", "out of range"),
        ({"mono_ns": 1.5}, "bad_item", "mono_ns"),
        ({"mono_ns": 2**63}, "bad_item", "mono_ns"),
        ({"offset_ns": 5}, "bad_item", "offset_error_ns"),
        ({"offset_ns": -11, "offset_error_ns": 0}, "bad_item", "out of range"),
        ({"offset_ns": 0, "offset_error_ns": -1}, "bad_item", "offset_error_ns"),
        ({"attrs": {"images": "many"}}, "bad_item", "images"),
        ({"attrs": {"images": 2**63}}, "bad_item", "range"),
        ({"attrs": {"evidence": "a patient's name"}}, "bad_item", "evidence"),
        ({"attrs": []}, "bad_item", "wrong type"),
        ({"page": "/data"}, "bad_item", "page"),
    ],
)
def test_a_bad_item_is_told_what_is_wrong(fields: dict[str, object], code: str, what: str) -> None:
    with pytest.raises(WireError, match=what) as refused:
        to_marker(a_marker(**fields), SESSION, 1, ACTIONS)
    assert (refused.value.code, refused.value.seq) == (code, 7)


def test_a_numbered_message_is_refused_alone_and_an_unnumbered_one_with_its_connection() -> None:
    with pytest.raises(WireError) as refused:
        decode('{"type":"rating","seq":3,"time_ns":1,"score":9}')
    assert (refused.value.seq, refused.value.close_code) == (3, None)
    with pytest.raises(WireError) as refused:
        decode('{"type":"rating","time_ns":1,"score":9}')
    assert refused.value.close_code == CloseCode.BAD_MESSAGE


def test_a_full_batch_of_the_longest_markers_of_the_replayer_fits_into_a_message() -> None:
    longest = a_marker(
        seq=MAX_SEQ,
        action="filter_search",
        phase="cancel",
        wall_ns=2**63 - 1,
        mono_ns=2**63 - 1,
        offset_ns=-(2**63) + 1,
        offset_error_ns=2**63 - 1,
        attrs={name: max(EVIDENCE, key=len) if kind is str else 2**63 - 1 for name, kind in ATTRIBUTES.items()},
    )
    assert len(encode(Markers(items=(longest,) * 100)).encode()) < MAX_MESSAGE_BYTES

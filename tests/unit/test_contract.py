"""The marker channel's contract: the committed schema, the examples, the codec and both ends of the wire agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from sidecar.model.wire import SHAPES, WireError, decode, decode_reply, encode
from tests.support.marker_fakes import (
    ACTIONS,
    CONTRACT,
    CONVERSATIONS,
    Table,
    dial,
    load,
    next_said,
    serving,
    text_of,
    validator,
    without_prose,
)
from tests.unit.test_wire import client_messages, replies

conversations = pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads((CONTRACT / "schema.json").read_text(encoding="utf-8")))


def test_the_schema_has_the_messages_and_fields_of_the_codec_and_no_others() -> None:
    definitions = json.loads((CONTRACT / "schema.json").read_text(encoding="utf-8"))["$defs"]
    messages = {part["$ref"].rpartition("/")[2] for who in ("client", "sidecar") for part in definitions[who]["oneOf"]}
    assert messages == SHAPES.keys()
    for name, (_, fields) in SHAPES.items():
        assert definitions[name]["properties"].keys() == {"type", *(field.name for field in fields)}, name
        assert set(definitions[name]["required"]) == {"type", *(field.name for field in fields if not field.optional)}, name


@conversations
def test_the_examples_keep_to_the_schema(path: Path) -> None:
    client, sidecar = validator("client"), validator("sidecar")
    for step in load(path)["steps"]:
        if "client" in step:
            assert client.is_valid(step["client"]) == step.get("valid", True), step
        if "sidecar" in step:
            sidecar.validate(step["sidecar"])
            assert json.loads(encode(decode_reply(json.dumps(step["sidecar"])))) == step["sidecar"]


@conversations
def test_the_channel_answers_as_in_the_example(path: Path) -> None:
    conversation = load(path)
    table = Table(conversation["settings"])
    channel = table.join()
    heard: list[dict[str, Any]] = table.heard(channel)
    for step in conversation["steps"]:
        if "client" in step or "client_text" in step:
            assert not heard, f"said more than the example before {step}"
            heard = table.tell(channel, text_of(step))
        elif "journal" in step:
            table.journal.full = step["journal"] == "full"
        else:
            assert heard, f"silent instead of {step}"
            assert without_prose(heard.pop(0)) == without_prose(step)
    assert not heard
    assert (channel.state == "closed") == ("close" in conversation["steps"][-1])


@conversations
def test_the_server_answers_as_in_the_example(path: Path) -> None:
    conversation = load(path)
    sidecar = validator("sidecar")
    with serving(conversation["settings"]) as served, dial(served.server, conversation["settings"]) as connection:
        for step in conversation["steps"]:
            if "client" in step or "client_text" in step:
                connection.send(text_of(step))
            elif "journal" in step:
                served.fill() if step["journal"] == "full" else served.make_room()
            else:
                said = next_said(connection)
                assert without_prose(said) == without_prose(step)
                if "sidecar" in said:
                    sidecar.validate(said["sidecar"])


@settings(max_examples=200, deadline=None)
@given(client_messages())
def test_what_the_client_encodes_keeps_to_the_schema(message: Any) -> None:
    raw = json.loads(encode(message))
    assert next(iter(raw)) == "type"
    validator("client").validate(raw)


@settings(max_examples=200, deadline=None)
@given(replies())
def test_what_the_sidecar_encodes_keeps_to_the_schema(message: Any) -> None:
    validator("sidecar").validate(json.loads(encode(message)))


def test_the_schema_refuses_what_the_codec_refuses() -> None:
    client = validator("client")
    for path in CONVERSATIONS:
        for step in load(path)["steps"]:
            if "client_text" in step:
                with pytest.raises(WireError):
                    decode(step["client_text"])
                try:
                    raw = json.loads(step["client_text"])
                except (ValueError, RecursionError):
                    continue
                assert not client.is_valid(raw), step


def test_the_actions_of_the_examples_are_in_the_catalogue() -> None:
    catalogue = json.loads((CONTRACT.parent.parent / "sidecar" / "model" / "catalogue.json").read_text(encoding="utf-8"))
    assert {action["name"] for action in catalogue["actions"]} >= ACTIONS

"""What the construction of a record checks, and the closed lists that it checks against; raises InvalidRecordError.

Records are made by the hundred thousand: a check is one comparison, and words are only put together when it fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidecar.model.faults import InvalidRecordError

#: what may identify a session or an action: opaque, no meaning, safe in a URL and in line protocol
OPAQUE_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
#: what a marker may carry beside its times: numbers and short words of a closed list, never free text
ATTRIBUTES: Mapping[str, type] = {
    "bytes": int,  # bytes that the client received or sent in this action
    "images": int,  # images shown or loaded
    "ticks": int,  # wheel notches or keys folded into one SCROLL
    "first_image_ns": int,  # monotonic time from the begin marker to the first image
    "evidence": str,  # how the end was seen: a word of EVIDENCE
}
EVIDENCE = ("rendered", "requests", "download", "navigation", "timer", "state")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

_MAX_NS = 2**63 - 1


def check_opaque(value: str, name: str) -> None:
    """Refuse an identifier that is not 8 to 64 letters, digits, `_` or `-`."""
    if not OPAQUE_ID.fullmatch(value):
        raise InvalidRecordError(f"{name} is not an opaque id", "send 8 to 64 letters, digits, '_' or '-', without any meaning")


def check_name(value: str | None, name: str) -> None:
    if value is not None and not _NAME.fullmatch(value):
        raise InvalidRecordError(f"{name} {value[:40]!r} is not a name", "use up to 128 letters, digits, '_', '.', '-'")


def check_time(value: int, name: str) -> None:
    if type(value) is not int or not 0 <= value <= _MAX_NS:
        raise InvalidRecordError(f"{name} is not a time", "send integer nanoseconds since the epoch")


def check_counter(value: int | None, name: str) -> None:
    if value is not None and value < 0:
        raise InvalidRecordError(f"{name} is negative", "send a counter, or leave it out when unknown")


def check_attributes(attributes: Mapping[str, int | str]) -> None:
    for name, value in attributes.items():
        kind = ATTRIBUTES.get(name)
        if kind is None or type(value) is not kind:
            raise InvalidRecordError(f"attribute {name[:40]!r} is not allowed", f"send only {', '.join(sorted(ATTRIBUTES))}")
        if kind is str and value not in EVIDENCE:
            raise InvalidRecordError(
                f"attribute {name!r} has a word that is not in its list", f"use one of {', '.join(EVIDENCE)}"
            )

"""References in a recorded request: `${name|form}` and `${env:NAME|form}`; the form says how the value is written there."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from sidecar.model.faults import UsageFault

_REFERENCE = re.compile(r"\$\{((?:env:)?[A-Za-z_][A-Za-z0-9_]*)\|([a-z]+)\}")
#: stands for a dollar that is followed by a brace
_DOLLAR: Final = "${dollar|raw}"

#: how a value is written in a place
FORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "raw": str,
    "url": lambda value: quote(value, safe=""),
    "form": quote_plus,
    "json": lambda value: json.dumps(value)[1:-1],
    "xml": escape,
}
#: how a value is read from a place
READ: Final[Mapping[str, Callable[[str], str]]] = {
    "raw": str,
    "html": html.unescape,
    "json": lambda value: str(json.loads(f'"{value}"')),
}


class MissingValueError(UsageFault):
    """A reference without a value."""


def literal(text: str) -> str:
    """The text such that nothing in it is taken for a reference."""
    return text.replace("${", _DOLLAR + "{")


def reference(name: str, form: str) -> str:
    """A reference."""
    return f"${{{name}|{form}}}"


def names(text: str) -> Iterator[str]:
    """All names that a text refers to."""
    return (match[1] for match in _REFERENCE.finditer(text) if match[1] != "dollar")


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with every reference replaced; raises MissingValueError."""
    if "${" not in text:
        return text

    def value_of(match: re.Match[str]) -> str:
        name, form = match.groups()
        if name == "dollar":
            return "$"
        if name not in values:
            if name.startswith("env:"):
                raise MissingValueError(f"the requests need {name[4:]}", f"set the environment variable {name[4:]}")
            raise MissingValueError(f"the requests need a value for {name}", "record them again")
        if form not in FORMS:
            raise MissingValueError(f"${{{name}|{form}}} asks for a form that is not known", "record the requests again")
        return FORMS[form](values[name])

    return _REFERENCE.sub(value_of, text)

"""Finds the values in requests that an earlier answer handed out (ids, tokens), and how to find each in such an answer again."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from replay.http.recording import Take

#: a word that may be a value: letters, digits and what ids are joined with
_WORD = re.compile(r"[A-Za-z0-9_]+(?:[-.:~][A-Za-z0-9_]+)*")
#: what tokens are written in when they are not words
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{16,}")
_LEAST = 6
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
#: how much of the text before a value is looked at; after it, up to the next word
_BEFORE: Final = (16, 24, 40, 80, 160)
_FOLLOWS = re.compile(r"[^A-Za-z0-9_]{1,6}")
_VALUE = r"([A-Za-z0-9_.:~+/=@%-]+?)"
_ANYTHING = r"[A-Za-z0-9_.:~+/=@%-]*?"


def looks_made(word: str) -> bool:
    """Whether a word looks like something that a server makes up: long enough, with a digit, and no file's name."""
    return len(word) >= _LEAST and any(letter.isdigit() for letter in word) and not _EXTENSION.search(word)


def candidates(url: str, body: str | None, kind: str) -> Iterable[str]:
    """The words of a request that may come from an answer; `kind` is the body's content type."""
    parts = urlsplit(url)
    pieces = [unquote(piece) for piece in parts.path.split("/")]
    pieces += [value for _, value in parse_qsl(parts.query)]
    if body:
        if "urlencoded" in kind:
            pieces += [value for _, value in parse_qsl(body)]
        else:
            pieces.append(unquote_plus(body) if "%" in body and "<" not in body else body)
    found: dict[str, None] = {}
    for piece in pieces:
        if _TOKEN.fullmatch(piece) and any(letter.isdigit() for letter in piece):
            found[piece] = None
            continue
        if _EXTENSION.search(piece) and "<" not in piece:
            continue
        found |= dict.fromkeys(word for word in _WORD.findall(piece) if looks_made(word))
    return found


def written(value: str) -> list[tuple[Literal["raw", "html", "json"], str]]:
    """How a value may stand in an answer."""
    forms: list[tuple[Literal["raw", "html", "json"], str]] = [("raw", value)]
    for form, text in (("html", html.escape(value)), ("json", json.dumps(value)[1:-1])):
        if text != value:
            forms.append((form, text))  # type: ignore[arg-type]
    return forms


def take_from(
    text: str, value: str, name: str, where: Literal["head", "body"], volatile: Sequence[str], anchors: Sequence[str] = ()
) -> Take | None:
    """How to take a value out of a text: by what stands around it, as little of it as makes it the first match.

    `volatile` are words around it that another session would have others for, `anchors` words that it would not. None when the
    text does not hold it as a whole word.
    """
    for form, spelled in written(value):
        edge = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(spelled)}(?![A-Za-z0-9_])")
        at = edge.search(text)
        if at is None:
            continue
        follows = _FOLLOWS.match(text, at.end())
        after = re.escape(follows[0]) if follows else r"(?![A-Za-z0-9_])"
        patterns = []
        for length in _BEFORE:
            before = text[_word_begin(text, at.start() - length) : at.start()]
            patterns.append(_pattern(before, anchors, volatile) + _VALUE + after)
            first = re.search(patterns[-1], text)
            if first is not None and first[1] == spelled:
                return Take(name=name, where=where, pattern=patterns[-1], form=form)
        for pattern in patterns:
            for nth, match in enumerate(re.finditer(pattern, text)):
                if match[1] == spelled:
                    return Take(name=name, where=where, pattern=pattern, nth=nth, form=form)
    return None


def _pattern(text: str, anchors: Sequence[str], volatile: Sequence[str]) -> str:
    """What fits the text in another session, too: made-up words fit any other, unless they are anchors."""
    words = sorted({word for word in volatile if word}, key=len, reverse=True)
    known = re.compile("|".join([*map(re.escape, words), _WORD.pattern]))
    made, place = "", 0
    for match in known.finditer(text):
        word = match[0]
        if word in anchors or (word not in volatile and not looks_made(word)):
            continue
        made += re.escape(text[place : match.start()]) + _ANYTHING
        place = match.end()
    return made + re.escape(text[place:])


def _word_begin(text: str, place: int) -> int:
    """The place itself, or the end of the word that it is in the middle of: half a word would not be recognised as volatile."""
    place = max(0, place)
    while (
        0 < place < len(text)
        and (text[place - 1].isalnum() or text[place - 1] == "_")
        and (text[place].isalnum() or text[place] == "_")
    ):
        place += 1
    return place

"""Reads an HTTP archive (HAR 1.1 and 1.2) as a browser's or a proxy's developer tools save it, and names what it cannot replay.

Every page that is opened becomes an action: `login` where a password is sent, `logout` where its address says so, else
`page_load`. The pauses between are those of the archive.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from replay.http.correlate import Known, recording_of
from replay.http.observed import Headers, Observed, Stretch, header
from replay.http.recording import Recording, RecordingError
from replay.scenario_text import read_json

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSWORD = re.compile(r"pass|pwd|secret", re.IGNORECASE)
_LOGOUT = re.compile(r"log-?_?out", re.IGNORECASE)
_USER = re.compile(r"(j_)?user(name)?|login|e?mail", re.IGNORECASE)
#: a pause between the begin of a page and what was done before, at least so long, was a person's
_PAUSE_MS = 500.0


def import_har(
    path: Path, *, site: str | None = None, known: Known | None = None, actions: Mapping[int, str | None] | None = None
) -> Recording:
    """A recording from an archive; `site` is its first request's address unless given. Raises RecordingError.

    `actions` names those of single pages, counted from 1; a page with None is part of the one before it.
    """
    observed, notes = read_har(path)
    if not observed:
        raise RecordingError(
            f"{path.name} holds no request that can be replayed ({'; '.join(notes[:20]) or 'it is empty'})", "save it again"
        )
    place = urlsplit(observed[0].url)
    if any(one.status in _REDIRECTS for one in observed):
        notes.append("a redirect leads on and on, or to what is not in the archive")
    if any(header(one.headers, "authorization") for one in observed):
        notes.append("authorization headers are left out: an account logs in by a form")
    known = known or Known(scenario=path.stem, role="imported")
    known = replace(known, secrets={**secrets_in(observed), **known.secrets})
    return recording_of(
        observed,
        pages_of(observed, actions or {}),
        site or f"{place.scheme}://{place.netloc}",
        known,
        notes,
    )


def read_har(path: Path) -> tuple[list[Observed], list[str]]:
    """All exchanges of an archive, redirects joined, and what cannot be replayed; raises RecordingError when it is none."""
    try:
        entries = read_json(path.read_text(encoding="utf-8-sig"))["log"]["entries"]
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror})", "name another file") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordingError(f"{path.name} is no HTTP archive", "save it as HAR from the browser's developer tools") from error
    if not isinstance(entries, list):
        raise RecordingError(f"{path.name} is no HTTP archive", "save it as HAR from the browser's developer tools")
    found: list[Observed] = []
    notes: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            one = _exchange(entry)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            notes.append(f"entry {number} is left out: it is broken ({error})")
            continue
        if isinstance(one, str):
            notes.append(f"entry {number} is left out: {one}")
        else:
            found.append(one)
    found.sort(key=lambda one: one.begin_ms)
    return _joined(found), notes


def secrets_in(observed: Sequence[Observed]) -> dict[str, str]:
    """What was typed into the fields of a log-in: it becomes a reference and does not get into the recording."""
    found: dict[str, str] = {}
    for one in observed:
        fields = parse_qsl(urlsplit(one.url).query) + (parse_qsl(one.body) if one.body else [])
        passwords = [value for name, value in fields if _PASSWORD.search(name)]
        users = [value for name, value in fields if _USER.fullmatch(name)]
        for kind, values in (("XNAT_PASSWORD", passwords), ("XNAT_USER", users if passwords else [])):
            for value in values:
                if value not in found.values():
                    found[kind if kind not in found else f"{kind}_{len(found)}"] = value
    return found


def pages_of(observed: Sequence[Observed], actions: Mapping[int, str | None] | None = None) -> list[Stretch]:
    """A stretch per page that was opened, from its request to the last answer before the next page."""
    pages = [number for number, one in enumerate(observed) if one.document and one.source != "cache"]
    named = dict(actions or {})
    if beyond := [number for number in named if not 1 <= number <= len(pages)]:
        raise RecordingError(f"there is no page {min(beyond)} to name", f"the archive has {len(pages)} pages")
    wanted = [(start, named.get(place, _action_of(observed[start]))) for place, start in enumerate(pages, 1)]
    starts = [start for start, action in wanted if action is not None]
    names = [action for _, action in wanted if action is not None]
    made: list[Stretch] = []
    previous_ms: float | None = None
    for place, start in enumerate(starts):
        stop = starts[place + 1] if place + 1 < len(starts) else len(observed)
        action_id = f"{place + 1:016x}"
        for one in observed[start:stop]:
            one.action_id = action_id
        begin_ms = observed[start].begin_ms
        limit_ms = observed[stop].begin_ms if stop < len(observed) else float("inf")
        ends = [one.done_ms for one in observed[start:stop] if one.done_ms is not None and one.done_ms <= limit_ms]
        end_ms = max([begin_ms, *ends])
        pause_ms = begin_ms - previous_ms if previous_ms is not None else 0.0
        made.append(
            Stretch(
                action=names[place],
                action_id=action_id,
                begin_ms=begin_ms,
                end_ms=end_ms,
                thinks=((round(pause_ms / 1000, 3), 0.0),) if pause_ms >= _PAUSE_MS else (),
            )
        )
        previous_ms = end_ms
    return made


def _action_of(page: Observed) -> str:
    if page.body and any(_PASSWORD.search(name) for name, _ in parse_qsl(page.body)):
        return "login"
    return "logout" if _LOGOUT.search(urlsplit(page.url).path) else "page_load"


def _exchange(entry: Mapping[str, Any]) -> Observed | str:
    request, response = entry["request"], entry.get("response") or {}
    url = str(request["url"]).partition("#")[0]
    scheme = urlsplit(url).scheme
    if scheme in ("ws", "wss") or entry.get("_resourceType") == "websocket" or response.get("status") == 101:
        return "it is a WebSocket"
    if scheme not in ("http", "https") or not urlsplit(url).netloc:
        return f"{scheme or 'its address'} is not HTTP"
    status = int(response.get("status") or 0)
    if status == 0:
        return "it has no answer"
    headers = _headers(request.get("headers"))
    answer = _headers(response.get("headers"))
    content = response.get("content") or {}
    begin_ms = datetime.fromisoformat(str(entry["startedDateTime"])).timestamp() * 1000
    timings = entry.get("timings") or {}
    waited_ms = sum(max(0.0, float(timings.get(name) or 0)) for name in ("blocked", "dns", "connect", "send", "wait"))
    took_ms = max(0.0, float(entry.get("time") or 0))
    size = int(response.get("bodySize") or 0)
    mime = str(content.get("mimeType") or header(answer, "content-type"))
    accept = header(headers, "accept")
    return Observed(
        method=str(request["method"]).upper(),
        url=url,
        final_url=url,
        begin_ms=begin_ms,
        headers=headers,
        body=_body(request.get("postData")),
        head_ms=begin_ms + min(waited_ms, took_ms) if took_ms else begin_ms + waited_ms,
        end_ms=begin_ms + took_ms,
        status=status,
        answers=[answer],
        content=_content(content),
        size=size if size > 0 else None,
        source="cache"
        if response.get("_fromCache") or entry.get("_fromCache")
        else "revalidated"
        if status == 304
        else "network",
        document="html" in mime
        and (not accept or "html" in accept)
        and entry.get("_resourceType", "document") in ("document", "other"),
    )


def _joined(observed: Sequence[Observed]) -> list[Observed]:
    """Each redirect and what it led to as one; HAR has an entry per hop, in which the next begins when the one before ends."""
    made: list[Observed] = []
    waiting: dict[str, Observed] = {}
    for one in observed:
        first = waiting.pop(one.url, None) if one.method in ("GET", "HEAD") or one.url in waiting else None
        if first is not None:
            first.answers += one.answers
            first.status, first.final_url, first.content, first.size = one.status, one.url, one.content, one.size
            first.head_ms, first.end_ms, first.document = one.head_ms, one.end_ms, one.document or first.document
            current = first
        else:
            made.append(one)
            current = one
        target = header(one.answers[-1], "location")
        if one.status in _REDIRECTS and target:
            waiting[_resolved(one.url, target)] = current
    return made


def _resolved(url: str, target: str) -> str:
    return urljoin(url, target).partition("#")[0]


def _headers(told: Iterable[Mapping[str, Any]] | None) -> Headers:
    return tuple((str(one["name"]), str(one.get("value", ""))) for one in told or ())


def _body(told: Mapping[str, Any] | None) -> str | None:
    if not told:
        return None
    if told.get("text"):
        return str(told["text"])
    pairs = [(str(one.get("name", "")), str(one.get("value", ""))) for one in told.get("params") or ()]
    return urlencode(pairs) if pairs else None


def _content(told: Mapping[str, Any]) -> str | None:
    text = told.get("text")
    if not isinstance(text, str):
        return None
    if told.get("encoding") != "base64":
        return text
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None

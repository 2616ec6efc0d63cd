"""Regions in Grafana by its HTTP API, over the package `grafana-api`. Nothing else knows that package.

It has had no release since 2020, so this is what is taken from it and what is not:

- taken: the session with its token, `annotations.add_annotation`, and the raw calls `api.GET` and `api.PATCH`;
- `annotations.get_annotation` does not encode tags (and raises TypeError for some arguments): the query is written here;
- `annotations.partial_update_annotation` sends all keys, so that an end would wipe the tags: PATCH is sent with the
  changes only;
- its reading of refusals fails with TypeError on pages that are no JSON, and it follows redirects to a login page: a hook on
  its session looks at every answer first.

To put another package in its place, replace `_Grafana`.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
from grafana_api.grafana_face import GrafanaFace

from sidecar.errors import ShipError, ShipLaterError, ShipRefusedError, UsageFault

_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
#: Grafana keeps a tag's value in 100 characters, and all tags of an annotation in 500 unless it is told otherwise
_TAG_LENGTH: Final = 100
_TAGS_LENGTH: Final = 500
_URL_REMEDY: Final = "correct TRACEMARK_GRAFANA_URL (with the path below which Grafana answers)"
_TOKEN_REMEDY: Final = "set TRACEMARK_GRAFANA_TOKEN to the token of a service account with the role Editor"  # noqa: S105  (no password)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation as Grafana holds it; `end_ms` equals `start_ms` until it has become a region. Epoch milliseconds."""

    number: int
    uid: str
    start_ms: int
    end_ms: int
    text: str
    tags: tuple[str, ...]


class Annotations:
    """Regions that are begun, extended and ended under a uid of ours; each call may be repeated.

    They belong to the organisation, not to a dashboard: a dashboard shows them by a tag query (`tracemark`). The uid is kept as
    the tag `tracemark:<uid>`. All times are epoch nanoseconds, UTC.

    Raises UsageFault for a wrong uid, tag, URL or time, ShipLaterError when Grafana is away or does not let us in,
    ShipRefusedError when it does not take the annotation.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 10.0) -> None:
        self._grafana = _Grafana(url, token, timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._grafana.close()

    def version(self) -> str:
        """Grafana's version; needs no permission."""
        return str(self._grafana.get("/health").get("version", ""))

    def find(self, uid: str) -> Annotation | None:
        """The annotation of that uid, if there is one."""
        query = urllib.parse.urlencode({"type": "annotation", "tags": _tag(uid), "limit": 100})
        found = [self._read(uid, row) for row in self._grafana.rows(f"/annotations?{query}")]
        # Two that were begun at once: everybody takes the first.
        return min(found, key=lambda annotation: annotation.number, default=None)

    def begin(self, uid: str, at_ns: int, text: str, tags: Sequence[str] = ()) -> Annotation:
        """Begin a region; one that is there already is returned as it is."""
        return self.find(uid) or self._create(uid, _ms(at_ns), None, text, tags)

    def extend(self, uid: str, at_ns: int) -> Annotation:
        """Let a region reach to that time at least; for a run that goes on."""
        found = self._known(uid)
        return self._change(found, end_ms=max(found.end_ms, _end_ms(found.start_ms, at_ns, uid)))

    def end(self, uid: str, at_ns: int, text: str | None = None) -> Annotation:
        """End a region at that time, with another text if given."""
        found = self._known(uid)
        return self._change(found, end_ms=_end_ms(found.start_ms, at_ns, uid), text=text)

    def put(self, uid: str, from_ns: int, to_ns: int, text: str, tags: Sequence[str] = ()) -> Annotation:
        """A whole region at once: made, or changed to be like this."""
        start_ms = _ms(from_ns)
        end_ms = _end_ms(start_ms, to_ns, uid)
        found = self.find(uid)
        if found is None:
            return self._create(uid, start_ms, end_ms, text, tags)
        return self._change(found, start_ms=start_ms, end_ms=end_ms, text=text, tags=_all_tags(uid, tags))

    def _read(self, uid: str, row: Mapping[str, Any]) -> Annotation:
        try:
            start_ms = int(row["time"])
            return Annotation(
                number=int(row["id"]),
                uid=uid,
                start_ms=start_ms,
                end_ms=max(start_ms, int(row.get("timeEnd") or 0)),
                text=str(row.get("text", "")),
                tags=tuple(map(str, row.get("tags") or ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._grafana.not_grafana("annotations without number or time") from error

    def _known(self, uid: str) -> Annotation:
        found = self.find(uid)
        if found is None:
            raise UsageFault(f"Grafana has no annotation {uid!r}", "begin it first: tracemark annotate begin")
        return found

    def _create(self, uid: str, start_ms: int, end_ms: int | None, text: str, tags: Sequence[str]) -> Annotation:
        words = _all_tags(uid, tags)
        if not text.strip():
            raise UsageFault("an annotation needs a text", "say what it is, with --text")
        number = self._grafana.add(start_ms, end_ms, words, text)
        return Annotation(
            number=number, uid=uid, start_ms=start_ms, end_ms=start_ms if end_ms is None else end_ms, text=text, tags=words
        )

    def _change(
        self,
        found: Annotation,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        text: str | None = None,
        tags: tuple[str, ...] | None = None,
    ) -> Annotation:
        wanted = Annotation(
            number=found.number,
            uid=found.uid,
            start_ms=found.start_ms if start_ms is None else start_ms,
            end_ms=found.end_ms if end_ms is None else end_ms,
            text=found.text if text is None else text,
            tags=found.tags if tags is None else tags,
        )
        changes: dict[str, Any] = {}
        if wanted.start_ms != found.start_ms:
            changes["time"] = wanted.start_ms
        if wanted.end_ms != found.end_ms or "time" in changes:
            changes["timeEnd"] = wanted.end_ms
        if wanted.text != found.text:
            changes["text"] = wanted.text
        if set(wanted.tags) != set(found.tags):
            changes["tags"] = list(wanted.tags)
        if changes:
            self._grafana.patch(f"/annotations/{found.number}", changes)
        return wanted


class _Grafana:
    """The calls that are made, over `grafana-api`; every fault is one of ours, in words that never hold the token."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        parts = _parts(url)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageFault("there is no usable Grafana token", _TOKEN_REMEDY)
        self._where = f"Grafana at {url}"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        path = parts.path.strip("/")
        self._face = GrafanaFace(
            token,
            host=host,
            port=parts.port,
            url_path_prefix=f"{path}/" if path else "",
            protocol=parts.scheme,
            timeout=timeout_s,
        )
        self._face.api.s.hooks["response"].append(self._look)

    def close(self) -> None:
        self._face.api.s.close()

    def get(self, path: str) -> Mapping[str, Any]:
        return self._mapping(self._ask(self._face.api.GET, path))

    def rows(self, path: str) -> list[Mapping[str, Any]]:
        answer = self._ask(self._face.api.GET, path)
        if not isinstance(answer, list):
            raise self.not_grafana("something else than a list")
        return [self._mapping(row) for row in answer]

    def add(self, start_ms: int, end_ms: int | None, tags: Sequence[str], text: str) -> int:
        answer = self._ask(self._face.annotations.add_annotation, time_from=start_ms, time_to=end_ms, tags=list(tags), text=text)
        number = self._mapping(answer).get("id")
        if not isinstance(number, int):
            raise self.not_grafana("something else than the annotation's number")
        return number

    def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        self._ask(self._face.api.PATCH, path, json=changes)

    def _ask(self, call: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except requests.exceptions.SSLError as error:
            raise ShipLaterError(
                f"{self._where} cannot be spoken to over TLS",
                "correct http or https in TRACEMARK_GRAFANA_URL, or name the file of its authority in REQUESTS_CA_BUNDLE",
            ) from error
        except requests.RequestException as error:
            # The kind says enough; the error's own text may hold headers.
            raise ShipLaterError(
                f"{self._where} does not answer ({type(error).__name__})", "start it, or correct TRACEMARK_GRAFANA_URL"
            ) from error

    def _look(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        """Refuse an answer that the package must not see."""
        status = answer.status_code
        try:
            said = answer.json()
        except requests.exceptions.JSONDecodeError:
            said = None
        if 300 <= status < 400 or (said is None and status not in (401, 403, 429) and status < 500):
            kind = answer.headers.get("Content-Type", "").partition(";")[0] or "no content type"
            raise self.not_grafana(f"{status} and {kind} instead of JSON")
        if status >= 400:
            raise self._meaning(status, said.get("message", "") if isinstance(said, dict) else "")

    def _meaning(self, status: int, message: object) -> ShipError:
        words = " ".join(str(message).split())[:200]
        reason = f"{status}: {words}" if words else str(status)
        if status == 401:
            return ShipLaterError(f"{self._where} does not accept the token ({reason})", _TOKEN_REMEDY)
        if status == 403:
            return ShipLaterError(f"{self._where} does not let this token annotate ({reason})", _TOKEN_REMEDY)
        if status in (408, 429) or status >= 500:
            return ShipLaterError(f"{self._where} is busy or broken ({reason})", "look at its log, then call this again")
        if status == 404:
            return ShipRefusedError(f"{self._where} does not know this ({reason})", _URL_REMEDY)
        return ShipRefusedError(f"{self._where} refuses the annotation ({reason})", "correct what it names")

    def not_grafana(self, how: str) -> ShipLaterError:
        """The fault of an answer that Grafana would not give."""
        return ShipLaterError(f"{self._where} answers with {how}", _URL_REMEDY)

    def _mapping(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.not_grafana("something else than an object")
        return value


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        _ = parts.port  # looked at only now: a port that is no number is an error here
    except ValueError:
        usable = False
    if not usable:
        raise UsageFault(f"{url!r} is not the URL of a Grafana", "set TRACEMARK_GRAFANA_URL=http://HOST:3000")
    if parts.username or parts.password:
        raise UsageFault("the URL of Grafana holds a name or password", "leave it out and set TRACEMARK_GRAFANA_TOKEN")
    return parts


def _tag(uid: str) -> str:
    if not _UID.fullmatch(uid):
        raise UsageFault(f"uid {uid[:40]!r} is not one", "use up to 80 letters, digits, '_', '.', '-'")
    return f"tracemark:{uid}"


def _all_tags(uid: str, tags: Sequence[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(("tracemark", _tag(uid), *(tag.strip() for tag in tags if tag.strip()))))
    for word in words[2:]:
        if "," in word or not word.isprintable() or len(word) > _TAG_LENGTH or word.startswith("tracemark:"):
            raise UsageFault(
                f"tag {word[:40]!r} cannot be used", f"use up to {_TAG_LENGTH} characters without ',', not 'tracemark:…'"
            )
    if sum(map(len, words)) + len(words) > _TAGS_LENGTH:
        raise UsageFault("these are too many tags", f"Grafana keeps {_TAGS_LENGTH} characters of them: use fewer or shorter ones")
    return words


def _ms(time_ns: int) -> int:
    return time_ns // 1_000_000


def _end_ms(start_ms: int, end_ns: int, uid: str) -> int:
    """End in milliseconds, at least one after the start: else it would be a line and no region."""
    end_ms = -(-end_ns // 1_000_000)
    if end_ms < start_ms:
        raise UsageFault(f"annotation {uid!r} would end before it begins", "give a later time with --at")
    return max(end_ms, start_ms + 1)

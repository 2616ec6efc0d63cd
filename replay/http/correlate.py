"""Makes a recording out of what was observed: values become references, times become an order.

A value that an earlier answer handed out and a later request uses is taken from the answer again at replay; the account's secrets
and the scenario's parameters become references, too. Nothing else of an answer is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from replay.http.observed import Observed, Stretch, header
from replay.http.order import Order, order
from replay.http.recording import Recording, RecordingError, Request, Take, plain_kind
from replay.http.references import FORMS, literal, reference
from replay.http.values import candidates, take_from

#: headers that the replay makes itself, or that would say who somebody was
_DROPPED = frozenset(
    {"accept-encoding", "authorization", "connection", "content-length", "cookie", "host", "if-modified-since", "if-none-match"}
    | {"keep-alive", "proxy-authorization", "te", "traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent"}
)
#: a parameter that is shorter would be found everywhere
_LEAST_PARAMETER = 4
#: a secret that is shorter cannot be told from other text
_LEAST_SECRET = 3
_EDGE_BEFORE, _EDGE_AFTER = r"(?:(?<![A-Za-z0-9_])|(?<=%[0-9A-Fa-f]{2}))", r"(?![A-Za-z0-9_])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the texts of requests may hold: `secrets` by environment variable, `parameters` of the scenario by name."""

    scenario: str
    role: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    pace: float = 1.0


def recording_of(
    observed: Sequence[Observed], stretches: Sequence[Stretch], site: str, known: Known, notes: Sequence[str] = ()
) -> Recording:
    """The recording of a session on `site`; raises RecordingError when there is nothing to replay."""
    place = urlsplit(site)
    origin = f"{place.scheme}://{place.netloc}"
    ours = sorted((one for one in observed if _origin(one.url) == origin), key=lambda one: one.begin_ms)
    asked = [one for one in ours if one.source != "cache" and one.done_ms is not None]
    said = [*notes, *_left_out(observed, ours, asked)]
    if not asked:
        raise RecordingError(f"nothing was requested from {origin}", "record a session on this site")
    phases, orders = order(asked, stretches)
    writer = _Writer(asked, origin, place.path.rstrip("/"), known)
    requests = [writer.request(number, one) for number, one in enumerate(asked)]
    takes = writer.takes
    return Recording(
        scenario=known.scenario,
        role=known.role,
        phases=tuple(phases),
        requests=tuple(
            _ordered(_taking(one, takes.get(number, ()), asked[number]), orders[number]) for number, one in enumerate(requests)
        ),
        parameters={name: value for name, value in known.parameters.items() if name in writer.used},
        pace=known.pace,
        notes=tuple(said),
    )


def _taking(request: Request, takes: Sequence[Take], seen: Observed) -> Request:
    """With these takes, and the kind of answer that they were found in."""
    kind = header(seen.answers[-1], "content-type") if takes and seen.answers else ""
    return replace(request, takes=tuple(takes), kind=plain_kind(kind))


def _ordered(request: Request, place: Order) -> Request:
    return replace(request, phase=place.phase, event=place.event, of=place.of, delay_ms=place.delay_ms, waits=place.waits)


def _left_out(observed: Sequence[Observed], ours: Sequence[Observed], asked: Sequence[Observed]) -> list[str]:
    said = []
    hosts = sorted({urlsplit(one.url).hostname or "" for one in observed} - {urlsplit(one.url).hostname or "" for one in ours})
    if len(observed) > len(ours):
        said.append(f"{len(observed) - len(ours)} requests to other addresses are left out ({', '.join(hosts) or 'other ports'})")
    cached = sum(one.source == "cache" for one in ours)
    if cached:
        said.append(f"{cached} answers came from the browser's cache and are not asked for")
    unanswered = len(ours) - cached - len(asked)
    if unanswered > 0:
        said.append(f"{unanswered} requests without an answer are left out")
    return said


def _origin(url: str) -> str:
    place = urlsplit(url)
    return f"{place.scheme}://{place.netloc}"


class _Writer:
    """Writes requests one after the other, in the order of their begin."""

    def __init__(self, asked: Sequence[Observed], origin: str, base: str, known: Known) -> None:
        self._asked = asked
        self._origin = origin
        self._base = base
        self._site = origin + base
        self._secrets = {f"env:{name}": value for name, value in known.secrets.items() if len(value) >= _LEAST_SECRET}
        self._parameters = {name: value for name, value in known.parameters.items() if len(value) >= _LEAST_PARAMETER}
        self._made: dict[str, str] = {}  # value -> name
        self._constant: set[str] = set()
        self.takes: dict[int, list[Take]] = {}
        self.used: set[str] = set()

    def request(self, number: int, one: Observed) -> Request:
        kind = header(one.headers, "content-type")
        self._correlate(number, one, kind)
        below = one.url.removeprefix(self._site) if _is_below(one.url, self._site) else None
        path = self.text(below or "/", "url") if below is not None else None
        lands = urlsplit(one.final_url).path if one.final_url != one.url and one.final_url else None
        return Request(
            phase=0,
            method=one.method,
            url=path if path is not None else reference("origin", "raw") + self.text(one.url.removeprefix(self._origin), "url"),
            headers={
                name: self.text(value, "url")
                for name, value in one.headers
                if name.lower() not in _DROPPED and not name.startswith(":") and not name.lower().startswith("sec-ch-ua")
            },
            body=self.text(one.body, _form(kind)) if one.body is not None else None,
            status=one.status,
            lands=self.text(lands.removeprefix(self._base), "url") if lands is not None else None,
            size=one.size,
            conditional=one.source == "revalidated",
            download=one.download,
            icon=one.icon,
            hop_ms=one.hop_ms,
        )

    def text(self, text: str, form: str) -> str:
        """A text with references for all that is known."""
        table: dict[str, tuple[str, str, bool]] = {}
        for name, value in (("site", self._site), ("origin", self._origin)):
            self._enter(table, text, name, value, form, whole=False)
        for value, name in self._made.items():
            self._enter(table, text, name, value, form, whole=True)
        for name, value in self._parameters.items():
            self._enter(table, text, name, value, form, whole=True)
        for name, value in self._secrets.items():
            self._enter(table, text, name, value, form, whole="PASS" not in name and "SECRET" not in name)
        if not table:
            return literal(text)
        spelled = sorted(table, key=len, reverse=True)
        pattern = re.compile(
            "|".join(f"{_EDGE_BEFORE}{re.escape(one)}{_EDGE_AFTER}" if table[one][2] else re.escape(one) for one in spelled)
        )
        made, place = "", 0
        for match in pattern.finditer(text):
            name, wanted, _ = table[match[0]]
            if name in self._parameters:
                self.used.add(name)
            made += literal(text[place : match.start()]) + reference(name, wanted)
            place = match.end()
        return made + literal(text[place:])

    @staticmethod
    def _enter(table: dict[str, tuple[str, str, bool]], text: str, name: str, value: str, form: str, *, whole: bool) -> None:
        for wanted in (form, "raw"):
            spelled = FORMS[wanted](value)
            if spelled in text and (wanted == form or spelled not in table):
                table[spelled] = (name, wanted, whole)

    def _correlate(self, number: int, one: Observed, kind: str) -> None:
        fixed = {*self._parameters.values(), *self._secrets.values(), *(urlsplit(self._site).netloc.split(":"))}
        words = [value for _, value in one.headers if _.lower() not in _DROPPED and _.lower().startswith("x-")]
        for value in [*candidates(one.url, one.body, kind), *words]:
            if value in self._made or value in fixed or value in self._constant:
                continue
            if not self._find(number, one, value):
                self._constant.add(value)  # the client's own: what it sent before it was told is no answer's

    def _find(self, number: int, one: Observed, value: str) -> bool:
        volatile = [*self._made, *self._secrets.values(), self._origin, self._base, urlsplit(self._site).netloc]
        anchors = list(self._parameters.values())
        for source in range(number):
            answer = self._asked[source]
            done_ms = answer.head_ms if answer.document else answer.done_ms
            if done_ms is None or done_ms > one.begin_ms:
                continue
            for where in ("head", "body"):
                text = head_text(answer.answers) if where == "head" else answer.content or ""
                if value not in text:
                    continue
                name = f"v{len(self._made) + 1}"
                take = take_from(text, value, name, "head" if where == "head" else "body", volatile, anchors)
                if take is not None:
                    self._made[value] = name
                    self.takes.setdefault(source, []).append(take)
                    return True
        return False


def head_text(answers: Sequence[Sequence[tuple[str, str]]]) -> str:
    """The heads of all hops as the text in which values are looked for."""
    return "".join(f"{name.lower()}: {value}\n" for hop in answers for name, value in hop)


def _is_below(url: str, site: str) -> bool:
    return url.startswith(site) and (len(url) == len(site) or url[len(site)] in "/?")


def _form(kind: str) -> str:
    if "urlencoded" in kind:
        return "form"
    if "json" in kind:
        return "json"
    return "xml" if "xml" in kind else "raw"

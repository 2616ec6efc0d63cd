"""The file NAME.requests.json: the requests of a session, their order, and where the values in them come from.

It holds no cookie, no password and no user name: those stand there as references (`${env:XNAT_USER|form}`), and so do values
that the server hands out (`${v3|url}`), which are taken from the answers again at every replay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from replay.durable import write_json
from replay.http.recording_check import defects
from replay.http.references import names
from replay.scenario_text import read_json
from sidecar.model.faults import UsageFault

FORMAT = 1
SUFFIX = ".requests.json"


class RecordingError(UsageFault):
    """A recording of requests that cannot be read or cannot be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A value to be taken out of an answer: the `nth` match of `pattern` (one group) in its head or body.

    `form` says how it is written there: raw, html or json.
    """

    name: str
    where: Literal["head", "body"]
    pattern: str
    nth: int = 0
    form: Literal["raw", "html", "json"] = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `url` begins with a slash and is meant below the site's address; with `${origin|raw}` before it, below its
    host. Texts may hold references.

    It starts `delay_ms` after `event`: the begin of its phase, or the head or the end of the answer to request `of`. `waits` says
    that the action is not over before it is. `hop_ms` are the pauses before the hops that redirects lead to. `status` and `lands`
    (path, only after redirects) are the expected outcome, `size` the expected bytes of the last answer's body (None: not known).
    `icon`: a page's icon, whose answer may be any; a browser does not ask again when it could keep it, or when there was none.
    `kind` is the content type that an answer must have for values to be taken from it (empty: any).
    """

    phase: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None
    event: Literal["phase", "head", "end"] = "phase"
    of: int | None = None
    delay_ms: float = 0.0
    waits: bool = True
    status: int = 200
    lands: str | None = None
    size: int | None = None
    conditional: bool = False
    download: bool = False
    icon: bool = False
    kind: str = ""
    hop_ms: tuple[float, ...] = ()
    takes: tuple[Take, ...] = ()

    def names(self) -> Iterator[str]:
        """What its texts refer to."""
        return (name for text in (self.url, self.body or "", *self.headers.values()) for name in names(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """An action (or, with action None, what the page does between two): pauses before it, and the rest after its last answer."""

    action: str | None
    thinks: tuple[tuple[float, float], ...] = ()
    settle_ms: float = 0.0
    paced: bool = False


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A session's requests in the order in which they began; `notes` say what was left out. `connections` are per host."""

    scenario: str
    role: str
    phases: tuple[Phase, ...]
    requests: tuple[Request, ...]
    parameters: Mapping[str, str]
    pace: float = 1.0
    connections: int = 6
    notes: tuple[str, ...] = ()

    @cached_property
    def needs(self) -> tuple[tuple[int, ...], ...]:
        """For each request the requests whose answers hand out the values that it uses."""
        source = {take.name: number for number, one in enumerate(self.requests) for take in one.takes}
        return tuple(tuple(sorted({source[name] for name in one.names() if name in source})) for one in self.requests)

    @cached_property
    def by_phase(self) -> Mapping[int, Sequence[int]]:
        """The requests of each phase that has some."""
        found: dict[int, list[int]] = {}
        for number, request in enumerate(self.requests):
            found.setdefault(request.phase, []).append(number)
        return found

    def actions(self) -> list[str]:
        """The actions in order."""
        return [phase.action for phase in self.phases if phase.action is not None]

    def accounts(self) -> list[str]:
        """The environment variables that the requests refer to."""
        found = dict.fromkeys(name for one in self.requests for name in (*one.names(), *names(one.lands or "")))
        return [name.removeprefix("env:") for name in found if name.startswith("env:")]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], name: str) -> Recording:
        """Back from the file's content; raises RecordingError."""
        try:
            if raw["format"] != FORMAT:
                raise RecordingError(
                    f"{name} has format {raw['format']!r}", f"this version reads format {FORMAT}; record it again"
                )
            fields = {key: value for key, value in raw.items() if key != "format"}
            fields["phases"] = tuple(Phase(**{**one, "thinks": tuple(map(tuple, one["thinks"]))}) for one in raw["phases"])
            fields["requests"] = tuple(
                Request(**{**one, "hop_ms": tuple(one.get("hop_ms", ())), "takes": tuple(Take(**take) for take in one["takes"])})
                for one in raw["requests"]
            )
            fields["notes"] = tuple(raw["notes"])
            made = cls(**fields)
            made.check(name)
        except (TypeError, KeyError, AttributeError) as error:
            raise RecordingError(f"{name} is no recording of requests ({error})", "record it again") from error
        return made

    def check(self, name: str) -> None:
        """Raise RecordingError for what cannot be played, or when a request points to what is not before it."""
        if (what := next(defects(self), None)) is not None:
            raise RecordingError(f"{name}: {what}", "record it again")
        for number, request in enumerate(self.requests):
            if not 0 <= request.phase < len(self.phases) or (request.of is not None and not 0 <= request.of < number):
                raise RecordingError(f"{name}: request {number} refers to nothing before it", "record it again")

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a file; raises RecordingError."""
        try:
            raw = read_json(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise RecordingError(f"{path} cannot be read ({error})", "record it again, or name another file") from error
        if not isinstance(raw, dict):
            raise RecordingError(f"{path} is no recording of requests", "record it again, or name another file")
        return cls.from_json(raw, path.name)


def plain_kind(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()

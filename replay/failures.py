"""Why a repetition failed, as a kind: the kind decides whether it is played again, how often, or whether the campaign ends."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from replay.expectations import RefusedError
from replay.scenario_shape import Step
from replay.sight import NotReadyError
from sidecar.model.faults import Fault, UsageFault

Kind = Literal[
    "connection", "site", "element", "browser", "clock", "capture",
    "scenario", "account", "certificate", "version", "permission", "disk",
]  # fmt: skip
#: what may be over soon: played again with growing pauses until `--timeout` is over
WAITED_FOR: frozenset[Kind] = frozenset({"connection"})
#: what may go better the next time: played again, at most `--attempts` times in all; every other kind ends the campaign.
#: An `element` is one that is missing at that moment; a `scenario` that cannot be played is the same at every attempt.
TRIED_AGAIN: frozenset[Kind] = frozenset({"site", "element", "browser", "clock", "capture"})
#: what a proxy answers while the server behind it is away
_AWAY = (502, 503, 504)
_LOCKED = ("lock", "disabled", "not enabled", "expired", "blocked", "deaktiv", "gesperrt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What stopped an attempt; `step` and `name` say where the scenario was, None outside of it. The words are for people."""

    kind: Kind
    what: str
    remedy: str
    step: int | None = None
    name: str | None = None

    @property
    def where(self) -> str:
        """The step in words, to be put behind `failed`; empty outside of a scenario."""
        return f" at step {self.step} ({self.name})" if self.step is not None else ""

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


class ConnectionFailedError(Fault):
    """The site could not be reached, or a connection to it broke off."""

    kind: ClassVar[Kind] = "connection"
    retry = True


class CertificateError(UsageFault):
    """The browser does not trust the site's certificate, or does not go to such an address."""

    kind: ClassVar[Kind] = "certificate"


class ClockJumpError(Fault):
    """The wall clock was set during a repetition: its times and those of a capture cannot be compared any more."""

    kind: ClassVar[Kind] = "clock"
    retry = True


class DiskError(Fault):
    """A result cannot be written."""

    kind: ClassVar[Kind] = "disk"


def page_failure(code: str) -> Fault:
    """The error for a browser's error page, by the code that it shows (`ERR_CONNECTION_REFUSED`, `net::ERR_CERT_…`)."""
    name = code.removeprefix("net::") or "an error page"
    if "_CERT_" in name or "_SSL_" in name:
        remedy = "name the certificate with --trust, install its authority for the browser, or correct --url"
        return CertificateError(f"the site's certificate is not trusted ({name})", remedy)
    if name == "ERR_UNSAFE_PORT":
        return CertificateError("the browser refuses this port (ERR_UNSAFE_PORT)", "let the site listen on another port")
    return ConnectionFailedError(f"the site cannot be reached ({name})", "look at the network and the site")


def disk_fault(error: OSError, path: Path | None = None) -> DiskError:
    """A clear line for what the operating system says about a file; `path` where that does not name it."""
    about = error.filename or path
    name = f" to {about}" if about else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(f"there is no room to write{name}", "make room, then give the same command again")
    return DiskError(f"a result cannot be written{name} ({error.strerror or error})", "correct that, then give the same command")


def failure_of(
    error: Fault | NotReadyError | OSError,
    *,
    step: Step | None = None,
    status: int = 0,
    said: str = "",
    kind: Kind | None = None,
) -> Failure:
    """Judge an error, unless its `kind` is given. `status` is the HTTP status of the page shown then, `said` its message."""
    number, name = (step.number, step.name) if step is not None else (None, None)
    if isinstance(error, OSError):
        error = disk_fault(error)
    if isinstance(error, NotReadyError):
        return Failure(kind="site", what=str(error), remedy="play again", step=number, name=name)
    if kind is None:
        kind = getattr(error, "kind", "scenario" if isinstance(error, UsageFault) else "element")
    what, remedy = error.what, error.remedy
    assert kind is not None  # noqa: S101 (errors of ours that name a kind name one)
    if isinstance(error, RefusedError):
        kind = "connection" if status in _AWAY else "site"
        if step is not None and step.action == "login" and status < 400:
            kind = "account"
            if said:
                what = f"the site does not take the account ({said})"
            if any(word in said.lower() for word in _LOCKED):
                remedy = "have the account unlocked; no further attempt was made"
    return Failure(kind=kind, what=what, remedy=remedy, step=number, name=name)

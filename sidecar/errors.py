"""The sidecar's errors, one tree. Each says what is wrong, what to do, and whether trying again can help.

Fault                       root, from the shared kernel (exit status 1)
├── UsageFault              wrong use or configuration (exit status 2)
│   └── SettingError        a setting's key or value
├── InvalidRecordError      a record or message that breaks the model
├── CollectError            a source cannot be read          (retry)
│   ├── EngineGoneError     the Docker engine does not answer (retry)
│   └── LogUnreadableError  a log file cannot be read         (retry)
├── JournalError
│   ├── JournalFullError    no space left; reading still works (retry)
│   ├── JournalBusyError    another program holds it         (retry)
│   ├── JournalCorruptError the file is damaged
│   └── JournalNewerError   the file was written by a newer version
├── ShipError
│   ├── ShipLaterError      the store is away or busy         (retry)
│   └── ShipRefusedError    the store refuses these points
├── TicketError             getting in by an XNAT login
│   ├── NotLoggedInError    the cookie is of no living XNAT login
│   ├── NotAllowedError     the login has none of the roles that may come in
│   ├── TicketTooOldError   the ticket to renew is not ours or too old
│   ├── TicketsTooFastError tickets are asked for too fast   (retry)
│   └── XnatAwayError       XNAT cannot be asked             (retry)
└── PortTakenError          an address to listen on is in use (exit status 2)
"""

from __future__ import annotations

from sidecar.model.faults import Fault, InvalidRecordError, UsageFault

__all__ = [
    "CollectError",
    "EngineGoneError",
    "Fault",
    "InvalidRecordError",
    "JournalBusyError",
    "JournalCorruptError",
    "JournalError",
    "JournalFullError",
    "JournalNewerError",
    "LogUnreadableError",
    "NotAllowedError",
    "NotLoggedInError",
    "PortTakenError",
    "SettingError",
    "ShipError",
    "ShipLaterError",
    "ShipRefusedError",
    "TicketError",
    "TicketTooOldError",
    "TicketsTooFastError",
    "TracemarkError",
    "UsageFault",
    "XnatAwayError",
]

TracemarkError = Fault


class SettingError(UsageFault):
    """A setting whose key or value is wrong; names the key, the value and what is allowed."""


class CollectError(Fault):
    """A source cannot be read now."""

    retry = True


class EngineGoneError(CollectError):
    """The Docker engine does not answer."""


class LogUnreadableError(CollectError):
    """A log file is absent or may not be read."""


class JournalError(Fault):
    """The journal cannot do what was asked."""


class JournalFullError(JournalError):
    """No space is left for the journal; what is in it can still be read."""

    retry = True


class JournalBusyError(JournalError):
    """Another program holds the journal's lock for too long."""

    retry = True


class JournalCorruptError(JournalError):
    """The journal's file is damaged."""


class JournalNewerError(JournalError):
    """The journal's file was written by a newer version of Tracemark."""


class ShipError(Fault):
    """Points could not be delivered."""


class ShipLaterError(ShipError):
    """The store is away, busy or full: try again, not before `after_s` seconds."""

    retry = True

    def __init__(self, what: str, remedy: str, after_s: float | None = None) -> None:
        super().__init__(what, remedy)
        self.after_s = after_s


class ShipRefusedError(ShipError):
    """The store refuses these points for good."""


class TicketError(Fault):
    """An XNAT login does not let in here; where trying again helps, not before `after_s` seconds."""

    def __init__(self, what: str, remedy: str, after_s: float | None = None) -> None:
        super().__init__(what, remedy)
        self.after_s = after_s


class NotLoggedInError(TicketError):
    """The cookie is of no living XNAT login."""


class NotAllowedError(TicketError):
    """The login has none of the site roles that may come in."""


class TicketTooOldError(TicketError):
    """The ticket to renew is not one of ours, or was over too long ago."""


class TicketsTooFastError(TicketError):
    """Tickets are asked for too fast."""

    retry = True


class XnatAwayError(TicketError):
    """XNAT cannot be asked whose login a cookie is."""

    retry = True

    def __init__(self, what: str, remedy: str, after_s: float = 10.0) -> None:
        super().__init__(what, remedy, after_s)


class PortTakenError(UsageFault):
    """An address to listen on is already in use."""

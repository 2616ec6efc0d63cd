"""What XNAT said of a session cookie, asked as seldom as may be and never by more than a few callers at once.

Of a cookie only a hash is remembered, under a key that ends with the process.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sidecar.clock import Clock
from sidecar.errors import TicketsTooFastError, XnatAwayError
from sidecar.markers.limits import Bucket
from sidecar.markers.xnat_login import is_cookie

log = logging.getLogger(__name__)
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimits:
    """The bounds of the memory.

    XNAT's answer counts for `remember_s`, that it has nothing to tell for `remember_nobody_s`. Bursts and rates: looks per login,
    and questions to XNAT all together. At most `questions_at_once` callers wait for XNAT; `logins` are remembered.
    """

    remember_s: float = 60.0
    remember_nobody_s: float = 5.0
    logins: int = 4096
    looks_per_s: float = 0.5
    looks_burst: int = 20
    questions_per_s: float = 20.0
    questions_burst: int = 100
    questions_at_once: int = 4


class _Login(Generic[Told]):
    """What is remembered of one cookie. `asking` is held by whoever asks XNAT about it."""

    __slots__ = ("asking", "bucket", "told", "until_ns")

    def __init__(self, bucket: Bucket) -> None:
        self.asking = threading.Lock()
        self.bucket = bucket
        self.told: Told | None = None
        self.until_ns: int | None = None


class LoginMemory(Generic[Told]):
    """Thread-safe. `ask` tells of a cookie, None for nobody, and raises XnatAwayError when XNAT cannot be asked.

    `what` names in the log what cannot be had without XNAT.
    """

    def __init__(self, ask: Callable[[str], Told | None], clock: Clock, limits: MemoryLimits, what: str) -> None:
        self._ask_xnat = ask
        self._clock = clock
        self._limits = limits
        self._what = what
        self._hash_key = secrets.token_bytes(32)
        self._logins: OrderedDict[bytes, _Login[Told]] = OrderedDict()
        self._questions = Bucket(limits.questions_per_s, limits.questions_burst)
        self._room = threading.BoundedSemaphore(limits.questions_at_once)
        self._lock = threading.Lock()
        self._asked = 0
        self.trouble = ""

    def of(self, cookie: str) -> Told | None:
        """What XNAT tells of this cookie's login, None for nobody. Raises TicketsTooFastError, XnatAwayError."""
        if not is_cookie(cookie):
            return None
        login = self._remembered(hmac.new(self._hash_key, cookie.encode(), hashlib.sha256).digest())
        if self._is_fresh(login):
            return login.told
        if not self._room.acquire(blocking=False):
            raise TicketsTooFastError("XNAT is being asked about other logins", "ask again in a moment", 1.0)
        try:
            with login.asking:  # two tabs of one login: the second one takes the first one's answer
                if not self._is_fresh(login):
                    self._ask(login, cookie)
                return login.told
        finally:
            self._room.release()

    def health(self) -> Mapping[str, int]:
        """Counters about itself."""
        with self._lock:
            return {"questions_to_xnat_total": self._asked, "logins_remembered": len(self._logins)}

    def _remembered(self, name: bytes) -> _Login[Told]:
        with self._lock:
            login = self._logins.get(name)
            if login is None:
                login = self._logins[name] = _Login(Bucket(self._limits.looks_per_s, self._limits.looks_burst))
                if len(self._logins) > self._limits.logins:
                    self._logins.popitem(last=False)
            self._logins.move_to_end(name)
            self._pay(login.bucket)
        return login

    def _is_fresh(self, login: _Login[Told]) -> bool:
        return login.until_ns is not None and self._clock.mono_ns() < login.until_ns

    def _ask(self, login: _Login[Told], cookie: str) -> None:
        with self._lock:
            self._pay(self._questions)
            self._asked += 1
        try:
            told = self._ask_xnat(cookie)
        except XnatAwayError as fault:
            self._say(fault.what)
            raise
        self._say("")
        login.told = told
        remember_s = self._limits.remember_nobody_s if told is None else self._limits.remember_s
        login.until_ns = self._clock.mono_ns() + round(remember_s * 1e9)

    def _pay(self, bucket: Bucket) -> None:
        wait_ms = bucket.take(1, self._clock.mono_ns())
        if wait_ms:
            raise TicketsTooFastError("this login asks too fast", "keep what was given until it is over", wait_ms / 1000)

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("no %s: %s", self._what, trouble)
        self.trouble = trouble

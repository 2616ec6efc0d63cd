"""One exam: sent, archived, verified, told as one UPLOAD; sent again as a whole when something broke off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

from replay.campaign_patience import Limits, Patience
from replay.failures import ConnectionFailedError, failure_of
from replay.player import MarkerSink, Time, traceparent
from replay.results import ActionResult
from replay.upload.exams import Exam
from replay.upload.faults import AccountError, ExamError, SiteAnswerError
from replay.upload.ledger import Entry, Ledger
from replay.upload.site import Site, Stored
from replay.upload.throttle import Throttle
from sidecar.model.faults import Fault

Destination = Literal["archive", "prearchive", "dicom"]
Verify = Literal["count", "size", "checksum"]
_POLL_S = 1.0
#: how long files of an archived session may be missing from the site's catalogue
_CATALOGUE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How exams are sent; `rate` is in bytes per second, None does not throttle."""

    destination: Destination = "archive"
    verify: Verify = "size"
    rate: int | None = None
    limits: Limits = field(default_factory=Limits)


class Sender(Protocol):
    """A way in beside the import service: `replay.upload.dicom_send`."""

    def send(self, entry: Entry, exam: Exam, throttle: Throttle) -> None:
        """Send all of it; raises Fault."""


class ExamUpload:
    """Uploads exams of one burst, one after the other. `session` is the burst's, the trace id of every request."""

    def __init__(
        self,
        *,
        site: Site,
        sender: Sender | None,
        ledger: Ledger,
        how: How,
        clock: Time,
        markers: MarkerSink,
        session: str,
        say: Callable[[str], None],
    ) -> None:
        self._site = site
        self._sender = sender
        self._ledger = ledger
        self._how = how
        self._clock = clock
        self._markers = markers
        self._session = session
        self._say = say

    def upload(self, entry: Entry, exam: Exam, *, fresh: bool) -> Entry:
        """Upload it, within the limits; `fresh` says that nothing of it can be on the site yet.

        Returns the verified entry. Raises ExamError when this exam cannot be uploaded, and whatever else ends the run.
        """
        patience = Patience(self._how.limits)
        while True:
            try:
                if not fresh:
                    done = self._finish_earlier(entry, exam)
                    if done is not None:
                        return done
                fresh = False
                return self._once(entry, exam)
            except ExamError:
                self._clear(entry)
                raise
            except Fault as error:
                failure = failure_of(error)
                pause_s = patience.pause_s(failure, self._clock.mono_ns() / 1e9)
                if pause_s is None:
                    if failure.kind == "site":  # this exam again and again; the next one may do better
                        self._clear(entry)
                        raise ExamError(error.what, error.remedy) from error
                    raise
                self._say(f"{entry.label}: {error.what}; {f'again in {pause_s:.0f} s' if pause_s else 'again'}, from its begin")
                self._clock.pause(pause_s)
                if isinstance(error, ConnectionFailedError):
                    self._reconnect()
                entry = self._ledger.get(entry.exam) or entry

    def _finish_earlier(self, entry: Entry, exam: Exam) -> Entry | None:
        """An earlier attempt may have left it: whole, then it is only noted; or in part, then that is removed."""
        if entry.state == "archived":
            stored = self._site.stored(entry)
            if stored is not None and (stored.files, stored.bytes) == (exam.files, exam.bytes):
                self._compare(entry, exam, stored)
                return self._ledger.change(entry.exam, state="verified", at_ns=self._clock.wall_ns())
        if self._site.remove(entry):
            self._say(f"{entry.label}: what an earlier attempt left was removed")
        return None

    def _once(self, entry: Entry, exam: Exam) -> Entry:
        entry = self._ledger.change(
            entry.exam, state="intended", experiment=None, action=None, failure=None, at_ns=self._clock.wall_ns()
        )
        begin_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        action_id = self._markers.begin("upload")
        self._site.label(traceparent(self._session, action_id))
        try:
            self._send(entry, exam)
            stored = self._arrived(entry, exam)
        except BaseException:
            self._markers.cancel(action_id)
            raise
        finally:
            self._site.label(traceparent(self._session))
        self._markers.end(action_id, bytes=exam.bytes)
        action = ActionResult(
            action="upload",
            action_id=action_id,
            begin_ns=begin_ns,
            duration_ns=self._clock.mono_ns() - mono_ns,
            outcome="completed",
            attributes={"bytes": exam.bytes},
        )
        self._ledger.change(entry.exam, state="archived", experiment=stored.experiment, action=asdict(action))
        self._compare(entry, exam, stored)
        return self._ledger.change(entry.exam, state="verified", at_ns=self._clock.wall_ns())

    def _send(self, entry: Entry, exam: Exam) -> None:
        if self._sender is not None:
            self._sender.send(entry, exam, self._throttle())
        else:
            self._site.send(entry, exam, exam.body(self._throttle), self._how.destination)
        if self._how.destination != "archive":
            self._wait(
                lambda: self._archived(entry), self._how.limits.timeout_s, f"{entry.label} did not become ready to archive"
            )

    def _archived(self, entry: Entry) -> bool:
        # A site may archive by itself what a project takes without asking.
        return self._site.archive(entry) or self._site.stored(entry) is not None

    def _arrived(self, entry: Entry, exam: Exam) -> Stored:
        found: list[Stored] = []

        def complete() -> bool:
            stored = self._site.stored(entry)
            found[:] = [stored] if stored is not None else []
            return stored is not None and stored.files >= exam.files

        self._wait(complete, _CATALOGUE_S, "", strict=False)
        if not found:
            raise SiteAnswerError(f"{entry.label} is not in the archive", "look at the site's log and the prearchive")
        stored = found[0]
        if stored.files != exam.files:
            raise SiteAnswerError(
                f"{entry.label} has {stored.files} files in the archive, not {exam.files}", "look at the site's log"
            )
        if self._how.verify != "count" and stored.bytes != exam.bytes:
            raise ExamError(
                f"{entry.label} has {stored.bytes} bytes in the archive, not {exam.bytes}",
                "where the site changes files (anonymisation), say --set verify=count",
            )
        return stored

    def _compare(self, entry: Entry, exam: Exam, stored: Stored) -> None:
        """After the action: the comparison of checksums is not part of an upload."""
        if self._how.verify == "checksum" and self._site.digests(stored) != Counter(exam.digests):
            raise ExamError(
                f"the files of {entry.label} are not those that were sent", "look at the site's anonymisation and disk"
            )

    def _wait(self, ready: Callable[[], bool], timeout_s: float, what: str, *, strict: bool = True) -> None:
        deadline_ns = self._clock.mono_ns() + round(timeout_s * 1e9)
        while not ready():
            if self._clock.mono_ns() >= deadline_ns:
                if strict:
                    raise SiteAnswerError(f"{what} within {timeout_s:g} s", "look at the prearchive and the site's log")
                return
            self._clock.pause(_POLL_S)

    def _clear(self, entry: Entry) -> None:
        """Leave nothing of an exam that could not be uploaded; the ledger keeps it where that cannot be done now."""
        try:
            self._site.remove(self._ledger.get(entry.exam) or entry)
        except Fault as error:
            self._say(f"{entry.label} could not be removed ({error.what}); --clean-up does it later")

    def _reconnect(self) -> None:
        try:
            self._site.connect()
        except AccountError:
            raise
        except Fault as error:
            self._say(f"{error.what}")
        self._site.label(traceparent(self._session))

    def _throttle(self) -> Throttle:
        return Throttle(self._how.rate, self._clock.mono_ns, self._clock.pause)

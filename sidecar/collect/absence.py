"""What a sample collector must tell besides samples: gaps with begin and end, and times that do not run backwards. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sidecar.model.records import Gap

#: a wall clock that is set back further than this is believed at once instead of waited for
BELIEVE_STEP_NS = 60 * 10**9


class Absences:
    """The open gaps of one part, one per subject; every change is told as the Gap record to store."""

    def __init__(self, part: str, tell: Callable[[Gap], None]) -> None:
        self._part = part
        self._tell = tell
        self._open: dict[str, Gap] = {}

    def begin(self, subject: str, start_ns: int, reason: str) -> None:
        """Open a gap, unless one is open already: the first reason stands."""
        if subject not in self._open:
            self._open[subject] = Gap(part=self._part, subject=subject, start_ns=start_ns, end_ns=None, reason=reason)
            self._tell(self._open[subject])

    def end(self, subject: str, end_ns: int, *, only_after_begin: bool = False) -> None:
        """Close the subject's gap, if one is open; never before it began (or then not at all)."""
        gap = self._open.get(subject)
        if gap and not (only_after_begin and end_ns <= gap.start_ns):
            del self._open[subject]
            self._tell(replace(gap, end_ns=max(end_ns, gap.start_ns)))

    def end_all(self, end_ns: int) -> None:
        """Close every open gap, because nobody will be there to see its end."""
        for subject in tuple(self._open):
            self.end(subject, end_ns)

    def once(self, subject: str, start_ns: int, end_ns: int, reason: str) -> None:
        """Tell a gap whose end is known from the start."""
        self._tell(Gap(part=self._part, subject=subject, start_ns=start_ns, end_ns=max(start_ns, end_ns), reason=reason))

    def open_subjects(self) -> frozenset[str]:
        """Whose gaps are open."""
        return frozenset(self._open)


class TimeOrder:
    """Keeps the samples of each container in rising order of time when the wall clock is set back.

    A counter that is read at one time twice would look like a restart to everybody downstream. So a sample at or before the
    last one is refused until the clock has caught up, and the stretch that happened twice is told as a gap. A clock that was set
    back by more than BELIEVE_STEP_NS is believed at once (it was wrong before, and waiting could take for ever); the stretch
    until the old time is a gap then, too.
    """

    def __init__(self, absences: Absences) -> None:
        self._absences = absences
        self._last: dict[str, int] = {}
        self._waiting_since: dict[str, int] = {}
        self.refused = 0

    def admit(self, subject: str, time_ns: int) -> bool:
        """Whether a sample of that time may follow the subject's last one; a repeated time is refused silently."""
        last = self._last.get(subject, -1)
        if time_ns > last:
            if (since := self._waiting_since.pop(subject, None)) is not None:
                self._absences.once(subject, since, time_ns, "clock set back: this stretch happened twice")
            self._last[subject] = time_ns
            return True
        if last - time_ns > BELIEVE_STEP_NS:
            self._waiting_since.pop(subject, None)
            self._absences.once(subject, time_ns, last, "clock set back: this stretch happened twice")
            self._last[subject] = time_ns
            return True
        self.refused += 1
        if time_ns < last:
            self._waiting_since.setdefault(subject, time_ns)
        return False

    def forget(self, subject: str) -> None:
        """The subject is gone for good."""
        self._last.pop(subject, None)
        self._waiting_since.pop(subject, None)

    def last_ns(self, subject: str) -> int | None:
        """Time of the subject's last admitted sample."""
        return self._last.get(subject)

"""`--clean-up`: removes from the site what a run has made there, exactly that, and says what it did."""

from __future__ import annotations

from collections.abc import Callable

from replay.upload.faults import NotOursError, UploadIncompleteError
from replay.upload.ledger import Ledger
from replay.upload.site import Site


def clean_up(site: Site, ledger: Ledger, wall_ns: Callable[[], int], say: Callable[[str], None]) -> None:
    """Remove every exam of the ledger that is not removed yet; may be stopped and given again at any time.

    What stands under one of our labels and is not ours is left alone; then UploadIncompleteError at the end. Other errors end it.
    """
    left: list[str] = []
    removed = 0
    for entry in ledger:
        if entry.state == "removed":
            continue
        try:
            there = site.remove(entry)
        except NotOursError as error:
            say(str(error))
            left.append(entry.label)
            continue
        ledger.change(entry.exam, state="removed", at_ns=wall_ns())
        removed += 1 if there else 0
    say(f"{removed} exams removed" + (f", {len(left)} left alone" if left else ""))
    if left:
        raise UploadIncompleteError(f"{len(left)} exams are still there ({left[0]})", "look at them on the site")

"""What can go wrong with an upload, and what each error means for the run.

An `ExamError` ends one exam: the run goes on with the next and ends with exit status 1. Every other error has a kind of
`replay.failures`, which says whether the exam is sent again or the run ends.
"""

from __future__ import annotations

from typing import ClassVar

from replay.failures import Kind
from sidecar.model.faults import Fault, UsageFault


class ExamError(Fault):
    """This exam cannot be uploaded as it is; sending it again would not help."""

    kind: ClassVar[Kind] = "site"


class UploadUsageError(UsageFault):
    """A parameter of the upload scenario that cannot be used."""


class AccountError(UsageFault):
    """The site does not take the account."""

    kind: ClassVar[Kind] = "account"


class NotAllowedError(UsageFault):
    """The account may not do this, or there is no such project for it."""

    kind: ClassVar[Kind] = "permission"


class NotOursError(UsageFault):
    """Data stand where ours should, and they are not known to be ours; they are left alone."""

    kind: ClassVar[Kind] = "permission"


class SiteFullError(Fault):
    """The site has no room, or its quota is used up."""

    kind: ClassVar[Kind] = "disk"


class SiteAnswerError(Fault):
    """The site gave an answer that is no use; it may do better the next time."""

    kind: ClassVar[Kind] = "site"
    retry = True


class UploadIncompleteError(Fault):
    """Not every exam was uploaded, or removed."""

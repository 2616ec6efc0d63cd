"""The root of all errors that a person reads: what is wrong and what to do about it.

It stands in the shared kernel so that the sidecar and the replayer have one root; the sidecar's tree is drawn in
`sidecar.errors`.
"""

from __future__ import annotations


class Fault(Exception):  # noqa: N818  (the word that a person reads)
    """Something a person can act on; printed as one line `tracemark: <what>: <remedy>`."""

    #: whether the same call may succeed later without anybody changing anything
    retry: bool = False
    #: exit status of a command that ends with it: 1 a failed job, 2 wrong use or configuration
    exit_status: int = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


class UsageFault(Fault):
    """Wrong use or configuration: exit status 2."""

    exit_status = 2


class InvalidRecordError(Fault, ValueError):
    """A record or message that breaks the model's rules."""

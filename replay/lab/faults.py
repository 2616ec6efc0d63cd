"""What can go wrong with the lab, as a person reads it."""

from __future__ import annotations

from sidecar.model.faults import Fault, UsageFault


class LabFault(Fault):
    """The lab could not do what it was asked for: an image, a container, a process or a file is missing or broken."""


class LabUsageFault(UsageFault):
    """A wrong option of the lab's commands, or one that contradicts the lab that runs."""

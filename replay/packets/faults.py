"""What can go wrong with a capture file, for a person to read."""

from __future__ import annotations

from sidecar.model.faults import Fault, UsageFault


class CaptureUnreadableError(UsageFault):
    """Not a capture, or none that says anything about IP: exit status 2."""


class CaptureFormatError(Fault):
    """Stored metrics that cannot be read back."""


class DissectorError(Fault):
    """The reference dissector is missing or failed: exit status 1."""

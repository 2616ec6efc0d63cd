"""Errors of the practice web application.

LabError
├── SettingsError      the environment is wrong; do not retry
├── DatabaseDown       the database does not answer; retry later
├── Refused            the request cannot be answered; carries an HTTP status
└── UnreadableUpload   the uploaded bytes are no DICOM archive; do not retry
"""


class LabError(Exception):
    """Root of the errors of this package."""


class SettingsError(LabError):
    """A setting is missing or wrong; the message names it and the remedy."""


class DatabaseDown(LabError):  # noqa: N818 - named for what is the case
    """PostgreSQL does not answer."""


class Refused(LabError):  # noqa: N818
    """A request that is answered with an HTTP error status and a short text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnreadableUpload(LabError):  # noqa: N818
    """What was uploaded holds no DICOM file."""

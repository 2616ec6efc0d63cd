"""A command line that is refused in one line, as every other error is."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import NoReturn

from sidecar.model.faults import UsageFault


class Parser(ArgumentParser):
    """An ArgumentParser that raises UsageFault where the library would print its usage and end the program."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageFault(message, f"see `{self.prog} --help`")

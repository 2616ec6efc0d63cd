"""Where the virtual users of a repetition leave their results: a folder each (`user-01`, …) inside the repetition's."""

from __future__ import annotations

import re
from pathlib import Path

from replay.results import Repetition

_USER = re.compile(r"user-(\d{2,})")


def user_name(number: int) -> str:
    """The name of a user's folder, from 1."""
    return f"user-{number:02d}"


def sessions_of(folder: Path, result: Repetition) -> list[tuple[Path, Repetition]]:
    """The sessions of a repetition with this result, each with its folder: itself, or its users' in the order of their numbers.

    Sessions that failed are among them. Raises ResultError.
    """
    if result.users is None:
        return [(folder, result)]
    named = ((_USER.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    numbered = sorted((int(match[1]), path) for match, path in named if match)
    return [(path, Repetition.load(path)) for _, path in numbered]

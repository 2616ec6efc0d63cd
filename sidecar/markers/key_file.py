"""The secret of this installation: made once, kept in a file that only its owner can read."""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path

from sidecar.errors import SettingError

log = logging.getLogger(__name__)


def kept_key(path: Path) -> bytes:
    """The key in this file; at the first call it is made. Raises SettingError when it can be neither read nor made."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass  # another process was first: its key counts
    except OSError as error:
        raise SettingError(
            f"the key file {path} cannot be made ({error.strerror})", "let its folder be written, or set TRACEMARK_PSEUDONYM_KEY"
        ) from error
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"the key file {path} cannot be read", "let this user read it, or set TRACEMARK_PSEUDONYM_KEY"
        ) from error
    if not re.fullmatch(r"[0-9a-f]{64}\n?", text):
        raise SettingError(
            f"the key file {path} holds no key", "restore it from a backup, or remove it: logins get other pseudonyms then"
        )
    if path.stat().st_mode & 0o077:
        log.warning("other users of this machine can read %s: run `chmod 600` on it", path)
    return bytes.fromhex(text)

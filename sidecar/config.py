"""The settings in force: from the environment, a TOML file, or the default, in this order; `sidecar/settings.py` is the table."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar.errors import SettingError
from sidecar.settings import PREFIX, SETTINGS, Setting


class Config(Mapping[str, Any]):
    """The settings in force, by name; secrets are left out of its text."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        secret = {setting.name for setting in SETTINGS if setting.secret}
        return f"Config({ {k: '***' if k in secret and v else v for k, v in self._values.items()} })"


def load(environment: Mapping[str, str], file: Path | None = None) -> Config:
    """Settings from a TOML file (flat keys) and from `TRACEMARK_…` variables, which win; `…_FILE` reads the value from a file.

    Raises SettingError for an unknown key, a bad value or an unreadable file; it names the key, the value and what is allowed.
    """
    known = {setting.name: setting for setting in SETTINGS}
    given: dict[str, tuple[str, str]] = {}
    if file is not None:
        for key, value in _from_toml(file).items():
            if key not in known:
                raise _unknown(f"{file}: {key}", key, known)
            given[key] = (f"{file}: {key}", value)
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in (f"{PREFIX}CONFIG", f"{PREFIX}CACHE", f"{PREFIX}CASES"):
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key not in known and key.endswith("_file") and key.removesuffix("_file") in known:
            key = key.removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingError(f"{variable}={value} cannot be read", "name a file that holds the value") from error
        if key not in known:
            raise _unknown(variable, key, known)
        given[key] = (variable, value)
    values: dict[str, Any] = {}
    for name, setting in known.items():
        where, value = given.get(name, (setting.variable, setting.default))
        try:
            values[name] = setting.parse(value)
        except ValueError as error:
            shown = "***" if setting.secret else value
            raise SettingError(f"{where}={shown} is not valid", f"allowed: {setting.allowed}") from error
    return Config(values)


def _from_toml(file: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{file} cannot be read", "name a TOML file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not TOML ({error})", "write lines such as: journal = '/data/tracemark.sqlite'") from error
    flat = {}
    for key, value in table.items():
        if isinstance(value, dict):
            raise SettingError(f"{file}: {key} is a table", "write flat keys, without [sections]")
        flat[key] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def _unknown(where: str, key: str, known: Mapping[str, Setting]) -> SettingError:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {known[near[0]].variable}?" if near else "see `tracemark serve --help` for all settings"
    return SettingError(f"{where} is not a setting", hint)

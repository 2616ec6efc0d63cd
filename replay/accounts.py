"""The accounts of virtual users: from a file, a pattern, or numbered variables of the environment; never shown, never kept."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.model.faults import UsageFault

USER, PASSWORD = "XNAT_USER", "XNAT_PASSWORD"
_NUMBER = re.compile(r"\{n(:0\d{1,2})?\}", re.ASCII)


class AccountsError(UsageFault):
    """Accounts that cannot be read or do not suffice."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account as environment variables: what a scenario refers to is taken from here first."""

    variables: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Account({', '.join(self.variables)})"

    def over(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment as this user's scenario sees it."""
        return {**environment, **self.variables}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may be written nowhere."""
        return tuple(filter(None, self.variables.values()))


def accounts_from(given: str | None, users: int, environment: Mapping[str, str], variables: Sequence[str]) -> tuple[Account, ...]:
    """All accounts that are there for scenarios that refer to `variables`; empty when the scenario logs nobody in.

    `given` is a file with a `NAME:PASSWORD` a line, or a pattern such as `load{n:02}` for users 1, 2, … who all have the password
    in XNAT_PASSWORD. Without it the variables are taken with numbers (XNAT_USER_1, XNAT_PASSWORD_1, …) as far as these go, and
    as they are where there is no number. Raises AccountsError.
    """
    if not variables:
        return ()
    if given is None:
        return _numbered(environment, variables) or _single(environment, variables)
    if foreign := [name for name in variables if name not in (USER, PASSWORD)]:
        numbered = ", ".join(f"{name}_1" for name in foreign)
        raise AccountsError(f"the scenario takes its account from {foreign[0]}, too", f"set {numbered}, … instead of --accounts")
    if _NUMBER.search(given):
        return _patterned(given, users, environment)
    return _in_file(Path(given))


def assigned(accounts: Sequence[Account], users: int, *, share: bool, wanted: bool = True) -> tuple[Account, ...]:
    """One account a user, in order; over again from the first where they are shared. Raises AccountsError when they are too few.

    `wanted` is whether the scenario logs in at all.
    """
    if not wanted:
        return (Account({}),) * users
    if not accounts:
        raise AccountsError("there is no account for the virtual users", f"give --accounts, or set {USER}_1, {PASSWORD}_1, …")
    if len(accounts) < users and not share:
        raise AccountsError(
            f"{users} users, but {len(accounts)} account{'s' * (len(accounts) > 1)}",
            "give more accounts; with --share-accounts several users log in with the same one, which no hospital's users do",
        )
    return tuple(accounts[place % len(accounts)] for place in range(users))


def readable_by_others(given: str | None) -> bool:
    """Whether --accounts names a file that not only its owner may read."""
    if given is None or _NUMBER.search(given):
        return False
    try:
        return bool(Path(given).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def _numbered(environment: Mapping[str, str], variables: Sequence[str]) -> tuple[Account, ...]:
    found: list[Account] = []
    while any(environment.get(f"{name}_{len(found) + 1}") for name in variables):
        number = len(found) + 1
        values = {name: environment.get(f"{name}_{number}", "") for name in variables}
        if missing := [f"{name}_{number}" for name, value in values.items() if not value]:
            raise AccountsError(f"{missing[0]} is not set, but its neighbours are", "set all variables of an account")
        found.append(Account(values))
    return tuple(found)


def _single(environment: Mapping[str, str], variables: Sequence[str]) -> tuple[Account, ...]:
    values = {name: environment.get(name, "") for name in variables}
    return (Account(values),) if all(values.values()) else ()


def _patterned(pattern: str, users: int, environment: Mapping[str, str]) -> tuple[Account, ...]:
    password = environment.get(PASSWORD)
    if not password:
        raise AccountsError(f"the accounts {pattern} need a password", f"set {PASSWORD}, or give a file with --accounts")

    def name(number: int) -> str:
        return _NUMBER.sub(lambda found: format(number, (found[1] or ":")[1:]), pattern)

    return tuple(Account({USER: name(number), PASSWORD: password}) for number in range(1, users + 1))


def _in_file(path: Path) -> tuple[Account, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AccountsError(
            f"the accounts in {path} cannot be read ({getattr(error, 'strerror', None) or 'no text'})",
            "name a file with a NAME:PASSWORD a line, or a pattern with {n}",
        ) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not name.strip() or not password:
            raise AccountsError(f"{path}: line {number} is no NAME:PASSWORD", "write an account a line")
        if name in found:
            raise AccountsError(f"{path}: line {number} has an account that was there before", "name each account once")
        found[name] = password
    return tuple(Account({USER: name, PASSWORD: password}) for name, password in found.items())

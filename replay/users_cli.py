"""The options of `tracemark replay` for many users and for a grid, and what they make of a campaign's tools."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from replay.accounts import Account, accounts_from, assigned, readable_by_others
from replay.campaign import Tools
from replay.campaign_job import Ports
from replay.campaign_markers import Told
from replay.campaign_recording import BrowserRecorder
from replay.grid import Grid
from replay.scenario_shape import Scenario
from replay.users import Pattern
from replay.users_crowd import Crowd, VirtualUser
from replay.users_machine import doubts, free_memory
from replay.values import Values, texts_of
from sidecar.model.faults import UsageFault

_AT_ONCE = "at-once"
_MEMINFO = Path("/proc/meminfo")


def add_user_options(add: Callable[..., object]) -> None:
    """Add them to the command line; `add` is a parser's add_argument."""
    add("--users", type=int, default=1, metavar="N", help="virtual users, each a browser and a session (default: %(default)s)")
    add(
        "--arrivals",
        default=_AT_ONCE,
        metavar="PATTERN",
        help="when they come: at-once, ramp:60s, poisson:2/min, day:clinic, day:FILE of 24 weights, day:clinic@1h pressed into "
        "an hour (default: %(default)s)",
    )
    add(
        "--accounts",
        metavar="FILE|PATTERN",
        help="their accounts: NAME:PASSWORD a line, or load{n:02} with XNAT_PASSWORD (default: XNAT_USER_1, XNAT_PASSWORD_1, …)",
    )
    add("--share-accounts", action="store_true", help="let several users log in with the same account where they are too few")
    add("--failed-users", type=int, default=0, metavar="N", help="so many may fail in a repetition (default: %(default)s)")
    add("--grid", metavar="URL", help="browsers of a Selenium Grid 4 instead of this machine's; excludes --capture")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who plays, when and where: `grid` is None for this machine, `engine` what a user plays with."""

    users: tuple[VirtualUser, ...]
    pattern: Pattern
    may_fail: int
    grid: Grid | None
    engine: str = "browser"
    notes: tuple[str, ...] = ()

    def playing(self, tools: Tools, *, capture: bool) -> Tools:
        """The same tools for these users, after a person was told what to think of it."""
        for note in (*self.notes, *self._doubts()):
            tools.progress.say(note)
        if self.grid is not None:
            tools = _on_grid(tools, self.grid)
        if len(self.users) == 1:
            return tools
        crowd = Crowd(
            self.users,
            self.pattern,
            may_fail=self.may_fail,
            recorder=tools.recorder if capture else None,
            progress=tools.progress,
            clock=tools.clock,
        )
        return replace(tools, recorder=BrowserRecorder(), users=crowd)

    def _doubts(self) -> list[str]:
        count = len(self.users)
        if self.grid is not None:
            slots = self.grid.slots()
            return [f"{count} users, but the grid carries {slots} sessions at once: the others wait"] if slots < count else []
        if count == 1 or self.engine != "browser":
            return []
        known = _MEMINFO.read_text(encoding="ascii") if _MEMINFO.exists() else ""
        return doubts(count, free_memory(known), os.cpu_count() or 1)


def cast_of(
    arguments: Namespace, scenario: Scenario, given: Mapping[str, str], environment: Mapping[str, str], variables: Sequence[str]
) -> Cast:
    """What the options say, with every value of every user looked up. Raises UsageFault for what does not go together."""
    users = arguments.users
    pattern = Pattern.parse(arguments.arrivals)
    notes = []
    if users == 1 and arguments.accounts is None and all(map(environment.get, variables)):
        accounts: Sequence[Account] = (Account({name: environment[name] for name in variables}),)
    elif users == 1 and arguments.accounts is None and not any(environment.get(f"{name}_1") for name in variables):
        accounts = (Account({}),)  # the scenario's own words for what is missing are better
    else:
        known = accounts_from(arguments.accounts, users, environment, variables)
        accounts = assigned(known, users, share=arguments.share_accounts, wanted=bool(variables))
        if variables and len(known) < users:
            notes.append(f"{users} users share {len(known)} account{'s' * (len(known) > 1)}: the site sees the same people twice")
    if readable_by_others(arguments.accounts):
        notes.append(f"others on this machine can read the passwords in {arguments.accounts}: chmod 600 it")
    cast = tuple(
        VirtualUser(number=number, values=Values(scenario, given, account.over(environment)), hidden=account.secrets)
        for number, account in enumerate(accounts, 1)
    )
    for user in cast:
        user.values.check(texts_of(scenario))
    grid = Grid(arguments.grid) if arguments.grid is not None else None
    return Cast(
        users=cast, pattern=pattern, may_fail=arguments.failed_users, grid=grid, engine=arguments.engine, notes=tuple(notes)
    )


def check_user_options(arguments: Namespace) -> None:
    """Raise UsageFault for options that do not go together."""
    if arguments.users < 1:
        raise UsageFault(f"--users {arguments.users} is too few", "write at least 1")
    if not 0 <= arguments.failed_users < arguments.users:
        raise UsageFault(f"--failed-users {arguments.failed_users} does not fit", f"write 0 to {arguments.users - 1}")
    if arguments.users == 1 and arguments.arrivals != _AT_ONCE:
        raise UsageFault("--arrivals is for several users", "say how many with --users")
    Pattern.parse(arguments.arrivals)
    if arguments.grid is not None:
        Grid(arguments.grid)
        if arguments.capture:
            raise UsageFault("--grid and --capture exclude each other", "capture on the grid's nodes: their packets are not here")
        if arguments.engine != "browser":
            raise UsageFault(f"--engine {arguments.engine} needs no grid", "leave out --grid")


def user_notes(arguments: Namespace) -> list[str]:
    """What a dry run says about them."""
    said = []
    if arguments.users > 1:
        source = arguments.accounts or "XNAT_USER_1, XNAT_PASSWORD_1, …"
        shared = ", shared where they are too few" if arguments.share_accounts else ""
        said.append(f"users     {arguments.users}, {arguments.arrivals}, with accounts from {source}{shared}")
    if arguments.grid is not None:
        said.append(f"browsers  of the grid at {arguments.grid}; the route from there is not traced")
    return said


def _on_grid(tools: Tools, grid: Grid) -> Tools:
    def ports(told: Told) -> Ports:
        return replace(tools.ports(told), browser=grid.opened)

    return replace(tools, ports=ports, trace=None)

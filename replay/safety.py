"""What a campaign may be let loose on, and what it would do: the list of allowed hosts, and the dry run. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from replay.harm import OPTION, deleting_steps
from replay.scenario_shape import Scenario, Step
from sidecar.model.faults import UsageFault

#: environment variable with further allowed hosts, separated by commas
VARIABLE = "TRACEMARK_REPLAY_HOSTS"
#: actions that leave something on the site
CREATING = frozenset({"upload", "annotate"})
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


#: a host's name, or a pattern of names
_NAME = re.compile(r"[\w*?-]+(\.[\w*?-]+)*\.?")
_PART_OF_ADDRESS = re.compile(r"[\d.*?]*[\d.][\d.*?]*", re.ASCII)


class HostNotAllowedError(UsageFault):
    """Sessions would be played on a host that nobody has allowed."""


def is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host is this machine itself, or fits one of the allowed: a name, `*.example.org`, an address or a network."""
    name = host.lower().rstrip(".").strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return any(fnmatchcase(name, pattern.lower().rstrip(".")) for pattern in allowed)
    return address.is_loopback or any(address in network for network in map(_network, allowed) if network is not None)


def check_host(host: str, given: Sequence[str], variable: str, *, yes: bool) -> None:
    """Raise HostNotAllowedError unless the host is allowed by option, by the variable's text, or by an explicit yes; UsageFault
    for an entry that could never fit."""
    allowed = [*given, *(part.strip() for part in variable.split(",") if part.strip())]
    for entry in allowed:
        _check_entry(entry)
    if not yes and not is_allowed(host, allowed):
        raise HostNotAllowedError(
            f"{host} is not among the hosts that sessions may be played on",
            f"put it into {VARIABLE} or --allow-host if it is a site to measure, or say --yes-this-host this once",
        )


def _check_entry(entry: str) -> None:
    """Refuse what no host could ever fit: an entry that is passed over in silence is looked for elsewhere."""
    if _network(entry) is None and (not _NAME.fullmatch(entry) or _PART_OF_ADDRESS.fullmatch(entry)):
        raise UsageFault(
            f"{entry!r} is no host that could be allowed",
            "write a name, *.example.org, an address or a network such as 10.77.0.0/16, without scheme, port and path",
        )


def accounts(texts: Sequence[str]) -> list[str]:
    """The environment variables that these texts refer to, in order; never their values."""
    return list(dict.fromkeys(name for text in texts for name in _REFERENCE.findall(text)))


def creates(scenario: Scenario) -> list[str]:
    """The actions of a scenario that leave something on the site."""
    return [action for action in scenario.actions() if action in CREATING]


def what_it_would_do(
    scenario: Scenario,
    *,
    site: str,
    setup: str,
    sessions: int,
    variables: Sequence[str],
    folder: str,
    notes: Sequence[str],
    may_delete: bool = False,
) -> str:
    """The text of a dry run."""
    made = creates(scenario)
    lines = [
        f"site      {site} (setup {setup})",
        f"scenario  {scenario.name} ({scenario.file}), as {scenario.role}",
        f"account   from {', '.join(variables) or 'nowhere: the scenario logs nobody in'}",
        f"sessions  {sessions}, each with a log-in of its own",
        f"creates   {', '.join(made) + ': data of its own' if made else 'nothing: it only looks and downloads'}",
        f"deletes   {_deletes(scenario, may_delete=may_delete)}",
        f"results   {folder}",
        *notes,
        "steps",
        *(f"  {step.number:>2}. {_step(step)}" for step in scenario.steps),
        "Nothing was done: this was a dry run.",
    ]
    return "\n".join(lines) + "\n"


def _deletes(scenario: Scenario, *, may_delete: bool) -> str:
    found = "; ".join(f"step {step.number}: {_step(step)}" for step in deleting_steps(scenario))
    if not found:
        return f"nothing by what its steps say{'' if may_delete else '; what turns out to delete is not pressed'}"
    return f"{found}{'' if may_delete else f': refused without {OPTION}'}"


def _step(step: Step) -> str:
    action = f" [{step.action}]" if step.begins else ""
    target = f" {step.targets[0]}" if step.targets else f" {step.text}" if step.kind == "open" else ""
    return f"{step.kind}{target} ({step.name}){action}"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None

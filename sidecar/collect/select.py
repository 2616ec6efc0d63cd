"""Which containers are sampled: chosen by name, label or compose service. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from sidecar.errors import SettingError

#: the label in which Compose writes a container's service
SERVICE_LABEL = "com.docker.compose.service"

Chosen = Callable[[str, Mapping[str, str]], bool]


def parse_selectors(selectors: Sequence[str]) -> Chosen:
    """A predicate over (name, labels) that is true when any selector fits.

    `name:GLOB`, `label:KEY` or `label:KEY=VALUE`, `service:NAME`; capital and small letters differ. Raises SettingError for any
    other text and for none at all.
    """
    if not selectors:
        raise SettingError("TRACEMARK_CONTAINERS chooses no container", "name some, such as name:xnat-* (all: name:*)")
    rules = tuple(_rule(selector) for selector in selectors)
    return lambda name, labels: any(rule(name, labels) for rule in rules)


def _rule(selector: str) -> Chosen:
    kind, _, rest = selector.partition(":")
    if rest and kind == "name":
        return lambda name, _labels: fnmatchcase(name, rest)
    if rest and kind == "service":
        return lambda _name, labels: labels.get(SERVICE_LABEL) == rest
    key, equals, value = rest.partition("=")
    if key and kind == "label":
        return lambda _name, labels: key in labels and (not equals or labels[key] == value)
    raise SettingError(
        f"TRACEMARK_CONTAINERS has {selector!r}, which chooses nothing",
        "write name:GLOB, label:KEY, label:KEY=VALUE or service:NAME",
    )

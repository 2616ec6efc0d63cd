"""Reads what `traceroute` prints; pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from sidecar.model.faults import Fault

_HOP = re.compile(r"\s*(\d{1,3})\s+(.*)")
#: what may stand beside addresses: times, their unit, notes in brackets, `!` marks (`!H`, `!X`, `!F-1400`, `!<13>`, a bare `!`)
_BESIDE = re.compile(r"\d+(\.\d+)?|ms|\*|\[.*\]|<.*>|!\S*|\S+=\S+")


class RouteUnreadableError(Fault):
    """The output of `traceroute` has a line that cannot be read."""


def parse_traceroute(text: str) -> tuple[tuple[str, ...], ...]:
    """The addresses that answered, hop by hop, each once in the order of their answers; empty where none did (`* * *`).

    Takes the output of Debian's (Dmitry Butskoy's), BSD's and BusyBox's program, with or without names, IPv4 or IPv6, with
    marks such as `!H`. Raises RouteUnreadableError.
    """
    hops: list[list[str]] = []
    for line in text.splitlines():
        found = _HOP.fullmatch(line.rstrip())
        if found:
            if int(found[1]) != len(hops) + 1:
                raise RouteUnreadableError(f"traceroute: hop {found[1]} follows hop {len(hops)}", "report its output")
            hops.append([])
            rest = found[2]
        elif hops and line[:1].isspace() and line.strip():
            rest = line  # BSD's puts each further address of a hop on a line of its own
        else:
            continue  # the heading, warnings
        hops[-1] += _addresses(rest)
    if not hops:
        raise RouteUnreadableError("traceroute named no hop", "try it by hand: traceroute -n HOST")
    return tuple(tuple(dict.fromkeys(hop)) for hop in hops)


def _addresses(text: str) -> Iterator[str]:
    words = text.split()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if _BESIDE.fullmatch(word):
            continue
        address = _address(word.strip("()"))
        if address is not None:
            if following.strip("()") != word:  # "10.0.0.1 (10.0.0.1)": a name that is an address
                yield address
        elif not following.startswith("("):  # else a name, and its address follows
            raise RouteUnreadableError(f"traceroute: {word[:40]!r} is neither an address nor a time", "report its output")


def _address(word: str) -> str | None:
    try:
        return str(ipaddress.ip_address(word.partition("%")[0]))
    except ValueError:
        return None

"""What a shaped line does to what passes it: delay, rate, loss; and the lines of the three setups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from replay.lab.faults import LabUsageFault

Setup = Literal["lan", "wan", "vpn"]
SETUPS: tuple[Setup, ...] = get_args(Setup)

_LINK = re.compile(r"(\d+(?:\.\d+)?)ms,(\w+),(\w+)(?:,(\d+(?:\.\d+)?)%)?", re.ASCII)
_RATE = re.compile(r"(\d+)(kbit|mbit|gbit)", re.ASCII)
_UNIT = {"kbit": 10**3, "mbit": 10**6, "gbit": 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One line: nanoseconds one way, bits per second to and from the client (None: unlimited), share of packets lost each way."""

    delay_ns: int = 0
    down_bits: int | None = None
    up_bits: int | None = None
    loss: float = 0.0

    def __post_init__(self) -> None:
        rates = [rate for rate in (self.down_bits, self.up_bits) if rate is not None]
        if not 0 <= self.delay_ns <= 10 * 10**9 or any(rate < 8_000 for rate in rates) or not 0 <= self.loss < 1:
            raise LabUsageFault(
                f"no line is like {self}", "give a delay up to 10000 ms, rates from 8 kbit on, and a loss below 100 %"
            )

    @classmethod
    def parse(cls, text: str) -> Link:
        """`DELAYms,DOWN,UP[,LOSS%]` with rates such as 20mbit or `any`; else a LabUsageFault."""
        found = _LINK.fullmatch(text)
        rates = [_rate(found[2]), _rate(found[3])] if found else [-1, -1]
        if found is None or -1 in rates:
            raise LabUsageFault(
                f"{text!r} is no line", "write DELAYms,DOWN,UP[,LOSS%], such as 60ms,20mbit,5mbit or 9ms,any,any,0.1%"
            )
        delay_ns = round(float(found[1]) * 1e6)
        return cls(delay_ns=delay_ns, down_bits=rates[0], up_bits=rates[1], loss=float(found[4] or 0) / 100)

    def __str__(self) -> str:
        loss = f",{self.loss * 100:g}%" if self.loss else ""
        return f"{self.delay_ns / 1e6:g}ms,{_rate_text(self.down_bits)},{_rate_text(self.up_bits)}{loss}"

    @property
    def plain(self) -> bool:
        """Whether it changes nothing."""
        return self == Link()


#: The study's internet path: 18.2 ms there and back, 100 Mbit/s at the client's end; the LAN as fast as this machine.
DEFAULT_LINKS: Mapping[Setup, Link] = {
    "lan": Link(),
    "wan": Link(delay_ns=9_100_000, down_bits=100_000_000, up_bits=100_000_000),
    "vpn": Link(delay_ns=9_100_000, down_bits=100_000_000, up_bits=100_000_000),
}


def _rate(text: str) -> int | None:
    """Bits per second, None for `any`, -1 for what is no rate."""
    found = _RATE.fullmatch(text)
    return None if text == "any" else int(found[1]) * _UNIT[found[2]] if found else -1


def _rate_text(bits: int | None) -> str:
    if bits is None:
        return "any"
    unit = next((unit for unit in ("gbit", "mbit", "kbit") if bits % _UNIT[unit] == 0), None)
    return f"{bits // _UNIT[unit]}{unit}" if unit else f"{bits // 1000}kbit"

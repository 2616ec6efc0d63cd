"""pyshark as a program: prints what `reference_fields.FIELDS` names, a line per packet, as `tshark -T fields` does.

python -m replay.packets.reference_pyshark TSHARK CAPTURE

Slow (about 2 000 packets a second): pyshark is there for those who explore a capture in Python and want the same numbers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from replay.packets.reference_fields import FIELDS, OPTIONS

_WANTED = frozenset(FIELDS)
_ENDING_S = 30.0


def main(argv: Sequence[str]) -> int:
    """Status 1 when tshark stopped before the end of the file; what it said goes to stderr."""
    import pyshark
    from pyshark.capture.capture import TSharkCrashException

    class Capture(pyshark.FileCapture):  # type: ignore[misc]
        """Lets tshark end by itself: pyshark would kill it at the end of its output, and lose its status or make one up."""

        async def _cleanup_subprocess(self, process: asyncio.subprocess.Process) -> None:
            if self._eof_reached:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _ENDING_S)
            await super()._cleanup_subprocess(process)

    tshark, path = argv
    capture = Capture(
        path,
        keep_packets=False,
        use_json=True,
        tshark_path=tshark,
        custom_parameters=[*OPTIONS, "-J", "frame ip ipv6 tcp udp tls"],
    )
    status = 0
    try:
        for packet in capture:
            found: dict[str, str] = {}
            for layer in (packet.frame_info, *packet.layers):
                # pyshark hides which fields are there behind attributes of its own making.
                collect(layer._all_fields, found)  # noqa: SLF001
            print("\t".join(found.get(field, "") for field in FIELDS))
        capture.close()
    except TSharkCrashException as error:
        print(error, file=sys.stderr)
        status = 1
    except KeyError as error:
        print(f"pyshark does not read packets without {error.args[0]}", file=sys.stderr)
        status = 1
    return status


def collect(fields: Mapping[str, Any], found: dict[str, str]) -> None:
    """The first value of each wanted field, however deep it lies."""
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        if name in _WANTED and name not in found and values:
            found[name] = values[0] if isinstance(values[0], str) and values[0] else "1"
        for inner in values:
            if isinstance(inner, Mapping):
                collect(inner, found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

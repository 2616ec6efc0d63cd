"""TCP segments in IP fragments: the segment counts at the packet that completes it, as in Wireshark.

Only datagrams whose parts were captured whole are put together. Waiting parts are bounded; the oldest are given up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from replay.packets.headers import TCP, Packets

#: datagrams that wait for parts; more at a time is a flood
_WAITING = 1024
#: as long as any datagram's header may be
_HEADER = 60


@dataclass(slots=True)
class _Datagram:
    header: bytes = b""
    covered: int = 0
    size: int | None = None
    pieces: dict[int, int] = field(default_factory=dict)


class Reassembly:
    """Remembers parts from run to run."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, ...], _Datagram] = {}

    def complete(self, packets: Packets, data: bytes) -> None:
        """Fill in the TCP columns of the rows in `packets` that complete a datagram."""
        rows = np.flatnonzero(packets.fragment & packets.whole & (packets.protocol == TCP))
        for row in rows.tolist():
            key = (
                int(packets.source[0][row]),
                int(packets.source[1][row]),
                int(packets.target[0][row]),
                int(packets.target[1][row]),
                int(packets.datagram[row]),
            )
            one = self._waiting.setdefault(key, _Datagram())
            piece, size, body = int(packets.piece[row]), int(packets.body_size[row]), int(packets.body[row])
            if piece not in one.pieces:
                one.pieces[piece] = size
                one.covered += size
            if piece == 0:
                one.header = data[body : body + min(size, _HEADER)]
            if not packets.more[row]:
                one.size = piece + size
            if one.size is not None and one.covered >= one.size:
                del self._waiting[key]
                if len(one.header) >= 20:
                    _fill(packets, row, one.header, one.size)
            elif len(self._waiting) > _WAITING:
                del self._waiting[next(iter(self._waiting))]


def _fill(packets: Packets, row: int, header: bytes, size: int) -> None:
    length = (header[12] >> 4) * 4
    if size < length:
        return
    packets.source_port[row] = int.from_bytes(header[0:2], "big")
    packets.target_port[row] = int.from_bytes(header[2:4], "big")
    packets.sequence[row] = int.from_bytes(header[4:8], "big")
    packets.acknowledged[row] = int.from_bytes(header[8:12], "big")
    packets.flags[row] = header[13] & 0x3F
    packets.window[row] = int.from_bytes(header[14:16], "big")
    packets.payload[row] = size - length
    packets.payload_at[row] = packets.end[row]  # its bytes are not at hand
    packets.segment[row] = True

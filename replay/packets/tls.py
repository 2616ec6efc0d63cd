"""The TLS version that a server chose, from the first bytes it sends (RFC 5246 7.4.1.3; RFC 8446 4.1.3 and 4.2.1)."""

from __future__ import annotations

VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_HANDSHAKE, _SERVER_HELLO, _SUPPORTED_VERSIONS = 22, 2, 43
#: record header 5, message header 4, version 2, random 32
_SESSION_ID_AT = 43


def version_of(data: bytes) -> str | None:
    """None when `data` is no ServerHello, or was cut off before it says (1.2 and 1.3 differ only in an extension)."""
    if len(data) <= _SESSION_ID_AT or data[0] != _HANDSHAKE or data[1] != 3 or data[5] != _SERVER_HELLO:
        return None
    legacy = int.from_bytes(data[9:11], "big")
    if legacy < 0x0303:
        return VERSIONS.get(legacy)
    end = 9 + int.from_bytes(data[6:9], "big")
    at = _SESSION_ID_AT + 1 + data[_SESSION_ID_AT] + 3  # past the session id, cipher suite and compression
    if at == end:
        return VERSIONS.get(legacy)  # no extensions at all
    if len(data) < at + 2:
        return None
    at += 2
    while at + 4 <= end:
        if len(data) < at + 4:
            return None
        kind, length = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == _SUPPORTED_VERSIONS:
            chosen = data[at + 4 : at + 6]
            return VERSIONS.get(int.from_bytes(chosen, "big")) if len(chosen) == 2 else None
        at += 4 + length
    return VERSIONS.get(legacy) if len(data) >= end else None

"""What was seen of one part, and how a server is asked."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one part. `do` is the remedy, empty when there is nothing to do."""

    part: str
    state: Literal["ok", "warning", "failed"]
    what: str
    do: str = ""

    def line(self) -> str:
        """The line that a person reads."""
        return f"{self.state:<8} {self.part:<10} {self.what}" + (f": {self.do}" if self.do else "")


def ask(
    url: str, headers: Mapping[str, str] | None = None, data: bytes | None = None, timeout_s: float = 5
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON of an answer; status 0 when there is none. Past any web proxy of the environment."""
    if not url.startswith(("http://", "https://")):
        return 0, {}, None
    request = urllib.request.Request(url, data, dict(headers or {}))  # noqa: S310  (the scheme was checked)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout_s) as answer:
            status, told, body = answer.status, answer.headers, answer.read(1_000_000)
    except urllib.error.HTTPError as error:
        status, told, body = error.code, error.headers, error.read(1_000_000)
    except OSError:
        return 0, {}, None
    try:
        return status, told, json.loads(body)
    except ValueError:
        return status, told, None

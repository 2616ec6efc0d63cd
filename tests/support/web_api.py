"""A site to ask over HTTP, and asking it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from sidecar.clock import ManualClock
from sidecar.model.records import Gap
from tests.support.web import Lab, S, Site, site

T0 = 1_700_000_000 * S


@contextmanager
def filled_site(folder: Path) -> Iterator[Site]:
    """Two minutes of a researcher and a radiologist, and a gap of the database."""
    with site(folder, ManualClock(T0 + 120 * S)) as made:
        lab = Lab(T0, T0 + 120 * S)
        lab.sit("researcher", 5)
        lab.sit("radiologist", 20)
        lab.gaps.append(
            Gap(part="cgroup", subject="xnat-db", start_ns=T0 + 60 * S, end_ns=T0 + 70 * S, reason="container restarted")
        )
        lab.fill(made.journal, lab.samples(T0, T0 + 120 * S))
        made.engine = [
            {"name": "xnat-web", "state": "running", "image": "xnat-web:1.8"},
            {"name": "xnat-new", "state": "created"},
        ]
        yield made


def get(client: FlaskClient, path: str, status: int = 200) -> dict[str, object]:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    body = answer.get_json() if status == 200 else json.loads(answer.text)
    assert isinstance(body, dict)
    return body


def rows_of(body: dict[str, object]) -> list[dict[str, Any]]:
    rows = body["rows"]
    assert isinstance(rows, list)
    return rows

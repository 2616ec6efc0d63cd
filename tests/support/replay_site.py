"""A site to replay on: a practice system of its own as plain processes, and what its proxy wrote about each request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from replay.lab.faults import LabFault
from replay.lab.info import LabInfo
from replay.lab.processes import find_programs
from replay.lab.stack import LabOptions, down, up
from tests.support.waiting import wait_until

CONTEXT_PATH = "/xnat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request in the proxy's log; `session` and `action_id` are from its traceparent, None where it had none."""

    time_s: float
    status: int
    sent_bytes: int
    method: str
    path: str
    session: str | None
    action_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running practice system below a context path."""

    lab: LabInfo
    url: str

    def environment(self, role: str) -> dict[str, str]:
        """The credentials as the scenarios ask for them."""
        return {"XNAT_USER": role, "XNAT_PASSWORD": self.lab.users[role]}

    def lines(self) -> list[Line]:
        """Everything that the proxy has written, paths without the context path."""
        found = []
        for text in Path(self.lab.log_files["nginx"]).read_text().splitlines():
            _, time_s, _, _, _, _, status, sent, _, method, path, _, _, trace = text.split("\t")
            _, session, action_id, _ = trace.split("-") if trace.count("-") == 3 else (None, None, None, None)
            path = path.removeprefix(CONTEXT_PATH)
            found.append(
                Line(
                    time_s=float(time_s),
                    status=int(status),
                    sent_bytes=int(sent),
                    method=method,
                    path=path,
                    session=session,
                    action_id=action_id,
                )
            )
        return found

    def lines_of(self, session: str, last: str) -> list[Line]:
        """The requests of one session, once the one to `last` is among them."""

        def complete() -> list[Line]:
            lines = [line for line in self.lines() if line.session == session]
            return lines if any(line.path == last for line in lines) else []

        return wait_until(complete, f"a line about {last} in the proxy's log")


@contextmanager
def site(folder: Path, *, users: int = 0) -> Iterator[Site]:
    """A practice system for one test module, with so many numbered researchers; skips, saying why, where it cannot run."""
    try:
        find_programs()
    except LabFault as missing:
        pytest.skip(f"no practice system: {missing}")
    prefix = f"replay-{os.getpid()}-"  # others may run a practice system at the same time
    options = LabOptions(directory=folder, processes=True, port=0, context_path=CONTEXT_PATH, name_prefix=prefix, users=users)
    lab = up(options, print)
    try:
        yield Site(lab=lab, url=lab.url + lab.context_path)
    finally:
        down(folder, print, purge=True)

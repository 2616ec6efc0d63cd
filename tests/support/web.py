"""A sidecar's web side over a journal of made-up records, for tests of the API and of the page."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask import Blueprint

from sidecar.analysis.join import join, overlaps
from sidecar.clock import Clock, ManualClock
from sidecar.journal.base import Journal
from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.catalogue import load_catalogue
from sidecar.model.records import Action, Gap, Marker, Record, Request, Sample, Session, Source
from sidecar.web.app import create_app
from sidecar.web.parts import WebParts
from sidecar.web.server import WebServer

S = 1_000_000_000
MIB = 1 << 20

#: seconds that an action lasts, cores it keeps busy on web and on db, and bytes sent, roughly as in the study
COSTS: Mapping[str, tuple[float, float, float, int]] = {
    "login": (1.2, 0.25, 0.08, 48_000),
    "page_load": (2.0, 0.15, 0.10, 310_000),
    "filter_search": (2.4, 0.30, 0.35, 24_000),
    "download": (24.0, 0.95, 0.02, 96 * MIB),
    "open_viewer": (15.0, 1.9, 0.55, 88 * MIB),
    "change_scan": (4.0, 0.75, 0.12, 20 * MIB),
    "scroll": (3.0, 0.04, 0.0, 0),
    "play": (6.0, 0.03, 0.0, 0),
    "logout": (0.7, 0.10, 0.04, 9_000),
}
RESEARCHER = ("login", "page_load", "filter_search", "page_load", "download", "logout")
RADIOLOGIST = (
    "login", "page_load", "filter_search", "open_viewer", "scroll", "change_scan", "scroll", "change_scan", "play", "logout",
)  # fmt: skip
CONTAINERS = ("xnat-db", "xnat-nginx", "xnat-web")


@dataclass
class Lab:
    """A made-up site: sessions that act one after the other, and the samples that three containers would have given."""

    start_ns: int
    end_ns: int
    seed: int = 1
    actions: list[Action] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def sit(self, role: str, at_s: float, *, source: Source = "replay", think_s: float = 4.0) -> Session:
        """One session: the role's actions with pauses in between, `at_s` seconds after the begin."""
        self._made += 1
        session = Session(
            session=f"{self.random.getrandbits(128):032x}",
            source=source,
            client="lab",
            started_ns=self.start_ns + round(at_s * S),
            role=role,
            setup="lan",
            run="run-1",
            repetition=self._made,
            scenario=role,
        )
        self.sessions.append(session)
        at_ns = session.started_ns
        for name in RESEARCHER if role == "researcher" else RADIOLOGIST:
            length, _, _, sent = COSTS[name]
            duration_ns = round(length * self.random.uniform(0.8, 1.3) * S)
            if at_ns + duration_ns >= self.end_ns:
                break
            self.act(name, at_ns, duration_ns, session, sent)
            at_ns += duration_ns + round(self.random.uniform(0.5, 1.5) * think_s * S)
        return session

    def act(self, name: str, at_ns: int, duration_ns: int, session: Session | None, sent: int = 0) -> Action:
        """One action, with a request of its own."""
        action = Action(
            action_id=f"{self.random.getrandbits(64):016x}",
            action=name,
            session=session.session if session else None,
            source=session.source if session else "access-log",
            start_ns=at_ns,
            duration_ns=duration_ns,
            outcome="completed",
            clock_offset_ns=1_200_000 if session else None,
        )
        self.actions.append(action)
        self.requests.append(
            Request(
                server="nginx",
                start_ns=at_ns + 1000,
                duration_ns=duration_ns // 2,
                method="GET",
                route="/data/experiments/{}/scans/{}/files",
                status=200,
                sent_bytes=sent,
                session=action.session,
                action_id=action.action_id,
            )
        )
        return action

    def samples(self, from_ns: int, to_ns: int, step_ns: int = S // 10) -> list[Sample]:
        """Samples of every container, one each `step_ns`, leaving out what lies in a gap."""
        made: list[Sample] = []
        busy = sorted(self.actions, key=lambda action: action.start_ns)
        for number, container in enumerate(CONTAINERS):
            noise = random.Random(f"{self.seed} {container}")
            total = 10**12 * (number + 1)
            memory = (310, 24, 2700)[number] * MIB
            for time_ns in range(self.start_ns, to_ns, step_ns):
                cores = (0.012, 0.002, 0.035)[number] * noise.uniform(0.4, 1.6)
                extra = 0
                for action in busy:
                    if action.start_ns > time_ns:
                        break
                    if action.end_ns < time_ns:
                        continue
                    since_s = (time_ns - action.start_ns) / S
                    _, web, db, _ = COSTS[action.action]
                    # A burst at the begin, as in the study: OPEN VIEWER reached five cores for two seconds.
                    burst = 2.6 if since_s < 2 and action.action in ("open_viewer", "change_scan") else 1.0
                    cores += (db, 0.02, web)[number] * burst * noise.uniform(0.6, 1.35)
                    extra += (2, 0, 60)[number] * MIB if action.action in ("open_viewer", "download") else 0
                total += round(cores * step_ns)
                ripple = noise.randrange(4) * MIB
                if time_ns < from_ns or any(_inside(gap, container, time_ns) for gap in self.gaps):
                    continue
                made.append(
                    Sample(
                        container=container,
                        container_id=f"{number}" * 12,
                        source="cgroup",
                        time_ns=time_ns,
                        cpu_total_ns=total,
                        memory_bytes=memory + extra + ripple,
                        memory_limit_bytes=(1024, 256, 4096)[number] * MIB,
                    )
                )
        return made

    def fill(self, journal: Journal, samples: Sequence[Sample]) -> None:
        """Commit everything, joined."""
        by_container: dict[str, list[Sample]] = {}
        for sample in samples:
            by_container.setdefault(sample.container, []).append(sample)
        records: list[Record] = [*samples, *self.sessions, *self.requests, *self.gaps, *self.actions]
        for action in self.actions:
            others = overlaps(action, self.actions)
            near = [request for request in self.requests if request.action_id == action.action_id]
            for name, every in by_container.items():
                around = [s for s in every if action.start_ns - 2 * S <= s.time_ns <= action.end_ns + 2 * S]
                records.append(join(action, around, near, others, container=name))
        journal.append(records)


def _inside(gap: Gap, container: str, time_ns: int) -> bool:
    return gap.subject in ("", container) and gap.start_ns <= time_ns < (gap.end_ns or 2**63)


@dataclass
class Site:
    """A web application over a journal, and the knobs that a test turns."""

    path: Path
    journal: SqliteJournal
    clock: Clock
    ready: dict[str, tuple[bool, str]] = field(
        default_factory=lambda: {"journal": (True, ""), "docker": (True, "3 containers"), "markers": (True, "")}
    )
    health: dict[str, dict[str, int | float | str]] = field(
        default_factory=lambda: {
            "journal": {"size_bytes": 48 * MIB, "committed_total": 120_345, "dropped_total": 0},
            "docker": {"frames_total": 5_400, "lag_seconds": 0.21},
            "markers": {"connections": 2, "accepted_total": 412},
        }
    )
    engine: list[Mapping[str, Any]] = field(default_factory=list)
    min_group: int = 5
    address: tuple[str, int] = ("127.0.0.1", 0)
    more: tuple[Blueprint, ...] = ()
    open_actions: list[Marker] = field(default_factory=list)

    def parts(self, **more: Any) -> WebParts:
        """What the application is built around; `more` overrides single parts."""
        reader = Reader(self.path)
        told = WebParts(
            reader=lambda: reader,
            clock=self.clock,
            catalogue=load_catalogue(),
            version="0.0-test",
            site="lab",
            min_group=self.min_group,
            health=lambda: self.health,
            ready=lambda: self.ready,
            containers=lambda: self.engine,
            address=self.address,
            more=self.more,
            open_actions=lambda: self.open_actions,
        )
        return replace(told, **more)


@contextmanager
def site(folder: Path, clock: Clock | None = None) -> Iterator[Site]:
    """An empty site in a folder."""
    path = folder / "journal.sqlite"
    with SqliteJournal(path) as journal:
        yield Site(path=path, journal=journal, clock=clock or ManualClock())


@contextmanager
def served(lab: Site) -> Iterator[str]:
    """The site on a free port of loopback; yields its base URL."""
    server = WebServer(create_app(lab.parts()), lab.address)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.address[1]}"
    finally:
        server.stop()

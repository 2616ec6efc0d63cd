"""A site that has something of everything, shipped to InfluxDB by the real shipper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sidecar.clock import Clock, ManualClock
from sidecar.config import load
from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.points import PointContext
from sidecar.model.records import Action, Gap, Marker, Rating, Record, Sample, Session, Setup, Transfer
from sidecar.service import Service
from sidecar.ship.influx import InfluxStore
from sidecar.ship.rollup import Rollup
from sidecar.ship.shipper import Shipper
from sidecar.web.gather_capacity import Wanted
from sidecar.web.outlook import Outlook
from tests.support.grafana import START_MS
from tests.support.influx import BUCKET, TOKEN, Influx
from tests.support.replays import recorded, replays
from tests.support.web import Lab, S

T0 = START_MS * 10**6
#: so many real people are a group here, and what only fewer of them do
MIN_GROUP, LONELY = 3, "annotate"
#: nothing is seen of xnat-web here
HIDDEN = (T0 + 500 * S, T0 + 530 * S)


class MadeUpSite:
    """Twenty minutes of three containers, people and replayed sessions, and everything that is shipped of them."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab(T0, T0 + 1200 * S)
        self._sessions()
        self.lab.gaps = [
            Gap(part="docker", subject="xnat-web", start_ns=HIDDEN[0], end_ns=HIDDEN[1], reason="the engine was restarted"),
            Gap(part="sidecar", subject="", start_ns=T0 - 3600 * S, end_ns=T0 + 5 * S, reason="the sidecar was not running"),
            Gap(part="nginx_log", subject="nginx", start_ns=T0 + 1100 * S, end_ns=None, reason="the log cannot be read"),
        ]
        self.cgroup = [
            replace(sample, throttled_ns=(sample.time_ns - T0) // 20, throttled_periods=1)
            for sample in self.lab.samples(T0, T0 + 1300 * S, S // 5)
        ]
        self.frames = [_frame(sample) for sample in self.cgroup if sample.time_ns % S == 0]
        self._actions()
        self._requests()
        self.lonely = self._alone()
        self._journal = folder / "journal.sqlite"
        self._log = folder / "access.log"

    def ship(self, influx: Influx) -> None:
        """Through the real journal and the real shipper into InfluxDB, the sidecar's own health beside it."""
        clock = ManualClock(T0 + 1000 * S)
        self._log.touch()
        settings = {
            "TRACEMARK_JOURNAL": str(self._journal.with_name("own.sqlite")),
            "TRACEMARK_NGINX_LOG": str(self._log),
            "TRACEMARK_INFLUX_URL": influx.url,
            "TRACEMARK_HTTP": "127.0.0.1:0",
            "TRACEMARK_MARKERS": "127.0.0.1:0",
            "TRACEMARK_DOCKER": f"unix://{self._log.with_name('no.sock')}",
        }
        service = Service(load(settings), clock)
        with SqliteJournal(self._journal) as journal:
            self.lab.fill(journal, self.cgroup)
            journal.append([*self.frames, *self._markers(), *self._transfers(), *self._ratings(), *self.lonely])
            store = InfluxStore(influx.url, TOKEN, "lab", BUCKET)
            context = PointContext(site="lab", engine_host="host-1")
            outlook = self._outlook(clock, context)
            shipper = Shipper(
                journal,
                store,
                clock,
                context,
                own_health=service.health,
                own_points=outlook.points,
                min_group=MIN_GROUP,
                jitter=lambda: 0.5,
            )
            while clock.wall_ns() <= T0 + 1290 * S:
                while not shipper.step():
                    pass
                assert shipper.health()["reachable"], shipper.health()["last_error"]
                clock.advance(10)
                if clock.wall_ns() // S % 60 == 0:
                    outlook.step()
            assert shipper.health()["refused_points"] == 0
            reader = Reader(self._journal)
            rollup = Rollup(journal, reader, store, clock, context)
            clock.advance(120)  # every minute is over
            while rollup.step() < 1:
                pass
            reader.close()
            assert rollup.health()["written_points"], rollup.health()
        service.stop()

    def _outlook(self, clock: Clock, context: PointContext) -> Outlook:
        """Of a journal of its own: two replayed experiments, five blocks each."""
        path = self._journal.with_name("runs.sqlite")
        baseline, candidate = replays(3, {(0, "action_4"): 0.4})
        with SqliteJournal(path) as journal:
            journal.append(recorded(baseline, candidate, T0 - 6800 * S))
        wanted = Wanted(targets={"open_viewer": 30.0}, cpu_limits={"machine": 8.0})
        return Outlook(lambda: Reader(path), clock, context, wanted, baseline="before", least=1)

    def _alone(self) -> list[Record]:
        """Two real people who do and rate what nobody else does on that day."""
        made: list[Record] = []
        for number in range(MIN_GROUP - 1):
            session = Session(
                session=f"alone-{number:04}", source="extension", client="lab", started_ns=T0 + 600 * S, role="researcher"
            )
            lone = replace(
                self.lab.actions[0],
                action_id=f"alone-{number:04}-0",
                action=LONELY,
                session=session.session,
                source="extension",
                start_ns=T0 + (610 + number) * S,
            )
            made += [session, lone, Rating(session=session.session, action_id=lone.action_id, time_ns=T0 + 650 * S, score=1)]
        return made

    def _ratings(self) -> list[Record]:
        """Every real person's opinion of one action."""
        real = {session.session for session in self.lab.sessions if session.source == "extension"}
        logins = [action for action in self.lab.actions if action.action == "login" and action.session in real]
        assert len(logins) >= MIN_GROUP
        return [
            Rating(session=str(action.session), action_id=action.action_id, time_ns=action.end_ns + S, score=2 + number % 4)
            for number, action in enumerate(logins)
        ]

    def _sessions(self) -> None:
        replayed: Sequence[tuple[Setup, str]] = (("lan", "run-1"), ("vpn", "run-1"), ("lan", "run-2"), ("vpn", "run-2"))
        for number, (setup, run) in enumerate(replayed):
            for role, at_s in (("researcher", 10 + number * 90), ("radiologist", 40 + number * 110)):
                self.lab.sit(role, at_s)
                self.lab.sessions[-1] = replace(self.lab.sessions[-1], setup=setup, run=run, repetition=number + 1)
        for at_s in (480, 700, 1000):
            for role in ("researcher", "radiologist"):
                self.lab.sit(role, at_s, source="extension")
                self.lab.sessions[-1] = replace(self.lab.sessions[-1], setup=None, run=None, repetition=None, scenario=None)
        # The route changed: the run began again at its first repetition.
        self.lab.sit("researcher", 900)
        self.lab.sessions[-1] = replace(self.lab.sessions[-1], setup="lan", run="run-2", repetition=1)

    def _actions(self) -> None:
        self.lab.act("upload", T0 + 300 * S, 20 * S, None)
        self.lab.act("annotate", T0 + 320 * S, 2 * S, None)
        self.lab.actions = [_measured(action, number) for number, action in enumerate(self.lab.actions)]

    def _requests(self) -> None:
        self.lab.requests = [
            replace(
                request,
                upstream_ns=(request.duration_ns or 0) // 3,
                upstream_header_ns=(request.duration_ns or 0) // 4,
                status=(200, 200, 404, 200, 500)[number % 5],
                received_bytes=300,
            )
            for number, request in enumerate(self.lab.requests)
        ]

    def _markers(self) -> list[Record]:
        made: list[Record] = []
        for number, action in enumerate(self.lab.actions, 1):
            if action.session is None:
                continue
            made.append(
                Marker(
                    session=action.session,
                    seq=number,
                    action_id=action.action_id,
                    action=action.action,
                    phase="begin",
                    wall_ns=action.start_ns,
                    mono_ns=number,
                    offset_ns=0,
                    offset_error_ns=1000,
                    received_ns=action.start_ns + 1,
                )
            )
        return made

    def _transfers(self) -> list[Record]:
        replayed = {session.session for session in self.lab.sessions if session.source == "replay"}
        return [
            Transfer(
                session=action.session,
                action_id=action.action_id,
                start_ns=action.start_ns,
                duration_ns=action.duration_ns,
                down_bytes=1_000_000 + number * 10_000,
                up_bytes=20_000 + number * 100,
                packets=900 + number,
                retransmitted=number % 7,
            )
            for number, action in enumerate(self.lab.actions)
            if action.session in replayed
        ]


def _measured(action: Action, number: int) -> Action:
    viewer = action.action in ("open_viewer", "change_scan")
    return replace(
        action,
        outcome="cancelled" if number % 9 == 4 else "completed",
        clock_error_ns=400_000,
        clock_offset_ns=1_200_000 + number,
        attributes={"first_image_ns": action.duration_ns // 3, "images": 12} if viewer else {},
    )


def _frame(sample: Sample) -> Sample:
    """A frame of the same container at the same time: it alone knows network, block devices and cores."""
    since_s = (sample.time_ns - T0) // S
    return replace(
        sample,
        source="docker",
        cpu_percent=sample.cpu_total_ns % 10**9 / 10**7,
        online_cpus=4,
        rx_bytes=2_000 * since_s,
        tx_bytes=50_000 * since_s,
        block_read_bytes=4_096 * since_s,
        block_write_bytes=8_192 * since_s,
    )

"""Builds every part of the sidecar, wires them, starts and stops them in order: the picture of ARCHITECTURE.md as code."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.collect.access_log import LogCollector
from sidecar.collect.cgroup import CgroupCollector, CgroupTarget
from sidecar.collect.docker_stats import DockerCollector, DockerEngine, parse_selectors
from sidecar.collect.infer import Inference
from sidecar.collect.log_formats import LineReader
from sidecar.collect.log_times import DurationUnit
from sidecar.collect.own_health import own_health
from sidecar.collect.routes import Routes
from sidecar.config import Config
from sidecar.journal.queries import Reader
from sidecar.journal.retention import Retention
from sidecar.journal.sqlite import SqliteJournal
from sidecar.journal.writer import Writer
from sidecar.markers.door import Door
from sidecar.markers.key_file import kept_key
from sidecar.markers.server import MarkerServer
from sidecar.markers.ticket_office import TicketOffice
from sidecar.markers.tickets import Tickets
from sidecar.markers.xnat_login import XnatLogin
from sidecar.model.catalogue import load_catalogue
from sidecar.model.points import PointContext
from sidecar.model.records import Gap, Server
from sidecar.settle import Settler
from sidecar.ship.buckets import TwoBuckets
from sidecar.ship.rollup import Rollup
from sidecar.ship.shipper import Shipper, Store
from sidecar.supervise import Supervised
from sidecar.web.activity import activity_paths
from sidecar.web.app import create_app
from sidecar.web.gather_capacity import Wanted
from sidecar.web.outlook import Outlook, capacity_path
from sidecar.web.parts import WebParts
from sidecar.web.server import WebServer
from sidecar.web.tickets import tickets

log = logging.getLogger(__name__)

#: the outermost log that is configured tells which actions there were, so that one request is not three actions
LOGS: tuple[Server, ...] = ("nginx", "tomcat", "xnat")
#: distinct routes of one log: real traffic has about a hundred; past this they are one, so that InfluxDB's series stay few
ROUTES = 250
#: everything must be committed and closed by then
STOP_S = 5.0


class Service:
    """The whole sidecar. `start` takes the ports and begins to collect, `stop` commits everything and closes.

    Raises at construction or start: SettingError, JournalCorruptError, JournalNewerError, PortTakenError.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._stop = threading.Event()
        self.catalogue = load_catalogue()

        # the journal, and the one thread that writes it
        self._path = Path(config["journal"])
        self.journal = SqliteJournal(self._path)
        self.reader = Reader(self._path)
        self.writer = Writer(self.journal, clock)

        # what is collected: frames, cgroup files, access logs
        self.docker = self._docker()
        self.cgroup = self._cgroup()
        self.logs = self._logs()

        # what users tell, and how they get in
        self._xnat = XnatLogin(config["xnat_url"], __version__) if config["xnat_url"] else None
        self.tickets = self._ticket_office()
        self.door = self._door()
        self.markers = MarkerServer(
            config["markers"],
            token=config["token"],
            writer=self.writer,
            notes=self.journal,
            clock=clock,
            actions=self.catalogue.names,
            on_markers=self.cgroup.read_now,
            redeem=self.tickets.redeem if self.tickets else None,
        )

        # what follows from both
        self.settler = Settler(
            self.journal, self.reader, self.writer, clock, connected=self.markers.connected_sessions, behind=self._behind
        )
        self.retention = Retention(self.journal, clock, days=config["retention_days"], max_mb=config["journal_max_mb"])

        # what is foretold
        self.outlook = self._outlook()

        # where it goes
        self.shipper = self._shipper()
        self.rollup = self._rollup()
        self.web = WebServer(create_app(self._web_parts()), config["http"])

        parts: list[tuple[str, Any]] = [("cgroup", self.cgroup)]
        if self.docker:
            parts.append(("docker", self.docker))
        parts += [(f"{server} log", collector) for server, collector in self.logs.items()]
        parts += [("settle", self.settler), ("retention", self.retention), ("outlook", self.outlook)]
        if self.shipper:
            parts.append(("ship", self.shipper))
        if self.rollup:
            parts.append(("rollup", self.rollup))
        self.parts = [Supervised(name, part, self.writer, clock, self._stop) for name, part in parts]

    def start(self) -> None:
        """Begin: writer, then collectors, then the ports."""
        self.writer.start()
        self._record_absence()
        try:
            self.markers.start()
        except BaseException:
            self.stop()
            raise
        for part in self.parts:
            part.start()
        self.web.start()

    def stop(self) -> bool:
        """End in the order of the data: sources, then the writer, then the file; whether all ended in time."""
        self._stop.set()
        self.markers.stop()
        self.web.stop()
        ended = [part.join(STOP_S / 2) for part in self.parts]
        committed = self.writer.stop(STOP_S / 2)
        self.reader.close()
        self.journal.close()
        for part, done in zip(self.parts, ended, strict=True):
            if not done:
                log.error("%s did not end in time", part.name)
        return committed and all(ended)

    @property
    def http_address(self) -> tuple[str, int]:
        """Where the page and the API listen, with the real port."""
        return self.web.address

    @property
    def marker_address(self) -> tuple[str, int]:
        """Where the marker channel listens, with the real port; after `start`."""
        return self.markers.address

    def health(self) -> Mapping[str, Mapping[str, int | float | str]]:
        """Each part's numbers about itself."""
        told = {part.name.replace(" ", "_"): {**part.part.health(), "restarts": part.deaths} for part in self.parts}
        if self.tickets:
            told["tickets"] = dict(self.tickets.health())
        if self.door:
            told["door"] = dict(self.door.health())
        return told | {"journal": self.writer.health(), "markers": self.markers.health(), "sidecar": own_health()}

    def ready(self) -> Mapping[str, tuple[bool, str]]:
        """Whether each part does its work; a source that is away makes the sidecar less useful, not unready."""
        journal = self.writer.health()
        return {
            "journal": (bool(journal["writable"]), str(journal["last_error"])),
            "markers": (True, ""),
            **({"tickets": (True, self.tickets.trouble)} if self.tickets else {}),
            **{part.name: (True, part.trouble) for part in self.parts},
        }

    def _ticket_office(self) -> TicketOffice | None:
        """Tickets are given where XNAT can be asked whose login a cookie is."""
        if self._xnat is None:
            return None
        given = self._config["pseudonym_key"]
        key = given.encode() if given else kept_key(self._path.with_name(f"{self._path.name}.key"))
        signed = Tickets(key, round(self._config["ticket_minutes"] * 60e9))
        return TicketOffice(self._xnat.user_of, signed, self._clock)

    def _door(self) -> Door | None:
        """Who comes through the site's proxy is asked for an XNAT login, where XNAT can be asked."""
        roles = frozenset(self._config["page_roles"])
        return Door(self._xnat.roles_of, roles, self._clock) if self._xnat is not None and roles else None

    def _docker(self) -> DockerCollector | None:
        endpoint = self._config["docker"]
        if endpoint == "off":
            return None
        chosen = parse_selectors(self._config["containers"])
        return DockerCollector(DockerEngine(endpoint), chosen, self.writer, self._clock)

    def _cgroup(self) -> CgroupCollector:
        root = None if self._config["cgroup"] == "off" else Path(self._config["cgroup"])
        return CgroupCollector(root, self._config["cgroup_hz"], self._targets, self.writer, self._clock)

    def _targets(self) -> Mapping[str, CgroupTarget]:
        """What the cgroup collector reads: processes by their pid files, and the engine's running containers."""
        targets = {name: CgroupTarget(pid_file=Path(file)) for name, file in self._config["processes"].items()}
        if self.docker and self._config["cgroup"] != "off":
            for info in self.docker.containers():
                if info.state in ("running", "paused"):
                    targets[info.name] = CgroupTarget(container_id=info.id, cgroup_parent=info.cgroup_parent)
        return targets

    def _logs(self) -> Mapping[Server, LogCollector]:
        configured = [server for server in LOGS if self._config[f"{server}_log"]]
        zone = None if self._config["log_zone"] == "local" else ZoneInfo(self._config["log_zone"])
        oldest_ns = self._clock.wall_ns() - round(self._config["retention_days"] * 86400e9)
        return {
            server: LogCollector(
                server,
                self._config[f"{server}_log"],
                self.writer,
                self._clock,
                self.journal.note,
                reader=LineReader(
                    server,
                    Routes(self._config["context_path"], ROUTES),
                    zone,
                    DurationUnit(self._config["tomcat_duration"]),
                ),
                inference=Inference(self.catalogue, server) if server == configured[0] else None,
                oldest_ns=oldest_ns,
            )
            for server in configured
        }

    def _behind(self) -> bool:
        return any(collector.behind_bytes > 0 for collector in self.logs.values())

    def _outlook(self) -> Outlook:
        config = self._config
        wanted = Wanted(
            targets=config["targets"],
            cpu_limits=config["cpu_limits"],
            link_mbit=config["link_mbit"],
            min_group=config["min_group"],
        )
        return Outlook(
            lambda: self.reader,
            self._clock,
            self._points(),
            wanted,
            baseline=config["baseline_run"],
            least=config["headroom_least"],
            cpu_limits=lambda: {info["name"]: info["cpu_limit"] for info in self._containers() if info["cpu_limit"]},
        )

    def _shipper(self) -> Shipper | None:
        store = self._store()
        if store is None:
            return None
        return Shipper(
            self.journal,
            store,
            self._clock,
            self._points(),
            own_health=self.health,
            own_points=self.outlook.points,
            min_group=self._config["min_group"],
        )

    def _rollup(self) -> Rollup | None:
        store = self._store()
        if store is None:
            return None
        # Records in the last twentieth of their time may leave the journal while their minute is written.
        keep_s = self._config["retention_days"] * 86_400 * 0.95
        return Rollup(self.journal, self.reader, store, self._clock, self._points(), keep_s=keep_s)

    def _points(self) -> PointContext:
        return PointContext(site=self._config["site"], engine_host=self._config["engine_host"])

    def _store(self) -> Store | None:
        """InfluxDB, one connection for each that writes: the client remembers its last answer."""
        url, long_bucket = self._config["influx_url"], self._config["influx_long_bucket"]
        if not url:
            return None
        from sidecar.ship.influx import InfluxStore  # its client takes a second to load: only where it is wanted

        every, *long = (
            InfluxStore(url, self._config["influx_token"], self._config["influx_org"], bucket)
            for bucket in (self._config["influx_bucket"], *((long_bucket,) if long_bucket else ()))
        )
        return TwoBuckets(every, long[0]) if long else every

    def _web_parts(self) -> WebParts:
        return WebParts(
            reader=lambda: self.reader,
            clock=self._clock,
            catalogue=self.catalogue,
            version=__version__,
            site=self._config["site"],
            min_group=self._config["min_group"],
            health=self.health,
            ready=self.ready,
            containers=self._containers,
            open_actions=self.settler.open_actions,
            address=self._config["http"],
            allowed_hosts=self._config["allowed_hosts"],
            let_in=self.door.let_in if self.door else None,
            more=(
                capacity_path(lambda: self.outlook),
                tickets(self.tickets.ticket_for if self.tickets else None),
                activity_paths(
                    lambda: self.reader,
                    self._clock,
                    self.settler.open_actions,
                    self.writer.put,
                    min_group=self._config["min_group"],
                    token=self._config["token"],
                ),
            ),
        )

    def _containers(self) -> Sequence[Mapping[str, Any]]:
        return [asdict(info) for info in self.docker.containers()] if self.docker else []

    def _record_absence(self) -> None:
        """Nothing was seen between the last run's last sample and now: say so, so that it is drawn as a gap."""
        last_ns = max((row["last_sample"]["time_ns"] for row in self.reader.containers() if row["last_sample"]), default=None)
        now_ns = self._clock.wall_ns()
        # What was absent when the last run was killed may be there again: who looks now tells anew.
        told = [replace(gap, end_ns=max(gap.start_ns, now_ns)) for gap in self.reader.open_gaps()]
        if last_ns is not None and last_ns < now_ns:
            told.append(Gap(part="sidecar", subject="", start_ns=last_ns, end_ns=now_ns, reason="the sidecar was not running"))
        self.writer.put(told)

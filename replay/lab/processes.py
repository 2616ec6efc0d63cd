"""The lab as three plain processes on loopback, for machines without a Docker engine."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from replay.lab.command import Run, must
from replay.lab.control_groups import ControlGroups
from replay.lab.faults import LabFault
from replay.lab.folders import StateFolder, write_private
from replay.lab.nginx_conf import for_processes, stock
from replay.lab.options import Sidecar
from replay.lab.parts import NAMES, PartState
from replay.lab.pids import PidFile, identify
from replay.lab.watching import watched

_ROOT = Path(__file__).parents[2]
# In stopping order: nobody loses the server behind it while it still answers.
_STOP = {"xnat-nginx": signal.SIGTERM, "xnat-web": signal.SIGTERM, "xnat-db": signal.SIGINT}
_READY_S = 60.0
#: where the lab's servers listen when nobody says where
_PORTS, _TRIES = range(20_000, 32_000), 100
#: of a program that listens without a word
_LOOK_AGAIN_S = 1.0
# The shell enters the control groups before it becomes the program, so that not a tick is counted elsewhere;
# it runs in the background of a shell that ends at once, so that the program is nobody's child and outlives us.
_LAUNCH = """
out=$1; shift
( while [ "$1" != -- ]; do echo 0 >"$1" || exit 126; shift; done; shift; exec "$@" ) </dev/null >>"$out" 2>&1 &
echo $!
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the machine keeps the database's and the proxy's programs."""

    postgres: Path
    initdb: Path
    nginx: Path


def find_programs() -> Programs:
    """The newest PostgreSQL and nginx of this machine; a LabFault that names what is missing."""
    if not Path("/proc/self/stat").exists():
        raise LabFault("the lab runs as plain processes on Linux only", "start a Docker engine")
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    postgres = servers[-1] if servers else Path(on_path) if on_path else None
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    missing = [name for name, found in (("postgresql", postgres), ("nginx", nginx)) if found is None]
    if postgres is None or nginx is None:
        raise LabFault(
            f"not on this machine: {', '.join(missing)}", "run `make setup`, or install them, or start a Docker engine"
        )
    return Programs(postgres=postgres, initdb=postgres.with_name("initdb"), nginx=Path(nginx))


def database_folder(folder: StateFolder, *, as_root: bool) -> Path:
    """PostgreSQL refuses to be root; as another user it may not be able to enter root's folders: then it gets one of its own."""
    reachable = all(path.stat().st_mode & 0o001 for path in folder.directory.parents)
    if not as_root or (reachable and folder.directory.stat().st_mode & 0o001):
        return folder.database
    return Path("/var/lib/tracemark-lab") / hashlib.sha256(bytes(folder.directory)).hexdigest()[:12]


def free_port(host: str = "127.0.0.1") -> int:
    """A port of `host`, this machine's, that nobody listens on now, and that the system gives to nobody who asks for any.

    Between the choice and its use by a server lies time in which the system gives away its own (32768 and more on Linux).
    """
    for port in SystemRandom().sample(_PORTS, _TRIES):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            return port
    raise LabFault(f"{host} has no port between {_PORTS[0]} and {_PORTS[-1]} to give away", "end what listens there")


@dataclass(kw_only=True)
class Processes:
    """The three processes of one state folder; implements Parts."""

    folder: StateFolder
    prefix: str
    port: int
    context_path: str
    viewer: Path
    run: Run
    groups: ControlGroups
    as_root: bool
    sidecar: Sidecar | None = None
    dicom: int | None = None

    def pid_file(self, name: str) -> PidFile:
        return PidFile(self.folder.processes / f"{name}.pid")

    def check(self) -> None:
        """Two labs whose processes have the same names would be counted in one control group."""
        for name in NAMES:
            if self.as_root and (others := self.groups.members(self.prefix + name)):
                raise LabFault(
                    f"another lab's {self.prefix + name} runs (process {min(others)})",
                    "stop it with `tracemark lab down --dir DIR`",
                )

    def start(self) -> None:
        """Starts them in order, each once the one before it answers; a LabFault when one does not."""
        programs = find_programs()
        self.folder.processes.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            self._output(name).write_text("", encoding="utf-8")
        database_port, web_port = free_port(), free_port()
        self._start_database(programs, database_port)
        self._await_port("xnat-db", database_port)
        url = f"postgresql://xnat:{self.folder.database_password()}@127.0.0.1:{database_port}/xnat"
        self._launch("xnat-web", [sys.executable, "-m", "replay.lab.web"], self._web_environment(url, web_port))
        conf = for_processes(
            stock(self.sidecar, self.context_path),
            port=self.port,
            web_port=web_port,
            logs=self.folder.nginx_logs,
            scratch=self.folder.processes,
            as_root=self.as_root,
        )
        self.folder.nginx_conf.write_text(conf, encoding="utf-8")
        own_log = self.folder.nginx_logs / "error.log"
        self._launch("xnat-nginx", [str(programs.nginx), "-e", str(own_log), "-c", str(self.folder.nginx_conf)], os.environ)

    def stop(self) -> None:
        """Ends them by pid, the proxy first, and removes their control groups."""
        for name, polite in _STOP.items():
            file = self.pid_file(name)
            if file.path.exists():
                file.end(polite, grace_s=10)
                self.groups.remove(self.prefix + name)

    def states(self) -> tuple[PartState, ...]:
        return tuple(self._state(name) for name in NAMES)

    def last_words(self, name: str) -> str:
        """The last lines that a process printed."""
        lines = (
            self._output(name).read_text(encoding="utf-8", errors="replace").splitlines() if self._output(name).exists() else []
        )
        return "\n".join(lines[-15:])

    def remove(self, folder: Path) -> None:
        target = database_folder(self.folder, as_root=self.as_root) if folder == self.folder.database else folder
        shutil.rmtree(target, ignore_errors=not target.exists())

    def _output(self, name: str) -> Path:
        return self.folder.processes / f"{name}.output"

    def _state(self, name: str) -> PartState:
        file = self.pid_file(name)
        living = file.living()
        if living is not None:
            return PartState(name=self.prefix + name, state="running", detail=f"process {living.pid}")
        detail = "its process is gone" if file.path.exists() else "no pid file"
        return PartState(name=self.prefix + name, state="stopped" if file.path.exists() else "missing", detail=detail)

    def _start_database(self, programs: Programs, port: int) -> None:
        data = database_folder(self.folder, as_root=self.as_root)
        as_user = self._database_user(data)
        if not (data / "PG_VERSION").exists():
            secret = data.parent / f"{data.name}.secret"
            write_private(secret, self.folder.database_password())
            if self.as_root:
                shutil.chown(secret, "postgres")
            options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pwfile={secret}"]
            made = self.run([*as_user, programs.initdb, f"--pgdata={data}", "--username=xnat", *options], timeout_s=120)
            secret.unlink()
            must(made, "initdb failed", f"remove {data} and try again")
            created = subprocess.run(
                [*as_user, str(programs.postgres), "--single", "-D", str(data), "postgres"],
                input="CREATE DATABASE xnat\n",
                capture_output=True,
                check=False,
                text=True,
            )
            if created.returncode != 0:
                raise LabFault(f"the database could not be made ({created.stderr.strip()})", f"remove {data} and try again")
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._launch("xnat-db", [*as_user, str(programs.postgres), "-D", str(data), *options], os.environ)

    def _database_user(self, data: Path) -> list[str]:
        """The words before a command that drop root; the data folder is made for that user."""
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.as_root:
            return []
        try:
            pwd.getpwnam("postgres")
        except KeyError as missing:
            raise LabFault(
                "PostgreSQL refuses to run as root and there is no user postgres",
                "install Debian's postgresql, or run as another user",
            ) from missing
        shutil.chown(data, "postgres", "postgres")
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]

    def _web_environment(self, database_url: str, port: int) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "LAB_LISTEN": f"127.0.0.1:{port}",
            "LAB_DATABASE_URL": database_url,
            "LAB_ARCHIVE": str(self.folder.archive),
            "LAB_XNAT_LOGS": str(self.folder.xnat_logs),
            "LAB_TOMCAT_LOGS": str(self.folder.tomcat_logs),
            "LAB_VIEWER": str(self.viewer),
            "LAB_CONTEXT_PATH": self.context_path,
            "LAB_USERS_FILE": str(self.folder.users_file),
            **({"LAB_DICOM_LISTEN": f"127.0.0.1:{self.dicom}"} if self.dicom is not None else {}),
        }

    def _launch(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        groups = self.groups.make(self.prefix + name) if self.as_root else ()
        launched = subprocess.run(
            ["sh", "-c", _LAUNCH, "lab", str(self._output(name)), *(str(path) for path in groups), "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
        identity = identify(int(launched.stdout))
        if identity is None:
            raise LabFault(f"{name} ended at once ({self.last_words(name)})", f"see {self._output(name)}")
        self.pid_file(name).write(identity)

    def _await_port(self, name: str, port: int) -> None:
        """Waits until it listens, looking again whenever it has said something; a LabFault when it ends or takes too long."""
        file, output = self.pid_file(name), self._output(name)
        deadline = time.monotonic() + _READY_S
        identity = file.living()
        if identity is not None:
            with watched(output, identity) as wait:
                while not _listens(port) and file.living() and (left := deadline - time.monotonic()) > 0:
                    wait(min(left, _LOOK_AGAIN_S))
        if not _listens(port):
            raise LabFault(f"{name} does not answer ({self.last_words(name)})", f"see {output}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

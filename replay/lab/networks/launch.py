"""Starts a program as nobody's child, in a namespace or with sockets that listen in one, and notes who it is before it begins.

`python -m replay.lab.networks.launch --pid-file FILE --log FILE [--inside NS] [--listen NS=HOST:PORT …] -- COMMAND …`

The pid file is written by the process itself before it becomes the program: whoever dies meanwhile, `lab down` finds it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from replay.lab.command import Run, must
from replay.lab.networks.namespaces import enter, entered
from replay.lab.pids import PidFile, identify
from sidecar.model.faults import Fault

_ROOT = Path(__file__).parents[3]
_PR_SET_PDEATHSIG = 1


def launch(
    run: Run,
    pid_file: PidFile,
    log: Path,
    command: Sequence[str],
    *,
    inside: str = "",
    listen: Sequence[tuple[str, str, int]] = (),
) -> None:
    """Starts `command`; `listen` are (namespace, address, port): sockets handed over in nginx's way, in the variable NGINX."""
    sockets = [word for name, host, port in listen for word in ("--listen", f"{name}={host}:{port}")]
    words = ["--pid-file", str(pid_file.path), "--log", str(log), *(["--inside", inside] if inside else []), *sockets]
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    started = run(
        [sys.executable, "-m", __name__, *words, "--", *command], timeout_s=60, environment={**os.environ, "PYTHONPATH": path}
    )
    must(started, f"{pid_file.path.stem} could not be started", f"see {log}")


def main(argv: Sequence[str]) -> int:
    """Becomes the program in a child process; returns once that child is noted down."""
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--pid-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--inside", default="")
    parser.add_argument("--listen", action="append", default=[], metavar="NS=HOST:PORT")
    parser.add_argument("command", nargs="+")
    wanted = parser.parse_args(argv)
    # Nobody is to be started for one who was killed meanwhile; a child is not bound by this.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    environment = dict(os.environ)
    if sockets := [_listening(text) for text in wanted.listen]:
        environment["NGINX"] = "".join(f"{one.detach()};" for one in sockets)
    log = os.open(wanted.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    noted, note = os.pipe()
    if os.fork():
        os.close(note)
        return 0 if os.read(noted, 1) else 1
    os.setsid()
    os.chdir("/")
    for number, handle in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(handle, number)
    if wanted.inside:
        enter(wanted.inside)
    if (identity := identify(os.getpid())) is None:
        return 1
    PidFile(wanted.pid_file).write(identity)
    os.write(note, b"!")
    try:
        os.execvpe(wanted.command[0], wanted.command, environment)  # noqa: S606 (no shell is what is wanted)
    except OSError as refused:
        print(f"{wanted.command[0]} cannot be run: {refused.strerror}", file=sys.stderr, flush=True)
        return 127


def _listening(text: str) -> socket.socket:
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    with entered(name):
        made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, int(port)))
    made.listen(511)
    with suppress(OSError):  # the customary behaviour where the kernel has it, whatever this machine's own default is
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    made.setblocking(False)
    made.set_inheritable(True)
    return made


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Fault, OSError) as fault:
        print(fault, file=sys.stderr)
        sys.exit(1)

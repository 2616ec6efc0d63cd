"""`python -m replay.lab.web`: reads the environment, builds every part, serves until SIGTERM."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from types import FrameType

from replay.lab.web.app import Parts, create_app
from replay.lab.web.auth import Accounts, Sessions
from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Database, open_database, wait_for_server
from replay.lab.web.errors import LabError
from replay.lab.web.importer import Importer
from replay.lab.web.logs import tomcat_file, xnat_file
from replay.lab.web.prearchive import Prearchive
from replay.lab.web.seed import seed_when_empty
from replay.lab.web.server import listen
from replay.lab.web.settings import Settings, from_environment

DATABASE_TIMEOUT_S = 60.0


def main(environment: Mapping[str, str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        serve(environment)
    except LabError as problem:
        print(f"replay.lab.web: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def serve(environment: Mapping[str, str]) -> None:
    """Builds everything in the order of the arrows and listens."""
    settings = from_environment(environment)
    if not (settings.viewer / "dist" / "index.umd.js").exists():
        print(
            f"replay.lab.web: LAB_VIEWER {settings.viewer} holds no dist/index.umd.js: no images can be viewed", file=sys.stderr
        )
    wait_for_server(settings.database_url, timeout_s=DATABASE_TIMEOUT_S, monotonic=time.monotonic, pause=time.sleep)
    database = open_database(settings.database_url)
    xnat_log, tomcat_log = xnat_file(settings.xnat_logs), tomcat_file(settings.tomcat_logs)
    leave = ExitStack()
    try:
        taken = seed_when_empty(database, settings.archive)
        app = create_app(
            Parts(
                database=database,
                accounts=Accounts(settings.passwords, time.monotonic),
                sessions=Sessions(time.monotonic),
                archive=settings.archive,
                viewer=settings.viewer,
                context_path=settings.context_path,
                xnat_log=xnat_log,
                tomcat_log=tomcat_log,
                monotonic=time.monotonic,
                now=lambda: datetime.now().astimezone(),
            )
        )
        if settings.dicom is not None:
            leave.enter_context(_receiving(settings, settings.dicom, database))
        run, port = listen(app, settings.host, settings.port)
        print(f"replay.lab.web: {taken} sessions taken in, listening on {settings.host}:{port}", flush=True)
        run()
    finally:
        leave.close()
        database.close()
        xnat_log.close()
        tomcat_log.close()


@contextmanager
def _receiving(settings: Settings, address: tuple[str, int], database: Database) -> Iterator[None]:
    """The DICOM receiver, where it is wanted."""
    from replay.lab.web.dicom_scp import DicomReceiver  # nobody else needs pynetdicom

    catalogue = Catalogue(database, settings.archive)
    prearchive = Prearchive(database, catalogue, lambda: datetime.now().astimezone())
    receiver = DicomReceiver(
        Importer(prearchive),
        settings.archive,
        catalogue.has_project,
        lambda text: print(f"replay.lab.web: {text}", file=sys.stderr),
    )
    port = receiver.listen(*address)
    print(f"replay.lab.web: receiving DICOM on {address[0]}:{port}", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        receiver.close()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(os.environ))

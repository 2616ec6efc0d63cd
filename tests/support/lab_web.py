"""The practice web application as a process with a real PostgreSQL, a small manifest and small DICOM files.

Use `postgres_server` once per session (it takes a second or two) and `running_lab_web` per test module.
Everything is private to a temporary folder and ends with its context.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from replay.lab.processes import free_port

USERS = {"researcher": "look-at-lungs", "radiologist": "look-at-slices", "admin": "look-after-all"}
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabWeb:
    """A running application: its address with the context path, its users, its folders, its process id."""

    url: str
    users: Mapping[str, str]
    archive: Path
    xnat_logs: Path
    tomcat_logs: Path
    pid: int
    dicom_port: int | None = None

    def tomcat_lines(self) -> list[str]:
        """All lines of Tomcat's access log so far."""
        return [line for path in sorted(self.tomcat_logs.iterdir()) for line in path.read_text().splitlines()]

    def xnat_lines(self) -> list[str]:
        """All lines of XNAT's access log so far."""
        return (self.xnat_logs / "access.log").read_text().splitlines()


def postgres_folder() -> Path | None:
    """The folder with initdb and postgres, or None where PostgreSQL is not installed."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a private PostgreSQL on a unix socket; gives the URL of an empty database `xnat`.

    The server refuses to run as root, so that root runs it as the user `postgres`.
    """
    programs = postgres_folder()
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="labpg"))  # short, because the path of a socket may have 107 letters only
    data, prefix = folder / "data", _as_postgres(folder)
    server: subprocess.Popen[bytes] | None = None
    try:
        subprocess.run(
            [*prefix, programs / "initdb", "-D", data, "-U", "xnat", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        server = subprocess.Popen(
            [*prefix, programs / "postgres", "-D", data, "-k", folder, "-h", "", "-F"],
            stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"), cwd=folder,
        )  # fmt: skip
        _create_database(f"postgresql://xnat@/postgres?host={folder}", server, folder / "log")
        yield f"postgresql://xnat@/xnat?host={folder}"
    finally:
        if server is not None:
            _end(server, signal.SIGINT)
        shutil.rmtree(folder, ignore_errors=True)


def another_database(url: str, name: str) -> str:
    """Makes one more empty database on the same server and gives its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return url.replace("/xnat?", f"/{name}?")


def _as_postgres(folder: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam("postgres")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def _create_database(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    pause = threading.Event()
    for _ in range(300):
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE xnat")
            return
        except psycopg.OperationalError:
            assert server.poll() is None, f"PostgreSQL ended: {log.read_text()[-2000:]}"
            pause.wait(0.1)
    raise AssertionError(f"PostgreSQL did not come up: {log.read_text()[-2000:]}")


@contextmanager
def running_lab_web(
    folder: Path,
    database_url: str,
    *,
    viewer: Path | None = None,
    context_path: str = "",
    host: str = "127.0.0.1",
    dicom: bool = False,
) -> Iterator[LabWeb]:
    """Runs the application on a free port over the archive `folder/archive`, which must hold a manifest."""
    (folder / "users.json").write_text(json.dumps(USERS))
    logs = {name: folder / name for name in ("xnat-logs", "tomcat-logs")}
    for path in logs.values():
        path.mkdir(exist_ok=True)
    port = free_port(host)
    dicom_port = free_port(host) if dicom else None
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAB_")},
        "LAB_LISTEN": f"{host}:{port}",
        "LAB_DATABASE_URL": database_url,
        "LAB_ARCHIVE": str(folder / "archive"),
        "LAB_XNAT_LOGS": str(logs["xnat-logs"]),
        "LAB_TOMCAT_LOGS": str(logs["tomcat-logs"]),
        "LAB_VIEWER": str(viewer or folder / "viewer"),
        "LAB_CONTEXT_PATH": context_path,
        "LAB_USERS_FILE": str(folder / "users.json"),
        **({"LAB_DICOM_LISTEN": f"{host}:{dicom_port}"} if dicom else {}),
    }
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "replay.lab.web"], env=environment, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        first = process.stdout.readline().decode()  # printed when the port is open; empty when the process has ended
        assert "listening" in first, f"the application ended: {(folder / 'stderr').read_text()[-3000:]}"
        yield LabWeb(
            url=f"http://{host}:{port}{context_path}",
            users=USERS,
            archive=folder / "archive",
            xnat_logs=logs["xnat-logs"],
            tomcat_logs=logs["tomcat-logs"],
            pid=process.pid,
            dicom_port=dicom_port,
        )
    finally:
        _end(process, signal.SIGTERM)
        if process.stdout is not None:
            process.stdout.close()


def _end(process: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def dicom_slice(
    *, patient: str, study: str, series: str, series_number: int, instance: int, description: str, size: int = 64
) -> Dataset:
    """A small CT slice: a bright disc on a dark ground that grows from slice to slice."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"{series}.{instance}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = Dataset()
    slice_.file_meta = meta
    slice_.SOPClassUID = CTImageStorage
    slice_.SOPInstanceUID = f"{series}.{instance}"
    slice_.StudyInstanceUID, slice_.SeriesInstanceUID = study, series
    slice_.FrameOfReferenceUID = f"{study}.9"
    slice_.PatientName, slice_.PatientID = patient, patient
    slice_.StudyDate, slice_.StudyTime, slice_.StudyDescription = "20210304", "101112", "CHEST"
    slice_.Modality, slice_.SeriesDescription, slice_.SeriesNumber = "CT", description, series_number
    slice_.InstanceNumber = instance
    slice_.Rows = slice_.Columns = size
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
    slice_.PixelRepresentation, slice_.SamplesPerPixel = 1, 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.RescaleIntercept, slice_.RescaleSlope = 0, 1
    slice_.WindowCenter, slice_.WindowWidth = 40, 400
    slice_.SliceThickness, slice_.PixelSpacing = 1.5, [1.0, 1.0]
    slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [0, 0, 1.5 * instance], [1, 0, 0, 0, 1, 0]
    radius = size // 8 + instance
    values = [180 if (x - size // 2) ** 2 + (y - size // 2) ** 2 < radius**2 else -120 for y in range(size) for x in range(size)]
    slice_.PixelData = b"".join(value.to_bytes(2, "little", signed=True) for value in values)
    return slice_


def write_slices(folder: Path, *, slices: int, patient: str, study: str, number: int, description: str) -> None:
    """Writes one series of small slices as files 001.dcm, 002.dcm … into the folder."""
    folder.mkdir(parents=True)
    for instance in range(1, slices + 1):
        slice_ = dicom_slice(
            patient=patient, study=study, series=f"{study}.{number}", series_number=number, instance=instance,
            description=description,
        )  # fmt: skip
        pydicom.dcmwrite(folder / f"{instance:03d}.dcm", slice_, enforce_file_format=True)


def write_archive(archive: Path, *, catalogue_sessions: int = 30, slices: int = 12) -> dict[str, Any]:
    """Writes a manifest with two projects and one exam that has files; returns the manifest.

    The exam: project COVID19_CT, subject COVID_0001, session COVID_0001_CT1 (XNAT_E00001), scans 2 and 3.
    """
    study = "1.2.826.0.1.3680043.10.99.1"
    exam = archive / "COVID19_CT/arc001/COVID_0001_CT1/SCANS"
    for number, description in ((2, "AXIAL LUNG"), (3, "AXIAL SOFT")):
        write_slices(
            exam / str(number) / "DICOM", slices=slices, patient="COVID_0001", study=study, number=number,
            description=description,
        )  # fmt: skip
    projects = [
        {"id": "COVID19_CT", "name": "COVID-19 CT", "description": "Chest CT", "pi_firstname": "", "pi_lastname": ""},
        {"id": "HEAD_CT", "name": "Head CT", "description": "", "pi_firstname": "", "pi_lastname": ""},
    ]
    subjects = [{"project": "COVID19_CT", "label": "COVID_0001", "gender": "F", "yob": 1960}]
    sessions = [
        {
            "project": "COVID19_CT", "subject": "COVID_0001", "label": "COVID_0001_CT1", "xsi_type": "xnat:ctSessionData",
            "date": "2021-03-04", "age": 61, "scanner": "Scanner A",
            "scans": [
                {
                    "id": str(number), "type": text, "series_description": text, "modality": "CT",
                    "xsi_type": "xnat:ctScanData", "quality": "usable", "frames": slices,
                    "directory": f"COVID19_CT/arc001/COVID_0001_CT1/SCANS/{number}/DICOM",
                }
                for number, text in ((2, "AXIAL LUNG"), (3, "AXIAL SOFT"))
            ],
        }
    ]  # fmt: skip
    for number in range(2, catalogue_sessions + 2):
        project = "COVID19_CT" if number % 3 else "HEAD_CT"
        label = f"{'COVID' if number % 3 else 'HEAD'}_{number:04d}"
        subjects.append({"project": project, "label": label, "gender": "M", "yob": 1930 + number % 60})
        scan = {
            "id": "1", "type": "AXIAL", "series_description": "AXIAL", "modality": "CT", "xsi_type": "xnat:ctScanData",
            "quality": "usable", "frames": 100, "directory": None,
        }  # fmt: skip
        sessions.append(
            {
                "project": project, "subject": label, "label": f"{label}_CT1", "xsi_type": "xnat:ctSessionData",
                "date": "2020-01-02", "age": 40 + number % 40, "scanner": "Scanner B", "scans": [scan],
            }
        )  # fmt: skip
    manifest = {"projects": projects, "subjects": subjects, "sessions": sessions}
    (archive / "manifest.json").write_text(json.dumps(manifest))
    return manifest

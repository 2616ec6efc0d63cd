"""Uploads through the real client into the practice web application with a real PostgreSQL, told to a real sidecar."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xnat

from replay.failures import ConnectionFailedError
from replay.upload.cli import main
from replay.upload.faults import AccountError, NotAllowedError, NotOursError, UploadIncompleteError
from sidecar.model.faults import Fault
from tests.support.lab_web import LabWeb, postgres_folder, postgres_server, running_lab_web, write_archive, write_slices
from tests.support.replay_fakes import FakeTime
from tests.support.sidecar import SidecarProcess, running_sidecar
from tests.support.upload_relay import upload_relay
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is not installed (apt-get install postgresql)")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWeb]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "archive").mkdir()
    write_archive(folder / "archive", catalogue_sessions=6, slices=3)
    with postgres_server() as database, running_lab_web(folder, database, dicom=True) as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    with running_sidecar(tmp_path_factory.mktemp("sidecar")) as running:
        yield running


@pytest.fixture(scope="module")
def client(lab: LabWeb) -> Iterator[Any]:
    with xnat.connect(lab.url, user="admin", password=lab.users["admin"], loglevel="ERROR", no_parse_model=True) as connection:
        yield connection


@pytest.fixture
def project(client: Any, request: pytest.FixtureRequest) -> str:
    """A project of this test's own."""
    name = f"UP_{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"
    client.put(f"/data/projects/{name}")
    return name


@pytest.fixture(autouse=True)
def account(lab: LabWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNAT_USER", "researcher")
    monkeypatch.setenv("XNAT_PASSWORD", lab.users["researcher"])


def exam(folder: Path, name: str, number: int, *, slices: int = 3) -> Path:
    """An exam of two series, as a folder of folders."""
    for series in (1, 2):
        write_slices(
            folder / name / f"scan{series}", slices=slices, patient="NOBODY", study=f"1.2.826.0.1.3680043.10.99.{number}",
            number=series, description="AXIAL",
        )  # fmt: skip
    return folder / name


def zipped(source: Path) -> Path:
    target = source.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.rglob("*.dcm")):
            archive.write(path, path.relative_to(source))
            path.unlink()
    for path in (*source.iterdir(), source):
        path.rmdir()
    return target


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def options(lab: LabWeb, out: Path, project: str, run: str, *more: str, markers: str = "none") -> list[str]:
    return [
        "--url", lab.url, "--setup", "lan", "--out", str(out), "--run-id", run, "--markers", markers,
        "--set", f"project={project}", "--timeout", "20", *more,
    ]  # fmt: skip


def catalogue(client: Any, project: str) -> dict[str, list[str]]:
    """What the site tells of a project."""
    told = {}
    for what, key in (("subjects", "label"), ("experiments", "label")):
        told[what] = sorted(row[key] for row in client.get_json(f"/data/projects/{project}/{what}")["ResultSet"]["Result"])
    waiting = client.get_json(f"/data/prearchive/projects/{project}")["ResultSet"]["Result"]
    return {**told, "waiting": sorted(row["name"] for row in waiting)}


def states(out: Path, run: str) -> dict[str, str]:
    lines = [json.loads(line) for line in (out / run / "uploads.jsonl").read_text().splitlines()]
    return {line["label"]: line["state"] for line in lines}


def test_a_folder_of_exams_arrives_whole_is_told_and_is_removed_again(
    lab: LabWeb, client: Any, project: str, sidecar: SidecarProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exam(tmp_path / "exams", "first", 11)
    zipped(exam(tmp_path / "exams", "second", 12))
    before = digests(lab.archive)
    everybody = {one: catalogue(client, one) for one in ("COVID19_CT", "HEAD_CT")}
    wanted = options(
        lab, tmp_path / "out", project, "run-1", "--set", f"folder={tmp_path / 'exams'}", "--set", "verify=checksum",
        markers=f"ws://{sidecar.markers}/markers",
    )  # fmt: skip
    assert main(wanted) == 0
    labels = ["TM-run-1-0001", "TM-run-1-0002"]
    assert catalogue(client, project) == {"subjects": labels, "experiments": labels, "waiting": []}
    sent = sorted(
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "exams").rglob("*.dcm")]
        + [hashlib.sha256(data).hexdigest() for data in in_zip(tmp_path / "exams/second.zip")]
    )
    arrived = {name: digest for name, digest in digests(lab.archive).items() if name not in before}
    assert sorted(arrived.values()) == sent
    assert "2 of 2 exams uploaded and verified" in capsys.readouterr().out

    actions = wait_until(lambda: told(sidecar, "run-1", 2), "both uploads in the journal")
    assert {(one["action"], one["outcome"], one["scenario"]) for one in actions} == {("upload", "completed", "upload")}
    result = json.loads((tmp_path / "out/run-1/repetition-001/result.json").read_text())
    assert {one["action_id"] for one in actions} == {one["action_id"] for one in result["actions"]}
    assert sum(one["attributes"]["bytes"] for one in result["actions"]) == sum(
        (lab.archive / name).stat().st_size for name in arrived
    )

    assert main([*wanted, "--clean-up"]) == 0
    assert catalogue(client, project) == {"subjects": [], "experiments": [], "waiting": []}
    assert digests(lab.archive) == before
    assert {one: catalogue(client, one) for one in ("COVID19_CT", "HEAD_CT")} == everybody
    assert set(states(tmp_path / "out", "run-1").values()) == {"removed"}


def in_zip(path: Path) -> list[bytes]:
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def told(sidecar: SidecarProcess, run: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sidecar.get("/api/v1/actions", run=run)["rows"]
    return found if len(found) == count else []


def test_bursts_over_hours_through_the_prearchive_with_synthetic_exams(
    lab: LabWeb, client: Any, project: str, tmp_path: Path
) -> None:
    time = FakeTime()
    wanted = options(
        lab, tmp_path, project, "hours", "--set", "size=1MB", "--set", "destination=prearchive",
        "--bursts", "3", "--every", "2h", "--variation", "0.5", "--seed", "7",
    )  # fmt: skip
    assert main(wanted, time.clock()) == 0
    assert catalogue(client, project)["experiments"] == ["TM-hours-0001", "TM-hours-0002", "TM-hours-0003"]
    assert catalogue(client, project)["waiting"] == []
    began = [
        json.loads((tmp_path / f"hours/repetition-{number:03d}/result.json").read_text())["started_ns"] / 1e9
        for number in (1, 2, 3)
    ]
    assert [round(one - began[0]) for one in began] == [round(sum(time.pauses[:count])) for count in range(3)]
    assert 1.5 * 3600 <= time.pauses[0] <= 2.5 * 3600
    assert not list((tmp_path / "hours").glob("exams-*")), "synthetic exams are not kept"
    assert main(wanted, FakeTime().clock()) == 0, "nothing is left to do"
    assert main([*wanted, "--clean-up"]) == 0
    assert catalogue(client, project) == {"subjects": [], "experiments": [], "waiting": []}


def test_a_killed_run_goes_on_without_sending_a_verified_exam_again(
    lab: LabWeb, client: Any, project: str, sidecar: SidecarProcess, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        exam(tmp_path / "exams", f"exam{number}", 20 + number)
    wanted = options(
        lab, tmp_path / "out", project, "killed", "--set", f"folder={tmp_path / 'exams'}",
        markers=f"ws://{sidecar.markers}/markers",
    )  # fmt: skip
    with upload_relay(lab.url) as relay:
        wanted[1] = relay.url
        relay.hold = 2
        command = [sys.executable, "-m", "sidecar", "replay", "upload", *wanted]
        with subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            assert relay.held.wait(60), "the second exam is not sent"
            os.kill(process.pid, signal.SIGKILL)
        assert states(tmp_path / "out", "killed") == {"TM-killed-0001": "verified", "TM-killed-0002": "intended"}
        first = ids(client, project)["TM-killed-0001"]
        assert main(wanted) == 0
        assert relay.uploads == 4
    after = ids(client, project)
    assert sorted(after) == [f"TM-killed-000{number}" for number in (1, 2, 3)]
    assert after["TM-killed-0001"] == first
    assert set(states(tmp_path / "out", "killed").values()) == {"verified"}
    result = json.loads((tmp_path / "out/killed/repetition-001/result.json").read_text())
    assert len(result["actions"]) == 3
    actions = wait_until(lambda: told(sidecar, "killed", 4), "the uploads of both processes")
    assert sorted(one["outcome"] for one in actions) == ["cancelled", "completed", "completed", "completed"]


def ids(client: Any, project: str) -> dict[str, str]:
    rows = client.get_json(f"/data/projects/{project}/experiments")["ResultSet"]["Result"]
    return {row["label"]: row["ID"] for row in rows}


def test_an_upload_that_breaks_off_is_sent_again_as_a_whole(
    lab: LabWeb, client: Any, project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exam(tmp_path / "exams", "one", 31)
    with upload_relay(lab.url) as relay:
        relay.breaks = 2
        wanted = options(lab, tmp_path / "out", project, "broken", "--set", f"folder={tmp_path / 'exams'}")
        wanted[1] = relay.url
        time = FakeTime()
        assert main(wanted, time.clock()) == 0
        assert relay.uploads == 3
    result = json.loads((tmp_path / "out/broken/repetition-001/result.json").read_text())
    label = f"00-{result['session']}-{result['actions'][0]['action_id']}-01"
    assert relay.labels[-1] == label, "the request says which action it belongs to"
    assert len(set(relay.labels)) == 3
    assert time.pauses == [1.0, 2.0], "it waits longer each time"
    assert capsys.readouterr().err.count("the connection failed") == 2
    assert catalogue(client, project) == {
        "subjects": ["TM-broken-0001"], "experiments": ["TM-broken-0001"], "waiting": []
    }  # fmt: skip


def test_a_full_site_ends_the_run_with_evidence_and_it_goes_on_when_there_is_room(
    lab: LabWeb, client: Any, project: str, tmp_path: Path
) -> None:
    for number in (1, 2):
        exam(tmp_path / "exams", f"exam{number}", 40 + number)
    with upload_relay(lab.url) as relay:
        relay.full = True
        wanted = options(lab, tmp_path / "out", project, "full", "--set", f"folder={tmp_path / 'exams'}")
        wanted[1] = relay.url
        with pytest.raises(Fault, match=r"answered 507 \(full\): make room on the site") as stopped:
            main(wanted)
        assert stopped.value.exit_status == 1
        assert relay.uploads == 1, "the second exam is not tried"
        evidence = json.loads((tmp_path / "out/full/failed/repetition-001-attempt-1/result.json").read_text())
        assert evidence["failure"]["kind"] == "disk"
        assert evidence["failure"]["what"].startswith("uploading TM-full-0001")
        relay.full = False
        assert main(wanted) == 0
    assert catalogue(client, project)["experiments"] == ["TM-full-0001", "TM-full-0002"]


def test_a_bad_exam_is_named_the_others_arrive_and_the_corrected_one_follows(
    lab: LabWeb, client: Any, project: str, tmp_path: Path
) -> None:
    exams = tmp_path / "exams"
    exam(exams, "a", 51)
    (exam(exams, "b", 52) / "notes.txt").write_text("no DICOM")
    broken = zipped(exam(exams, "c", 53))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    exam(exams, "d", 54)
    wanted = options(lab, tmp_path / "out", project, "bad", "--set", f"folder={exams}")
    with pytest.raises(UploadIncompleteError, match="2 of 4 exams") as incomplete:
        main(wanted)
    assert "b: notes.txt is no DICOM file" in incomplete.value.what
    assert "the zip c.zip cannot be read" in incomplete.value.what
    assert catalogue(client, project)["experiments"] == ["TM-bad-0001", "TM-bad-0004"]
    (exams / "b/notes.txt").unlink()
    broken.write_bytes(whole)
    assert main(wanted) == 0
    assert catalogue(client, project)["experiments"] == [f"TM-bad-000{number}" for number in (1, 2, 3, 4)]


def test_a_dicom_receiver_gets_exams_without_any_patient(lab: LabWeb, client: Any, project: str, tmp_path: Path) -> None:
    exam(tmp_path / "exams", "one", 61)
    zipped(exam(tmp_path / "exams", "two", 62))
    before = digests(lab.archive)
    wanted = options(
        lab, tmp_path / "out", project, "dimse", "--set", f"folder={tmp_path / 'exams'}", "--set", "destination=dicom",
        "--set", f"dicom=127.0.0.1:{lab.dicom_port}/XNAT",
    )  # fmt: skip
    assert main(wanted) == 0
    assert catalogue(client, project) == {
        "subjects": ["TM-dimse-0001", "TM-dimse-0002"],
        "experiments": ["TM-dimse-0001", "TM-dimse-0002"],
        "waiting": [],
    }
    fresh = [path for path in lab.archive.rglob("*.dcm") if str(path.relative_to(lab.archive)) not in before]
    assert len(fresh) == 12
    assert not [path for path in fresh if b"NOBODY" in path.read_bytes()]
    assert main([*wanted, "--clean-up"]) == 0
    assert digests(lab.archive) == before


def test_what_is_not_ours_stays_untouched(
    lab: LabWeb, client: Any, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam(tmp_path / "exams", "one", 71)
    before = digests(lab.archive)
    folder = ("--set", f"folder={tmp_path / 'exams'}")
    with pytest.raises(NotAllowedError, match="there is no project NOWHERE"):
        main(options(lab, tmp_path / "out", "NOWHERE", "nowhere", *folder))
    with pytest.raises(NotOursError, match="project COVID19_CT holds data that no upload of ours made"):
        main(options(lab, tmp_path / "out", "COVID19_CT", "others", *folder))
    client.put(f"/data/projects/{project}/subjects/TM-taken-0001")
    with pytest.raises(NotOursError, match="TM-taken-0001 is already in project"):
        main(options(lab, tmp_path / "out", project, "taken", *folder))
    monkeypatch.setenv("XNAT_PASSWORD", "wrong")
    with pytest.raises(AccountError, match="XNAT_PASSWORD"):
        main(options(lab, tmp_path / "out", project, "account", *folder))
    assert digests(lab.archive) == before
    assert catalogue(client, project) == {"subjects": ["TM-taken-0001"], "experiments": [], "waiting": []}


def test_cleaning_up_spares_a_session_that_somebody_added_to_our_subject(
    lab: LabWeb, client: Any, project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exam(tmp_path / "exams", "one", 81)
    wanted = options(lab, tmp_path / "out", project, "shared", "--set", f"folder={tmp_path / 'exams'}")
    assert main(wanted) == 0
    client.put(f"/data/projects/{project}/subjects/TM-shared-0001/experiments/THEIRS")
    with pytest.raises(UploadIncompleteError, match="1 exams are still there"):
        main([*wanted, "--clean-up"])
    assert catalogue(client, project)["experiments"] == ["THEIRS"]
    assert catalogue(client, project)["subjects"] == ["TM-shared-0001"]


def test_a_crash_before_the_sites_id_was_noted_leaves_it_to_the_study_what_is_ours(
    lab: LabWeb, client: Any, project: str, tmp_path: Path
) -> None:
    exam(tmp_path / "exams", "one", 91)
    wanted = options(lab, tmp_path / "out", project, "crashed", "--set", f"folder={tmp_path / 'exams'}")
    assert main(wanted) == 0
    ledger = tmp_path / "out/crashed/uploads.jsonl"
    intended = json.loads(ledger.read_text().splitlines()[0])
    assert intended["state"] == "intended"
    ledger.write_text(json.dumps({**intended, "study": "1.2.3"}) + "\n")
    with pytest.raises(UploadIncompleteError):
        main([*wanted, "--clean-up"])
    assert catalogue(client, project)["experiments"] == ["TM-crashed-0001"]
    ledger.write_text(json.dumps(intended) + "\n" + '{"exam": 2, "lab')
    assert main([*wanted, "--clean-up"]) == 0
    assert catalogue(client, project)["experiments"] == []


def test_a_dicom_receiver_that_does_not_answer_or_does_not_know_us_is_named(
    lab: LabWeb, client: Any, project: str, tmp_path: Path
) -> None:
    exam(tmp_path / "exams", "one", 63)
    folder = ("--set", f"folder={tmp_path / 'exams'}", "--set", "destination=dicom", "--set")
    with pytest.raises(NotAllowedError, match="takes no association as OTHERS"):
        main(options(lab, tmp_path / "out", project, "title", *folder, f"dicom=127.0.0.1:{lab.dicom_port}/OTHERS"))
    time = FakeTime()
    with pytest.raises(ConnectionFailedError, match=r"no DICOM receiver answers at 127\.0\.0\.1:1"):
        main(options(lab, tmp_path / "out", project, "nobody", *folder, "dicom=127.0.0.1:1/XNAT"), time.clock())
    assert time.now_s == pytest.approx(20), "it was waited for"
    assert catalogue(client, project) == {"subjects": [], "experiments": [], "waiting": []}

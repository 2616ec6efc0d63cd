"""What a lab tells other programs about itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from replay.accounts import accounts_from
from replay.lab.faults import LabFault
from replay.lab.folders import StateFolder, cache_directory, state_directory, write_private
from replay.lab.info import LabInfo


def info(directory: Path) -> LabInfo:
    return LabInfo(
        url="http://127.0.0.1:8089",
        mode="docker",
        context_path="",
        users={"researcher": "secret"},
        exam={"project": "COVID19_CT", "scans": ["2", "3"]},
        log_files={"nginx": "/logs/nginx"},
        containers=("xnat-web", "xnat-db", "xnat-nginx"),
        pid_files={},
        directory=str(directory),
        exam_size="small",
        project="tracemark-lab",
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = info(tmp_path)
    saved.save()
    assert LabInfo.load(tmp_path) == saved


def test_nobody_else_can_read_the_passwords(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{}")
    (tmp_path / "lab.json").chmod(0o644)
    assert stat.S_IMODE(info(tmp_path).save().stat().st_mode) == 0o600


def test_no_lab_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match=r"no lab is up in .*: start it with `tracemark lab up`"):
        LabInfo.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"containers": []}', "[]", '{"containers": 3}'])
def test_a_broken_description_is_a_fault_with_a_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(LabFault, match="is not a lab's description"):
        LabInfo.load(tmp_path)


def test_a_forgotten_lab_is_gone_and_can_be_forgotten_again(tmp_path: Path) -> None:
    info(tmp_path).save()
    LabInfo.forget(tmp_path)
    LabInfo.forget(tmp_path)
    with pytest.raises(LabFault):
        LabInfo.load(tmp_path)


def test_passwords_are_made_once_and_differ(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    first = folder.users()
    assert set(first) == {"researcher", "radiologist", "admin"}
    assert len(set(first.values())) == 3
    assert folder.users() == first
    assert folder.database_password() == folder.database_password()
    assert stat.S_IMODE(folder.users_file.stat().st_mode) == 0o600


def test_numbered_researchers_are_added_and_kept_and_have_a_file_of_accounts(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    first = folder.users()
    three = folder.users(3)
    assert set(three) - set(first) == {"researcher01", "researcher02", "researcher03"}
    assert {name: three[name] for name in first} == first
    assert folder.users() == folder.users(2) == three
    assert folder.users(12)["researcher03"] == three["researcher03"]
    assert stat.S_IMODE(folder.accounts_file.stat().st_mode) == 0o600
    found = accounts_from(str(folder.accounts_file), 12, {}, ("XNAT_USER", "XNAT_PASSWORD"))
    assert {one.variables["XNAT_USER"]: one.variables["XNAT_PASSWORD"] for one in found} == {
        name: password for name, password in folder.users().items() if name[-1].isdigit()
    }
    assert folder.accounts_file in folder.contents()


@pytest.mark.parametrize("text", ["not JSON", "[]"])
def test_a_broken_file_of_passwords_is_a_fault_with_a_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "users.json").write_text(text)
    with pytest.raises(LabFault, match=r"does not hold names and passwords .* --purge"):
        StateFolder(tmp_path).users()


def test_a_private_file_is_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_folders_follow_the_environment() -> None:
    assert state_directory({"XDG_STATE_HOME": "/s"}) == Path("/s/tracemark/lab")
    assert state_directory({}) == Path.home() / ".local/state/tracemark/lab"
    assert cache_directory({"TRACEMARK_CACHE": "/t", "XDG_CACHE_HOME": "/c"}) == Path("/t")
    assert cache_directory({"XDG_CACHE_HOME": "/c"}) == Path("/c/tracemark")
    assert cache_directory({}) == Path.home() / ".cache/tracemark"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabFault, match="cannot be made"):
        StateFolder(tmp_path / "file").make()

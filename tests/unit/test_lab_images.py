"""Where the images come from: a registry where one answers, else Debian's packages; and never built twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from replay.lab import image_build, rootfs
from replay.lab.command import Outcome
from replay.lab.faults import LabFault
from replay.lab.image_build import ImageBuilder, code_files, content_hash, remove_images
from tests.support.lab import DONE, REFUSED, RecordedRun, output


class Engine:
    """Knows which images it has and which the registry has, as the docker command would show it."""

    def __init__(self, images: Sequence[str] = (), registry: Sequence[str] = ()) -> None:
        self.images = set(images)
        self.registry = set(registry)

    def __call__(self, command: Sequence[str]) -> Outcome | None:
        match list(command):
            case ["docker", "image", "inspect", *_, image]:
                return DONE if image in self.images else REFUSED
            case ["docker", "manifest", "inspect", image]:
                return DONE if image in self.registry else REFUSED
            case ["docker", "pull", *_, image]:
                if image not in self.registry:
                    return REFUSED
                self.images.add(image)
                return DONE
            case ["docker", "import", *_, tag]:
                self.images.add(tag)
            case ["docker", "build", *_, tag, _context]:
                self.images.add(tag)
            case ["docker", "run", *_]:
                return output("3.11\n")
            case ["mmdebstrap", *rest]:
                next(Path(part) for part in rest if part.endswith(".tar")).write_text("tar")
            case [_, "-m", "pip", "download", *rest]:
                folder = Path(rest[rest.index("--dest") + 1])
                folder.mkdir()
                (folder / "flask-3-py3-none-any.whl").write_text("wheel")
        return None


STOCK = ("python:3.11-slim-bookworm", "postgres:16.9-alpine", "nginx:1.29.0-alpine-perl")


@pytest.fixture(autouse=True)
def mmdebstrap_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.lab.rootfs.shutil.which", lambda name: f"/usr/bin/{name}")


def builder(tmp_path: Path, run: RecordedRun, environment: dict[str, str] | None = None) -> ImageBuilder:
    return ImageBuilder(
        run=run,
        cache=tmp_path,
        environment=environment or {},
        say=lambda _text: None,
        python=Path("python"),
        build_environment={},
    )


def bases(run: RecordedRun) -> list[str]:
    return [next(part for part in command if part.startswith("BASE_IMAGE=")) for command in run.that_begin("docker", "build")]


def test_without_a_registry_all_three_come_from_debian_s_packages(tmp_path: Path) -> None:
    run = RecordedRun(Engine())
    images = builder(tmp_path, run).ensure()
    assert [image.partition(":")[0] for image in (images.web, images.database, images.nginx)] == list(
        image_build.REPOSITORIES[:3]
    )
    assert bases(run) == [f"BASE_IMAGE=tracemark-lab-base:{rootfs.key()}"] * 3
    assert len(run.that_begin("mmdebstrap")) == len(run.that_begin("docker", "import")) == 1
    assert run.that_begin("docker", "pull") == []


def test_a_second_time_builds_and_fetches_nothing(tmp_path: Path) -> None:
    engine = Engine()
    first = builder(tmp_path, RecordedRun(engine)).ensure()
    run = RecordedRun(engine)
    assert builder(tmp_path, run).ensure() == first
    assert {tuple(command[:3]) for command in run.commands} == {("docker", "image", "inspect")}


def test_a_registry_that_answers_is_used(tmp_path: Path) -> None:
    run = RecordedRun(Engine(registry=STOCK))
    images = builder(tmp_path, run).ensure()
    assert (images.database, images.nginx) == STOCK[1:]
    assert bases(run) == [f"BASE_IMAGE={STOCK[0]}"]
    assert run.that_begin("mmdebstrap") == []


def test_images_that_the_engine_has_are_not_asked_for(tmp_path: Path) -> None:
    run = RecordedRun(Engine(images=STOCK))
    builder(tmp_path, run).ensure()
    assert run.that_begin("docker", "manifest") == run.that_begin("docker", "pull") == []


def test_the_registry_is_asked_once_and_a_silent_one_is_not_waited_for(tmp_path: Path) -> None:
    def silent(command: Sequence[str]) -> Outcome | None:
        if command[1] == "manifest":
            raise LabFault("`docker manifest inspect` had not ended after 6 s", "try again")
        return None

    run = RecordedRun(silent, Engine())
    assert builder(tmp_path, run).ensure().web.startswith("tracemark-lab-web:")
    assert len(run.that_begin("docker", "manifest")) == 1


def test_images_named_in_the_environment_are_taken(tmp_path: Path) -> None:
    given = {"BASE_IMAGE": "mirror/python:3", "POSTGRES_IMAGE": "mirror/postgres:16", "NGINX_IMAGE": "mirror/nginx:1"}
    run = RecordedRun(Engine(registry=list(given.values())))
    images = builder(tmp_path, run, given).ensure()
    assert (images.database, images.nginx) == ("mirror/postgres:16", "mirror/nginx:1")
    assert bases(run) == ["BASE_IMAGE=mirror/python:3"]


def test_an_image_named_in_the_environment_that_nobody_has_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match=r"NGINX_IMAGE=nowhere/nginx:1 cannot be pulled"):
        builder(tmp_path, RecordedRun(Engine()), {"NGINX_IMAGE": "nowhere/nginx:1"}).ensure()


def test_no_registry_and_no_mmdebstrap_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.lab.rootfs.shutil.which", lambda _name: None)
    with pytest.raises(LabFault, match=r"BASE_IMAGE.*--processes"):
        builder(tmp_path, RecordedRun(Engine())).ensure()


def test_a_failed_root_file_system_is_not_kept(tmp_path: Path) -> None:
    engine = Engine()

    def failing(command: Sequence[str]) -> Outcome | None:
        if command[0] != "mmdebstrap":
            return None
        engine(command)
        return REFUSED

    with pytest.raises(LabFault, match=r"mmdebstrap failed \(refused\)"):
        builder(tmp_path, RecordedRun(failing, engine)).ensure()
    assert list((tmp_path / "rootfs").iterdir()) == []


@pytest.mark.parametrize(("plugin", "expected"), [(DONE, {}), (REFUSED, {"DOCKER_BUILDKIT": "0"})])
def test_the_engine_s_own_builder_stands_in_for_a_missing_plugin(
    tmp_path: Path, plugin: Outcome, expected: dict[str, str]
) -> None:
    run = RecordedRun(lambda command: plugin if command[1] == "buildx" else None, Engine())
    builder(tmp_path, run).ensure()
    build = run.commands.index(run.that_begin("docker", "build")[0])
    assert run.environments[build] == expected


def test_the_tag_changes_with_every_input(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("one")
    first = content_hash("xnat-web.Dockerfile", "base:1", {"code.py": file})
    assert content_hash("xnat-web.Dockerfile", "base:2", {"code.py": file}) != first
    assert content_hash("xnat-db.Dockerfile", "base:1", {"code.py": file}) != first
    assert content_hash("xnat-web.Dockerfile", "base:1", {"other.py": file}) != first
    file.write_text("two")
    assert content_hash("xnat-web.Dockerfile", "base:1", {"code.py": file}) != first


def test_the_web_image_holds_the_application_and_nothing_else_of_ours() -> None:
    names = set(code_files())
    assert {"replay/__init__.py", "replay/lab/__init__.py", "replay/lab/web/__init__.py"} <= names
    assert all(name.startswith("replay/lab/web/") or name.endswith("/__init__.py") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_every_image_is_removed_once() -> None:
    run = RecordedRun(
        lambda command: output("sha256:a\nsha256:b\nsha256:a\n") if command[:3] == ["docker", "image", "ls"] else None
    )
    remove_images(run)
    assert [command[-1] for command in run.that_begin("docker", "image", "rm")] == ["sha256:a", "sha256:b"] * 4

"""The lab's three images: from a registry where one answers, else built from Debian's packages; tagged by what went into them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from replay.lab import rootfs
from replay.lab.command import Run, must
from replay.lab.faults import LabFault
from replay.lab.folders import locked

REPOSITORIES = ("tracemark-lab-web", "tracemark-lab-db", "tracemark-lab-nginx", "tracemark-lab-base")
_FOLDER = Path(__file__).with_name("images")
_ROOT = Path(__file__).parents[2]
_CONSTRAINTS = _ROOT / ".ci/constraints.txt"
_CODE = ("replay/__init__.py", "replay/lab/__init__.py", "replay/lab/web")
_STOCK = {
    "BASE_IMAGE": "python:3.11-slim-bookworm",
    "POSTGRES_IMAGE": "postgres:16.9-alpine",
    "NGINX_IMAGE": "nginx:1.29.0-alpine-perl",
}
_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROBE_S = 6.0
_PULL_S = 900.0
_BUILD_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images that a lab runs on, by name."""

    web: str
    database: str
    nginx: str


@dataclass(kw_only=True)
class ImageBuilder:
    """Finds or makes the images; `environment` may name BASE_IMAGE (for the web application), POSTGRES_IMAGE, NGINX_IMAGE."""

    run: Run
    cache: Path
    environment: Mapping[str, str]
    say: Callable[[str], None]
    python: Path
    build_environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def ensure(self) -> Images:
        """All three, ready to start; a second call with the same inputs builds nothing."""
        with locked(self.cache / "lab.lock"):
            return Images(
                web=self._web(),
                database=self._stock_or("POSTGRES_IMAGE", self._database),
                nginx=self._stock_or("NGINX_IMAGE", self._nginx),
            )

    def _stock_or(self, variable: str, build: Callable[[], str]) -> str:
        """The image that the variable names; else the usual one if it is here or can be pulled; else the one built here."""
        if given := self.environment.get(variable):
            if not self._present(given):
                self.say(f"pulling {given}")
                pulled = self.run(["docker", "pull", "--quiet", given], timeout_s=_PULL_S)
                must(pulled, f"{variable}={given} cannot be pulled", "name an image that the engine has, or unset the variable")
            return given
        if self._present(f"tracemark-lab-base:{rootfs.key()}"):
            return build()
        usual = _STOCK[variable]
        return usual if self._present(usual) or self._pulled(usual) else build()

    def _pulled(self, image: str) -> bool:
        if not self._registry_answers:
            return False
        self.say(f"pulling {image}")
        return self.run(["docker", "pull", "--quiet", image], timeout_s=_PULL_S).status == 0

    @cached_property
    def _registry_answers(self) -> bool:
        """Asked once and for a few seconds: without a registry the lab must not wait for one."""
        try:
            asked = self.run(["docker", "manifest", "inspect", _STOCK["NGINX_IMAGE"]], timeout_s=_PROBE_S)
        except LabFault:
            return False
        return asked.status == 0

    def base(self) -> str:
        """The Debian image that the lab's own images begin with."""
        tag = f"tracemark-lab-base:{rootfs.key()}"
        if not self._present(tag):
            tar = rootfs.rootfs_tar(self.cache, self.run, self.say)
            imported = self.run(["docker", "import", "--change", _PATH, tar, tag], timeout_s=_BUILD_S)
            must(imported, "docker import failed", f"delete {tar} and try again")
        return tag

    def _database(self) -> str:
        return self._built("tracemark-lab-db", "xnat-db.Dockerfile", self.base(), {"xnat-db.sh": _FOLDER / "xnat-db.sh"})

    def _nginx(self) -> str:
        return self._built("tracemark-lab-nginx", "xnat-nginx.Dockerfile", self.base(), {})

    def _web(self) -> str:
        base = self._stock_or("BASE_IMAGE", self.base)
        requirements = _FOLDER / "xnat-web.requirements.txt"
        files = {"requirements.txt": requirements, **code_files()}
        if constraints := constraint_options():
            files["constraints.txt"] = Path(constraints[1])
        tag = f"tracemark-lab-web:{content_hash('xnat-web.Dockerfile', base, files)}"
        if not self._present(tag):
            with tempfile.TemporaryDirectory() as work:
                wheels = Path(work) / "wheels"
                self._download(base, requirements, wheels)
                self._build(
                    tag, "xnat-web.Dockerfile", base, {f"wheels/{wheel.name}": wheel for wheel in wheels.iterdir()} | files
                )
        return tag

    def _download(self, base: str, requirements: Path, target: Path) -> None:
        """Wheels for the base image's Python, kept in the cache, so that new code in the web application needs no network."""
        asked = self.run(
            [
                "docker",
                "run",
                "--rm",
                "--network",
                "none",
                "--entrypoint",
                "python3",
                base,
                "-c",
                "import sys; print('%d.%d' % sys.version_info[:2])",
            ],
            timeout_s=120,
        )
        version = must(asked, f"{base} holds no Python", "name an image with Python 3.11 or later in BASE_IMAGE").strip()
        inputs = {"requirements.txt": requirements}
        if constraints := constraint_options():
            inputs["constraints.txt"] = Path(constraints[1])
        kept = self.cache / "wheels" / content_hash("xnat-web.requirements.txt", version, inputs)
        if not kept.exists():
            self.say("fetching the web application's wheels")
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as work:
                options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", version]
                options += [*constraint_options(), "--dest", f"{work}/wheels", "--requirement", str(requirements)]
                fetched = self.run([self.python, "-m", "pip", "download", *options], timeout_s=_BUILD_S)
                must(
                    fetched, "the wheels of the web application cannot be fetched", "see to it that pip reaches its package index"
                )
                Path(work, "wheels").replace(kept)
        shutil.copytree(kept, target)

    def _built(self, repository: str, dockerfile: str, base: str, files: Mapping[str, Path]) -> str:
        tag = f"{repository}:{content_hash(dockerfile, base, files)}"
        if not self._present(tag):
            self._build(tag, dockerfile, base, files)
        return tag

    def _build(self, tag: str, dockerfile: str, base: str, files: Mapping[str, Path]) -> None:
        self.say(f"building image {tag.partition(':')[0]}")
        with tempfile.TemporaryDirectory() as context:
            for name, source in {"Dockerfile": _FOLDER / dockerfile, **files}.items():
                target = Path(context, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            built = self.run(
                ["docker", "build", "--quiet", "--network", "none", "--build-arg", f"BASE_IMAGE={base}", "--tag", tag, context],
                timeout_s=_BUILD_S,
                environment={**self.build_environment, **self._builder},
            )
        must(built, f"image {tag} cannot be built", f"build {_FOLDER / dockerfile} by hand to see more")

    @cached_property
    def _builder(self) -> dict[str, str]:
        """Without the buildx plugin a current client builds only when told to use the engine's own builder."""
        plugin = self.run(["docker", "buildx", "version"], timeout_s=30)
        return {} if plugin.status == 0 else {"DOCKER_BUILDKIT": "0"}

    def _present(self, image: str) -> bool:
        return self.run(["docker", "image", "inspect", "--format", "{{.Id}}", image], timeout_s=60).status == 0


def remove_images(run: Run) -> None:
    """Removes the images that were built for labs; one that a container still uses stays."""
    for repository in REPOSITORIES:
        listed = run(["docker", "image", "ls", "--quiet", "--no-trunc", repository], timeout_s=60)
        for image in dict.fromkeys(listed.output.split()):
            run(["docker", "image", "rm", "--force", image], timeout_s=120)


def constraint_options() -> list[str]:
    """`-c FILE` where the checkout pins versions, else nothing."""
    pinned = _CONSTRAINTS.exists() and _CONSTRAINTS.read_text(encoding="utf-8").strip()
    return ["-c", str(_CONSTRAINTS)] if pinned else []


def code_files() -> dict[str, Path]:
    """The web application's files, path in the image -> path here; nothing that Python made by itself."""
    found: dict[str, Path] = {}
    for part in _CODE:
        path = _ROOT / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found[str(file.relative_to(_ROOT))] = file
    return found


def content_hash(recipe: str, base: str, files: Mapping[str, Path]) -> str:
    """A tag that changes when the recipe, the base or any file does."""
    digest = hashlib.sha256(f"{base}\n".encode())
    for name, path in {recipe: _FOLDER / recipe, **files}.items():
        content = path.read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]

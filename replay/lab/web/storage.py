"""Files on disk: safe names, hashed writing, streamed answers, the bodies of requests."""

import hashlib
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from flask import Response, request

from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused
from replay.lab.web.zipstream import BLOCK_BYTES, Member, stream_zip


def safe_name(name: str) -> str:
    """Returns a label that can be a folder name; raises Refused(400) for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}", name):
        raise Refused(400, f"The name {name} must consist of letters, digits, blanks, dots, - and _.")
    return name


def safe_path(name: str) -> str:
    """Returns a relative path that stays below its folder; raises Refused(400) for anything else."""
    path = PurePosixPath(name.removeprefix("./"))
    unsafe = path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or not name.isprintable()
    if unsafe or len(name) > 250:
        raise Refused(400, f"The file name {name!r} must be a short relative path without '..'.")
    return str(path)


def copy_hashed(source: IO[bytes], target: Path) -> tuple[int, str]:
    """Writes all of the source into the target, at once or not at all; returns its size and MD5 digest as XNAT keeps it."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    partial = target.with_name(target.name + ".part")
    try:
        with partial.open("wb") as out:
            while block := source.read(BLOCK_BYTES):
                out.write(block)
                digest.update(block)
                size += len(block)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return size, digest.hexdigest()


def body_stream() -> IO[bytes]:
    """The body of the request at hand; of a form, the first file in it."""
    if request.mimetype == "multipart/form-data":
        for upload in request.files.values():
            return upload.stream
        raise Refused(400, "The form holds no file.")
    return request.stream


def send_file(path: Path) -> Response:
    """Answers with a file in blocks; its length is told in advance."""
    try:
        size = path.stat().st_size
        source = path.open("rb")
    except OSError as problem:
        raise Refused(404, f"The file {path.name} is in the catalogue but not in the archive.") from problem
    kind = "application/dicom" if path.suffix == ".dcm" else "application/octet-stream"
    headers = {"Content-Length": str(size), "Content-Disposition": f'inline; filename="{path.name}"'}
    return Response(_blocks(source), content_type=kind, headers=headers)


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    with source:
        while block := source.read(BLOCK_BYTES):
            yield block


def zip_reply(name: str, members: Sequence[Member]) -> Response:
    """Answers with a zip that is made while it is sent; its length is not known in advance."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_zip(members), content_type="application/zip", headers=headers)


class ResourceStore:
    """Writes uploaded files into one resource."""

    def __init__(self, catalogue: Catalogue, resource: Row, overwrite: bool, about: dict[str, str]) -> None:
        self._catalogue = catalogue
        self._resource = resource
        self._overwrite = overwrite
        self._about = about

    def put(self, name: str, source: IO[bytes]) -> None:
        """Stores one file."""
        name = safe_path(name)
        resource_id = self._resource["xnat_abstractresource_id"]
        if not self._overwrite and self._catalogue.find_file(resource_id, name) is not None:
            raise Refused(409, f"The file {name} exists already: add overwrite=true to replace it.")
        target = self._catalogue.archive / self._resource["directory"] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        size, digest = copy_hashed(source, target)
        entry = {**self._about, "name": name, "size": size, "digest": digest}
        self._catalogue.put_file(resource_id, entry)

    def unpack(self, source: IO[bytes]) -> None:
        """Stores every file of a zip or tar archive."""
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(source, spool)
            spool.seek(0)
            if zipfile.is_zipfile(spool):
                with zipfile.ZipFile(spool) as archive:
                    for info in archive.infolist():
                        if not info.is_dir():
                            with archive.open(info) as member:
                                self.put(info.filename, member)
                return
            spool.seek(0)
            try:
                with tarfile.open(fileobj=spool) as tar:
                    for entry in tar:
                        content = tar.extractfile(entry) if entry.isfile() else None
                        if content is not None:
                            self.put(entry.name, content)
            except tarfile.TarError as problem:
                raise Refused(400, f"The body is neither a zip nor a tar archive ({problem}).") from problem


def digest_of(path: Path) -> str:
    """The MD5 digest of a file, as XNAT keeps it."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

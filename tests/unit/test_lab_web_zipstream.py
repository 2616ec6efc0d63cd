"""The streamed zip: right bytes, in small pieces, and no work for a consumer that has left."""

import hashlib
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.lab.web.zipstream import BLOCK_BYTES, Member, stream_zip


def noise_of(seed: int, size: int) -> bytes:
    """The same bytes every time, which cannot be compressed."""
    return hashlib.shake_128(bytes([seed])).digest(size)


def members_of(folder: Path, contents: dict[str, bytes]) -> list[Member]:
    members = []
    for number, (name, content) in enumerate(contents.items()):
        path = folder / str(number)
        path.write_bytes(content)
        members.append(Member(name=name, path=path))
    return members


@settings(deadline=None)
@given(
    contents=st.dictionaries(
        st.text(st.characters(categories=("L", "N"), include_characters="/_-."), min_size=1, max_size=40).map("a/".__add__),
        st.binary(max_size=3000),
        max_size=5,
    )
)
def test_what_comes_out_is_what_went_in(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
    packed = b"".join(stream_zip(members_of(tmp_path_factory.mktemp("zip"), contents)))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents


def test_the_files_are_really_compressed(tmp_path: Path) -> None:
    members = members_of(tmp_path, {"x.dcm": b"slice " * 100_000})
    packed = b"".join(stream_zip(members))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        info = archive.infolist()[0]
    assert info.compress_type == zipfile.ZIP_DEFLATED
    assert len(packed) < info.file_size / 50


def test_pieces_stay_small_and_memory_constant(tmp_path: Path) -> None:
    noise = noise_of(1, 4 * 1024 * 1024)  # cannot be compressed: everything must pass through
    members = members_of(tmp_path, {f"{number}.dcm": noise for number in range(4)})
    tracemalloc.start()
    total = 0
    for piece in stream_zip(members):
        assert len(piece) < 4 * BLOCK_BYTES
        total += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 4 * len(noise)
    assert peak < 2 * 1024 * 1024


def test_the_first_piece_comes_before_the_last_file_is_read(tmp_path: Path) -> None:
    noise = noise_of(2, 1024 * 1024)
    members = members_of(tmp_path, {"1.dcm": noise})
    stream = stream_zip([*members, Member(name="2.dcm", path=tmp_path / "missing")])
    assert next(stream).startswith(b"PK")
    with pytest.raises(FileNotFoundError):
        list(stream)


def test_a_consumer_that_leaves_stops_the_work(tmp_path: Path) -> None:
    noise = noise_of(3, 1024 * 1024)
    asked: list[str] = []

    def members() -> object:
        for member in members_of(tmp_path, {"1.dcm": noise, "2.dcm": noise, "3.dcm": noise}):
            asked.append(member.name)
            yield member

    stream = stream_zip(members())  # type: ignore[arg-type]
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert asked == ["1.dcm"]

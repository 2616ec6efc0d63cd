"""The parts of an upload that stand alone: the schedule, the throttle, the zip, what an exam is, the ledger, the options."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from replay.failures import ConnectionFailedError
from replay.results import ResultError
from replay.upload import zip_body
from replay.upload.exams import Look, exam_of, sources_in
from replay.upload.faults import AccountError, ExamError, NotAllowedError, SiteAnswerError, SiteFullError, UploadUsageError
from replay.upload.ledger import Entry, Ledger
from replay.upload.options import Parameters
from replay.upload.schedule import byte_rate, schedule, seconds
from replay.upload.site_faults import answered, site_errors
from replay.upload.synthetic import make_exam
from replay.upload.throttle import Throttle
from replay.upload.zip_body import Body, Member, zip_pieces, zip_size
from sidecar.model.faults import Fault
from tests.support.lab_web import write_slices
from tests.support.replay_fakes import FakeTime


@given(exams=st.integers(1, 60), bursts=st.integers(1, 12), variation=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_a_schedule_sends_every_exam_once_in_order_and_repeats_by_seed(
    exams: int, bursts: int, variation: float, seed: int
) -> None:
    if bursts > exams:
        with pytest.raises(UploadUsageError):
            schedule(exams, bursts=bursts, every_s=600, variation=variation, seed=seed)
        return
    found = schedule(exams, bursts=bursts, every_s=600, variation=variation, seed=seed)
    assert [number for burst in found for number in burst.exams] == list(range(1, exams + 1))
    sizes = [len(burst.exams) for burst in found]
    assert max(sizes) - min(sizes) <= 1
    assert found[0].after_s == 0
    begin_s = 0.0
    for place, burst in enumerate(found):
        begin_s += burst.after_s
        assert abs(begin_s - 600 * place) <= 300 * variation + 1e-6
    assert found == schedule(exams, bursts=bursts, every_s=600, variation=variation, seed=seed)


def test_a_schedule_varies_with_its_seed_only_where_that_is_wanted() -> None:
    def gaps(variation: float, seed: int) -> list[float]:
        return [burst.after_s for burst in schedule(4, bursts=4, every_s=1800, variation=variation, seed=seed)]

    assert gaps(0.5, 1) != gaps(0.5, 2)
    assert gaps(0, 1) == gaps(0, 2) == [0, 1800, 1800, 1800]


def test_times_and_rates_are_read_or_named() -> None:
    assert [seconds(text) for text in ("90s", "30m", "1.5h", "7")] == [90, 1800, 5400, 7]
    assert [byte_rate(text) for text in ("500kB", "5MB/s", "1G", "800")] == [500_000, 5_000_000, 10**9, 800]
    for text in ("soon", "-1s", "1d", ""):
        with pytest.raises(UploadUsageError, match="30m"):
            seconds(text)
    for text in ("fast", "0", "-5MB", "5Mb"):
        with pytest.raises(UploadUsageError, match="500kB"):
            byte_rate(text)


@given(rate=st.integers(100, 10**8), chunks=st.lists(st.integers(1, 70_000), min_size=1, max_size=30))
def test_a_throttle_holds_the_rate_exactly_over_all_chunks(rate: int, chunks: list[int]) -> None:
    time = FakeTime()
    throttle = Throttle(rate, time.clock().mono_ns, time.pause)
    for chunk in chunks:
        throttle.sent(chunk)
    assert time.now_s == pytest.approx(sum(chunks) / rate, abs=1e-6 * len(chunks))


def test_a_throttle_does_not_make_up_for_a_slow_receiver() -> None:
    time = FakeTime()
    throttle = Throttle(1000, time.clock().mono_ns, time.pause)
    throttle.sent(1000)
    time.now_s += 60
    throttle.sent(500)
    throttle.sent(1000)
    assert time.pauses == [pytest.approx(1), pytest.approx(1)], "no credit but for the chunk that was under way"
    assert Throttle(None, time.clock().mono_ns, time.pause).chunk_bytes == 65536
    assert throttle.chunk_bytes == 512, "slow transfers flow in small pieces"


letters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\.")
names = st.text(letters, min_size=1, max_size=20)


@given(contents=st.dictionaries(names, st.binary(max_size=3000), max_size=8))
def test_a_streamed_zip_is_whole_of_the_length_that_was_told_and_needs_no_second_look(contents: dict[str, bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zip_body, "file_pieces", lambda path, size: iter([contents[path.name]]))
        members = [Member(name=name, path=Path(name), size=len(data), crc=zlib.crc32(data)) for name, data in contents.items()]
        whole = b"".join(zip_pieces(members))
    assert len(whole) == zip_size(members)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == contents
        for info in archive.infolist():
            assert info.flag_bits & 0x08 == 0, "Java takes no stored entry whose size comes behind it"


def test_a_zip_of_more_than_4_gb_or_65535_files_gets_the_64_bit_end(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Member(name=f"{number:05d}", path=Path("x"), size=0, crc=0) for number in range(65_536)]
    monkeypatch.setattr(zip_body, "file_pieces", lambda path, size: iter([b""]))
    whole = b"".join(zip_pieces(many))
    assert len(whole) == zip_size(many)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert len(archive.infolist()) == 65_536
    large = [Member(name=f"{number}", path=Path("x"), size=3 * 10**9, crc=0) for number in range(3)]
    directory = zip_size(large) - zip_size(large[:1]) - 2 * (3 * 10**9 + 30 + 1)
    assert directory == 2 * (46 + 1) + 12 + 56 + 20, "one entry begins beyond 4 GiB; the end has its 64-bit form"


def test_a_file_that_changes_before_it_is_sent_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    file.write_bytes(b"before")
    member = Member(name="slice.dcm", path=file, size=6, crc=zlib.crc32(b"before"))
    for content in (b"behind", b"more than before", b"less", None):
        file.write_bytes(content) if content is not None else file.unlink()
        with pytest.raises(ExamError, match=r"slice\.dcm"):
            list(zip_pieces([member]))


def test_a_body_can_be_sent_again_and_is_throttled_in_even_chunks() -> None:
    time = FakeTime()
    body = Body(3000, lambda: iter([b"a" * 3000]), lambda: Throttle(1000, time.clock().mono_ns, time.pause))
    assert [len(chunk) for chunk in body] == [512, 512, 512, 512, 512, 440]
    assert time.now_s == pytest.approx(3)
    assert body.seek(0) == 0
    assert b"".join(body) == b"a" * 3000
    assert requests.Request("POST", "http://site.test/", data=body).prepare().headers["Content-Length"] == "3000"


def series(folder: Path, study: str, number: int = 1) -> Path:
    write_slices(folder, slices=2, patient="NOBODY", study=study, number=number, description="AXIAL")
    return folder


def test_what_an_exam_holds(tmp_path: Path) -> None:
    source = tmp_path / "exam"
    series(source / "a", "1.2.3", 1)
    series(source / "b", "1.2.3", 2)
    (source / "DICOMDIR").write_bytes(b"index")
    found = exam_of(source, Look(digests=True))
    files = list(source.rglob("*.dcm"))
    assert (found.study, found.files, found.bytes) == ("1.2.3", 4, sum(path.stat().st_size for path in files))
    assert found.digests == Counter(sha256(path.read_bytes()).hexdigest() for path in files)
    body = b"".join(found.body(lambda: Throttle(None, lambda: 0, lambda _: None)))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert sorted(archive.namelist()) == ["a/001.dcm", "a/002.dcm", "b/001.dcm", "b/002.dcm"]


def test_an_exam_that_cannot_be_uploaded_says_why(tmp_path: Path) -> None:
    series(tmp_path / "two/a", "1.2.3")
    series(tmp_path / "two/b", "1.2.4")
    with pytest.raises(ExamError, match="two holds 2 studies"):
        exam_of(tmp_path / "two", Look())
    (tmp_path / "none").mkdir()
    with pytest.raises(ExamError, match="none holds no DICOM file"):
        exam_of(tmp_path / "none", Look())
    series(tmp_path / "mixed/a", "1.2.3")
    (tmp_path / "mixed/report.pdf").write_bytes(b"%PDF")
    with pytest.raises(ExamError, match=r"mixed: report\.pdf is no DICOM file"):
        exam_of(tmp_path / "mixed", Look())
    assert exam_of(tmp_path / "mixed", Look(skip_others=True)).files == 2
    with zipfile.ZipFile(tmp_path / "damaged.zip", "w") as archive:
        archive.write(tmp_path / "mixed/a/001.dcm", "001.dcm")
    damaged = bytearray((tmp_path / "damaged.zip").read_bytes())
    damaged[3000] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(ExamError, match=r"the zip damaged\.zip cannot be read .*CRC"):
        exam_of(tmp_path / "damaged.zip", Look())


def test_which_exams_a_folder_holds(tmp_path: Path) -> None:
    for name in ("b", "a"):
        series(tmp_path / "exams" / name, "1.2.3")
    (tmp_path / "exams/c.zip").write_bytes(b"")
    (tmp_path / "exams/.hidden").write_bytes(b"")
    assert [path.name for path in sources_in(tmp_path / "exams")] == ["a", "b", "c.zip"]
    assert sources_in(tmp_path / "exams/a") == [tmp_path / "exams/a"]
    (tmp_path / "exams/stray.dcm").write_bytes(b"")
    for folder, why in (("exams", "other files"), ("nowhere", "cannot be read")):
        with pytest.raises(UploadUsageError, match=why):
            sources_in(tmp_path / folder)


def test_a_synthetic_exam_is_an_exam_of_nobody(tmp_path: Path) -> None:
    found = exam_of(make_exam(tmp_path / "one", "TM-run-0001", "1MB"), Look())
    assert found.bytes == pytest.approx(1_000_000, rel=0.01)
    assert found.study.startswith("2.25.")


def entry(exam: int = 1, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "exam": exam, "burst": 1, "project": "UP", "label": f"TM-run-{exam:04d}", "study": "1.2.3", "files": 2, "bytes": 1000,
        "source": "one", "state": "intended", "at_ns": 5,
    }  # fmt: skip
    return Entry(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_ledger_outlives_its_process_and_a_torn_line(tmp_path: Path) -> None:
    file = tmp_path / "uploads.jsonl"
    first = Ledger(file)
    first.put(entry(2))
    first.put(entry(1))
    first.change(1, state="verified", experiment="E1")
    file.write_bytes(file.read_bytes() + b'{"exam":3,"label":"TM-')
    again = Ledger(file)
    assert [(one.exam, one.state, one.experiment) for one in again] == [(1, "verified", "E1"), (2, "intended", None)]
    again.change(2, state="removed")
    assert [one.state for one in Ledger(file)] == ["verified", "removed"]
    assert again.labels == {"TM-run-0001", "TM-run-0002"}
    file.write_bytes(b"no ledger\n")
    with pytest.raises(ResultError, match="nothing removed"):
        Ledger(file)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (507, "", SiteFullError),
        (500, "<html><h1>Error</h1>java.io.IOException: No space left on device</html>", SiteFullError),
        (403, "quota exceeded", SiteFullError),
        (500, "boom", SiteAnswerError),
        (409, "Session already exists", SiteAnswerError),
        (502, "", ConnectionFailedError),
        (401, "", AccountError),
        (403, "", NotAllowedError),
        (413, "", ExamError),
        (400, "no DICOM", ExamError),
    ],
)
def test_an_answer_of_the_site_becomes_a_clear_error(status: int, text: str, kind: type[Fault]) -> None:
    found = answered("uploading TM-run-0001", status, text)
    assert type(found) is kind
    assert found.what.startswith(f"uploading TM-run-0001: the site answered {status}")
    assert "<" not in found.what
    assert found.remedy


def test_network_errors_tell_no_address() -> None:
    with pytest.raises(ConnectionFailedError) as caught, site_errors("uploading"):
        requests.post("http://127.0.0.1:1/data?secret=word", timeout=1)
    assert "Connection refused" in caught.value.what
    assert "127.0.0.1" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_parameters_are_checked_and_named() -> None:
    found = Parameters.of({"project": "UP", "folder": "exams", "rate": "2MB", "verify": "checksum"})
    assert (found.project, found.folder, found.rate, found.destination) == ("UP", Path("exams"), 2_000_000, "archive")
    assert Parameters.of({"project": "UP", "destination": "dicom", "dicom": "[::1]:8104/PACS"}).dicom == ("::1", 8104, "PACS")
    assert Parameters.of({"project": "UP", "destination": "dicom", "dicom": "site:104"}).verify == "count"
    for given_, why in (
        ({}, "no project"),
        ({"project": "../x"}, "is no id"),
        ({"project": "UP", "term": "x"}, "term"),
        ({"project": "UP", "exams": "0"}, "exams=0"),
        ({"project": "UP", "destination": "dicom"}, "belong together"),
        ({"project": "UP", "destination": "there"}, "archive, prearchive, dicom"),
        ({"project": "UP", "destination": "dicom", "dicom": "site"}, "HOST:PORT"),
        ({"project": "UP", "folder": "x", "size": "1MB"}, "synthetic"),
    ):
        with pytest.raises(UploadUsageError, match=why):
            Parameters.of(given_)

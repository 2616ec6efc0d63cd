"""The synthetic studies: readable DICOM of the size that was asked for, the same every time."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.lab.faults import LabUsageFault
from replay.lab.phantom import ChestPhantom, Kernel
from replay.lab.population import manifest
from replay.lab.studies import EXAM, Series, cached_studies, exam_bytes, fill_archive, make_studies, plan

#: two series of one exam, and one of another
TINY = [replace(one, slices=3, side=64) for one in plan("small")[:3]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "archive"
    make_studies(folder, TINY)
    return folder


def files_of(archive: Path) -> list[Path]:
    return sorted(archive.rglob("*.dcm"))


def test_every_slice_is_a_readable_ct_image_without_a_person(tiny: Path) -> None:
    files = files_of(tiny)
    assert len(files) == 9
    for path in files:
        image = pydicom.dcmread(path)
        assert image.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert image.pixel_array.shape == (64, 64)
        hounsfield = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        assert hounsfield.min() >= -1024
        assert hounsfield.max() > 200, "bone is missing"
        assert str(image.PatientName) == image.PatientID
        assert image.PatientID in {"COVID_0001", "COVID_0002"}
        assert image.WindowWidth > 0
        for keyword in ("StudyDate", "SeriesTime", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "ImageType"):
            assert keyword in image


def test_uids_are_valid_and_no_two_images_share_one(tiny: Path) -> None:
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in files_of(tiny)]
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert len({image.SeriesInstanceUID for image in images}) == len(TINY)
    assert len({image.StudyInstanceUID for image in images}) == 2
    for image in images:
        assert image.SOPInstanceUID.is_valid
        assert image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID


def test_slices_go_one_way_through_the_chest(tiny: Path) -> None:
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((tiny / TINY[0].directory).iterdir())]
    depths = [float(image.ImagePositionPatient[2]) for image in images]
    assert depths == sorted(depths, reverse=True)
    assert len(set(depths)) == len(depths)
    assert [image.InstanceNumber for image in images] == [1, 2, 3]


def test_the_same_series_give_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    make_studies(tmp_path / "again", TINY)
    for first, second in zip(files_of(tiny), files_of(tmp_path / "again"), strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert (tiny / "manifest.json").read_bytes() == (tmp_path / "again/manifest.json").read_bytes()


@pytest.mark.parametrize("kernel", ["lung", "soft"])
def test_a_slice_compresses_like_a_real_ct(kernel: Kernel) -> None:
    phantom = ChestPhantom(256, 7)
    compressed = [
        len(zlib.compress((phantom.slice(z, kernel, np.random.default_rng(3)) + 1024).astype("<u2").tobytes(), 6))
        / (2 * 256 * 256)
        for z in (0.2, 0.5, 0.8)
    ]
    assert 0.45 < sum(compressed) / 3 < 0.6


def test_vessels_move_from_slice_to_slice() -> None:
    phantom = ChestPhantom(128, 7)
    one, other = (phantom.slice(z, "soft", np.random.default_rng(3)) for z in (0.50, 0.54))
    assert np.count_nonzero(np.abs(one.astype(int) - other) > 300) > 50


@given(st.integers(1, 3000))
def test_the_plan_meets_any_size_within_a_percent(megabytes: int) -> None:
    exam = plan(f"{megabytes}MB")[:2]
    planned = sum(one.slices * (one.side**2 * 2 + 1212) for one in exam)
    assert abs(planned / (megabytes * 1e6) - 1) < 0.01
    assert abs(exam[0].slices - exam[1].slices) <= 1


def test_the_paper_s_exam_has_two_series_of_438_slices() -> None:
    assert [(one.slices, one.side) for one in plan("460MB")[:2]] == [(438, 512), (438, 512)]


def test_files_on_disk_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    make_studies(tmp_path / "a", plan("1MB")[:2])
    assert sum(path.stat().st_size for path in files_of(tmp_path / "a")) == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize("size", ["", "0MB", "460", "460GB", "big", "-1MB", "1.5MB"])
def test_a_size_that_is_not_understood_is_named(size: str) -> None:
    with pytest.raises(LabUsageFault, match="give small or a whole number"):
        exam_bytes(size)


def test_the_manifest_names_the_practice_exam_first_and_its_files_exist(tiny: Path) -> None:
    content = json.loads((tiny / "manifest.json").read_text())
    first = content["sessions"][0]
    assert (first["project"], first["subject"], first["label"]) == (EXAM["project"], EXAM["subject"], EXAM["session"])
    assert [(scan["id"], scan["series_description"]) for scan in first["scans"]] == [("2", "AXIAL LUNG"), ("3", "AXIAL SOFT")]
    for session in content["sessions"]:
        for scan in session["scans"]:
            if scan["directory"] is not None:
                assert len(list((tiny / scan["directory"]).iterdir())) == scan["frames"]


def test_the_catalogue_is_whole() -> None:
    content = manifest([])
    assert [project["id"] for project in content["projects"]] == ["CHEST_CT", "COVID19_CT", "LUNG_SCREEN", "HEAD_CT"]
    subjects = {(subject["project"], subject["label"]) for subject in content["subjects"]}
    labels = [(session["project"], session["label"]) for session in content["sessions"]]
    assert len(subjects) == len(content["subjects"]) == 1200
    assert len(set(labels)) == len(labels) == 2500
    assert {(session["project"], session["subject"]) for session in content["sessions"]} <= subjects
    assert content == manifest([]), "the catalogue differs from one time to the next"


def test_a_second_archive_is_filled_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.lab.studies.plan", lambda _size: TINY)
    said: list[str] = []
    steps: list[tuple[int, int]] = []
    for name in ("one", "two"):
        fill_archive(tmp_path / name, "small", tmp_path / "cache", said.append, lambda done, total: steps.append((done, total)))
    assert said == ["making the studies (exam size small)"]
    assert steps == [(done, 9) for done in range(1, 10)]
    assert [path.name for path in files_of(tmp_path / "one")] == [path.name for path in files_of(tmp_path / "two")]


def test_studies_that_were_cut_off_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.lab.studies.plan", lambda _size: TINY)

    def cut_off(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_studies("small", tmp_path, lambda _text: None, cut_off)
    assert list((tmp_path / "studies").iterdir()) == []


def test_series_of_one_session_share_the_layout_of_the_archive() -> None:
    series: Series = plan("small")[1]
    assert series.directory == "COVID19_CT/arc001/COVID_0001_CT1/SCANS/3/DICOM"

"""Sending an exam by C-STORE, to the practice system's receiver on this machine."""

from __future__ import annotations

import asyncio
import queue
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pydicom
import pytest
from pynetdicom import association
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider

from replay.lab.networks.link import Link
from replay.lab.shaping_proxy import ShapingProxy, SystemClock
from replay.lab.web.database import Row
from replay.lab.web.dicom_scp import DicomReceiver
from replay.lab.web.importer import ImportWish
from replay.upload import dicom_send
from replay.upload.exams import Look, exam_of
from replay.upload.ledger import Entry
from replay.upload.throttle import Throttle
from tests.support.lab_web import dicom_slice
from tests.support.waiting import wait_until

#: for what comes at once, but on a busy machine
DEADLINE_S = 20.0


class Counted:
    """Takes in, and counts files."""

    def __init__(self) -> None:
        self.files: list[int] = []

    def take_in(self, upload: IO[bytes], wish: ImportWish, archive: Path) -> list[Row]:
        with zipfile.ZipFile(upload) as archived:
            self.files.append(len(archived.namelist()))
        return []


@pytest.fixture
def importer() -> Counted:
    return Counted()


@pytest.fixture
def port(importer: Counted, tmp_path: Path) -> Iterator[int]:
    receiver = DicomReceiver(importer, tmp_path, lambda _: True, lambda _: None)  # type: ignore[arg-type]
    yield receiver.listen("127.0.0.1", 0)
    receiver.close()


def send(port: int, folder: Path, *, files: int, size: int = 64) -> None:
    folder.mkdir()
    for number in range(1, files + 1):
        made = dicom_slice(
            patient="P", study="1.2.3", series="1.2.3.1", series_number=1, instance=number, description="AXIAL", size=size
        )
        pydicom.dcmwrite(folder / f"{number:03d}.dcm", made, enforce_file_format=True)
    entry = Entry(
        exam=1, burst=1, project="UP", label="TM-a-0001", study="1.2.3", files=files, bytes=1, source="exam",
        state="intended", at_ns=0,
    )  # fmt: skip
    dicom_send.DicomSender("127.0.0.1", port, "XNAT").send(
        entry, exam_of(folder, Look()), Throttle(None, lambda: 0, lambda _: None)
    )


@contextmanager
def slow_line(port: int, link: Link) -> Iterator[int]:
    """A port on which the receiver is reached through such a line."""
    ready: queue.Queue[tuple[int, Callable[[], object]]] = queue.Queue()

    async def shaped() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = await ShapingProxy(to=("127.0.0.1", port), link=link, clock=SystemClock()).serve("127.0.0.1", 0)
        ready.put((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(ended.set)))
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(shaped()))
    thread.start()
    address, end = ready.get(timeout=DEADLINE_S)
    try:
        yield address
    finally:
        end()
        thread.join()


class Unlucky:
    """The association's own thread is kept from running just after it was let go on, once, until an answer has come.

    That is where a busy machine may leave it at any time: it has not said yet that it runs, and a sender believes it paused.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept, answered, looked = threading.Event(), threading.Event(), threading.Event()
        self.kept = kept
        get_msg = DIMSEServiceProvider.get_msg

        class LeftThere(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                done = super().wait(timeout)
                thread = threading.current_thread()
                if isinstance(thread, Association) and thread.is_requestor and thread.is_established and not kept.is_set():
                    kept.set()
                    answered.wait(DEADLINE_S)
                return done

            def clear(self) -> None:  # what a sender begins with, to pause the thread
                kept.wait(DEADLINE_S)
                super().clear()

        def get(provider: DIMSEServiceProvider, block: bool = False) -> Any:
            if not (provider.assoc.is_requestor and kept.is_set()) or looked.is_set():
                return get_msg(provider, block)
            if block:
                wait_until(lambda: provider.msg_queue.queue, "the answer", DEADLINE_S)
                answered.set()
                looked.wait(DEADLINE_S)
                return get_msg(provider, block)
            found = get_msg(provider, block)
            looked.set()
            return found

        monkeypatch.setattr(association, "threading", SimpleNamespace(**{**vars(threading), "Event": LeftThere}))
        monkeypatch.setattr(DIMSEServiceProvider, "get_msg", get)


def test_every_file_of_an_exam_arrives_in_one_association(importer: Counted, port: int, tmp_path: Path) -> None:
    send(port, tmp_path / "exam", files=5)
    wait_until(lambda: importer.files, "the exam to be taken in")
    assert importer.files == [5]


def test_a_file_may_take_longer_to_send_than_an_answer_may_take(
    importer: Counted, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_send, "_ANSWER_S", 1.0)
    with slow_line(port, Link(up_bits=2_000_000)) as slow:  # 2 s for the 500 kB of this file
        send(slow, tmp_path / "exam", files=1, size=500)
    wait_until(lambda: importer.files, "the exam to be taken in")
    assert importer.files == [1]


def test_an_answer_goes_to_the_one_who_waits_for_it_however_the_threads_of_the_association_run(
    importer: Counted, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_send, "_ANSWER_S", 2.0)  # so long it would stand still
    unlucky = Unlucky(monkeypatch)
    send(port, tmp_path / "exam", files=2)
    assert unlucky.kept.is_set()
    wait_until(lambda: importer.files, "the exam to be taken in")
    assert importer.files == [2]

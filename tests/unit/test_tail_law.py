"""The law of following: whatever is written in whatever pieces, rotated, polled and crashed in whatever order, the lines that
come out are the lines that went in, each once."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.access_log import Following, combined


class Writer:
    """A server that writes numbered lines in pieces and opens its log anew when told, not when the file is renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = b""
        self.count = 0
        self.renamed = 0
        self.fd = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, size: int) -> None:
        """Append `size` bytes of an endless text of lines."""
        while len(self.pending) < size:
            self.pending += combined(self.count, second=self.count % 60).encode()
            self.count += 1
        os.write(self.fd, self.pending[:size])
        self.pending = self.pending[size:]

    def end_line(self) -> None:
        os.write(self.fd, self.pending)
        self.pending = b""

    def rename(self) -> None:
        self.reopen()
        self.renamed += 1
        self.path.rename(f"{self.path}.{self.renamed}")

    def reopen(self) -> None:
        """A server ends its line before it changes to a new file."""
        if self.path.exists() and os.fstat(self.fd).st_ino == self.path.stat().st_ino:
            return
        self.end_line()
        os.close(self.fd)
        self.fd = self._open()

    def copy_and_cut(self) -> None:
        self.reopen()
        self.end_line()
        self.renamed += 1
        shutil.copyfile(self.path, f"{self.path}.{self.renamed}")
        os.truncate(self.path, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 400)),
        st.tuples(st.sampled_from(["rename", "reopen", "poll", "poll", "crash", "restart", "refuse"]), st.just(0)),
    ),
    max_size=40,
)


def follow(taken: list[tuple[str, int]]) -> tuple[list[int | None], int]:
    """Numbers of the lines that came out, and how many went in."""
    folder = Path(tempfile.mkdtemp())
    try:
        writer = Writer(folder / "access.log")
        writer.write(300)
        following = Following(writer.path)
        following.poll()  # from here on the log is known
        for step, size in taken:
            if step == "write":
                writer.write(size)
            elif step == "poll":
                following.poll()
            elif step == "crash":
                following.sink.forgetting = True
                following.poll()
                following.restart()
            elif step == "restart":
                following.restart()
            elif step == "refuse":
                following.sink.refuse = 2
            else:
                getattr(writer, step)()
        writer.end_line()
        writer.reopen()
        following.poll(3)
        os.close(writer.fd)
        following.stop.set()
        following.collector.run(following.stop)
        return following.sent, writer.count
    finally:
        shutil.rmtree(folder)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_exactly_the_lines_that_were_written(taken: list[tuple[str, int]]) -> None:
    came, went = follow(taken)
    assert sorted(number for number in came if number is not None) == list(range(went))
    assert None not in came


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 400)),
            st.tuples(st.sampled_from(["poll", "restart", "crash"]), st.just(0)),
            st.tuples(st.just("copy_and_cut"), st.just(0)),
        ),
        max_size=20,
    )
)
def test_copying_and_cutting_off_loses_nothing_that_the_copy_holds(taken: list[tuple[str, int]]) -> None:
    # Between two cuts the log is looked at once: of two cuts in between nobody can tell which copy is which.
    seen: list[tuple[str, int]] = []
    for step in taken:
        if step[0] == "copy_and_cut":
            seen += [("poll", 0), ("write", 300), step, ("write", 300), ("poll", 0)]
        else:
            seen.append(step)
    came, went = follow(seen)
    assert sorted(number for number in came if number is not None) == list(range(went))

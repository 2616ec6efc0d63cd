"""Following files: no line lost, none twice, whatever is done to the files, and across crashes."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from sidecar.collect import log_file
from sidecar.collect.tail import Tail
from tests.support.access_log import Following, combined


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="latin-1") as file:
        file.write("".join(lines))


def test_lines_that_are_there_and_lines_that_come_are_read_once(path: Path) -> None:
    append(path, combined(1), combined(2))
    following = Following(path)
    following.poll()
    append(path, combined(3))
    following.poll(3)
    assert following.sent == [1, 2, 3]


def test_a_line_without_its_end_waits_for_the_rest(path: Path) -> None:
    line = combined(77)
    append(path, combined(1), line[:60])
    following = Following(path)
    following.poll(2)
    assert following.sent == [1]
    append(path, line[60:])
    following.poll()
    assert following.sent == [1, 77]
    assert following.health["refused_lines"] == 0


def test_rotation_by_rename_in_the_middle_of_a_line(path: Path) -> None:
    line = combined(2)
    append(path, combined(1), line[:50])
    following = Following(path)
    following.poll()
    old = path.rename(path.with_name("access.log.1"))
    append(path, combined(3))
    following.poll()
    append(old, line[50:])  # the server still has the old file open
    following.poll()
    append(path, combined(4))
    following.poll()
    assert sorted(map(str, following.sent)) == ["1", "2", "3", "4"]
    assert following.health["rotations"] == 1


def test_a_rotated_file_is_let_go_after_a_while_and_its_torn_line_is_counted(path: Path) -> None:
    append(path, combined(1), "torn")
    following = Following(path)
    following.poll()
    path.rename(path.with_name("access.log.1"))
    append(path, combined(2))
    following.poll(310)
    assert following.sent == [1, 2]
    assert following.health["files"] == 1
    assert following.health["unfinished_lines"] == 1


def test_rotations_while_nobody_looked(path: Path) -> None:
    append(path, combined(1), combined(2))
    following = Following(path)
    following.poll()
    append(path, combined(3))
    for number, age in ((2, 300), (1, 200)):
        rotated = path.rename(path.with_name(f"access.log.{number}"))
        os.utime(rotated, (1_700_000_000 - age, 1_700_000_000 - age))
        append(path, combined(4 if number == 2 else 5))
    following.restart()
    following.poll()
    assert following.sent == [1, 2, 3, 4, 5]


def test_old_rotated_files_are_not_read_at_a_first_start(path: Path) -> None:
    append(path.with_name("access.log.1"), combined(1))
    append(path, combined(2))
    following = Following(path)
    following.poll()
    assert following.sent == [2]


def test_packed_files_are_not_followed(tmp_path: Path) -> None:
    append(tmp_path / "access.log", combined(1))
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(combined(2).encode()))
    following = Following(tmp_path / "access.log*")
    following.poll()
    assert following.sent == [1]
    assert following.health["refused_lines"] == 0


def test_rotation_by_the_date_in_the_name(tmp_path: Path) -> None:
    following = Following(tmp_path / "localhost_access_log.*.txt", server="tomcat")
    append(tmp_path / "localhost_access_log.2026-11-21.txt", combined(1))
    following.poll()
    append(tmp_path / "localhost_access_log.2026-11-22.txt", combined(3))
    append(tmp_path / "localhost_access_log.2026-11-21.txt", combined(2))
    following.poll(2)
    assert sorted(map(str, following.sent)) == ["1", "2", "3"]
    following.restart()
    append(tmp_path / "localhost_access_log.2026-11-22.txt", combined(4))
    following.poll(2)
    assert sorted(map(str, following.sent)) == ["1", "2", "3", "4"]


def test_many_files_of_a_glob_are_all_read_and_old_ones_passed_over(tmp_path: Path) -> None:
    for day in range(100):
        file = tmp_path / f"log.{day:03}.txt"
        append(file, combined(day))
        os.utime(file, (1_000_000 + day * 86400, 1_000_000 + day * 86400))
    following = Following(tmp_path / "log.*.txt", oldest_ns=(1_000_000 + 10 * 86400) * 10**9)
    following.poll(8)
    assert following.sent == list(range(10, 100))
    assert following.health["files"] == 1


def test_a_file_that_is_cut_off_is_read_from_its_beginning(path: Path) -> None:
    append(path, combined(1), combined(2))
    following = Following(path)
    following.poll()
    path.write_text(combined(3, second=1))
    following.poll()
    assert following.sent == [1, 2, 3]
    assert following.health["cuts"] == 1


def test_a_file_that_is_cut_off_and_has_grown_past_where_we_were(path: Path) -> None:
    append(path, combined(1))
    following = Following(path)
    following.poll()
    path.write_text("".join(combined(number, second=1) for number in range(2, 9)))
    following.poll()
    assert following.sent == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("while_down", [True, False])
def test_copied_and_cut_off_as_logrotate_does_with_copytruncate(path: Path, while_down: bool) -> None:
    append(path, combined(1))
    following = Following(path)
    following.poll()
    append(path, combined(2), combined(3))
    shutil.copy(path, path.with_name("access.log.1"))
    os.truncate(path, 0)
    append(path, combined(4, second=2))
    if while_down:
        following.restart()
    following.poll(2)
    following.restart()
    following.poll(2)
    assert following.sent == [1, 2, 3, 4]


def test_another_file_with_the_same_inode_is_known_by_its_first_bytes(path: Path) -> None:
    append(path, combined(1), combined(2))
    following = Following(path)
    following.poll()
    note = dict(following.sink.notes)
    following.restart()
    # What a file system does that uses an inode again: the note is about device and inode of the file that is there now.
    path.unlink()
    append(path, combined(3, second=5), combined(4), combined(5))
    status = path.stat()
    following.sink.notes = {f"log/nginx/{status.st_dev:x}-{status.st_ino:x}": text for text in note.values()}
    following.poll()
    assert following.sent == [1, 2, 3, 4, 5]


def test_a_crash_after_the_sink_took_and_before_it_committed(path: Path) -> None:
    append(path, combined(1))
    following = Following(path)
    following.poll()
    append(path, combined(2), combined(3))
    following.sink.forgetting = True
    following.poll()
    following.restart()
    append(path, combined(4))
    following.poll()
    assert following.sent == [1, 2, 3, 4]


def test_a_full_queue_is_asked_again_and_nothing_is_dropped(path: Path) -> None:
    append(path, combined(1), combined(2))
    following = Following(path)
    following.sink.refuse = 3
    following.poll()
    assert following.sent == [1, 2]
    assert following.health["retries"] == 3


def test_stopping_while_the_queue_is_full_loses_nothing(path: Path) -> None:
    append(path, combined(1))
    following = Following(path)
    following.sink.refuse = 10**9
    following.stop.set()
    following.poll()
    following.stop.clear()
    following.sink.refuse = 0
    following.restart()
    following.poll()
    assert following.sent == [1]


def test_a_file_with_a_nul_hole_after_being_cut(path: Path) -> None:
    append(path, combined(1))
    following = Following(path)
    following.poll()
    with path.open("r+b") as file:
        file.truncate(0)
        file.seek(3 * log_file.CHUNK + 17)  # the writer goes on where it was, without O_APPEND
        file.write(combined(2).encode())
    following.poll(2)
    assert following.sent == [1, 2]


def test_a_line_without_any_end_is_skipped_and_counted_and_a_crash_within_it_too(path: Path) -> None:
    append(path, combined(1), "x" * (log_file.CHUNK + 10))
    following = Following(path)
    following.poll()
    following.restart()
    append(path, "y" * 100, "\n", combined(2))
    following.poll()
    assert following.sent == [1, 2]
    assert following.health["too_long_lines"] == 1
    assert following.health["refused_lines"] == 0


def test_a_block_has_a_bounded_number_of_lines(path: Path) -> None:
    append(path, *(combined(number) for number in range(12_001)))
    following = Following(path)
    following.poll()
    assert following.sent == list(range(12_001))
    assert following.sink.puts >= 3


def test_a_cut_between_looking_and_reading_is_seen(path: Path) -> None:
    append(path, combined(1))
    tail = Tail(str(path), lambda key: None)
    tail.look()
    block = tail.read()
    assert block is not None
    block.file.done(block)
    path.write_text(combined(2, second=1) + combined(3))
    block = tail.read()
    assert block is not None
    assert (block.offset, len(block.lines), tail.cuts) == (0, 2, 1)
    tail.close()


def test_an_old_file_is_not_let_go_before_it_is_read(tmp_path: Path) -> None:
    for day in range(3):
        file = tmp_path / f"log.{day}.txt"
        append(file, combined(day))
        os.utime(file, (1_000_000 + day * 86400, 1_000_000 + day * 86400))
    tail = Tail(str(tmp_path / "log.*.txt"), lambda key: None)
    for _ in range(10):
        tail.look()  # as when a full queue holds up reading
    assert len(tail.files) == 3
    tail.close()


def test_the_clock_set_back_changes_nothing(path: Path) -> None:
    append(path, combined(1))
    following = Following(path)
    following.poll()
    following.clock.step_wall(-7200)
    append(path, combined(2))
    following.poll()
    assert following.sent == [1, 2]

"""Waiting until a server of the lab answers: what ends the waiting, and what is said then."""

from __future__ import annotations

import pytest

from replay.lab import answering
from replay.lab.answering import await_status
from replay.lab.faults import LabFault


class Server:
    """Answers one status after the other, the last one for ever; ends after so many answers."""

    def __init__(self, *statuses: int | None, ends_after: int = 10**9) -> None:
        self._statuses = list(statuses)
        self._left = ends_after
        self.asked = 0

    def ask(self) -> int | None:
        self.asked += 1
        return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]

    def alive(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise LabFault("the server ended", "look at its last lines")

    def wait(self, timeout_s: float = 60.0) -> None:
        await_status(
            self.ask,
            lambda status: status == 200,
            timeout_s=timeout_s,
            alive=self.alive,
            late=lambda got: LabFault(f"it gave {got}", "wait longer"),
        )


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_PAUSE_S", 0)


def test_it_asks_until_the_status_is_the_one_that_is_wanted() -> None:
    server = Server(None, 502, 200, 500)
    server.wait()
    assert server.asked == 3


def test_a_server_that_ended_is_not_waited_for() -> None:
    with pytest.raises(LabFault, match="the server ended"):
        Server(None, ends_after=2).wait()


@pytest.mark.parametrize(("answer", "words"), [(None, "it gave no answer"), (503, "it gave status 503")])
def test_the_last_answer_is_said_when_the_time_is_over(answer: int | None, words: str) -> None:
    with pytest.raises(LabFault, match=words):
        Server(answer).wait(timeout_s=0)

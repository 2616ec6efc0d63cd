"""Many virtual users in one process and one event loop; when each arrives is given from outside."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from replay.failures import Failure
from replay.http.played import Clock, Played, SessionFailedError, Tolerance
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.transport import Connections, Transport
from replay.player import MarkerSink


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One virtual user: arrives `arrives_s` after the begin, plays `repetitions` sessions, each with a cold cache.

    `account` holds the environment variables that the recording refers to.
    """

    number: int
    arrives_s: float
    account: Mapping[str, str]
    seed: int
    repetitions: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSession:
    """What one session of one user came to; `late_s` is by how much it began later than wanted (a sign of a busy client)."""

    user: int
    repetition: int
    session: str
    played: Played
    failure: Failure | None
    late_s: float


Sinks = Callable[[User, int, str], AbstractAsyncContextManager[MarkerSink]]


def connections(
    recording: Recording, tls: ssl.SSLContext | None = None
) -> Callable[[User], AbstractAsyncContextManager[Transport]]:
    """Connections of its own for each user, as many per host as a browser has."""
    return lambda _: Connections(recording.connections, tls)


async def run_users(
    recording: Recording,
    users: Iterable[User],
    clock: Clock,
    sinks: Sinks,
    *,
    site: str,
    transports: Callable[[User], AbstractAsyncContextManager[Transport]] | None = None,
    pace: float = 1.0,
    parameters: Mapping[str, str] | None = None,
    tolerance: Tolerance | None = None,
    ended: Callable[[UserSession], None] | None = None,
) -> list[UserSession]:
    """Play all users; returns every session in the order of their ends. A user whose session failed goes on with the next.

    `sinks(user, repetition, session)` opens the marker channel of a session; `ended` is told of each session at once.
    """
    began_ns = clock.mono_ns()
    done: list[UserSession] = []
    opened = transports or connections(recording)

    async def play(user: User) -> None:
        await clock.sleep(max(0.0, user.arrives_s - (clock.mono_ns() - began_ns) / 1e9))
        late_s = max(0.0, (clock.mono_ns() - began_ns) / 1e9 - user.arrives_s)
        for repetition in range(1, user.repetitions + 1):
            session, failure = secrets.token_hex(16), None
            async with sinks(user, repetition, session) as sink, opened(user) as transport:
                try:
                    played = await play_session(
                        recording,
                        user.account,
                        clock,
                        sink,
                        site=site,
                        session=session,
                        transport=transport,
                        seed=user.seed + repetition,
                        pace=pace,
                        parameters=parameters,
                        tolerance=tolerance,
                    )
                except SessionFailedError as error:
                    played, failure = error.played, error.failure
            told = UserSession(
                user=user.number, repetition=repetition, session=session, played=played, failure=failure, late_s=late_s
            )
            done.append(told)
            late_s = 0.0
            if ended is not None:
                ended(told)

    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(play(user))
    return done

"""How many series a month makes in InfluxDB: fewer than 5 000, whoever comes and however often.

A series is a measurement with one set of tags. Everything goes through the functions that make the points that are shipped.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from sidecar.analysis.compare import EVERYTHING, METRICS
from sidecar.collect.routes import Routes
from sidecar.model.catalogue import load_catalogue
from sidecar.model.points import Point, PointContext, Related, headroom_point, self_point, to_points, verdict_point
from sidecar.model.records import Action, Request, SampleSource, Server, Session, Source
from sidecar.service import ROUTES
from sidecar.ship.rollup_points import MINUTE_NS, RequestMinute, minute_of, minute_points
from tests.support import journal as make
from tests.support.journal import SECOND, T0

CONTEXT = PointContext(site="lab", engine_host="host")
ACTIONS = load_catalogue().names
ROLES = ("researcher", "radiologist", "uploader", None)
SETUPS = ("lan", "vpn", "wan", None)
SOURCES: tuple[Source, ...] = ("extension", "replay", "access-log")
CONTAINERS = tuple(
    f"xnat-{name}" for name in ("web", "db", "nginx", "influx", "grafana", "ohif", "dcm", "plugin", "cs", "sidecar")
)
SAMPLE_SOURCES: tuple[SampleSource, ...] = ("docker", "cgroup", "proc")
SERVERS: tuple[Server, ...] = ("nginx", "tomcat", "xnat")
MONTH_S = 30 * 86_400
LIMIT = 5000


def of_session(session: Session, chosen: random.Random, actions: Iterable[str], unique: Iterator[int]) -> Iterator[Point]:
    """All that one session makes: actions with their usage, markers, transfers of replayed ones."""
    for name in actions:
        number = next(unique)
        action_id = f"action-{number:08}"
        start = session.started_ns + chosen.randrange(3600) * SECOND
        action = Action(
            action_id=action_id,
            action=name,
            session=session.session,
            source=session.source,
            start_ns=start,
            duration_ns=chosen.randrange(20 * SECOND),
            outcome=chosen.choice(("completed", "cancelled", "unfinished")),
        )
        usage = {container: make.usage(action_id, container) for container in (CONTAINERS if number % 20 == 0 else ())}
        yield from to_points(action, CONTEXT, number, Related(session=session, usage=usage))
        for phase in ("begin", "end", "cancel"):
            marker = make.marker(
                number + 1, session=session.session, action_id=action_id, action=name, phase=phase, wall_ns=start
            )
            yield from to_points(marker, CONTEXT, number, Related(session=session))
        if session.source == "replay":
            transfer = make.transfer(start, session=session.session, action_id=action_id)
            yield from to_points(transfer, CONTEXT, number, Related(session=session, action=name))
        rating = make.rating(start, session=session.session, action_id=action_id)
        yield from to_points(rating, CONTEXT, number, Related(session=session, action=name))


def of_people(sessions: int) -> Iterator[Point]:
    """Sessions of every source, role and setup, each with all actions in turn."""
    chosen, unique = random.Random(1), itertools.count()
    who = itertools.cycle(itertools.product(SOURCES, ROLES, SETUPS))
    for n, (source, role, setup) in zip(range(sessions), who, strict=False):
        started = T0 + chosen.randrange(MONTH_S) * SECOND
        session = make.session(f"session-{n:06}", source=source, role=role, setup=setup, started_ns=started)
        yield from of_session(session, chosen, ACTIONS, unique)


def of_runs(runs: int) -> Iterator[Point]:
    """Replayed runs: each is of one scenario in one setup and has ten repetitions."""
    chosen, unique = random.Random(2), itertools.count(10**6)
    scenarios = {
        "researcher": ACTIONS[:4],
        "radiologist": (ACTIONS[0], *ACTIONS[4:9], ACTIONS[10]),
        "upload": (ACTIONS[0], "upload"),
    }
    for n, (scenario, actions) in zip(range(runs), itertools.cycle(scenarios.items()), strict=False):
        for repetition in range(10):
            session = make.session(
                f"run-{n:04}-{repetition:04}",
                source="replay",
                role=scenario,
                setup=("lan", "vpn", "wan")[n // 3 % 3],
                run=f"run-{n}",
                repetition=repetition,
            )
            yield from of_session(session, chosen, actions, unique)


def of_containers() -> Iterator[Point]:
    """A minute of all containers in all sources, raw and rolled up: others have the same series."""
    for container, source in itertools.product(CONTAINERS, SAMPLE_SOURCES):
        samples = [
            make.sample(
                minute_of(T0) + n * SECOND,
                container=container,
                container_id=f"restart-{n // 20}",
                source=source,
                cpu_total_ns=n,
                memory_bytes=n,
                rx_bytes=n,
                block_read_bytes=n,
            )
            for n in range(60)
        ]
        for sample in samples:
            yield from to_points(sample, CONTEXT)
        yield from minute_points(samples, minute_of(T0), CONTEXT)


def targets(count: int) -> Iterator[str]:
    """Paths of XNAT's own words and of ids, as people and scanners ask for them."""
    chosen = random.Random(3)
    words = sorted(Routes().words - {""})
    for n in range(count):
        parts = [chosen.choice(words) if chosen.random() < 0.7 else f"ID_{n}" for _ in range(chosen.randrange(1, 7))]
        yield f"/{'/'.join(parts)}?user=somebody{n}"


def of_requests(count: int) -> Iterator[Point]:
    """Requests for every route that the logs can have: mostly read, sometimes written, missed or failed."""
    chosen = random.Random(4)
    for server in SERVERS:
        routes = Routes(max_routes=ROUTES)
        minutes: dict[int, list[Request]] = {}
        kinds: dict[str, tuple[tuple[str, int], ...]] = {}
        for n, target in enumerate(targets(count)):
            route = routes.route(target)
            # What is asked for is as a rule read with success; one route in four is also written, one in four fails at times.
            more = (("PUT", 201),) if len(kinds) % 4 == 0 else (("GET", 404),) if len(kinds) % 4 == 1 else ()
            method, status = chosen.choice(kinds.setdefault(route, (("GET", 200), *more)))
            request = make.request(
                T0 + chosen.randrange(MONTH_S) * SECOND,
                server=server,
                route=route,
                method=method,
                status=status,
                session=f"{n:032x}",
                action_id=f"{n:016x}",
            )
            yield from to_points(request, CONTEXT, n)
            minutes.setdefault(n % 100, []).append(request)
        assert routes.distinct == ROUTES
        for minute, requests in minutes.items():
            made = RequestMinute(minute_of(T0) + minute * MINUTE_NS, CONTEXT)
            made.add(requests)
            yield from made.points()


def of_the_sidecar() -> Iterator[Point]:
    parts = (
        "cgroup",
        "docker",
        "nginx_log",
        "tomcat_log",
        "xnat_log",
        "settle",
        "retention",
        "ship",
        "rollup",
        "outlook",
        "journal",
        "markers",
    )
    for part in (*parts, "tickets", "sidecar"):
        yield self_point(part, {"restarts": 1}, CONTEXT, T0)
    for part, subject in itertools.product(("docker", "cgroup", "sidecar", "journal"), (*CONTAINERS, "")):
        yield from to_points(make.gap(part=part, subject=subject), CONTEXT)


def of_the_outlook() -> Iterator[Point]:
    """Headroom, and verdicts on everything that can be compared."""
    yield headroom_point(CONTEXT, T0, {"users_now": 3, "container": "xnat-web"})
    for name, metric in itertools.product((*ACTIONS, EVERYTHING), METRICS):
        yield verdict_point(CONTEXT, T0, action=name, metric=metric, fields={"code": 0, "candidate": f"run-{T0}"})


def series(points: Iterable[Point]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(point.measurement, point.tags) for point in points}


@pytest.fixture(scope="module")
def month() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return series(
        itertools.chain(of_people(2000), of_runs(40), of_containers(), of_requests(8000), of_the_sidecar(), of_the_outlook()),
    )


def test_a_month_stays_under_5000_series(month: set[tuple[str, tuple[tuple[str, str], ...]]]) -> None:
    by_measurement = Counter(measurement for measurement, _ in month)
    assert len(month) < LIMIT, by_measurement
    # What was put in is there: each measurement, and all that tells its series apart.
    assert by_measurement["docker_container_cpu"] == by_measurement["docker_container_cpu_1m"] == 30
    assert by_measurement["http_request"] > 3 * ROUTES
    assert by_measurement["action"] >= len(ACTIONS) * len(ROLES) * len(SETUPS) * len(SOURCES)
    assert by_measurement["verdict"] == 2 * (len(ACTIONS) + 1)
    assert by_measurement["headroom"] == 1
    assert by_measurement["rating"] <= (len(ACTIONS) + 1) * len(SOURCES) * (len(ROLES) + 1) * len(SETUPS)
    assert by_measurement["http_request_1m"] <= by_measurement["http_request"]


def test_more_people_make_no_more_series() -> None:
    assert series(of_people(96)) == series(of_people(480))


def test_more_requests_make_no_more_series_than_there_are_routes() -> None:
    few, many = ({tags for _, tags in series(of_requests(count))} for count in (4000, 12_000))
    assert {dict(tags)["route"] for tags in many} == {dict(tags)["route"] for tags in few}
    assert len({dict(tags)["route"] for tags in many}) <= len(SERVERS) * (ROUTES + 1)


def test_a_run_adds_a_series_per_action_and_transfer_and_no_more() -> None:
    """The one thing that grows with time: a run is a tag, so that dashboards can list and compare runs."""
    # The thirteenth run is a researcher's, as the first is.
    more = series(of_runs(13)) - series(of_runs(12))
    assert Counter(measurement for measurement, _ in more) == {"action": 4, "transfer": 4}


def test_a_browser_that_claims_to_be_a_run_makes_no_series() -> None:
    def claimed(runs: int) -> Iterator[Point]:
        for n in range(runs):
            session = make.session(f"session-{n:06}", source="extension", run=f"run-{n}")
            yield from of_session(session, random.Random(5), ACTIONS, itertools.count())

    assert series(claimed(1)) == series(claimed(100))


def test_no_tag_names_a_session_an_action_or_a_container_id(month: set[tuple[str, tuple[tuple[str, str], ...]]]) -> None:
    for _, tags in month:
        assert not {"session", "action_id", "container_id", "path"} & dict(tags).keys()
        assert not any("somebody" in value or "ID_" in value or value.startswith("session-") for _, value in tags)

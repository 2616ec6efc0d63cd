"""Regions in Grafana: begun, extended and ended by uid, against a small Grafana of our own.

No Grafana server can be had here: `tests/support/grafana_fake.py` says what it imitates.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.errors import ShipLaterError, ShipRefusedError, UsageFault
from sidecar.journal.sqlite import SqliteJournal
from sidecar.settings import PREFIX
from sidecar.ship.annotations import Annotations
from tests.support import journal as make
from tests.support.grafana_fake import TOKEN, FakeGrafana, running_grafana
from tests.support.journal import SECOND, T0

T0_MS = T0 // 10**6


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with running_grafana() as fake:
        yield fake


@pytest.fixture
def regions(grafana: FakeGrafana) -> Iterator[Annotations]:
    made = Annotations(grafana.url, TOKEN)
    yield made
    made.close()


def only(grafana: FakeGrafana) -> tuple[int, int, str, set[str]]:
    (row,) = grafana.annotations.values()
    return row["time"] - T0_MS, row["timeEnd"] - T0_MS, row["text"], set(row["tags"])


# -- begin, extend, end


def test_a_region_is_begun_extended_and_ended_under_its_uid(grafana: FakeGrafana, regions: Annotations) -> None:
    tags = {"tracemark", "tracemark:deploy-42", "deployment", "a b&c=d"}
    regions.begin("deploy-42", T0, "XNAT 1.9.2", ["deployment", " a b&c=d "])
    assert only(grafana) == (0, 0, "XNAT 1.9.2", tags)
    regions.extend("deploy-42", T0 + 5 * SECOND)
    assert only(grafana) == (0, 5000, "XNAT 1.9.2", tags)
    regions.extend("deploy-42", T0 + 3 * SECOND)
    assert only(grafana) == (0, 5000, "XNAT 1.9.2", tags)
    ended = regions.end("deploy-42", T0 + 4 * SECOND, "XNAT 1.9.2 works")
    assert only(grafana) == (0, 4000, "XNAT 1.9.2 works", tags)
    assert regions.find("deploy-42") == ended


def test_every_call_may_be_repeated(grafana: FakeGrafana, regions: Annotations) -> None:
    first = regions.begin("deploy-42", T0, "XNAT 1.9.2")
    again = regions.begin("deploy-42", T0 + SECOND, "another text")
    assert again == first
    regions.end("deploy-42", T0 + 4 * SECOND)
    before = only(grafana)
    writes = len(grafana.writes())
    regions.end("deploy-42", T0 + 4 * SECOND)
    regions.begin("deploy-42", T0, "XNAT 1.9.2")
    assert only(grafana) == before
    assert len(grafana.writes()) == writes


def test_an_end_sends_the_end_alone(grafana: FakeGrafana, regions: Annotations) -> None:
    """The package's own partial update would wipe the tags."""
    regions.begin("deploy-42", T0, "text")
    regions.end("deploy-42", T0 + SECOND)
    assert grafana.writes()[-1] == ("PATCH", "/grafana/api/annotations/1", {"timeEnd": T0_MS + 1000})


def test_a_uid_is_found_among_many_others(grafana: FakeGrafana, regions: Annotations) -> None:
    for n in range(250):
        regions.put(f"run-{n}", T0 + n, T0 + (n + 1) * SECOND, "a run", ["run"])
    assert len(grafana.annotations) == 250
    found = regions.find("run-0")
    assert found is not None
    assert found.number == 1
    assert regions.find("run-") is None


def test_of_two_begun_at_once_everybody_takes_the_first(grafana: FakeGrafana, regions: Annotations) -> None:
    regions.begin("deploy-42", T0, "text")
    grafana.annotations[2] = {**grafana.annotations[1], "id": 2}
    regions.end("deploy-42", T0 + SECOND)
    assert [row["timeEnd"] - T0_MS for row in grafana.annotations.values()] == [1000, 0]


def test_a_whole_region_is_put_and_put_again(grafana: FakeGrafana, regions: Annotations) -> None:
    regions.put("run-7", T0, T0 + SECOND, "run 7", ["run"])
    regions.put("run-7", T0, T0 + SECOND, "run 7", ["run"])
    assert only(grafana) == (0, 1000, "run 7", {"tracemark", "tracemark:run-7", "run"})
    assert len(grafana.writes()) == 1
    regions.put("run-7", T0 - SECOND, T0 + 2 * SECOND, "run 7, longer", ["run", "lan"])
    assert only(grafana) == (-1000, 2000, "run 7, longer", {"tracemark", "tracemark:run-7", "run", "lan"})


def test_a_region_has_a_length(grafana: FakeGrafana, regions: Annotations) -> None:
    regions.put("short", T0, T0 + 1, "a nanosecond")
    assert only(grafana)[:2] == (0, 1)


# -- bad input


def test_what_cannot_be_an_annotation_is_refused_before_it_is_sent(grafana: FakeGrafana, regions: Annotations) -> None:
    for uid in ("", "a b", "x" * 81, "a:b", "-x"):
        with pytest.raises(UsageFault, match="is not one: use up to 80"):
            regions.begin(uid, T0, "text")
    for tag in ("a,b", "x" * 101, "tracemark:other", "line\nbreak"):
        with pytest.raises(UsageFault, match="cannot be used"):
            regions.begin("uid", T0, "text", [tag])
    with pytest.raises(UsageFault, match="Grafana keeps 500 characters"):
        regions.begin("uid", T0, "text", [f"{n}".zfill(99) for n in range(5)])
    with pytest.raises(UsageFault, match="needs a text"):
        regions.begin("uid", T0, "  ")
    with pytest.raises(UsageFault, match="begin it first"):
        regions.end("absent", T0)
    regions.begin("uid", T0, "text")
    with pytest.raises(UsageFault, match="would end before it begins"):
        regions.end("uid", T0 - SECOND)
    assert len(grafana.annotations) == 1


@pytest.mark.parametrize("url", ["", "grafana:3000", "ftp://grafana/", "http://", "http://grafana:port/", "http://g/?orgId=1"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(UsageFault, match=r"is not the URL of a Grafana.*TRACEMARK_GRAFANA_URL"):
        Annotations(url, TOKEN)


def test_secrets_stay_where_they_belong(grafana: FakeGrafana, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageFault, match="holds a name or password") as caught:
        Annotations("http://admin:hunter2@grafana/", TOKEN)
    assert "hunter2" not in str(caught.value)
    for token in ("", "glsa two", "glsa\nX-Other: header", "ключ"):
        with pytest.raises(UsageFault, match="TRACEMARK_GRAFANA_TOKEN") as caught:
            Annotations(grafana.url, token)
        assert not token or token not in str(caught.value)
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(ShipLaterError) as later:
            Annotations(grafana.url, "glsa_guess-me").begin("uid", T0, "text")
    assert "guess-me" not in str(later.value) + caplog.text


# -- Grafana is away, or says no


HTML = {"Content-Type": "text/html; charset=UTF-8"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("fixed", "kind", "words"),
    [
        (
            (403, JSON, b'{"accessErrorId":"ACE1","message":"You\'ll need additional permissions to perform this action."}'),
            ShipLaterError,
            r"does not let this token annotate \(403: You'll need.*role Editor",
        ),
        ((403, HTML, b"<html>a message of the proxy</html>"), ShipLaterError, r"does not let this token annotate \(403\)"),
        ((401, HTML, b"a message of the proxy"), ShipLaterError, r"does not accept the token \(401\).*TRACEMARK_GRAFANA_TOKEN"),
        ((200, HTML, b"<!doctype html><title>XNAT</title>"), ShipLaterError, r"200 and text/html.*TRACEMARK_GRAFANA_URL"),
        ((404, HTML, b"<h1>no message here</h1>"), ShipLaterError, r"404 and text/html.*TRACEMARK_GRAFANA_URL"),
        ((404, JSON, b'{"message":"Not found"}'), ShipRefusedError, r"does not know this \(404: Not found\)"),
        ((302, {"Location": "/login"}, b""), ShipLaterError, r"302 and no content type.*TRACEMARK_GRAFANA_URL"),
        ((500, JSON, b'{"message":"database is locked"}'), ShipLaterError, r"busy or broken \(500: database is locked\)"),
        ((502, HTML, b"<html>bad gateway, a message</html>"), ShipLaterError, r"busy or broken \(502\)"),
        ((429, JSON, b"17"), ShipLaterError, r"busy or broken \(429\)"),
        ((400, JSON, b'{"message":"bad request data"}'), ShipRefusedError, r"refuses the annotation \(400: bad request data\)"),
        ((200, JSON, b'{"message":"hello"}'), ShipLaterError, r"something else than a list"),
        ((200, JSON, b"[5]"), ShipLaterError, r"something else than an object"),
        ((200, JSON, b'[{"id":1}]'), ShipLaterError, r"without number or time"),
    ],
)
def test_each_refusal_is_one_line_with_a_remedy(
    grafana: FakeGrafana, regions: Annotations, fixed: tuple[int, dict[str, str], bytes], kind: type[Exception], words: str
) -> None:
    grafana.fixed = fixed
    with pytest.raises(kind, match=words) as caught:
        regions.begin("uid", T0, "text")
    assert "\n" not in str(caught.value)
    assert len(grafana.asked) == 1


def test_a_wrong_token_and_a_wrong_path_are_told_apart(grafana: FakeGrafana) -> None:
    with pytest.raises(ShipLaterError, match=r"does not accept the token \(401: Invalid API key\)"):
        Annotations(grafana.url, "glsa_wrong").find("uid")
    with pytest.raises(ShipLaterError, match="with the path below which Grafana answers"):
        Annotations(grafana.url.removesuffix("/grafana"), TOKEN).find("uid")
    assert Annotations(grafana.url + "/", "glsa_wrong").version() == "13.2.3"


def test_a_server_that_does_not_speak_tls_is_told(grafana: FakeGrafana) -> None:
    with pytest.raises(ShipLaterError, match=r"over TLS: correct http or https in TRACEMARK_GRAFANA_URL"):
        Annotations(grafana.url.replace("http:", "https:"), TOKEN).find("uid")


def test_a_server_too_slow_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ShipLaterError, match=r"does not answer \(ReadTimeout\)"):
            Annotations(url, TOKEN, timeout_s=0.1).find("uid")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ShipLaterError, match=r"does not answer \(ConnectionError\): start it"):
        Annotations(f"http://127.0.0.1:{port}", TOKEN).find("uid")


# -- the command


@pytest.fixture
def settings(grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("TRACEMARK_GRAFANA_URL", grafana.url)
    monkeypatch.setenv("TRACEMARK_GRAFANA_TOKEN", TOKEN)
    return monkeypatch


@pytest.mark.usefixtures("settings")
def test_a_deployment_from_the_command_line(grafana: FakeGrafana, capsys: pytest.CaptureFixture[str]) -> None:
    begin = ["annotate", "begin", "--uid", "deploy-42", "--text", "XNAT 1.9.2", "--tags", "deployment,prod"]
    assert main([*begin, "--at", str(T0)]) == 0
    assert capsys.readouterr().out == "annotation deploy-42 is number 1 in Grafana: XNAT 1.9.2\n"
    assert main(["annotate", "extend", "--uid", "deploy-42", "--at", str(T0 + SECOND)]) == 0
    assert main(["annotate", "end", "--uid", "deploy-42", "--at", "2023-11-14T22:13:30Z", "--text", "done"]) == 0
    assert only(grafana) == (0, 10_000, "done", {"tracemark", "tracemark:deploy-42", "deployment", "prod"})


@pytest.mark.usefixtures("settings")
def test_a_run_is_read_from_the_journal_and_grows(
    grafana: FakeGrafana, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "journal.sqlite"
    run = {"source": "replay", "run": "lan-7", "setup": "lan", "scenario": "researcher"}
    with SqliteJournal(path) as journal:
        journal.append(
            [
                make.session("session-1", **run, repetition=1),
                make.session("session-2", **run, repetition=2, started_ns=T0 + 20 * SECOND),
                make.session("session-3", run="other", started_ns=T0 - SECOND),
                make.action("action-01", T0 + SECOND, source="replay"),
                make.action("action-02", T0 + 21 * SECOND, session="session-2", source="replay"),
                make.action("action-03", T0 + 90 * SECOND, session="session-3"),
            ]
        )
        command = ["annotate", "run", "lan-7", "--journal", str(path)]
        assert main(command) == 0
        assert only(grafana) == (
            0,
            23_000,
            "run lan-7: researcher, lan, 2 repetitions, 2 actions",
            {"tracemark", "tracemark:run-lan-7", "run", "lan-7", "researcher", "lan"},
        )
        journal.append([make.action("action-04", T0 + 30 * SECOND, session="session-2", source="replay")])
        assert main(command) == 0
        assert only(grafana)[:3] == (0, 32_000, "run lan-7: researcher, lan, 2 repetitions, 3 actions")
    capsys.readouterr()
    assert main(["annotate", "run", "absent", "--journal", str(path)]) == 2
    assert "the journal has no run 'absent'" in capsys.readouterr().err


def test_faults_of_the_command_are_one_line(
    grafana: FakeGrafana, settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end = ["annotate", "end", "--uid", "absent"]
    assert main(end) == 2
    assert "begin it first" in capsys.readouterr().err
    grafana.fixed = (403, JSON, json.dumps({"message": "no"}).encode())
    assert main(end) == 1
    error = capsys.readouterr().err
    assert error.startswith("tracemark: Grafana at http://127.0.0.1:")
    assert error.count("\n") == 1
    settings.delenv("TRACEMARK_GRAFANA_URL")
    assert main(end) == 2
    assert "set TRACEMARK_GRAFANA_URL and TRACEMARK_GRAFANA_TOKEN" in capsys.readouterr().err

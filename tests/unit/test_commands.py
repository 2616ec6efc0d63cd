"""The commands as a person calls them: tables, exit status, one line for an error."""

from __future__ import annotations

import csv
import io
import json
import socket
from pathlib import Path

import pytest

from sidecar import __version__
from sidecar.__main__ import COMMANDS, main
from sidecar.cli.check import check_http, check_journal, check_log, check_port, findings
from sidecar.config import load
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import ActionUsage
from sidecar.settings import PREFIX
from tests.support.records import action, sample, session


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's own settings must not reach a test."""
    import os

    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)


def used(action_id: str, container: str, cpu_seconds: float) -> ActionUsage:
    return ActionUsage(
        action_id=action_id,
        container=container,
        cpu_seconds=cpu_seconds,
        cpu_percent_mean=50.0,
        cpu_percent_peak=80.0,
        peak_duration_s=1.0,
        memory_bytes_peak=200 * 2**20,
        memory_rise_bytes=2**20,
        rx_bytes=None,
        tx_bytes=None,
        throttled_seconds=None,
        samples=40,
        hz=10.0,
        sample_source="cgroup",
        overlapped=0,
        requests=3,
        sent_bytes=460_000_000,
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as made:
        made.append([sample("xnat-web", tick / 10, tick / 20) for tick in range(100)])
        made.append([session(run="first"), session("session-2", run="second", role="radiologist")])
        made.append([action("a" * 16, 1, 4), used("a" * 16, "xnat-web", 2.0)])
        made.append([action("b" * 16, 6, 1, name="open_viewer", of="session-2"), used("b" * 16, "xnat-web", 0.5)])
    return path


def test_usage_prints_the_studys_two_tables(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--journal", str(journal)]) == 0
    text = capsys.readouterr().out
    assert "researcher" in text
    assert "radiologist" in text
    assert "DOWNLOAD" in text
    assert "OPEN VIEWER" in text
    assert "window sum" in text


def test_usage_as_json_and_csv_say_the_same(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--journal", str(journal), "--run", "first", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["action"], row["container"], row["cpu_seconds"]["estimate"]) for row in told["rows"]] == [
        ("download", "xnat-web", 2.0)
    ]
    assert main(["usage", "--journal", str(journal), "--run", "first", "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(line["action"], line["container"]) for line in lines} == {("download", "xnat-web")}


def test_report_is_one_page_that_fetches_nothing(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["report", "--journal", str(journal), "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "DOWNLOAD" in text
    assert "<svg" in text
    assert "<script" not in text
    assert "src=" not in text
    assert "@import" not in text
    assert main(["report", "--journal", str(journal), "--run", "absent", "--out", str(page)]) == 2
    assert "there is no run 'absent': name one of: first, second" in capsys.readouterr().err
    assert main(["report", "--journal", str(journal), "--from", "now", "--out", str(page)]) == 2
    assert "no action in the selected time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dance"], "'dance' is not a command: use one of serve"),
        (["usage", "--journal", "absent.sqlite"], "absent.sqlite"),
        (["usage", "--since", "soon"], "is not a time"),
        (["usage", "--since", ""], "--since '' is not a time span: write, for instance, 90s"),
        (["usage", "--from", ""], "is not a time"),
        (["usage", "--since", "1h", "--from", "5"], "exclude each other"),
        (["usage", "--from", "9", "--to", "5"], "let --from be earlier"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("tracemark: ")
    assert error.count("\n") == 1
    assert said in error


def test_help_lists_every_command_and_each_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in text
        with pytest.raises(SystemExit) as ended:
            main([command.name, "--help"])
        assert ended.value.code == 0
        assert "example" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tracemark {__version__}\n"


def test_serve_help_prints_the_settings_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = capsys.readouterr().out
    assert "TRACEMARK_CGROUP_HZ" in text
    assert "allowed: 0.1 to 100" in text


# -- check


def test_check_says_what_to_do_for_each_part(tmp_path: Path) -> None:
    config = load(
        {
            "TRACEMARK_DOCKER": f"unix://{tmp_path}/absent.sock",
            "TRACEMARK_CGROUP": str(tmp_path),
            "TRACEMARK_NGINX_LOG": str(tmp_path / "absent.log"),
            "TRACEMARK_JOURNAL": str(tmp_path / "folder" / "journal.sqlite"),
            "TRACEMARK_HTTP": "127.0.0.1:0",
            "TRACEMARK_MARKERS": "127.0.0.1:0",
        }
    )
    seen = {finding.part: finding for finding in findings(config)}
    assert seen["docker"].do.startswith("start Docker")
    assert seen["cgroup"].do.startswith("mount /sys/fs/cgroup")
    assert "matches no file yet" in seen["nginx log"].what
    assert seen["journal"].state == "failed"
    assert seen["influxdb"].what == "not set: the journal alone is used"
    assert seen["http"].state == "ok"


def test_check_sees_a_damaged_journal_a_taken_port_and_a_dead_url(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    journal.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    assert "is damaged" in check_journal(load({"TRACEMARK_JOURNAL": str(journal)})).what
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = check_port(load({"TRACEMARK_HTTP": f"127.0.0.1:{port}"}), "http")
        assert finding.state == "warning"
        assert f"127.0.0.1:{port}" in finding.what
    assert check_http("xnat", f"http://127.0.0.1:{port}/", "TRACEMARK_XNAT_URL").state == "failed"
    assert "is not a URL" in check_http("xnat", "xnat.example", "TRACEMARK_XNAT_URL").what


def test_check_finds_a_log_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "localhost_access_log.2026-11-22.txt").write_text("", encoding="utf-8")
    config = load({"TRACEMARK_TOMCAT_LOG": str(tmp_path / "localhost_access_log.*.txt")})
    finding = check_log(config, "tomcat", "set UMASK=0022")
    assert finding.state == "ok"
    assert "1 file(s)" in finding.what

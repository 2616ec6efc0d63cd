"""The profile `replay` of docker-compose.override.yml, as Compose itself reads it, and its command as the replayer reads it."""

from __future__ import annotations

from pathlib import Path

from replay.cli_options import parser
from replay.schedule_cli import schedule_of
from tests.conftest import ROOT
from tests.unit.test_deploy import ALL_SECRETS, compose, mounts, xnat

__all__ = ["xnat"]  # the fixture of the override's own tests
PROFILE = f"{ALL_SECRETS}COMPOSE_PROFILES=replay\n"


def test_baselines_are_a_profile_with_a_command_that_the_replayer_takes(xnat: Path) -> None:
    times = "TRACEMARK_REPLAY_QUIET=22:00-05:00\nTRACEMARK_REPLAY_ZONE=Europe/Rome\n"
    more = "TRACEMARK_REPLAY_OPTIONS=--attempts 2 --no-route\nTRACEMARK_CONTEXT_PATH=/xnat\n"
    service = compose(xnat, "xnat-2026", PROFILE + times + more).config()["services"]["tracemark-replay"]
    command, *line = service["command"]
    arguments = parser().parse_args(line)
    assert command == "replay"
    assert (arguments.scenario, arguments.url, arguments.every) == ("researcher", "http://xnat-nginx/xnat", "6h")
    assert (arguments.attempts, arguments.route) == (2, False)
    planned = schedule_of(arguments, service["environment"])
    assert [str(hours) for hours in planned.quiet] == ["22:00-05:00"]
    assert str(planned.zone) == "Europe/Rome"
    assert arguments.out == Path(next(iter(mounts(service))))


def test_the_replayer_has_no_more_than_it_needs_and_time_to_end(xnat: Path) -> None:
    service = compose(xnat, "xnat-2026", PROFILE).config()["services"]["tracemark-replay"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["stop_grace_period"] == "15m0s"
    assert service["init"] is True
    assert int(service["mem_limit"]) > 0
    assert not service.get("ports")
    assert set(service["networks"]) == {"xnat-network"}
    assert service["environment"]["TRACEMARK_TOKEN"] == "a-secret-of-the-operator"
    assert Path(service["build"]["context"], service["build"]["dockerfile"]).is_file()


def test_without_the_profile_there_is_no_replayer(xnat: Path) -> None:
    assert "tracemark-replay" not in compose(xnat, "xnat-2026", ALL_SECRETS).config()["services"]


def test_what_the_image_copies_is_there() -> None:
    lines = (ROOT / "replay/Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]]
    assert {"sidecar", "replay", "pyproject.toml"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied if "*" not in name and name != "wheel[s]")

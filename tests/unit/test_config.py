"""Settings: one table, from the environment, a file or the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config import load
from sidecar.errors import SettingError
from sidecar.settings import SETTINGS


def refused(environment: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(SettingError) as caught:
        load(environment, file)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_every_default_is_valid_and_every_name_is_there_once() -> None:
    config = load({})
    assert list(config) == [setting.name for setting in SETTINGS]
    assert config["http"] == ("127.0.0.1", 8050)
    assert config["cgroup_hz"] == 10
    assert config["influx_url"] == ""


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tracemark.toml"
    file.write_text('site = "north"\nmin_group = 7\ncontainers = ["name:a", "label:b=c"]\n', encoding="utf-8")
    config = load({"TRACEMARK_SITE": "south", "HOME": "/root"}, file)
    assert (config["site"], config["min_group"], config["containers"]) == ("south", 7, ("name:a", "label:b=c"))


def test_a_secret_is_read_from_a_file_and_is_in_no_text(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("very-secret\n", encoding="utf-8")
    config = load({"TRACEMARK_TOKEN_FILE": str(secret)})
    assert config["token"] == "very-secret"
    assert "very-secret" not in repr(config)
    assert "cannot be read" in refused({"TRACEMARK_TOKEN_FILE": str(tmp_path / "absent")})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRACEMARK_HTTP", "8050"),
        ("TRACEMARK_HTTP", "localhost:many"),
        ("TRACEMARK_CGROUP_HZ", "0"),
        ("TRACEMARK_MIN_GROUP", "2.5"),
        ("TRACEMARK_PROCESSES", "xnat-web"),
        ("TRACEMARK_TOMCAT_DURATION", "seconds"),
        ("TRACEMARK_LOG_ZONE", "Rome"),
        ("TRACEMARK_SITE", "my site"),
    ],
)
def test_a_bad_value_names_the_key_the_value_and_what_is_allowed(variable: str, value: str) -> None:
    allowed = next(setting.allowed for setting in SETTINGS if setting.variable == variable)
    assert refused({variable: value}) == f"{variable}={value} is not valid: allowed: {allowed}"


def test_an_unknown_key_is_an_error_that_helps(tmp_path: Path) -> None:
    assert refused({"TRACEMARK_NGNX_LOG": "x"}) == "TRACEMARK_NGNX_LOG is not a setting: did you mean TRACEMARK_NGINX_LOG?"
    file = tmp_path / "settings.toml"
    file.write_text("colour = 'blue'\n", encoding="utf-8")
    assert "is not a setting: see `tracemark serve --help`" in refused({}, file)


def test_a_file_that_is_no_flat_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("site = \n", encoding="utf-8")
    assert f"{file} is not TOML" in refused({}, file)
    file.write_text("[influx]\nurl = 'x'\n", encoding="utf-8")
    assert "influx is a table: write flat keys" in refused({}, file)
    assert "cannot be read" in refused({}, tmp_path / "absent.toml")

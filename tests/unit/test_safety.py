"""Which hosts sessions may be played on."""

from __future__ import annotations

import pytest

from replay.safety import HostNotAllowedError, accounts, check_host, creates, is_allowed
from replay.scenario import load_scenario
from sidecar.model.faults import UsageFault
from tests.support.replay_fakes import click, scenario


@pytest.mark.parametrize("host", ["localhost", "xnat.localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_this_machine_is_always_allowed(host: str) -> None:
    assert is_allowed(host, [])


@pytest.mark.parametrize(
    ("host", "allowed", "may"),
    [
        ("xnat.example.org", ["xnat.example.org"], True),
        ("XNAT.example.org.", ["xnat.example.org"], True),
        ("xnat.example.org", ["*.example.org"], True),
        ("example.org", ["*.example.org"], False),
        ("evilexample.org", ["*.example.org", "example.org"], False),
        ("10.77.3.4", ["10.77.0.0/16"], True),
        ("10.78.3.4", ["10.77.0.0/16"], False),
        ("10.77.3.4", ["10.77.*"], False),
        ("10.0.0.1", [], False),
        ("192.168.1.5", ["192.168.1.5"], True),
        ("2001:db8::5", ["2001:db8::/32"], True),
        ("localhost.example.org", [], False),
    ],
)
def test_every_other_host_has_to_be_named(host: str, allowed: list[str], may: bool) -> None:
    assert is_allowed(host, allowed) is may


def test_the_variable_and_a_yes_count_and_a_refusal_names_both() -> None:
    check_host("a.test", [], "b.test, a.test", yes=False)
    check_host("a.test", [], "", yes=True)
    with pytest.raises(HostNotAllowedError, match=r"a.test is not.*_HOSTS or --allow-host.*--yes-this-host") as refused:
        check_host("a.test", [], "b.test", yes=False)
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    "entry",
    ["a.test:8080", "https://a.test", "a.test/xnat", "10.77.*", "10.77.0.0/40", "[2001:db8::1]:443", "10.77.0.300", "a test"],
)
def test_an_entry_that_no_host_could_fit_is_not_passed_over(entry: str) -> None:
    for given, variable in (([entry], ""), ([], f"a.test, {entry}")):
        with pytest.raises(UsageFault, match="is no host that could be allowed: write a name") as refused:
            check_host("a.test", given, variable, yes=True)
        assert repr(entry) in str(refused.value)


def test_names_patterns_addresses_and_networks_may_be_allowed() -> None:
    for entry in (
        "a.test",
        "*.a.test",
        "XNAT_1.A.test.",
        "xnät.test",
        "10.77.3.4",
        "10.77.0.0/16",
        "2001:db8::/32",
        "[::1]",
        "*",
    ):
        check_host("localhost", [entry], "", yes=False)


def test_the_shipped_scenarios_only_look_and_download() -> None:
    assert creates(load_scenario("researcher")) == creates(load_scenario("radiologist")) == []
    assert creates(scenario(click(action="upload"))) == ["upload"]


def test_accounts_are_told_by_their_variables() -> None:
    assert accounts(["${env:XNAT_USER}", "x ${term}", "${env:XNAT_PASSWORD}${env:XNAT_USER}"]) == ["XNAT_USER", "XNAT_PASSWORD"]

"""The setups on the command line, and what a command finds where a setup's client is."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import pytest

from replay.lab.command import Outcome
from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.info import LabInfo, SetupInfo
from replay.lab.networks.cli import add_up_options, environment_of, filled_in, parsed_links, run_in
from replay.lab.networks.link import Link
from replay.lab.networks.network import Network, described
from replay.lab.options import LabOptions, Sidecar
from tests.support.networks import lab_info

WAN = SetupInfo(
    setup="wan",
    url="https://198.18.22.2",
    server="198.18.22.2:443",
    namespace="tm-wan-client",
    namespaces=("tm-wan-client", "tm-wan-server"),
    command=("nsenter", "--net=/run/netns/tm-wan-client", "--"),
    interface="eth0",
    markers="ws://198.18.22.2:8051/markers",
    certificate="/lab/server.crt",
    fingerprint="aGVsbG8=",
    upstream="127.0.0.1:8089",
    link="9.1ms,100mbit,100mbit",
    shaping="relay",
    vpn="",
    processes=("relay", "edge"),
    logs={},
)


def lab(directory: Path, **setups: SetupInfo) -> LabInfo:
    return lab_info(directory, "http://127.0.0.1:8089", setups)


def test_what_is_asked_for_must_fit_together(tmp_path: Path) -> None:
    with pytest.raises(LabUsageFault, match="no setup 'moon'"):
        LabOptions(directory=tmp_path, setups=("moon",))  # type: ignore[arg-type]
    with pytest.raises(LabUsageFault, match="a line for wan, but no such setup"):
        LabOptions(directory=tmp_path, setups=("lan",), links={"wan": Link()})
    with pytest.raises(LabUsageFault, match="nothing shapes like 'magic'"):
        LabOptions(directory=tmp_path, shaping="magic")  # type: ignore[arg-type]


def test_lines_on_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_up_options(parser)
    parsed = parser.parse_args(["--setup", "wan", "--setup", "vpn", "--link", "wan=60ms,20mbit,5mbit"])
    assert parsed.setup == ["wan", "vpn"]
    assert parsed_links(parsed.link) == {"wan": Link.parse("60ms,20mbit,5mbit")}
    assert parsed.shaping == "auto"
    assert "wan 9.1ms,100mbit,100mbit" in " ".join(parser.format_help().split())
    with pytest.raises(LabUsageFault, match="names no setup"):
        parsed_links(["60ms,20mbit,5mbit"])


def test_a_command_gets_the_setup_s_words_and_keeps_its_own(tmp_path: Path) -> None:
    words = ["replay", "--url", "{url}", "--markers={markers}", "{fingerprint}", "{other}", "${url", "{}"]
    filled = ["replay", "--url", "https://198.18.22.2/xnat", "--markers=ws://198.18.22.2:8051/markers", "aGVsbG8=", "{other}"]
    assert filled_in(words, lab(tmp_path, wan=WAN), WAN) == [*filled, "${url", "{}"]


def test_a_command_trusts_the_certificate_and_may_be_a_user_of_the_lab(tmp_path: Path) -> None:
    here = lab(tmp_path, wan=WAN)
    inside = environment_of(here, WAN, None, {})
    assert (inside["SSL_CERT_FILE"], inside["TRACEMARK_REPLAY_TRUST"]) == ("/lab/server.crt", "aGVsbG8=")
    plain = environment_of(here, replace(WAN, certificate=""), None, {"TRACEMARK_REPLAY_HOSTS": "*.example.org"})
    assert plain == {"TRACEMARK_REPLAY_HOSTS": "*.example.org,198.18.22.2"}
    assert environment_of(here, WAN, "researcher", {})["XNAT_PASSWORD"] == "a password"
    with pytest.raises(LabUsageFault, match="no user 'nobody'"):
        environment_of(here, WAN, "nobody", {})


def test_a_command_for_a_setup_that_is_not_there_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match="no lab is up"):
        run_in(tmp_path, "wan", ["true"], as_user=None)
    lab(tmp_path, wan=WAN).save()
    with pytest.raises(LabFault, match=r"no vpn in front of it: build it with `tracemark lab up --setup vpn`"):
        run_in(tmp_path, "vpn", ["true"], as_user=None)


def test_setups_are_loaded_as_they_were_saved(tmp_path: Path) -> None:
    saved = lab(tmp_path, wan=WAN)
    saved.save()
    assert LabInfo.load(tmp_path) == saved


def test_a_person_reads_how_to_go_in() -> None:
    lines = described(WAN)
    assert lines[0] == "wan: https://198.18.22.2 in namespace tm-wan-client, a line of 9.1ms,100mbit,100mbit by relay"
    assert "tracemark lab run --setup wan -- COMMAND" in lines[-1]
    assert "ip netns exec tm-wan-client" in lines[-1]
    loopback = described(replace(WAN, namespace="", shaping="proxy", certificate=""))
    assert len(loopback) == 2
    assert "netns" not in loopback[-1]


@pytest.mark.parametrize(
    ("given_markers", "here"),
    [
        ("10.0.0.7:9000", "10.0.0.7:9000"),
        ("sidecar:8051", "127.0.0.1:8051"),
        ("localhost:9", "localhost:9"),
        ("[::1]:9", "[::1]:9"),
    ],
)
def test_the_marker_channel_as_this_machine_reaches_it(given_markers: str, here: str) -> None:
    assert Sidecar("sidecar:8050", given_markers).markers_here() == here
    assert Sidecar("sidecar:8050", given_markers).http_here() == "127.0.0.1:8050"
    assert Sidecar("10.0.0.7:8888", given_markers).http_here() == "10.0.0.7:8888"


def nobody(argv: object, **_: object) -> Outcome:
    pytest.fail(f"{argv} was run")


def test_who_is_not_root_is_told_what_serves_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    network = Network(folder=tmp_path, setup="wan", run=nobody)
    with pytest.raises(LabFault, match=r"cannot be built: only root .*: run as root, or use `--shaping proxy`"):
        network.up("127.0.0.1:1", link=None, shaping="auto", markers="", say=print)
    assert not network.own.exists()

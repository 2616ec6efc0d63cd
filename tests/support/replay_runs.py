"""Folders of made-up runs, written by the classes that a campaign writes with."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.campaign_folder import TRANSFERS, Manifest, opened_run
from replay.campaign_summary import write_summary
from replay.durable import write_json
from replay.results import ActionResult, Repetition
from replay.route_model import Route

S = 1_000_000_000
T0 = 1_700_000_000 * S
#: seconds that an action lasts on the LAN, and the bytes that it brings
ACTIONS: Mapping[str, tuple[float, int]] = {
    "login": (1.1, 300_000),
    "page_load": (0.8, 900_000),
    "filter_search": (2.2, 60_000),
    "download": (5.0, 459_900_000),
    "logout": (0.4, 20_000),
}
READING: Mapping[str, tuple[float, int]] = {
    "login": (1.1, 300_000),
    "page_load": (0.8, 900_000),
    "filter_search": (2.2, 60_000),
    "open_viewer": (9.0, 88_000_000),
    "change_scan": (2.0, 21_000_000),
    "play": (6.0, 0),
    "scroll": (3.0, 0),
    "logout": (0.4, 20_000),
}
#: how much slower the network makes it, and the segments that are sent again in a repetition
SETUPS: Mapping[str, tuple[float, int]] = {"lan": (1.0, 0), "vpn": (5.0, 40), "wan": (3.0, 12)}


def manifest(run: str, *, setup: str = "lan", scenario: str = "researcher", repetitions: int = 6, **fields: Any) -> Manifest:
    """That of a run of this name."""
    usual: dict[str, Any] = {
        "role": scenario, "scenario_sha256": scenario * 4, "parameters": {}, "seed": 10, "site": "https://xnat.example.org",
        "host": "xnat.example.org", "users": 1, "capture": True, "markers": "none", "created_ns": T0,
        "versions": {"tracemark": "0.1.0"},
    }  # fmt: skip
    return Manifest(run=run, setup=setup, scenario=scenario, repetitions=repetitions, **{**usual, **fields})


def write_run(
    out: Path, known: Manifest, *, played: int | None = None, actions: Mapping[str, tuple[float, int]] = ACTIONS
) -> Path:
    """A run of which so many repetitions are finished (all of them unless said)."""
    chance = random.Random(known.run)
    slower, again = SETUPS.get(known.setup, (1.0, 0))
    with opened_run(out, known) as folder:
        folder.follow(Route(tuple(f"192.0.2.{hop}" for hop in range(1, 5)), "udp", T0), changed=False)
        for number in range(1, (known.repetitions if played is None else played) + 1):
            result, transfers = repetition(known, number, chance, slower, again, actions)
            work = folder.work(number)
            write_json(work / TRANSFERS, transfers)
            folder.keep(work, result)
        write_summary(folder)
        return folder.path


def repetition(
    known: Manifest, number: int, chance: random.Random, slower: float, again: int, actions: Mapping[str, tuple[float, int]]
) -> tuple[Repetition, dict[str, Any]]:
    """One finished pass and what it transferred."""
    at_ns = known.created_ns + number * 120 * S
    result = Repetition(
        run=known.run, setup=known.setup, scenario=known.scenario, role=known.role, repetition=number,
        session=f"{chance.getrandbits(128):032x}", seed=known.seed + number, started_ns=at_ns, versions=known.versions,
    )  # fmt: skip
    windows: dict[str, Any] = {}
    begin_ns = at_ns
    for name, (seconds, down) in actions.items():
        lasts_ns = round(seconds * slower * chance.uniform(0.85, 1.2) * S)
        action_id = f"{chance.getrandbits(64):016x}"
        result.actions.append(
            ActionResult(action=name, action_id=action_id, begin_ns=begin_ns, duration_ns=lasts_ns, outcome="completed")
        )
        windows[action_id] = metrics(begin_ns, lasts_ns, down, 0)
        begin_ns += lasts_ns + 2 * S
    result.ended_ns, result.duration_ns = begin_ns, begin_ns - at_ns
    sent_again = again and chance.randrange(again)
    whole = metrics(at_ns, begin_ns - at_ns, sum(down for _, down in actions.values()), sent_again)
    return result, {"source": "capture", "whole": whole, "windows": windows}


def metrics(first_ns: int, lasts_ns: int, down: int, again: int) -> dict[str, Any]:
    """As the metrics of a capture stand in `transfers.json`, as far as a report reads them."""
    up = down // 60
    return {
        "first_ns": first_ns, "last_ns": first_ns + lasts_ns, "duration_ns": lasts_ns, "down_bytes": down, "up_bytes": up,
        "down_rate": down * S / lasts_ns, "up_rate": up * S / lasts_ns, "retransmitted": again,
    }  # fmt: skip


def usage_answer(actions: Sequence[str], count: int, *, factor: float = 1.0) -> dict[str, Any]:
    """As `/api/v1/usage` answers for a run of these actions, with what a report reads."""
    costs = {"xnat-web": (0.6, 78.0, 2_900_000_000), "xnat-db": (0.08, 12.0, 310_000_000)}
    rows = [
        {
            "action": action,
            "container": container,
            "count": count,
            "measured": count,
            "duration_s": {"mean": 1.0, "p50": 1.0, "p95": 1.2, "min": 0.9, "max": 1.3},
            "cpu_seconds": {"estimate": cpu * factor, "low": cpu * 0.9 * factor, "high": cpu * 1.1 * factor},
            "cpu_percent_mean": peak / 2,
            "cpu_percent_peak": peak,
            "peak_duration_s": 0.4,
            "memory_bytes_peak": memory,
            "sent_bytes": 1_000_000.0,
        }
        for action in actions
        for container, (cpu, peak, memory) in costs.items()
    ]
    return {"rows": rows, "tables": [], "notes": []}

"""Recordings to import, made by the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from replay.scenario import parse
from replay.scenario_import.draft import Imported
from replay.scenario_import.files import Wishes, import_file
from replay.scenario_shape import Scenario

QUIET = Wishes(think_s=0)


def side(*commands: Any, url: str = "http://xnat.example.org", **more: list[Any]) -> dict[str, Any]:
    """A project with the test "main" of these commands (name, target, value), and further tests by name."""
    tests = {"main": commands, **more}
    return {"id": "1", "version": "2.0", "name": "p", "url": url, "suites": [], "tests": [
        {"id": name, "name": name, "commands": [
            one if isinstance(one, dict) else dict(zip(("command", "target", "value"), (*one, "", ""), strict=False))
            for one in held
        ]} for name, held in tests.items()
    ]}  # fmt: skip


def imported(tmp_path: Path, recording: Any, suffix: str = ".side", wishes: Wishes = QUIET, name: str = "main") -> Imported:
    """What becomes of a recording."""
    file = tmp_path / f"main{suffix}"
    file.write_text(recording if isinstance(recording, str) else json.dumps(recording), encoding="utf-8")
    return import_file(file, wishes)[name]


def steps(of: Imported) -> list[dict[str, Any]]:
    """Its steps without what is the same for all."""
    return [dict(step) for step in of.raw["steps"]]


def scenario_of(found: Imported) -> Scenario:
    """Ready to be played."""
    return parse(found.raw, "test.json")

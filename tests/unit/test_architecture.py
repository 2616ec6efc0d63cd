"""The prose that can be tested: import table, folder table, settings table, words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sidecar import __main__ as command_table
from sidecar.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """The body below a heading, up to the next heading of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[2]


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table's body."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


IMPORT_TABLE = {
    row[0].strip("`"): re.findall(r"`([^`]+)`", row[1]) if row[1] else []
    for row in rows(section(ARCHITECTURE, "Who may import whom"))
}
EVERYTHING = {"sidecar.service": "sidecar", "sidecar.cli": "sidecar"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for top in ("sidecar", "replay", "grafana"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def owner(module: str) -> str | None:
    """The row of the import table that a module belongs to: the longest one that is a prefix of its name."""
    fitting = [row for row in IMPORT_TABLE if module == row or module.startswith(row + ".")]
    return max(fitting, key=len, default=None)


def imported(path: Path, module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            assert node.module
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            known = {name for name, _ in modules()}
            names |= {name if name in known else node.module for name in whole}
    return {name for name in names if name.split(".")[0] in ("sidecar", "replay", "grafana")}


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_what_the_table_allows(module: str, path: Path) -> None:
    row = owner(module)
    if row is None:
        assert module in ("sidecar", "replay"), f"{module} has no row in the import table"
        assert not imported(path, module)
        return
    allowed = None if row in EVERYTHING else {row, *IMPORT_TABLE[row]}
    for name in imported(path, module):
        target = owner(name) or name
        if allowed is None:
            assert name.split(".")[0] == EVERYTHING[row], f"{module} imports {name}"
            assert row == "sidecar.cli" or target != "sidecar.cli", f"{module} imports {name}"
        else:
            assert target in allowed, f"{module} imports {name}; {row} may import {sorted(allowed)}"


def test_every_row_of_the_folder_table_is_there_and_no_folder_is_missing() -> None:
    listed = {row[0].strip("`").rstrip("/") for row in rows(section(ARCHITECTURE, "Folders, and where to start"))}
    for name in listed:
        assert (ROOT / name).exists(), f"{name} is in the folder table and not in the tree"
    packages = {
        str(path.parent.relative_to(ROOT))
        for top in ("sidecar", "replay")
        for path in (ROOT / top).rglob("__init__.py")
        if path.parent != ROOT / "sidecar"
    }
    assert packages <= listed, f"not in the folder table: {sorted(packages - listed)}"


def test_the_readme_lists_every_setting_with_its_default() -> None:
    table = {row[0].strip("`"): row for row in rows(section(README, "Settings"))}
    assert set(table) == {setting.variable for setting in SETTINGS}
    for setting in SETTINGS:
        _, default, allowed, help_text = table[setting.variable]
        if setting.name != "engine_host":  # its default is the machine's own name
            assert default.strip("`") == setting.default
        assert allowed == setting.allowed
        assert help_text == setting.help


def test_the_readme_lists_every_command() -> None:
    table = {row[0].strip("`"): row[1] for row in rows(section(README, "Commands"))}
    assert table == {command.name: command.help for command in command_table.COMMANDS}


NOT_OUR_WORDS = {
    # word that the glossary rejects -> what we say
    r"\bhits?\b": "request",
    r"\bendpoint log\b": "route",
    r"\bsnapshot of stats\b": "frame",
}


def test_prose_uses_the_words_of_the_glossary() -> None:
    glossary = {row[0] for row in rows(section(ARCHITECTURE, "Words"))}
    assert {"frame", "sample", "action", "session", "idle", "usage", "journal, ship, gap"} <= glossary
    for document in (README, ARCHITECTURE, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for pattern, ours in NOT_OUR_WORDS.items():
            found = re.search(pattern, document, re.IGNORECASE)
            assert not found, f"say {ours!r}, not {found[0]!r}"

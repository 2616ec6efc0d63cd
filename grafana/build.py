"""Writes what Grafana reads: `dashboards/*.json` and `provisioning/**`. `--check` writes nothing and says what differs.

python grafana/build.py
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
if __package__ in (None, ""):
    sys.path[0] = str(ROOT.parent)  # called as a script: the package is this folder

from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402

from grafana.boards import boards  # noqa: E402
from grafana.provision import provisioning  # noqa: E402

#: folders that hold nothing but what is written here
_OURS = ("dashboards", "provisioning")


def files() -> Mapping[str, str]:
    """Everything that is generated: path below this folder to text."""
    made = {
        f"dashboards/{board.uid}.json": json.dumps(board, cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"
        for board in boards()
    }
    return {**made, **provisioning()}


def differences(folder: Path = ROOT) -> list[str]:
    """What is not in the folder as it would be written: one line each, empty when all is well."""
    wanted = files()
    found = {str(path.relative_to(folder)) for name in _OURS for path in (folder / name).rglob("*") if path.is_file()}
    lines = [f"{name} is missing" for name in sorted(wanted.keys() - found)]
    lines += [f"{name} is not generated: remove it, boards are changed in grafana/*.py" for name in sorted(found - wanted.keys())]
    lines += [
        f"{name} was edited by hand or is old"
        for name in sorted(found & wanted.keys())
        if (folder / name).read_bytes() != wanted[name].encode()
    ]
    return lines


def write(folder: Path = ROOT) -> None:
    """Write everything below the folder; what is there and not ours stays."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(description="Writes Grafana's boards and provisioning.")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    if not parser.parse_args(arguments).check:
        write()
        return 0
    found = differences()
    for line in found:
        print(f"grafana/{line}: run python grafana/build.py", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

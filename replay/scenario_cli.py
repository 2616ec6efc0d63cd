"""`tracemark scenario`: recordings to scenarios, scenarios to other formats, and what a scenario does."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from replay.address import taken_apart
from replay.arguments import Parser
from replay.http.har_import import HAR, import_archive
from replay.scenario import load_raw, load_scenario, names, parse, scenario_file
from replay.scenario_export import to_side
from replay.scenario_import.actions import read_map
from replay.scenario_import.draft import Imported, RecordingError, Remark
from replay.scenario_import.files import Wishes, import_file
from replay.scenario_shape import Scenario, Step
from replay.scenario_text import SUFFIXES, write_text
from sidecar.model.faults import Fault, UsageFault

EXAMPLE = """examples:
  tracemark scenario import reading.side --out reading.yaml
  tracemark scenario import recording.json --out reading.json --action-map 4=login,9=filter_search
  tracemark scenario import session.har --out session.requests.json
  tracemark scenario show radiologist
  tracemark scenario export researcher --to researcher.side --site https://xnat.example.org
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    wanted = Parser(
        prog="tracemark scenario",
        description="Makes scenarios of recordings, shows what they do, and writes them in other formats.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = wanted.add_subparsers(dest="command", required=True, metavar="COMMAND")
    importing = commands.add_parser(
        "import",
        help="make a scenario of a recording",
        description="Reads Selenium IDE's .side, the DevTools Recorder's .json, markers of a session as .jsonl, or a scenario. "
        "An HTTP archive (.har) becomes a file of requests (.requests.json), for `tracemark replay FILE --engine http`.",
    )
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument(
        "--out", type=Path, metavar="FILE", help=".json, .yaml or (of .har) .requests.json; a folder (default: print)"
    )
    importing.add_argument("--test", metavar="NAME", help="the test of a .side to take (default: each becomes a scenario)")
    importing.add_argument("--session", metavar="ID", help="the session of a file of markers to take")
    importing.add_argument("--role", help="whose work it is (default: told from the actions)")
    importing.add_argument("--site", default="", metavar="URL", help="the recorded site with its context path (default: told)")
    importing.add_argument(
        "--think", type=float, default=1.0, metavar="S", help="pause before each step without one; 0: none (default: %(default)s)"
    )
    importing.add_argument("--leave-out", action="store_true", help="leave out what cannot be played, instead of stopping there")
    importing.add_argument(
        "--action-map", action="append", default=[], metavar="STEP=ACTION", help="say a step's action: 4=login,7-9=play,5=-"
    )
    showing = commands.add_parser("show", help="list steps, actions, parameters and hosts")
    showing.add_argument("scenario", metavar="SCENARIO", help=f"{', '.join(names())}, or a file")
    showing.add_argument("--format", choices=("table", "json", "yaml"), default="table", help="(default: %(default)s)")
    exporting = commands.add_parser("export", help="write a scenario in another format")
    exporting.add_argument("scenario", metavar="SCENARIO", help=f"{', '.join(names())}, or a file")
    exporting.add_argument("--to", type=Path, required=True, metavar="FILE", help=".side, .json or .yaml")
    exporting.add_argument("--site", default="http://localhost", metavar="URL", help="for .side (default: %(default)s)")
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three; 0 when nothing of the recording or scenario was lost, 1 when something was (it is named)."""
    arguments = parser().parse_args(argv)
    if arguments.command == "import":
        return _import(arguments)
    if arguments.command == "show":
        scenario = load_scenario(arguments.scenario)
        raw = load_raw(arguments.scenario)
        print(table(scenario) if arguments.format == "table" else write_text(raw, f".{arguments.format}"), end="")
        return 0
    return _export(arguments)


def table(scenario: Scenario) -> str:
    """A scenario for people: its head, then a line for every step."""
    needed = sorted({name for value in scenario.parameters.values() for name in re.findall(r"\$\{env:(\w+)\}", str(value))})
    lines = [
        f"{scenario.name}: {scenario.description or 'no description'}",
        f"role       {scenario.role}",
        f"actions    {', '.join(scenario.actions()) or 'none'}",
        f"parameters {', '.join(f'{name}={value}' for name, value in scenario.parameters.items()) or 'none'}",
        f"needs      {', '.join(needed) or 'no environment variable'}",
        f"hosts      {', '.join(['the site', *scenario.hosts])}",
        f"window     {scenario.window[0]} x {scenario.window[1]}",
        "",
    ]
    rows = [("", "step", "name", "action", "think", "with", "until")]
    rows += [_row(step) for step in scenario.steps]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines += ["  ".join([*map(str.ljust, row[:5], widths), *row[5:]]).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _row(step: Step) -> tuple[str, str, str, str, str, str, str]:
    action = "" if step.action is None else step.action if step.part == "whole" else f"{step.action} ({step.part})"
    more = f" (+{len(step.targets) - 1})" if len(step.targets) > 1 else ""
    held = [str(step.targets[0]) + more] if step.targets else []
    held += [step.text] if step.text else []
    held += [f"{name}={_short(value)}" for name, value in step.options.items()]
    until = ", ".join(expectation.kind for expectation in step.expect)
    think = f"{step.think.seconds:g} s" if step.think else ""
    return str(step.number), step.kind, step.name, action, think, " ".join(held), f"-> {until}" if until else ""


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def _import(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.think <= 3600:
        raise UsageFault(f"--think {arguments.think} is no pause", "write seconds from 0 to 3600")
    if arguments.site:
        _check_site(arguments.site)
    wishes = Wishes(
        test=arguments.test,
        session=arguments.session,
        role=arguments.role,
        site=arguments.site,
        think_s=arguments.think,
        leave_out=arguments.leave_out,
        actions=read_map(arguments.action_map),
    )
    if arguments.file.suffix.lower() == HAR:
        return import_archive(arguments.file, arguments.out, site=wishes.site, role=wishes.role, actions=wishes.actions)
    found = import_file(arguments.file, wishes)
    out: Path | None = arguments.out
    several = len(found) > 1
    if several and (wishes.actions or not (out and out.is_dir())):
        raise RecordingError(
            f"{arguments.file} holds {len(found)} tests ({', '.join(found)})", "choose one with --test, or give a folder as --out"
        )
    for name, imported in found.items():
        path = out / f"{name}.json" if out and out.is_dir() else out
        _write(path, imported)
        _say(name, imported, path, leave_out=arguments.leave_out)
    return 1 if any(imported.lost for imported in found.values()) and not arguments.leave_out else 0


def _write(path: Path | None, imported: Imported) -> None:
    if path is None:
        print(write_text(imported.raw, ".json"), end="")
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UsageFault(f"--out {path} is no scenario's name", f"let it end in {', '.join(SUFFIXES)}")
    _save(path, write_text(imported.raw, path.suffix))


def _say(name: str, imported: Imported, path: Path | None, *, leave_out: bool) -> None:
    """What became of the recording, on the error stream: the scenario itself may go to the output."""
    scenario = parse(imported.raw, name)
    actions = ", ".join(scenario.actions()) or "none: give them with --action-map"
    print(f"{name}: {len(scenario.steps)} steps; actions: {actions}" + (f"; written to {path}" if path else ""), file=sys.stderr)
    _list(imported.remarks)
    if imported.lost:
        what = "left out" if leave_out else "the play stops there: record them again, write their steps, or --leave-out"
        print(f"{name}: {len(imported.lost)} commands cannot be played ({what})", file=sys.stderr)


def _list(remarks: Sequence[Remark]) -> None:
    for remark in remarks:
        print(f"  {'!' if remark.lost else '-'} {remark}", file=sys.stderr)


def _export(arguments: argparse.Namespace) -> int:
    path: Path = arguments.to
    if path.suffix.lower() in SUFFIXES:
        load_scenario(arguments.scenario)
        _save(path, write_text(load_raw(arguments.scenario), path.suffix))
        return 0
    if path.suffix.lower() != ".side":
        raise UsageFault(f"--to {path} is no known format", f"let it end in .side, {', '.join(SUFFIXES)}")
    _check_site(arguments.site)
    exported = to_side(load_scenario(str(scenario_file(arguments.scenario))), site=arguments.site)
    _save(path, json.dumps(exported.project, indent=2, ensure_ascii=False) + "\n")
    print(f"{path}: {len(exported.project['tests'][0]['commands'])} commands", file=sys.stderr)
    _list(exported.remarks)
    return 1 if any(remark.lost for remark in exported.remarks) else 0


def _check_site(site: str) -> None:
    if taken_apart(site, "http", "https") is None or re.search(r"[\s?#]", site):
        raise UsageFault(f"--site {site!r} is no address of a site", "write for example https://xnat.example.org/xnat")


def _save(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise Fault(f"{path} cannot be written ({error.strerror})", "choose another place with enough room") from error

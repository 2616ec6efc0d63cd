"""Which kind of recording a file is, and the scenario that becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.scenario import load_raw, parse
from replay.scenario_import.actions import assign
from replay.scenario_import.draft import Draft, Imported, RecordingError, Remark
from replay.scenario_import.markers import import_markers
from replay.scenario_import.recorder import import_recording, read_recording
from replay.scenario_import.side import import_test, read_side, test_names
from replay.scenario_shape import FORMAT
from sidecar.model.catalogue import load_catalogue

_LARGEST = 64 * 1024 * 1024
#: Selenium IDE, the DevTools Recorder or our own, markers of a session; archives (.har) become requests instead
_KNOWN = (".side", ".json", ".jsonl", ".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How to import: which test of a `.side`, which session of markers; `think_s` is the pause where none is known.

    Without a `role` it is told from the actions: who opens the viewer is a radiologist. `actions` is `read_map`'s.
    """

    test: str | None = None
    session: str | None = None
    role: str | None = None
    site: str = ""
    think_s: float = 1.0
    leave_out: bool = False
    actions: Mapping[int, str | None] = field(default_factory=dict)


def import_file(path: Path, wishes: Wishes) -> dict[str, Imported]:
    """The scenarios of a recording by their names, checked by the loader; RecordingError or ScenarioError with what is wrong."""
    try:
        if path.stat().st_size > _LARGEST:
            raise RecordingError(f"{path} is larger than {_LARGEST >> 20} MiB", "give the recording, not what it led to")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror})", "give the file of a recording") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is not UTF-8", "export the recording again") from error
    suffix = path.suffix.lower()
    if suffix not in _KNOWN:
        raise RecordingError(f"{path} is no recording by its name", f"give a file that ends in {', '.join(_KNOWN)}")
    found: dict[str, Imported] = {}
    if suffix in (".yaml", ".yml") or (suffix == ".json" and _is_ours(text)):
        raw = load_raw(str(path))
        parse(raw, path.name)
        assert isinstance(raw, dict)  # noqa: S101 (parsed)
        return {raw["scenario"]: Imported(raw=raw, remarks=())}
    for draft in _drafts(text, suffix, path, wishes):
        if suffix != ".jsonl":
            assign(draft, load_catalogue(), wishes.actions)
        origin = {".side": "Selenium IDE", ".jsonl": "the markers of a session"}.get(suffix, "the Chrome DevTools Recorder")
        role = wishes.role or _role(draft)
        imported = draft.finish(role=role, think_s=wishes.think_s, description=f"Imported from {origin}.")
        if suffix != ".jsonl" and wishes.think_s > 0:
            note = Remark(
                number=0, command="all", what=f"the recording has no times: {wishes.think_s:g} s before each step", lost=False
            )
            imported = Imported(raw=imported.raw, remarks=(note, *imported.remarks))
        parse(imported.raw, path.name)
        name, number = str(imported.raw["scenario"]), 2
        while name in found:
            name, number = f"{imported.raw['scenario']}-{number}", number + 1
        found[name] = Imported(raw={**imported.raw, "scenario": name}, remarks=imported.remarks)
    return found


def _drafts(text: str, suffix: str, path: Path, wishes: Wishes) -> Iterable[Draft]:
    keep = not wishes.leave_out
    if suffix == ".jsonl":
        return [import_markers(text, path.name, name=path.stem, session=wishes.session, keep_lost=keep)]
    if suffix == ".side":
        project = read_side(text, path.name)
        names = test_names(project)
        if wishes.test is not None and wishes.test not in names:
            raise RecordingError(f"{path.name} has no test {wishes.test!r}", f"it has {', '.join(names)}")
        chosen = [wishes.test] if wishes.test is not None else names
        drafts = [import_test(project, name, keep_lost=keep, site=wishes.site) for name in chosen]
        full = [draft for draft in drafts if draft.steps]
        for draft in drafts:
            if full and not draft.steps:
                full[0].note(0, f"test {draft.name}", "holds nothing to play: it is left out")
        return full or drafts
    recording = read_recording(text, path.name)
    return [import_recording(recording, name=path.stem, keep_lost=keep, site=wishes.site)]


def _role(draft: Draft) -> str:
    actions = {step.get("action") for step in draft.steps}
    return "radiologist" if "open_viewer" in actions else "uploader" if "upload" in actions else "researcher"


def _is_ours(text: str) -> bool:
    try:
        raw: Any = json.loads(text)
    except ValueError:
        return False
    return isinstance(raw, dict) and raw.get("format") == FORMAT and "scenario" in raw

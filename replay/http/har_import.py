"""`tracemark scenario import FILE.har`: an archive becomes a recording, which `tracemark replay … --engine http` plays."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from replay.http.correlate import Known
from replay.http.har import import_har
from replay.http.recording import SUFFIX, Recording
from sidecar.model.faults import UsageFault

HAR = ".har"
_LOST = re.compile(r"entry \d+ is left out")


def import_archive(
    file: Path, out: Path | None, *, site: str = "", role: str | None = None, actions: Mapping[int, str | None] | None = None
) -> int:
    """Write the recording to `out` (a folder, or a name that ends in .requests.json; None: print it) and say what it holds.

    0 when every entry could be taken, 1 when some were left out; raises RecordingError when nothing is left to be played.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", file.name.removesuffix(file.suffix)).strip("-.") or "session"
    path = out / f"{name}{SUFFIX}" if out is not None and out.is_dir() else out
    if path is not None and not path.name.endswith(SUFFIX):
        raise UsageFault(f"--out {path} is no name for requests", f"let it end in {SUFFIX}, as {name}{SUFFIX}")
    known = Known(scenario=name, role=role or "imported")
    recording = import_har(file, site=site or None, known=known, actions=actions or {})
    if path is None:
        print(json.dumps(recording.to_json(), indent=1))
    else:
        recording.save(path)
    return _say(recording, path)


def _say(recording: Recording, path: Path | None) -> int:
    lost = [note for note in recording.notes if _LOST.match(note)]
    written = f"; written to {path}" if path is not None else ""
    count = f"{len(recording.requests)} requests; actions: {', '.join(recording.actions()) or 'none: no page is opened in it'}"
    print(f"{recording.scenario}: {count}{written}", file=sys.stderr)
    for note in recording.notes:
        print(f"  {'!' if note in lost else '-'} {note}", file=sys.stderr)
    if needed := recording.accounts():
        print(f"  - its account is replaced: set {', '.join(needed)}", file=sys.stderr)
    if path is not None:
        print(f"  - play it: tracemark replay {path} --engine http --url SITE --setup NAME", file=sys.stderr)
    return 1 if lost else 0

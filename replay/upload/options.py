"""The options of `tracemark replay upload`, and its parameters (`--set`)."""

from __future__ import annotations

import re
from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from replay.cli_options import MARKERS
from replay.safety import VARIABLE
from replay.upload.exam_upload import Destination, Verify
from replay.upload.faults import UploadUsageError
from replay.upload.schedule import byte_rate

EXAMPLE = """parameters (--set NAME=VALUE):
  project=ID        the project to upload into; it must hold nothing but uploads of this command. Required
  folder=DIR        the exams: a folder or zip of DICOM files for each. Without it synthetic exams are made
  exams=N           how many (default: all of the folder, or one per burst)
  size=SIZE         of a synthetic exam: small (18 MB) or <n>MB (default: small)
  destination=WAY   archive (default), prearchive (wait there, then archive) or dicom (C-STORE)
  dicom=HOST:PORT/AET  where the site receives DICOM (XNAT: port 8104, title XNAT); with destination=dicom
  rate=RATE         bytes per second, as 500kB or 5MB (default: as fast as it goes)
  verify=HOW        count, size (default) or checksum (downloads everything again)
  others=skip       leave out files that are no DICOM instead of refusing the exam

examples:
  XNAT_USER=loader XNAT_PASSWORD=… tracemark replay upload --url https://xnat.example.org --allow-host xnat.example.org \\
      --setup lan --set project=UPLOADS --set folder=exams --bursts 4 --every 30m --run-id uploads-1
  the same command again goes on where a crash or Ctrl-C stopped it; --dry-run says what it would make on the site
  … --run-id uploads-1 --clean-up      removes what that run made there, and nothing else
"""
PARAMETERS = ("project", "folder", "exams", "size", "destination", "dicom", "rate", "verify", "others")


def parser() -> ArgumentParser:
    """The command line."""
    wanted = ArgumentParser(
        prog="tracemark replay upload",
        description="Uploads exams in bursts, nobody at the keyboard, and marks every one as an UPLOAD.",
        epilog=EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = wanted.add_argument
    add("--url", help="the site, with its context path if it has one")
    add("--setup", choices=("lan", "vpn", "wan"), help="how this machine reaches the site")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter, see below; repeatable")
    add("--bursts", type=int, default=1, metavar="N", help="in how many bursts (default: %(default)s)")
    add("--every", default="30m", metavar="TIME", help="from the begin of a burst to the next one's (default: %(default)s)")
    add("--exams-per-burst", type=int, metavar="N", help="how many in each (default: the exams, dealt out evenly)")
    add("--variation", type=float, default=0.0, metavar="0…1", help="of that time, by the seed (default: %(default)g)")
    add("--seed", type=int, help="repeats the times of an earlier run")
    add("--run-id", metavar="ID", help="name of the run; the same name finishes one (default: made from the time)")
    add("--out", type=Path, default=Path("replay-results"), metavar="DIR", help="for results (default: %(default)s)")
    add("--capture", action="store_true", help="capture the packets between this machine and the site")
    add("--keep-captures", action="store_true", help="keep the packets, not only their metrics")
    add("--route", action=BooleanOptionalAction, default=True, help="trace the route before every burst (default: yes)")
    add("--route-changes", type=int, default=10, metavar="N", help="how often the route may change (default: %(default)s)")
    add("--timeout", type=float, default=600.0, metavar="S", help="how long to wait for the site (default: %(default)g s)")
    add("--attempts", type=int, default=3, metavar="N", help="at an exam that fails otherwise (default: %(default)s)")
    add("--markers", metavar="URL", help=f"marker channel, or none (default: {MARKERS})")
    add("--token", help="of the marker channel; better in TRACEMARK_TOKEN or TRACEMARK_TOKEN_FILE")
    add("--allow-host", action="append", default=[], metavar="HOST", help=f"may be uploaded to; also in {VARIABLE}; repeatable")
    add("--yes-this-host", action="store_true", help="upload to the host of --url although it is not allowed otherwise")
    add("--dry-run", action="store_true", help="say what would be made on the site, and do nothing")
    add("--clean-up", action="store_true", help="only remove from the site what this run has made there")
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What `--set` says; `rate` in bytes per second, `dicom` is (host, port, application entity title)."""

    project: str
    folder: Path | None
    exams: int | None
    size: str
    destination: Destination
    dicom: tuple[str, int, str] | None
    rate: int | None
    verify: Verify
    skip_others: bool

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Parameters:
        """Checked; raises UploadUsageError that names the parameter."""
        for name in given:
            if name not in PARAMETERS:
                raise UploadUsageError(f"--set {name}=… is unknown", f"use {', '.join(PARAMETERS)}")
        project = given.get("project", "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", project):
            raise UploadUsageError(
                "there is no project to upload into" if not project else f"the project {project!r} is no id",
                "say --set project=ID, one that is for nothing else",
            )
        if "folder" in given and "size" in given:
            raise UploadUsageError("--set size=… is for synthetic exams", "leave it out, or leave folder=… out")
        destination: Destination = _one_of(given, "destination", "archive", get_args(Destination))
        dicom = _dicom(given["dicom"]) if "dicom" in given else None
        if (destination == "dicom") != (dicom is not None):
            raise UploadUsageError("destination=dicom and dicom=… belong together", "say --set dicom=HOST:PORT/AET with it")
        verify: Verify = _one_of(given, "verify", "size", get_args(Verify))
        if destination == "dicom":
            if verify == "checksum":
                raise UploadUsageError("verify=checksum cannot be had with destination=dicom", "say verify=count")
            verify = "count"  # the headers are written anew on the way: the project and the label stand in them
        return cls(
            project=project,
            folder=Path(given["folder"]) if "folder" in given else None,
            exams=_count(given["exams"]) if "exams" in given else None,
            size=given.get("size", "small"),
            destination=destination,
            dicom=dicom,
            rate=byte_rate(given["rate"]) if "rate" in given else None,
            verify=verify,
            skip_others=_one_of(given, "others", "refuse", ("refuse", "skip")) == "skip",
        )


def _one_of(given: Mapping[str, str], name: str, default: str, allowed: Sequence[str]) -> Any:
    value = given.get(name, default)
    if value not in allowed:
        raise UploadUsageError(f"--set {name}={value} is unknown", f"use {', '.join(allowed)}")
    return value


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UploadUsageError(f"--set exams={text} is no number of exams", "write 1 to 9999")
    return int(text)


def _dicom(text: str) -> tuple[str, int, str]:
    matched = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[^:/\s]+):([0-9]{1,5})(?:/([A-Za-z0-9_ -]{1,16}))?", text)
    if matched is None or not 0 < int(matched[2]) < 65536:
        raise UploadUsageError(f"--set dicom={text} is not understood", "write HOST:PORT/AET, for example xnat:8104/XNAT")
    return matched[1].strip("[]"), int(matched[2]), matched[3] or "XNAT"

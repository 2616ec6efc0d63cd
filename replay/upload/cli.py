"""`tracemark replay upload`: exams in bursts, verified, resumable, and removable again."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from replay.campaign_capture import PacketRecorder
from replay.campaign_folder import Manifest, locked, opened_run, saved_manifest
from replay.campaign_markers import Channel, kept_sessions
from replay.campaign_patience import Limits
from replay.campaign_progress import shown
from replay.campaign_recording import port_of
from replay.campaign_summary import write_summary
from replay.chromium import host_of
from replay.cli import pairs_of, token_of, versions
from replay.cli_options import MARKERS, sigterm_as_interrupt
from replay.player import Time
from replay.route import trace
from replay.route_model import Route
from replay.safety import VARIABLE, check_host
from replay.summary import table
from replay.upload.clean_up import clean_up
from replay.upload.dicom_send import DicomSender
from replay.upload.exam_upload import How
from replay.upload.exams import Look
from replay.upload.faults import UploadUsageError
from replay.upload.ledger import LEDGER, PREFIX, Ledger, label_of
from replay.upload.options import Parameters, parser
from replay.upload.schedule import Burst, schedule, seconds
from replay.upload.site import XnatSite
from replay.upload.source import FolderSource, SyntheticSource
from replay.upload.uploader import ROLE, SCENARIO, Tools, Uploader
from sidecar.model.faults import UsageFault

#: XNAT's labels may hold these, and 64 of them with what we put before and behind
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
_USER, _PASSWORD = "XNAT_USER", "XNAT_PASSWORD"


def main(argv: Sequence[str] | None = None, clock: Time | None = None) -> int:
    """Upload, or finish, or remove a run; 0 when every exam is verified (removed). Raises Fault for what stopped it."""
    arguments = parser().parse_args(argv)
    _require(arguments)
    site = arguments.url.rstrip("/")
    check_host(host_of(site), arguments.allow_host, os.environ.get(VARIABLE, ""), yes=arguments.yes_this_host)
    if arguments.clean_up:
        return _clean_up(arguments, site)
    given = pairs_of(arguments.set)
    wanted = Parameters.of(given)
    source = _source(wanted, arguments)
    manifest = _manifest(arguments, wanted, source, dict(given), site)
    bursts = schedule(
        len(source),
        bursts=arguments.bursts,
        every_s=seconds(arguments.every),
        variation=arguments.variation,
        seed=manifest.seed,
    )
    if arguments.dry_run:
        print(_dry_run(wanted, source, bursts, manifest, arguments.out / manifest.run), end="")
        return 0
    account = _account()
    with sigterm_as_interrupt(), opened_run(arguments.out, manifest, one_route=False) as folder:
        with shown(sys.stderr, len(bursts), max(len(burst.exams) for burst in bursts)) as progress:
            token = arguments.token or token_of(os.environ)
            packets = site if wanted.dicom is None else f"http://{wanted.dicom[0]}:{wanted.dicom[1]}"
            tools = Tools(
                site=XnatSite(site, *account, timeout_s=arguments.timeout),
                sender=DicomSender(*wanted.dicom) if wanted.dicom is not None else None,
                source=source,
                channel=Channel(manifest.markers, token=token, outbox=folder.outbox, say=progress.say),
                progress=progress,
                clock=clock if clock is not None else Time.system(),
                versions=versions(),
                recorder=PacketRecorder(packets, keep=arguments.keep_captures) if arguments.capture else None,
                trace=_tracer(packets) if arguments.route else None,
            )
            how = How(
                destination=wanted.destination,
                verify=wanted.verify,
                rate=wanted.rate,
                limits=Limits(attempts=arguments.attempts, timeout_s=arguments.timeout),
            )
            ledger = Ledger(folder.path / LEDGER)
            try:
                Uploader(
                    project=wanted.project, bursts=bursts, how=how, folder=folder, ledger=ledger, tools=tools,
                    route_changes=arguments.route_changes,
                ).run()  # fmt: skip
            except KeyboardInterrupt:
                progress.say(f"the same command with --run-id {manifest.run} goes on where it stopped")
                raise
            finally:
                print(table(write_summary(folder)) + _routes(folder.manifest) + _summary(ledger, len(source)), end="", flush=True)
                if kept := kept_sessions(folder.outbox):
                    print(f"{kept} sessions wait for the sidecar: `tracemark replay --deliver {folder.path}` delivers them")
    return 0


def _clean_up(arguments: Namespace, site: str) -> int:
    path = arguments.out / (arguments.run_id or "")
    known = saved_manifest(path) if arguments.run_id else None
    if known is None or known.scenario != SCENARIO:
        raise UploadUsageError(f"there is no run of uploads in {path}", "name it with --run-id, and its folder with --out")
    if known.site != site:
        raise UploadUsageError(f"the run {known.run} was sent to {known.site}, not {site}", "give that as --url")
    with locked(path):
        ledger = Ledger(path / LEDGER)
        if arguments.dry_run:
            for entry in ledger:
                if entry.state != "removed":
                    print(f"{entry.label} in project {entry.project} ({entry.state})")
            print("Nothing was done: this was a dry run.")
            return 0
        connection = XnatSite(site, *_account())
        try:
            connection.connect()
            clean_up(connection, ledger, time.time_ns, lambda text: print(text, flush=True))
        finally:
            connection.close()
    return 0


def _source(wanted: Parameters, arguments: Namespace) -> FolderSource | SyntheticSource:
    look = Look(digests=wanted.verify == "checksum", skip_others=wanted.skip_others)
    count = wanted.exams
    if arguments.exams_per_burst is not None:
        planned = arguments.exams_per_burst * arguments.bursts
        if count not in (None, planned):
            raise UploadUsageError(f"exams={count} is not {arguments.bursts} × {arguments.exams_per_burst}", "leave one out")
        count = planned
    if wanted.folder is not None:
        return FolderSource(wanted.folder, look, count)
    return SyntheticSource(count if count is not None else arguments.bursts, wanted.size, look)


def _manifest(
    arguments: Namespace, wanted: Parameters, source: FolderSource | SyntheticSource, given: dict[str, str], site: str
) -> Manifest:
    run = arguments.run_id or time.strftime("run-%Y%m%dT%H%M%SZ", time.gmtime())
    if not _RUN.fullmatch(run):
        raise UsageFault(f"--run-id {run!r} cannot be part of a label", "use letters, digits, '_', '-'; 48 at most")
    earlier = saved_manifest(arguments.out / run)
    times = {"bursts": str(arguments.bursts), "every": arguments.every, "variation": f"{arguments.variation:g}"}
    what = json.dumps([source.fingerprint(), times, sorted(given.items())])
    return Manifest(
        run=run,
        setup=arguments.setup,
        scenario=SCENARIO,
        role=ROLE,
        scenario_sha256=sha256(what.encode()).hexdigest(),
        parameters={**given, **times, "project": wanted.project},
        seed=arguments.seed if arguments.seed is not None else earlier.seed if earlier else secrets.randbelow(2**31),
        site=site,
        host=host_of(site),
        users=1,
        capture=arguments.capture,
        repetitions=arguments.bursts,
        markers=arguments.markers or MARKERS,
        created_ns=time.time_ns(),
        versions=versions(),
    )


def _dry_run(
    wanted: Parameters, source: FolderSource | SyntheticSource, bursts: Sequence[Burst], manifest: Manifest, folder: Path
) -> str:
    begins_s, lines = 0.0, []
    for burst in bursts:
        begins_s += burst.after_s
        at = f"{int(begins_s // 3600)}:{int(begins_s // 60 % 60):02d}:{int(begins_s % 60):02d}"
        lines.append(f"burst {burst.number}, {at} after the begin")
        lines += [f"  {label_of(manifest.run, number)}  {source.name(number)}" for number in burst.exams]
    way = "C-STORE, then the prearchive" if wanted.dicom else f"the import service, to the {wanted.destination}"
    return "\n".join(
        [
            f"site      {manifest.site} (setup {manifest.setup})",
            f"account   from {_USER}, {_PASSWORD}",
            f"project   {wanted.project}; refused when it is not there, or holds labels that do not begin with {PREFIX}",
            f"way       {way}{f', {wanted.rate} bytes/s' if wanted.rate else ''}; verified by {wanted.verify}",
            f"results   {folder}",
            f"creates   {len(source)} subjects, each with one session of the same label:",
            *lines,
            "Files are sent as they are: upload only what holds no patient's data.",
            "Nothing was done: this was a dry run.",
            "",
        ]
    )


def _tracer(receiver: str) -> Callable[[str], Route]:
    """Traces the route to where exams are sent."""
    return lambda method: trace(host_of(receiver), port=port_of(receiver), method=method)


def _routes(known: Manifest) -> str:
    changes = len(known.routes) - 1
    if changes < 1:
        return ""
    return f"The route changed {changes} times between bursts; each result.json has its number, manifest.json all routes.\n"


def _summary(ledger: Ledger, wanted: int) -> str:
    done = [one for one in ledger if one.state == "verified"]
    lines = [f"{len(done)} of {wanted} exams uploaded and verified, {sum(one.bytes for one in done) / 1e6:.1f} MB"]
    lines += [f"not uploaded: {one.label} ({one.source}): {one.failure}" for one in ledger if one.state == "failed"]
    return "\n".join(lines) + "\n"


def _account() -> tuple[str, str]:
    user, password = os.environ.get(_USER, ""), os.environ.get(_PASSWORD, "")
    if not user or not password:
        raise UsageFault(f"{_USER if not user else _PASSWORD} is not set", "set it to the account made for uploads")
    return user, password


def _require(arguments: Namespace) -> None:
    needed = [("url", "--url")] if arguments.clean_up else [("url", "--url"), ("setup", "--setup")]
    for name, option in needed:
        if getattr(arguments, name) is None:
            raise UsageFault(f"{option} is missing", "see `tracemark replay upload --help`")
    for name, least in (("bursts", 1), ("attempts", 1), ("timeout", 0), ("exams_per_burst", 1), ("route_changes", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UsageFault(f"--{name.replace('_', '-')} {value:g} is too few", f"write at least {least}")
    if "?" in arguments.url or "@" in arguments.url:
        raise UsageFault(
            "--url holds a query or a user name", "write the site's address alone; accounts stand in the environment"
        )

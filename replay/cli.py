"""`tracemark replay`: the study's measurement procedure; a campaign of repetitions in a real browser, told to the sidecar."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import re
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from replay.address import check_channel
from replay.browser import opened
from replay.campaign import Campaign, Plan, Progress, Tools
from replay.campaign_deliver import deliver
from replay.campaign_folder import Manifest, RunFolder, opened_run, saved_manifest
from replay.campaign_job import Ports
from replay.campaign_markers import Channel, Told, kept_sessions
from replay.campaign_patience import Limits
from replay.campaign_progress import shown
from replay.campaign_recording import port_of, recorder_for
from replay.campaign_summary import campaign_summary, write_summary
from replay.chromium import BrowserOptions, host_of, plain_origins
from replay.cli_options import MARKERS, parser, sigterm_as_interrupt
from replay.grid import NO_PROGRAMS
from replay.harm import check_scenario
from replay.http.choice import asked_for, browser_paths, player, quiet, requests_file
from replay.player import Time
from replay.report.ending import show_usage
from replay.route import Route, trace
from replay.safety import VARIABLE, accounts, check_host, what_it_would_do
from replay.scenario_shape import Scenario
from replay.schedule_cli import check_schedule_options, scheduled, sidecar_of
from replay.schedule_run import Between, Stop
from replay.summary import table
from replay.tagger import summed_up, tagged, tagger_for
from replay.trust import trusted_keys
from replay.users_cli import Cast, cast_of, check_user_options, user_notes
from replay.values import Values, texts_of
from sidecar.model.faults import UsageFault

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def main(argv: Sequence[str] | None = None) -> int:
    """Play, or finish, a campaign; 0 when every repetition is finished on one route. Raises Fault for what stopped it."""
    given_argv = sys.argv[1:] if argv is None else argv
    if given_argv[:1] == ["upload"]:  # no browser: it has options of its own
        status: int = importlib.import_module("replay.upload.cli").main(given_argv[1:])
        return status
    arguments = parser().parse_args(given_argv)
    token = arguments.token or token_of(os.environ)
    if arguments.deliver is not None:
        return deliver(arguments.deliver, arguments.markers, token, lambda text: print(text, flush=True))
    _require(arguments)
    if arguments.every is not None:
        asked = sidecar_of(arguments.sidecar, os.environ, arguments.markers or MARKERS)
        return scheduled(arguments, once, asked, token, wall_ns=time.time_ns)
    return once(arguments, token)


def once(arguments: Namespace, token: str, *, stop: Stop | None = None, check: bool = False) -> int:
    """Play, or finish, one campaign.

    With `check` only look whether it could be played. `stop` is a schedule's: when it is set, the campaign ends before its next
    attempt with StoppedError; without it SIGTERM does what Ctrl-C does.
    """
    asked = sidecar_of(arguments.sidecar, os.environ, arguments.markers or MARKERS)
    scenario = asked_for(arguments)
    given = pairs_of(arguments.set)
    Values(scenario, given, os.environ).number("pace", 1.0)  # a parameter that cannot be is said at once
    site = arguments.url.rstrip("/")
    host = host_of(site)
    check_host(host, arguments.allow_host, os.environ.get(VARIABLE, ""), yes=arguments.yes_this_host)
    trusted = trusted_keys(arguments.trust, os.environ)
    variables = accounts([*texts_of(scenario), *map(str, scenario.parameters.values())])
    wanted = _manifest(arguments, scenario, given, site, host)
    tagger_for(arguments, wanted, token)  # what is not there or cannot be is said at once
    if arguments.dry_run:
        print(_dry_run(arguments, scenario, wanted, variables), end="")
        return 0
    check_scenario(scenario, may_delete=arguments.may_delete)
    cast = cast_of(arguments, scenario, given, os.environ, variables)
    plan = Plan(
        scenario=scenario,
        values=cast.users[0].values,
        options=BrowserOptions(
            paths=NO_PROGRAMS if cast.grid else browser_paths(arguments, scenario.name, os.environ),
            hosts=(host, *scenario.hosts),
            window=scenario.window,
            visible=arguments.visible,
            trusted_keys=trusted,
            plain_origins=plain_origins(site),
        ),
        limits=Limits(
            repetitions=arguments.repetitions,
            attempts=arguments.attempts,
            timeout_s=arguments.timeout,
            route_changes=arguments.route_changes,
        ),
        hidden=cast.users[0].hidden,
        may_delete=arguments.may_delete,
    )
    if check:
        return 0
    with sigterm_as_interrupt() if stop is None else nullcontext(), opened_run(arguments.out, wanted) as folder:
        done = False
        try:
            with shown(sys.stderr, arguments.repetitions, len(scenario.steps)) as progress:
                _play(arguments, plan, cast, folder, progress if stop is None else Between(progress, stop), token)
            done = True
        finally:
            _sum_up(folder)
            show_usage(folder, asked, patient=done)
    return 0


def _play(arguments: Namespace, plan: Plan, cast: Cast, folder: RunFolder, progress: Progress, token: str) -> None:
    clock = Time.system()
    channel = Channel(arguments.markers or MARKERS, token=token, outbox=folder.outbox, say=progress.say)

    def ports(told: Told) -> Ports:
        return Ports(browser=opened, markers=told, watcher=progress, clock=clock, versions=versions())

    def traced(method: str) -> Route:
        return trace(folder.manifest.host, port=port_of(folder.manifest.site), method=method)

    play = player(arguments, plan, quiet(ports), progress.say)
    if (recorded := _requests_hash(arguments, plan.scenario)) != folder.manifest.requests_sha256:  # it was made just now
        folder.manifest.requests_sha256 = recorded
        folder.save_manifest()
    tools = Tools(
        ports=ports,
        channel=channel,
        recorder=recorder_for(arguments.url, capture=arguments.capture, keep=arguments.keep_captures),
        progress=progress,
        trace=traced if arguments.route else None,
        clock=clock,
        play=play,
    )
    if (tagger := tagger_for(arguments, folder.manifest, token)) is not None:
        tools = tagged(tools, tagger)
    tools = cast.playing(tools, capture=arguments.capture)
    try:
        Campaign(plan, folder, tools).run()
    except KeyboardInterrupt:
        progress.say(f"the same command with --run-id {folder.manifest.run} goes on where it stopped")
        raise


def _sum_up(folder: RunFolder) -> None:
    print(table(campaign_summary(folder)) + summed_up(folder), end="", flush=True)
    if kept := kept_sessions(folder.outbox):
        print(f"{kept} sessions wait for the sidecar: `tracemark replay --deliver {folder.path}` delivers them", flush=True)
    write_summary(folder)  # last: where there is no room for a file, what was printed is what is left


def versions() -> dict[str, str]:
    """What played, for the result."""
    packages = {name: metadata.version(name) for name in ("tracemark", "selenium")}
    return {**packages, "python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}


def scenario_hash(scenario: Scenario) -> str:
    """SHA-256 of what a scenario says, whatever its file is called and however it is laid out."""
    said = {name: value for name, value in asdict(scenario).items() if name != "file"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _requests_hash(arguments: Namespace, scenario: Scenario) -> str:
    """What the recording of `--engine http` holds, whatever its file is called; empty where there is none (yet)."""
    file = requests_file(arguments, scenario.name)
    if arguments.engine != "http" or not file.exists():
        return ""
    from replay.http.engine import recording_hash  # its client takes a while to import, and nobody else needs it
    from replay.http.recording import Recording

    return recording_hash(Recording.load(file))


def _manifest(arguments: Namespace, scenario: Scenario, given: Mapping[str, str], site: str, host: str) -> Manifest:
    run = arguments.run_id or time.strftime("run-%Y%m%dT%H%M%SZ", time.gmtime())
    if not _NAME.fullmatch(run):
        raise UsageFault(f"--run-id {run!r} is no name", "use letters, digits, '_', '.', '-'")
    earlier = saved_manifest(arguments.out / run)
    seed = arguments.seed if arguments.seed is not None else earlier.seed if earlier else secrets.randbelow(2**31)
    return Manifest(
        run=run,
        setup=arguments.setup,
        scenario=scenario.name,
        role=scenario.role,
        scenario_sha256=scenario_hash(scenario),
        parameters=dict(given),
        seed=seed,
        site=site,
        host=host,
        users=arguments.users,
        arrivals=arguments.arrivals,
        failed_users=arguments.failed_users,
        grid=arguments.grid or "",
        capture=arguments.capture,
        repetitions=arguments.repetitions,
        markers=arguments.markers or MARKERS,
        tagger=arguments.tagger,
        engine=arguments.engine,
        requests_sha256=_requests_hash(arguments, scenario),
        created_ns=time.time_ns(),
        versions=versions(),
    )


def _dry_run(arguments: Namespace, scenario: Scenario, wanted: Manifest, variables: Sequence[str]) -> str:
    notes = [
        f"packets   {'captured between this machine and the site' if wanted.capture else 'not captured'}",
        f"route     {'traced before every repetition' if arguments.route else 'not traced'}",
        f"markers   {wanted.markers}",
        *user_notes(arguments),
    ]
    return what_it_would_do(
        scenario,
        site=wanted.site,
        setup=wanted.setup,
        sessions=wanted.repetitions * wanted.users,
        variables=variables,
        folder=str(arguments.out / wanted.run),
        notes=notes,
        may_delete=arguments.may_delete,
    )


def _require(arguments: Namespace) -> None:
    for name, option in (("scenario", "SCENARIO"), ("url", "--url"), ("setup", "--setup")):
        if getattr(arguments, name) is None:
            raise UsageFault(f"{option} is missing", "see `tracemark replay --help`")
    for name, least in (("repetitions", 1), ("attempts", 1), ("route_changes", 0), ("timeout", 0)):
        if not getattr(arguments, name) >= least:  # NaN, too, is no time to wait for
            option = "--" + name.replace("_", "-")
            raise UsageFault(f"{option} {getattr(arguments, name):g} is too few", f"write at least {least}")
    check_user_options(arguments)
    check_schedule_options(arguments)
    if any(sign in arguments.url for sign in "?#@"):
        raise UsageFault(
            "--url holds a query or a user name", "write the site's address alone; accounts stand in the environment"
        )
    check_channel(arguments.markers or MARKERS)


def pairs_of(given: Sequence[str]) -> Mapping[str, str]:
    """`NAME=VALUE` texts; raises UsageFault."""
    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageFault(f"--set {text!r} is no NAME=VALUE", "write for example --set term=COVID_000")
        pairs[name] = value
    return pairs


def token_of(environment: Mapping[str, str]) -> str:
    """The marker channel's token, from the environment or the file that it names; raises UsageFault."""
    file = environment.get("TRACEMARK_TOKEN_FILE")
    if file is None:
        return environment.get("TRACEMARK_TOKEN", "")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageFault(f"TRACEMARK_TOKEN_FILE cannot be read ({error.strerror})", "name a file with the token") from error

"""`tracemark replay --engine http`: plays by the requests of a recording, which the browser makes once where there is none."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

from replay.campaign import Plan
from replay.campaign_job import Job, Ports, play_repetition
from replay.campaign_markers import NoMarkers
from replay.chromium import BrowserPaths
from replay.harm import OPTION
from replay.http.as_scenario import deleting, scenario_of
from replay.http.recording import SUFFIX, Recording, RecordingError
from replay.results import Repetition
from replay.scenario import load_scenario
from replay.scenario_shape import Scenario
from sidecar.model.faults import UsageFault

Play = Callable[[Job, Ports], Repetition]
_NO_BROWSER = BrowserPaths(driver="", browser="")


def asked_for(arguments: Namespace) -> Scenario:
    """The scenario that the command line names: its name, its file, or a file of requests, which has none of its own.

    Raises ScenarioError, RecordingError.
    """
    if not str(arguments.scenario).endswith(SUFFIX):
        return load_scenario(arguments.scenario)
    if arguments.engine != "http" or arguments.requests:
        raise UsageFault(f"{arguments.scenario} holds requests, no scenario", "play it with --engine http, without --requests")
    file = Path(arguments.scenario)
    return scenario_of(Recording.load(file), file)


def requests_file(arguments: Namespace, scenario: str) -> Path:
    """Where the recording is, or will be: the scenario itself, `--requests`, or beside the results."""
    if str(arguments.scenario).endswith(SUFFIX):
        return Path(arguments.scenario)
    return Path(arguments.requests) if arguments.requests else Path(arguments.out) / f"{scenario}{SUFFIX}"


def browser_paths(arguments: Namespace, scenario: str, environment: Mapping[str, str]) -> BrowserPaths:
    """The browser's programs; none are needed where requests are recorded already. Raises BrowserMissingError."""
    if arguments.engine == "http":
        if arguments.tagger != "replay" or arguments.visible:
            raise UsageFault("--engine http has no browser to show or to tag", "leave out --tagger and --visible")
        if requests_file(arguments, scenario).exists():
            return _NO_BROWSER
    return BrowserPaths.find(environment, arguments.chromedriver, arguments.chromium)


def player(arguments: Namespace, plan: Plan, ports: Ports, say: Callable[[str], None]) -> Play:
    """What plays a repetition; records first where that is needed.

    Raises RecordingError, NotRecordedError, and UsageFault for requests that delete something where that is not allowed.
    """
    if arguments.engine == "browser":
        return play_repetition
    from replay.http.engine import HttpEngine  # its client takes a while to import, and nobody else needs it

    file = requests_file(arguments, plan.scenario.name)
    recording = Recording.load(file) if file.exists() else _recorded(arguments, plan, ports, file, say)
    if recording.scenario != plan.scenario.name:
        remedy = "name its own scenario, or another file with --requests"
        raise RecordingError(f"{file} holds the requests of {recording.scenario}, not of {plan.scenario.name}", remedy)
    if not plan.may_delete and (found := deleting(recording)):
        raise UsageFault(f"{file.name} deletes: {', '.join(found)}", f"leave these out of it, or allow it with {OPTION}")
    for note in recording.notes:
        say(f"{file.name}: {note}")
    tls = _trusting(arguments.trust)
    return HttpEngine(recording, tls=tls)


def _recorded(arguments: Namespace, plan: Plan, ports: Ports, file: Path, say: Callable[[str], None]) -> Recording:
    from replay.http.make import record

    say(f"there is no {file}: the browser plays {plan.scenario.name} once to record its requests")
    with tempfile.TemporaryDirectory(prefix="tracemark-requests-") as folder:
        job = Job(
            run="recording",
            setup=arguments.setup,
            site=arguments.url.rstrip("/"),
            scenario=plan.scenario,
            values=plan.values,
            options=plan.options,
            repetition=1,
            attempt=1,
            session=secrets.token_hex(16),
            seed=0,
            folder=Path(folder),
            hidden=plan.hidden,
        )
        made, _ = record(job, ports)
    file.parent.mkdir(parents=True, exist_ok=True)
    made.save(file)
    say(f"{len(made.requests)} requests are recorded in {file}")
    return made


def quiet(ports: Callable[..., Ports]) -> Ports:
    """Ports that tell no sidecar: a recording is no measurement."""
    return ports(NoMarkers())


def _trusting(given: list[str]) -> ssl.SSLContext | None:
    """The certificates that `--trust` names, beside the system's; a fingerprint cannot be used here."""
    if not given:
        return None
    context = ssl.create_default_context()
    for one in given:
        if not one.endswith(".pem"):
            raise UsageFault("--engine http cannot trust a fingerprint", "name the certificate itself: --trust FILE.pem")
        try:
            context.load_verify_locations(one)
        except (OSError, ssl.SSLError) as error:
            raise UsageFault(f"{one} holds no certificate ({error})", "name a PEM file") from error
    return context

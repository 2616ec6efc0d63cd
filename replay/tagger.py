"""`--tagger extension`: the markers come from the extension alone; the replayer's own are kept as truth and compared in the end.

The replayer tells the sidecar before each repetition that a session of this name is a replayed one of this run, and the
extension in its browser then speaks as that session. So the rule holds that only the replayer can tell a run, and nobody takes
what is played for a person. Requests are labelled with the session alone; their begin tells which action they belong to.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from replay.browser import Browser, opened
from replay.campaign import Recorder, Recording, Tools
from replay.campaign_folder import OUTBOX, Manifest, RunFolder
from replay.campaign_job import Ports
from replay.campaign_markers import CLOSE_WAIT_S, FIRST_WAIT_S, Channel, NoMarkers, Told
from replay.chromium import BrowserOptions
from replay.clock_offset import Offset
from replay.durable import write_json
from replay.failures import Kind
from replay.marker_client import ChannelUnreachableError
from replay.results import Repetition, read_json
from replay.settle import Waiter
from replay.tagger_compare import compare, from_json, rows_of, table, to_json, told_actions
from replay.tagger_package import Settings, build, source_of
from replay.tagger_relay import Relay
from replay.transfers_browser import BrowserMeter
from sidecar.model.catalogue import load_catalogue
from sidecar.model.faults import Fault, UsageFault
from sidecar.model.records import Marker

TRUTH = "truth.json"
#: how long the extension may take to be ready; and, at the end, to tell what it has seen
READY_S = 30.0
LAST_WORDS_S = 10.0
CLIENT = "replay-tagged-by-extension"
_OVERVIEW = "return chrome.runtime.sendMessage({type: 'overview'}).then((it) => ({recording: it.recording, says: it.headline}))"


class TaggerError(Fault):
    """The extension does not record in the replayer's browser."""

    kind = "version"


class Truth(NoMarkers):
    """The markers of one repetition: told to nobody but counted, while the extension tells the sidecar."""

    def __init__(self, session: str, announce: Callable[[str, Mapping[str, Any]], Offset | None]) -> None:
        self.session = session
        self.completed: list[str] = []
        self.markers: tuple[Marker, ...] = ()
        self._announce = announce
        self._offset: Offset | None = None
        self._open: dict[str, str] = {}

    def begin(self, action: str) -> str:
        """A fresh id."""
        action_id = secrets.token_hex(8)
        self._open[action_id] = action
        return action_id

    def end(self, action_id: str, **attributes: int | str) -> None:  # noqa: ARG002 (the protocol's)
        """This action is really over: the extension is to tell it, too."""
        self.completed.append(self._open.pop(action_id))

    def cancel(self, action_id: str) -> None:
        """This one will not be told."""
        self._open.pop(action_id, None)

    def run(self, run: str, **named: object) -> None:
        """Tell the sidecar, before the extension speaks, which run its session belongs to."""
        self._offset = self._announce(self.session, {"run": run, **named})

    def offset(self) -> Offset | None:
        """As it was when the run was told."""
        return self._offset

    def all_told(self, markers: Sequence[Marker]) -> bool:
        """Whether the extension has told at least these actions to their ends, and none is open."""
        told = told_actions(markers)
        ended = [one.action for one in told if one.end_ns is not None and not one.cancelled]
        return all(one.end_ns is not None for one in told) and all(
            ended.count(action) >= self.completed.count(action) for action in self.completed
        )


class TaggerChannel(Channel):
    """The sessions of a run whose markers somebody else sends: the sidecar must be there, for nothing is kept for later."""

    def __init__(self, tagger: Tagger) -> None:
        super().__init__(tagger.markers, token=tagger.token, outbox=tagger.outbox, say=lambda _: None)

    @contextmanager
    def session(self, session: str) -> Iterator[Told]:
        """Truth for one repetition."""
        yield Truth(session, self._announce)

    def _announce(self, session: str, named: Mapping[str, Any]) -> Offset | None:
        client = self._connect(self._url, session=session, token=self._token, client=CLIENT)
        try:
            client.start(FIRST_WAIT_S)
            client.run(**named)
            offset = client.offset()
        except BaseException:
            client.close(0)
            raise
        if not client.close(CLOSE_WAIT_S):  # a run that is told later would take a number that the extension has used
            raise ChannelUnreachableError(
                "the sidecar does not acknowledge the run", "start it: the extension tells it everything"
            )
        return offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagger:
    """What is needed to play with the extension. `source` is its folder, `markers` the sidecar's channel."""

    source: Path
    site: str
    markers: str
    token: str
    outbox: Path

    def browser(self, truth: Truth) -> Callable[[BrowserOptions], AbstractContextManager[Browser]]:
        """Opens browsers that have the extension, which records."""

        @contextmanager
        def tagged(options: BrowserOptions) -> Iterator[Browser]:
            names: Collection[str] = load_catalogue().names
            with (
                tempfile.TemporaryDirectory(prefix="tracemark-tagger-") as folder,
                Relay(self.markers, truth.session, names, time.time_ns) as relay,
            ):
                settings = Settings(site=self.site, markers=relay.url, token=self.token, session=truth.session)
                package = build(self.source, Path(folder), settings)
                hosts = (*options.hosts, "127.0.0.1")  # the relay's
                with opened(replace(options, hosts=hosts, extension=package)) as browser:
                    _await_recording(browser)
                    yield browser
                    relay.wait(truth.all_told, LAST_WORDS_S)
                    truth.markers = relay.markers()

        return tagged


class TruthRecorder:
    """Another recorder, and the comparison beside what it leaves."""

    def __init__(self, inner: Recorder) -> None:
        self._inner = inner

    @contextmanager
    def recording(self, folder: Path) -> Iterator[Recording]:
        """Record until this is left."""
        with self._inner.recording(folder) as recording:
            yield TruthRecording(recording, folder)

    def kind_of(self, error: Fault) -> Kind | None:
        """As the other one says."""
        return self._inner.kind_of(error)


class TruthRecording:
    """One repetition's."""

    def __init__(self, inner: Recording, folder: Path) -> None:
        self._inner = inner
        self._folder = folder

    @property
    def meter(self) -> BrowserMeter | None:
        """The other one's."""
        return self._inner.meter

    def measure(self, result: Repetition, told: Told) -> Mapping[str, Any]:
        """The sizes, told to nobody (they name actions by the replayer's ids); and the comparison as a file."""
        markers = told.markers if isinstance(told, Truth) else ()
        write_json(self._folder / TRUTH, to_json(compare(result.actions, told_actions(markers))))
        return self._inner.measure(result, NoMarkers())


def tagger_for(arguments: Namespace, manifest: Manifest, token: str) -> Tagger | None:
    """What the options say; None where the replayer tells the markers itself. Raises UsageFault for what cannot be."""
    if arguments.tagger != "extension":
        return None
    if manifest.markers == "none":
        raise UsageFault("--tagger extension needs a sidecar, and --markers is none", "name its marker channel with --markers")
    if manifest.users > 1 or manifest.grid:
        raise UsageFault("--tagger extension is for one user on this machine", "leave out --users and --grid")
    source = source_of(arguments.extension)
    outbox = arguments.out / manifest.run / OUTBOX
    return Tagger(source=source, site=manifest.site, markers=manifest.markers, token=token, outbox=outbox)


def tagged(tools: Tools, tagger: Tagger) -> Tools:
    """The same tools, with the extension in the browser and its markers compared with the replayer's."""

    def ports(told: Told) -> Ports:
        given = tools.ports(told)
        return replace(given, browser=tagger.browser(told)) if isinstance(told, Truth) else given

    return replace(tools, ports=ports, channel=TaggerChannel(tagger), recorder=TruthRecorder(tools.recorder))


def summed_up(folder: RunFolder) -> str:
    """The table over all finished repetitions of a run, which also goes to its `truth.json`; empty without any."""
    files = [path / TRUTH for path, _ in folder.finished() if (path / TRUTH).exists()]
    compared = [one for file in files for one in from_json(read_json(file))]
    if not compared:
        return ""
    write_json(folder.path / TRUTH, to_json(compared))
    return table(rows_of(compared))


def _await_recording(browser: Browser) -> None:
    """The extension's own page answers when its background is ready, and its page side then is in every page."""
    browser.go(f"chrome-extension://{browser.extension}/popup.html")

    def look() -> tuple[bool | None, str]:
        state = browser.run(_OVERVIEW)
        return state["recording"] or None, f"the extension does not record: {state['says']}"

    try:
        Waiter(time.monotonic, time.sleep).until(look, READY_S)
    except Fault as error:
        raise TaggerError(str(error), "give an extension of this version, and a token that the sidecar takes") from error

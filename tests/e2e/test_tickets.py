"""Getting in without a typed secret: from a login at the site to an acknowledged marker, all through XNAT's own nginx."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from replay.lab import stack
from replay.lab.info import LabInfo
from replay.lab.options import LabOptions, Sidecar
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import Marker, Session
from tests.support.sidecar import SidecarProcess

EXTENSION = Origin("chrome-extension://abcdefghijklmnopabcdefghijklmnop")
CANARY = "canary-in-another-cookie"


@dataclass
class Place:
    """The lab, and the sidecar behind its nginx."""

    lab: LabInfo
    sidecar: SidecarProcess
    folder: Path

    def log_in(self, user: str = "researcher") -> requests.Session:
        """A browser's cookies after a login."""
        browser = requests.Session()
        form = {"username": user, "password": self.lab.users[user]}
        assert browser.post(f"{self.lab.url}/data/services/auth", data=form, timeout=60).status_code == 200
        assert browser.cookies["JSESSIONID"]
        browser.cookies.set("other", CANARY)
        return browser

    def ask(self, browser: requests.Session, body: Any = None, **headers: str) -> requests.Response:
        """What the content script does on a page of the site."""
        head = {"Origin": self.lab.url, "User-Agent": "Mozilla/5.0", **headers}
        return browser.post(f"{self.lab.url}/tracemark/api/v1/tickets", json=body or {}, headers=head, timeout=60)

    def talk(self, *messages: dict[str, Any], **hello: Any) -> list[dict[str, Any]]:
        """What the extension's background does: hello and more on the channel; the replies, and the code of a close."""
        greeting = {"type": "hello", "version": 1, "source": "extension", "client": "extension-0.1.0", **hello}
        url = f"ws{self.lab.url.removeprefix('http')}/tracemark/markers"
        cookie = {"Cookie": f"other={CANARY}"}
        replies: list[dict[str, Any]] = []
        with connect(url, origin=EXTENSION, additional_headers=cookie, proxy=None) as channel:
            try:
                for message in (greeting, *messages):
                    channel.send(json.dumps(message))
                    replies.append(json.loads(channel.recv(timeout=60)))
                    if replies[-1]["type"] == "error":
                        channel.recv(timeout=60)
            except ConnectionClosed as closed:
                replies.append({"close": closed.rcvd.code if closed.rcvd else None})
        return replies


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tickets")
    sidecar = SidecarProcess(folder, {"TRACEMARK_LOG_LEVEL": "debug"})
    options = LabOptions(
        directory=folder / "lab",
        exam_size="small",
        name_prefix=f"tick-{os.getpid()}-",
        processes=True,
        port=0,
        sidecar=Sidecar(sidecar.http, sidecar.markers),
    )
    lab = stack.up(options, print)
    try:
        sidecar.settings |= {"TRACEMARK_XNAT_URL": lab.url, "TRACEMARK_NGINX_LOG": lab.log_files["nginx"]}
        sidecar.start()
        try:
            yield Place(lab, sidecar, folder)
        finally:
            sidecar.stop()
    finally:
        stack.down(options.directory, print, purge=True)


def marker(seq: int, phase: str) -> dict[str, Any]:
    times = {"wall_ns": 1_700_000_000_000_000_000 + seq, "mono_ns": seq, "offset_ns": 0, "offset_error_ns": 0}
    return {"seq": seq, "action_id": f"{7:016x}", "action": "login", "phase": phase, **times}


def stored(place: Place) -> tuple[list[Marker], list[Session]]:
    with SqliteJournal(place.sidecar.journal) as journal:
        markers = [record for _, record in journal.read(Marker)]
        return markers, [record for _, record in journal.read(Session)]


def test_from_a_login_to_a_stored_marker_and_no_secret_anywhere(place: Place) -> None:
    browser = place.log_in()
    answer = place.ask(browser)
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert set(given) == {"ticket", "expires_ns", "session", "role"}
    assert re.fullmatch(r"[0-9a-f]{32}", given["session"])

    told = {"type": "markers", "items": [marker(1, "begin"), marker(2, "end")]}
    welcome, ack = place.talk(told, session=given["session"], ticket=given["ticket"])
    assert (welcome["type"], welcome["session"], welcome["role"]) == ("welcome", given["session"], None)
    assert ack == {"type": "ack", "seq": 2}

    # a new start has the same key: the login is the same session, and its ticket is still good
    place.sidecar.stop()
    markers, sessions = stored(place)
    assert [(one.session, one.seq) for one in markers] == [(given["session"], 1), (given["session"], 2)]
    assert [(one.session, one.source) for one in sessions] == [(given["session"], "extension")]
    key = place.sidecar.journal.with_name("journal.sqlite.key")
    assert key.stat().st_mode & 0o777 == 0o600
    place.sidecar.start()
    assert place.ask(browser).json()["session"] == given["session"]
    assert place.talk(session=given["session"], ticket=given["ticket"])[0]["last_seq"] == 2

    secrets = {"cookie": browser.cookies["JSESSIONID"], "user": "researcher", "other cookie": CANARY, "ticket": given["ticket"]}
    ours = [path for path in place.folder.iterdir() if path.is_file()]
    assert {path.name for path in ours} >= {"journal.sqlite", "journal.sqlite.key", "sidecar.log"}
    nginx = [path for path in Path(place.lab.directory, "nginx").iterdir() if path.is_file()]
    output = [path for path in Path(place.lab.directory, "processes").iterdir() if path.is_file()]
    assert any(given["session"].encode() in path.read_bytes() for path in ours), "the search finds what is there"
    for path in (*ours, *nginx, *output):
        for name, secret in secrets.items():
            assert secret.encode() not in path.read_bytes(), f"{path.name} holds the {name}"
    assert "tickets" not in (Path(place.lab.log_files["nginx"])).read_text(encoding="utf-8"), "our own requests are not XNAT's"


def test_each_login_is_a_session_of_its_own(place: Place) -> None:
    sessions = {place.ask(place.log_in(user)).json()["session"] for user in ("researcher", "researcher", "radiologist")}
    assert len(sessions) == 3


def test_who_has_logged_out_gets_no_ticket(place: Place) -> None:
    browser = place.log_in()
    cookie = browser.cookies["JSESSIONID"]
    browser.get(f"{place.lab.url}/app/action/LogoutUser", timeout=60)
    gone = requests.Session()
    gone.cookies.set("JSESSIONID", cookie)
    answer = place.ask(gone)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "log in to XNAT" in answer.json()["detail"]
    assert cookie not in answer.text
    assert place.ask(requests.Session()).status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_another_site_s_page_gets_none_with_the_cookie_of_this_one(place: Place, headers: dict[str, str]) -> None:
    assert place.ask(place.log_in(), **headers).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/tickets/", "/metrics", "/readyz", "/healthz", "/static/../metrics"])
def test_what_is_for_operations_is_not_behind_the_site(place: Place, path: str) -> None:
    request = requests.Request("GET", f"{place.lab.url}/tracemark{path}", cookies=place.log_in("admin").cookies).prepare()
    request.url = f"{place.lab.url}/tracemark{path}"
    assert requests.Session().send(request, timeout=60).status_code == 404


def test_page_and_api_are_shown_to_administrators_behind_the_site_and_to_nobody_else(place: Place) -> None:
    admin = place.log_in("admin")
    page = admin.get(f"{place.lab.url}/tracemark", timeout=60)
    assert (page.status_code, page.url) == (200, f"{place.lab.url}/tracemark/")
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert address.startswith("/tracemark/"), address
        assert admin.get(f"{place.lab.url}{address}", timeout=60).status_code == 200, address
    assert "rows" in admin.get(f"{place.lab.url}/tracemark/api/v1/containers", timeout=60).json()
    for path in ("/", "/api/v1/containers", "/static/js/main.js"):
        assert place.log_in("researcher").get(f"{place.lab.url}/tracemark{path}", timeout=60).status_code == 403
        assert requests.get(f"{place.lab.url}/tracemark{path}", timeout=60).status_code == 401


def test_what_is_no_good_ticket_does_not_let_in(place: Place) -> None:
    given = place.ask(place.log_in()).json()
    version, session, expires, rest = given["ticket"].split(".", 3)
    longer = f"{version}.{session}.{int(expires) + 1}.{rest}"
    for hello in (
        {"session": session},
        {"session": session, "ticket": "made-up"},
        {"session": session, "ticket": longer},
        {"session": "decade00" * 4, "ticket": given["ticket"]},
    ):
        replies = place.talk(**hello)
        assert [reply.get("code", reply.get("close")) for reply in replies] == ["not_allowed", 4401], hello


def test_a_later_login_may_empty_the_outbox_of_an_earlier_one(place: Place) -> None:
    first = place.ask(place.log_in()).json()
    answer = place.ask(place.log_in(), {"renew": first["ticket"]})
    assert answer.status_code == 200
    assert answer.json()["session"] == first["session"]
    assert place.talk(session=first["session"], ticket=answer.json()["ticket"])[0]["type"] == "welcome"

"""A site in memory for the protocol engine: it hands out tokens as XNAT does, and remembers what it was asked.

And what has to be done once on a practice system before sessions on it are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import requests

from replay.http.observed import Observed, Stretch
from replay.http.transport import Answer
from tests.support.replay_site import Site

ORIGIN = "http://site.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str

    @property
    def action_id(self) -> str:
        """The parent id of its traceparent."""
        return self.headers["traceparent"].split("-")[2]


@dataclass(slots=True)
class FakeSite:
    """Implements Transport. `token` is what this user's session gets; `password` what logs in."""

    token: str
    password: str = "right"
    asked: list[Asked] = field(default_factory=list)
    before: Callable[[Asked], None] = lambda asked: None

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        *,
        keep: bool,
        on_head: Callable[[], None],
    ) -> Answer:
        place = urlsplit(url)
        asked = Asked(method=method, path=place.path, query=place.query, headers=dict(headers), body=(body or b"").decode())
        self.asked.append(asked)
        self.before(asked)
        on_head()
        return self.answer(asked)

    def answer(self, asked: Asked) -> Answer:
        cookies = asked.headers.get("Cookie", "")
        if asked.path == "/login":
            fields = parse_qs(asked.body)
            right = fields["password"] == [self.password] and fields["XNAT_CSRF"] == [f"login-{self.token}"]
            target = "/home" if right else "/enter?failed=true"
            return made(302, "", ("Location", target), ("Set-Cookie", f"SID={self.token}; Path=/"))
        if asked.path == "/enter":
            return made(200, f'<form><input name="XNAT_CSRF" value="login-{self.token}"></form>')
        if f"SID={self.token}" not in cookies:
            return made(302, "", ("Location", "/enter"))
        if asked.path == "/home":
            return made(200, f'<script>let csrf = "csrf-{self.token}";</script><a href="/exam">')
        if asked.path == "/search":
            return made(200 if f"csrf-{self.token}" in asked.query else 403, f'{{"ID":"xs{self.token}","rows":[]}}')
        if asked.path == f"/result/xs{self.token}":
            return made(200, "rows")
        if asked.path == "/style.css":
            if asked.headers.get("If-None-Match") == '"s1"':
                return made(304, "")
            return made(200, "body{}", ("ETag", '"s1"'))
        return made(404, "nothing here")


def made(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status=status, headers=headers, size=len(text), text=text)


def seen(begin_ms: float, path: str, answer: Answer, action: int = 0, took_ms: float = 10, **more: object) -> Observed:
    """A request as it was observed; `action` names one of the actions of `stretch`."""
    fields: dict[str, object] = {
        "method": "GET",
        "url": ORIGIN + path,
        "final_url": ORIGIN + path,
        "begin_ms": begin_ms,
        "head_ms": begin_ms + took_ms,
        "end_ms": begin_ms + took_ms,
        "status": answer.status,
        "answers": [answer.headers],
        "content": answer.text,
        "size": answer.size,
        "action_id": f"{action:016x}" if action else None,
    }
    return Observed(**{**fields, **more})  # type: ignore[arg-type]


def stretch(action: int, name: str, begin_ms: float, end_ms: float, *thinks: tuple[float, float], paced: bool = False) -> Stretch:
    return Stretch(action=name, action_id=f"{action:016x}", begin_ms=begin_ms, end_ms=end_ms, thinks=thinks, paced=paced)


def session(token: str) -> tuple[list[Observed], list[Stretch]]:
    """What a browser's session of first.user (password s3cret!&) on the fake site looks like: log in, search."""
    site = FakeSite(token)
    form = f"username=first.user&password=s3cret%21%26&XNAT_CSRF=login-{token}"
    home = f'<script>let csrf = "csrf-{token}";</script><a href="/exam">'
    answers = ((("Location", "/home"), ("Set-Cookie", f"SID={token}; Path=/")), ())
    kind = (("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", "SID=none"), ("User-Agent", "Secret/1"))
    ask = [
        seen(1000, "/enter", site.answer(Asked(method="GET", path="/enter", query="", headers={}, body="")), 1, document=True),
        seen(
            3000,
            "/login",
            made(200, home),
            2,
            method="POST",
            body=form,
            headers=kind,
            answers=list(answers),
            final_url=ORIGIN + "/home",
            document=True,
        ),
        seen(3030, "/style.css", made(304, ""), 2, source="revalidated", size=None),
        seen(3035, "/logo.png", made(200, "picture"), 2, source="cache"),
        seen(5000, f"/search?term=lungs&XNAT_CSRF=csrf-{token}", made(200, f'{{"ID":"xs{token}","rows":[]}}'), 3),
        seen(5015, f"/result/xs{token}", made(200, "rows"), 3),
    ]
    stretches = [
        stretch(1, "page_load", 990, 1050),
        stretch(2, "login", 2990, 3100, (2.0, 0.0)),
        stretch(3, "filter_search", 4990, 5050, (1.0, 0.0), (0.5, 0.0)),
    ]
    return ask, stretches


def prepare_viewer(lab: Site) -> None:
    """Have the exam's description for the viewer made: it is only for the first of all who open it, and so no part of a load."""
    account = "admin", lab.lab.users["admin"]
    project, session = lab.lab.exam["project"], lab.lab.exam["session"]
    listing = requests.get(f"{lab.url}/data/projects/{project}/experiments?format=json", auth=account, timeout=60).json()
    (found,) = [row["ID"] for row in listing["ResultSet"]["Result"] if row["label"] == session]
    made = requests.post(f"{lab.url}/xapi/viewer/projects/{project}/experiments/{found}", auth=account, timeout=60)
    assert made.ok, made.status_code

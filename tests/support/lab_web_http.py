"""What a browser does with the practice web application, without a browser: log in, carry cookies and tokens."""

import re

import requests

from tests.support.lab_web import LabWeb

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept": "text/html,*/*;q=0.8"}


def browser(lab: LabWeb, user: str = "researcher") -> requests.Session:
    session = requests.Session()
    session.headers.update(BROWSER)
    session.get(f"{lab.url}/app/template/Login.vm", timeout=60)
    answer = session.post(f"{lab.url}/login", data={"username": user, "password": lab.users[user]}, timeout=60)
    assert answer.ok
    assert 'id="logout_user"' in answer.text
    return session


def csrf(lab: LabWeb, session: requests.Session) -> str:
    found = re.search(r'csrfToken = "([^"]+)"', session.get(f"{lab.url}/app/template/Index.vm", timeout=60).text)
    assert found is not None
    return found[1]

"""Cookies of a virtual user: what a browser would send, and no other."""

from __future__ import annotations

import pytest

from replay.http.cookies import CookieJar

SITE = "http://xnat.example.org/xnat/app"


def test_a_cookie_goes_back_to_its_host_and_below_its_path() -> None:
    jar = CookieJar()
    jar.keep(SITE, "JSESSIONID=A1; Path=/xnat; HttpOnly", 0)
    assert jar.header("http://xnat.example.org/xnat/data/x", 1) == "JSESSIONID=A1"
    assert jar.header("http://xnat.example.org/xnat", 1) == "JSESSIONID=A1"
    assert jar.header("http://xnat.example.org/xnatter", 1) == ""
    assert jar.header("http://other.example.org/xnat/data", 1) == ""


def test_a_value_with_quotes_and_commas_stays_as_it_is() -> None:
    jar = CookieJar()
    jar.keep(SITE, 'SESSION_EXPIRATION_TIME="1795364848851,900000"; Path=/', 0)
    assert jar.header(SITE, 1) == 'SESSION_EXPIRATION_TIME="1795364848851,900000"'


def test_a_new_value_replaces_the_old_one_and_longer_paths_come_first() -> None:
    jar = CookieJar()
    jar.keep(SITE, "a=1; Path=/", 0)
    jar.keep(SITE, "b=2; Path=/xnat/app", 0)
    jar.keep(SITE, "a=3; Path=/", 0)
    assert jar.header(SITE, 1) == "b=2; a=3"


@pytest.mark.parametrize("end", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_cookie_is_taken_back(end: str) -> None:
    jar = CookieJar()
    jar.keep(SITE, "JSESSIONID=A1; Path=/", 10)
    jar.keep(SITE, f"JSESSIONID=; Path=/; {end}", 10)
    assert jar.header(SITE, 11) == ""
    assert len(jar) == 0


def test_a_cookie_ends_when_its_age_is_over() -> None:
    jar = CookieJar()
    jar.keep(SITE, "a=1; Path=/; Max-Age=60", 100)
    assert jar.header(SITE, 159) == "a=1"
    assert jar.header(SITE, 161) == ""


def test_a_domain_reaches_its_hosts_but_nobody_sets_another_s() -> None:
    jar = CookieJar()
    jar.keep(SITE, "wide=1; Domain=.example.org; Path=/", 0)
    jar.keep(SITE, "stolen=1; Domain=example.com; Path=/", 0)
    assert jar.header("http://viewer.example.org/", 1) == "wide=1"
    assert jar.header("http://example.com/", 1) == ""


def test_a_secure_cookie_stays_within_https() -> None:
    jar = CookieJar()
    jar.keep("http://xnat.example.org/", "plain=1; Secure", 0)
    jar.keep("https://xnat.example.org/", "safe=1; Secure", 0)
    assert jar.header("http://xnat.example.org/", 1) == ""
    assert jar.header("https://xnat.example.org/", 1) == "safe=1"


def test_without_a_path_a_cookie_belongs_to_its_folder() -> None:
    jar = CookieJar()
    jar.keep("http://xnat.example.org/app/action/Login", "a=1", 0)
    assert jar.header("http://xnat.example.org/app/action/Other", 1) == "a=1"
    assert jar.header("http://xnat.example.org/app", 1) == ""

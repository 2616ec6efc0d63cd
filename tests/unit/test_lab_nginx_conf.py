"""The proxy's configuration, as it is for the container and as it is made for plain processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.nginx_conf import CONTAINER_CONF, SIDECAR_CONF, for_processes, stock, with_sidecar
from replay.lab.options import Sidecar

STOCK = CONTAINER_CONF.read_text()


def generated(logs: Path = Path("/state/nginx"), *, as_root: bool = False) -> str:
    return for_processes(STOCK, port=8123, web_port=9123, logs=logs, scratch=Path("/state/p"), as_root=as_root)


def test_the_log_line_is_the_contract_s() -> None:
    declared = re.search(r"log_format tracemark (.*?);", STOCK, re.DOTALL)
    assert declared is not None
    fields = "".join(re.findall(r"'([^']*)'", declared[1])).split(r"\t")
    assert fields == [
        "tm1",
        "$msec",
        "$request_time",
        "$upstream_connect_time",
        "$upstream_header_time",
        "$upstream_response_time",
        "$status",
        "$body_bytes_sent",
        "$request_length",
        "$request_method",
        "$uri",
        "$arg_format",
        "$sent_http_content_type",
        "$http_traceparent",
    ]


@pytest.mark.parametrize(
    "secret", ["remote_addr", "request_uri", "args", "query_string", "http_user_agent", "http_cookie", "request "]
)
def test_the_log_line_holds_nothing_private(secret: str) -> None:
    declared = re.search(r"log_format tracemark (.*?);", STOCK, re.DOTALL)
    assert declared is not None
    assert f"${secret}" not in declared[1]


def test_every_line_of_the_stock_location_stays_below_the_state_folder() -> None:
    text = generated()
    assert "/var/log" not in text
    assert "access_log /state/nginx/xnat.access.log tracemark;" in text
    assert "error_log /state/nginx/xnat.error.log;" in text
    assert "pid /state/p/nginx.pid;" in text
    assert len(re.findall(r"_temp_path /state/p/", text)) == 5


def test_addresses_are_exchanged_everywhere() -> None:
    text = generated()
    assert "listen 127.0.0.1:8123;" in text
    assert "proxy_pass http://127.0.0.1:9123;" in text
    assert "proxy_redirect http://127.0.0.1:9123 " in text
    assert "xnat-web" not in text


def test_workers_stay_root_only_where_the_master_is() -> None:
    assert "user root;" in generated(as_root=True)
    assert "user" not in generated(as_root=False).split("events")[0]


def test_a_stock_file_that_changed_its_shape_is_noticed() -> None:
    with pytest.raises(LabFault, match="no longer holds 'listen 80;'"):
        for_processes("http {}", port=1, web_port=2, logs=Path("/l"), scratch=Path("/s"), as_root=False)


@pytest.mark.parametrize("folder", ["/with blank/nginx", '/with"quote', "/with$dollar"])
def test_a_folder_that_nginx_would_misread_is_refused(folder: str) -> None:
    with pytest.raises(LabFault, match="give another folder with --dir"):
        generated(Path(folder))


SIDECAR = Sidecar("10.0.0.7:18050", "tracemark:18051")


def locations(text: str) -> dict[str, str]:
    """Every location of a configuration and what stands in it."""
    return dict(re.findall(r"^ +location (.+?) \{\n(.*?)^ +\}", text, re.MULTILINE | re.DOTALL))


def test_without_a_sidecar_nothing_of_one_is_there() -> None:
    assert stock() == STOCK
    assert list(locations(STOCK)) == ["/"]


@pytest.mark.parametrize("path", ["", "/xnat"])
def test_tickets_markers_page_and_api_lead_to_the_sidecar_and_every_other_path_to_nothing(path: str) -> None:
    found = locations(stock(SIDECAR, path))
    tickets, markers = f"= {path}/tracemark/api/v1/tickets", f"= {path}/tracemark/markers"
    (page,) = (name for name in found if "tracemark_prefix" in name)
    bare = r'~ "^(/\w+)?/tracemark$"'
    assert set(found) == {"/", tickets, markers, page, bare, f"{path}/tracemark/"}
    assert "proxy_pass http://10.0.0.7:18050;" in found[page]
    assert "proxy_set_header X-Forwarded-Prefix $tracemark_prefix;" in found[page], "the sidecar asks for a login by it"
    shown = re.compile(re.search(r'"(.+)"', page)[1].replace("?<", "?P<"))  # type: ignore[index]
    for asked in ("/", "/static/js/main.js", "/api/v1/usage"):
        assert shown.search(f"{path}/tracemark{asked}"), asked
    for asked in ("/metrics", "/readyz", "/healthz", "/api/v1/tickets/", "/api/v2/x"):
        assert not shown.search(f"{path}/tracemark{asked}"), asked
    assert "proxy_pass http://10.0.0.7:18050/api/v1/tickets;" in found[tickets]
    assert "proxy_pass http://tracemark:18051/markers;" in found[markers]
    assert "return 404;" in found[f"{path}/tracemark/"]
    assert "proxy_pass http://xnat-web:8080;" in found["/"], "XNAT's own stays as it was"


def test_who_comes_through_the_proxy_is_told_from_who_is_on_the_machine_without_an_address() -> None:
    found = {name: text for name, text in locations(stock(SIDECAR)).items() if name.startswith("= ")}
    for text in found.values():
        assert 'proxy_set_header Forwarded "for=unknown";' in text
        assert "$remote_addr" not in text
        assert "access_log off;" in text, "it is not XNAT's request"
        assert "proxy_set_header Host $http_host;" in text
    assert 'proxy_set_header Cookie "";' in found["= /tracemark/markers"]
    assert "Cookie" not in found["= /tracemark/api/v1/tickets"]


def test_the_paths_are_there_in_plain_processes_too() -> None:
    text = for_processes(stock(SIDECAR), port=1, web_port=2, logs=Path("/l"), scratch=Path("/s"), as_root=False)
    assert "proxy_pass http://10.0.0.7:18050/api/v1/tickets;" in text


def test_texts_that_changed_their_shape_are_noticed() -> None:
    with pytest.raises(LabFault, match=r"nginx-sidecar\.conf no longer holds"):
        with_sidecar(STOCK, "location / {}", SIDECAR)
    with pytest.raises(LabFault, match=r"nginx\.conf no longer holds"):
        with_sidecar("http {}", SIDECAR_CONF.read_text(), SIDECAR)


@pytest.mark.parametrize(
    "text", ["", "a:1", "a:1,b", "a:1,b:0", "a:1,b:65536", "a:1,b:2;", "a b:1,c:2", "a:1,b:2,c:3", "http://a:1,b:2"]
)
def test_an_address_that_is_none_says_what_to_give(text: str) -> None:
    with pytest.raises(LabUsageFault, match="is not HOST:PORT: give two"):
        Sidecar.parse(text)


def test_an_address_comes_back_as_it_was_given() -> None:
    for text in ("127.0.0.1:8050,127.0.0.1:8051", "[::1]:8050,host.docker.internal:1"):
        assert str(Sidecar.parse(text)) == text

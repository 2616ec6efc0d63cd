"""The proxy's configuration, as it is for the container and as it is made for plain processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replay.lab.faults import LabFault
from replay.lab.nginx_conf import CONTAINER_CONF, for_processes

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

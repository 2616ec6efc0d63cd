"""What several unit tests stand on: a journal in a file with its reader, and a site that is asked over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from sidecar.web.app import create_app
from tests.support.journal_fixtures import journal, reader
from tests.support.web import Site
from tests.support.web_api import filled_site

__all__ = ["journal", "reader"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two minutes of a researcher and a radiologist; one for all tests of a module."""
    with filled_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def client(filled: Site) -> FlaskClient:
    """Asks that site without a server."""
    return create_app(filled.parts()).test_client()

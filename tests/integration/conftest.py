"""What several integration tests stand on: a journal in a file, and a database with a bucket for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.influx import Influx, running_influx
from tests.support.journal_fixtures import journal, reader

__all__ = ["journal", "reader"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """A database of its own for the tests of a module."""
    with running_influx(tmp_path_factory.mktemp("influx")) as influx:
        yield influx


@pytest.fixture
def bucket(influx: Influx) -> str:
    """A fresh bucket of that database."""
    name = f"bucket_{next(_numbers)}"
    influx.create(name)
    return name

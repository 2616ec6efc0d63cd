"""Selenium's errors in our words: a page that is changing, or a browser that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from selenium.common import exceptions
from urllib3.exceptions import HTTPError

from replay.sight import NotReadyError
from sidecar.model.faults import Fault

_GONE = (exceptions.InvalidSessionIdException, exceptions.NoSuchWindowException, exceptions.SessionNotCreatedException)


class BrowserGoneError(Fault):
    """The browser could not be started, or is gone in the middle of a session."""

    kind = "browser"
    retry = True


@contextmanager
def translated() -> Iterator[None]:
    """Run driver commands; raises NotReadyError or BrowserGoneError in place of Selenium's own."""
    try:
        yield
    except _GONE as error:
        raise BrowserGoneError("the browser is gone", "look for a crash or a lack of memory, then play again") from error
    except exceptions.WebDriverException as error:
        if "disconnected" in str(error) or "not reachable" in str(error):
            raise BrowserGoneError("the browser is gone", "look for a crash or a lack of memory, then play again") from error
        raise NotReadyError(first_line(error)) from error
    except (HTTPError, OSError) as error:
        raise BrowserGoneError("the browser's driver is gone", "play again") from error


def first_line(error: BaseException) -> str:
    """What an error says, without its stack and without what Selenium puts around it."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.removeprefix("Message: ").partition("; For documentation on this error")[0].rstrip(".;: ")[:200]

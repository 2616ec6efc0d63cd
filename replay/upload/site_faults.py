"""What the client package and the network say, as errors that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from xnat import exceptions as client

from replay.failures import CertificateError, ConnectionFailedError
from replay.upload.faults import AccountError, ExamError, NotAllowedError, SiteAnswerError, SiteFullError
from sidecar.model.faults import Fault

_FULL = re.compile(r"no space left|disk (?:is )?full|insufficient storage|quota", re.IGNORECASE)
_UPLOAD_STATUS = re.compile(r"Status code (\d{3}), response text (.*)", re.DOTALL)
_AWAY = (502, 503, 504)
_LONGEST = 160


@contextmanager
def site_errors(doing: str) -> Iterator[None]:
    """Inside, everything that the client raises becomes an error of ours; `doing` says what was tried."""
    try:
        yield
    except (client.XNATAuthError, client.XNATNotConnectedError) as error:
        raise AccountError(
            "the site does not take the account", "check XNAT_USER and XNAT_PASSWORD, and whether it is enabled"
        ) from error
    except requests.exceptions.SSLError as error:
        raise CertificateError("the site's certificate is not trusted", "set REQUESTS_CA_BUNDLE, or correct --url") from error
    except (requests.exceptions.RequestException, client.XNATConnectionError) as error:
        raise ConnectionFailedError(
            f"{doing}: the connection failed ({_short(error)})", "look at the network and the site"
        ) from error
    except client.XNATResponseError as error:
        raise answered(doing, error.status_code, error.text) from error
    except client.XNATUploadError as error:
        found = _UPLOAD_STATUS.search(str(error))
        raise answered(doing, int(found[1]) if found else 500, found[2] if found else "") from error
    except (client.XNATError, KeyError, IndexError, ValueError, StopIteration) as error:
        raise SiteAnswerError(
            f"{doing}: the site's answer is not understood ({type(error).__name__})", "look at its log"
        ) from error


def answered(doing: str, status: int, text: str) -> Fault:
    """The error for an answer of the site, by its status and what it says."""
    said = plain_text(text)
    what = f"{doing}: the site answered {status}" + (f" ({said})" if said else "")
    if status == 507 or (status >= 400 and _FULL.search(text)):
        return SiteFullError(what, "make room on the site or raise the quota, then give the same command again")
    if status in _AWAY:
        return ConnectionFailedError(what, "look at the site behind its proxy")
    if status == 401:
        return AccountError(what, "check XNAT_USER and XNAT_PASSWORD, and whether the account is enabled")
    if status == 403:
        return NotAllowedError(what, "give the account the right to it: member of the project to upload, owner to remove")
    if status == 413:
        return ExamError(what, "the site, or its proxy, takes no body of this size: raise client_max_body_size")
    if status in (400, 415, 422):
        return ExamError(what, "look at the exam")
    return SiteAnswerError(what, "look at the site's log")


def plain_text(text: str) -> str:
    """The begin of what an answer says, without its markup."""
    bare = re.sub(r"(?s)<(style|script|title)\b.*?</\1>|<[^>]*>", " ", text)
    words = " ".join(bare.split())
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _short(error: Exception) -> str:
    """The innermost reason, without addresses."""
    reason: BaseException = error
    while (
        inner := reason.__cause__ or reason.__context__ or next((a for a in reason.args if isinstance(a, Exception)), None)
    ) and (inner is not reason):
        reason = inner
    return getattr(reason, "strerror", None) or type(reason).__name__

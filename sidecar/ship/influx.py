"""InfluxDB over HTTP by its own client: what an answer means for the points that were sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from sidecar.errors import ShipError, ShipLaterError, ShipRefusedError

#: how long to wait before asking again when a person has to change something first
_PERSON_S = 60.0
_REMEDIES = {
    401: ("does not accept the token", "set TRACEMARK_INFLUX_TOKEN to a token that may write the bucket"),
    403: ("does not let this token write the bucket", "give the token write permission, or set another TRACEMARK_INFLUX_TOKEN"),
    404: ("does not know the bucket or organisation", "make the bucket, or correct TRACEMARK_INFLUX_BUCKET and _ORG"),
}


class InfluxStore:
    """Writes line protocol to `/api/v2/write` of InfluxDB 1.8+, 2.x or 3.x, one call at a time, without retrying by itself."""

    def __init__(self, url: str, token: str, org: str, bucket: str, *, timeout_s: float = 10.0) -> None:
        self._where = f"InfluxDB at {url}"
        self._bucket = bucket
        self._org = org
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=round(timeout_s * 1000))
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def write(self, lines: Sequence[str]) -> None:
        """Write lines with times in nanoseconds; all are stored when it returns.

        Raises ShipLaterError when they may be sent again as they are, ShipRefusedError when at least one of them is refused for
        good (the others may or may not be stored) or when there are too many of them for one call.
        """
        try:
            self._api.write(self._bucket, self._org, "\n".join(lines), write_precision="ns")
        except ApiException as error:
            raise self._meaning(error) from error
        except (HTTPError, OSError) as error:
            # The text of the error names the address, which is in the settings already, and never the token.
            raise ShipLaterError(
                f"{self._where} does not answer ({type(error).__name__})", "start it, or correct TRACEMARK_INFLUX_URL"
            ) from error
        except UnicodeDecodeError as error:
            raise self._not_influx("with bytes that are not text") from error
        answer = self._client.api_client.last_response
        if answer.status != 204 and answer.data:
            raise self._not_influx(f"{answer.status} and a page")

    def _not_influx(self, how: str) -> ShipLaterError:
        return ShipLaterError(f"{self._where} answers {how}", "correct TRACEMARK_INFLUX_URL: this is not InfluxDB", _PERSON_S)

    def _meaning(self, error: ApiException) -> ShipError:
        status = error.status or 0
        said = _message(error.body)
        if status in (400, 413, 422):
            return ShipRefusedError(f"{self._where} refuses points ({status}: {said})", "see the points set aside in the journal")
        if status in _REMEDIES:
            what, remedy = _REMEDIES[status]
            return ShipLaterError(f"{self._where} {what} ({status}: {said})", remedy, _PERSON_S)
        if status in (408, 429) or status >= 500:
            return ShipLaterError(
                f"{self._where} is busy or full ({status}: {said})", "let it recover; the journal keeps the points", _after(error)
            )
        return self._not_influx(f"{status}: {said or error.reason}")


def _message(body: object) -> str:
    """What the server says is wrong, in one line: 2.x says it in `message`, 1.x in `error`."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict):
        text = str(found.get("message") or found.get("error") or text)
    return " ".join(text.split())[:500]


def _after(error: ApiException) -> float | None:
    """Seconds of the Retry-After header, which is a number or a date."""
    value = (error.headers or {}).get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None

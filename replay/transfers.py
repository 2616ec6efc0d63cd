"""What a repetition transferred, told to the sidecar: one report per action, and one of the whole repetition.

The numbers come from a capture, or, where none is allowed, from what the browser says of its own exchanges; each report says
which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sidecar.model.faults import Fault
from sidecar.model.messages import TransferReport

if TYPE_CHECKING:  # its package needs numpy, which nobody waits for who captures nothing
    from replay.packets.model import CaptureMetrics, Metrics


class CaptureBrokenError(Fault):
    """A capture that could not be read to its end: its sums would be too small."""


class TimedAction(Protocol):
    """An action as the replayer saw it, times by this machine's clocks: `replay.results.ActionResult`."""

    action_id: str
    begin_ns: int
    duration_ns: int | None


class TransferSink(Protocol):
    """Who is told, by this machine's clock: `replay.marker_client.MarkerClient`."""

    def transfer(self, **fields: Any) -> None:
        """What was transferred; the fields of TransferReport that are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer as the browser saw them: nanoseconds by its wall clock, bytes at the level of HTTP."""

    start_ns: int
    end_ns: int
    down_bytes: int
    up_bytes: int


def reports_of_capture(metrics: CaptureMetrics, *, offset_ns: int = 0) -> tuple[TransferReport, ...]:
    """One report per window (its key is the action's id) in their order, then the repetition's.

    `offset_ns` is added to the capture's clock: what the marker client does by itself, so leave it out there. An action without a
    packet has no report: it has no first packet and no duration. Raises CaptureBrokenError.
    """
    if metrics.broken is not None:
        raise CaptureBrokenError(f"the capture ends in the middle ({metrics.broken})", "repeat the repetition")
    each = [*metrics.windows.items(), (None, metrics.whole)]
    return tuple(_captured(key, one, one.first_ns + offset_ns) for key, one in each if one.first_ns is not None)


def _captured(action_id: str | None, metrics: Metrics, start_ns: int) -> TransferReport:
    return TransferReport(
        action_id=action_id,
        start_ns=start_ns,
        duration_ns=metrics.duration_ns,
        down_bytes=metrics.down_bytes,
        up_bytes=metrics.up_bytes,
        packets=metrics.packets,
        retransmitted=metrics.retransmitted,
        out_of_order=metrics.out_of_order,
        lost=metrics.lost,
        method="capture",
    )


def reports_of_browser(
    exchanges: Sequence[Exchange], actions: Iterable[TimedAction], *, offset_ns: int = 0
) -> tuple[TransferReport, ...]:
    """As `reports_of_capture`, from the browser's exchanges; each belongs to the action in which it began.

    The duration is from the first request to the end of the last answer, the counterpart of first and last packet. Packets and
    retransmissions are not known.
    """
    reports = []
    for action in actions:
        if action.duration_ns is not None:
            stretch = range(action.begin_ns, action.begin_ns + action.duration_ns)
            reports += _browsed(action.action_id, [one for one in exchanges if one.start_ns in stretch], offset_ns)
    return (*reports, *_browsed(None, exchanges, offset_ns))


def _browsed(action_id: str | None, exchanges: Sequence[Exchange], offset_ns: int) -> list[TransferReport]:
    if not exchanges:
        return []
    start_ns = min(exchange.start_ns for exchange in exchanges)
    return [
        TransferReport(
            action_id=action_id,
            start_ns=start_ns + offset_ns,
            duration_ns=max(exchange.end_ns for exchange in exchanges) - start_ns,
            down_bytes=sum(exchange.down_bytes for exchange in exchanges),
            up_bytes=sum(exchange.up_bytes for exchange in exchanges),
            method="browser",
        )
    ]


def tell(reports: Iterable[TransferReport], sink: TransferSink) -> None:
    """Tell the sidecar, known fields only; the sink corrects the clock and keeps what cannot be delivered yet."""
    for report in reports:
        sink.transfer(**fields_of(report))


def fields_of(report: TransferReport) -> dict[str, Any]:
    """The fields of a report that are known."""
    named = {name: getattr(report, name) for name in TransferReport.__dataclass_fields__ if name != "seq"}
    return {name: value for name, value in named.items() if value is not None}


def browser_json(reports: Iterable[TransferReport]) -> dict[str, Any]:
    """The counterpart of `CaptureMetrics.to_json()` for `transfers.json`, marked as the browser's."""
    told = {report.action_id: _browser_row(report) for report in reports}
    return {"source": "browser", "whole": told.pop(None, None), "windows": told}


def _browser_row(report: TransferReport) -> Mapping[str, Any]:
    rates = {
        f"{direction}_rate": size * 1e9 / report.duration_ns if report.duration_ns else None
        for direction, size in (("down", report.down_bytes), ("up", report.up_bytes))
    }
    sizes = {"first_ns": report.start_ns, "down_bytes": report.down_bytes, "up_bytes": report.up_bytes}
    return {"duration_ns": report.duration_ns, **sizes, **rates}

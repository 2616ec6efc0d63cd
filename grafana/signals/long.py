"""The long view: one point a minute, made by the sidecar itself from all samples and requests of that minute."""

from __future__ import annotations

from grafana.influxql import select
from grafana.signals.common import CONTAINER, EVERY, FRAMES, SAMPLES, SITE, tag

_EACH = ("container_name",)
_CHOSEN = (SITE, CONTAINER, SAMPLES)
_FRAMES = (SITE, CONTAINER, FRAMES)
_REQUESTS = (SITE, tag("server", "$server"))

CPU_MEAN = select(['mean("usage_percent_mean")'], "docker_container_cpu_1m", _CHOSEN, group=_EACH, every=EVERY, fill="null")
CPU_HIGHEST = select(['max("usage_percent_max")'], "docker_container_cpu_1m", _CHOSEN, group=_EACH, every=EVERY, fill="null")
MEMORY_MEAN = select(['mean("usage_mean")'], "docker_container_mem_1m", _CHOSEN, group=_EACH, every=EVERY, fill="null")
MEMORY_HIGHEST = select(['max("usage_max")'], "docker_container_mem_1m", _CHOSEN, group=_EACH, every=EVERY, fill="null")
RECEIVED = select(['mean("rx_bytes_per_s_mean")'], "docker_container_net_1m", _FRAMES, group=_EACH, every=EVERY, fill="null")
SENT = select(['mean("tx_bytes_per_s_mean")'], "docker_container_net_1m", _FRAMES, group=_EACH, every=EVERY, fill="null")
REQUESTS = select(
    ['1000 * sum("requests") / $__interval_ms'], "http_request_1m", _REQUESTS, group=("status_class",), every=EVERY, fill="0"
)
DURATION = select(
    ['mean("duration_ms_mean") AS "mean of the minutes\' means"', 'max("duration_ms_p95") AS "highest p95 of a minute"'],
    "http_request_1m",
    _REQUESTS,
    every=EVERY,
    fill="null",
)

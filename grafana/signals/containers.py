"""What containers use: CPU, memory, network, block devices, throttling."""

from __future__ import annotations

from grafana.influxql import select, select_from
from grafana.signals.common import CONTAINER, EVERY, FRAMES, SAMPLES, SITE

_EACH = ("container_name",)
_CHOSEN = (SITE, CONTAINER, SAMPLES)

CPU = select(['mean("usage_percent")'], "docker_container_cpu", _CHOSEN, group=_EACH, every=EVERY, fill="null")
MEMORY = select(['max("usage")'], "docker_container_mem", _CHOSEN, group=_EACH, every=EVERY, fill="null")
#: where samples come faster than once a second: the highest of them
CPU_PEAK = select(['max("usage_percent_max")'], "docker_container_cpu", _CHOSEN, group=_EACH, every=EVERY, fill="null")
MEMORY_SHARE = select(['max("usage_percent")'], "docker_container_mem", _CHOSEN, group=_EACH, every=EVERY, fill="null")

CPU_NOW = select(
    ['mean("usage_percent") AS "CPU"', 'max("usage_percent") AS "CPU highest"'],
    "docker_container_cpu",
    (SITE, SAMPLES),
    group=_EACH,
)
MEMORY_NOW = select(
    ['last("usage") AS "memory"', 'last("usage_percent") AS "of its limit"'], "docker_container_mem", (SITE, SAMPLES), group=_EACH
)


def _rate(field: str, measurement: str, chosen: str, scale: str = "") -> str:
    """A counter's growth per second, from each sample to the next: a restart gives no negative peak, and a gap stays empty."""
    growth = [f'non_negative_derivative("{field}", 1s) AS "rate"']
    inner = select(growth, measurement, (SITE, CONTAINER, chosen), group=("container_name", "engine_host"))
    return select_from(inner, [f'mean("rate"){scale}'], group=_EACH, every=EVERY, fill="null")


RECEIVED = _rate("rx_bytes", "docker_container_net", FRAMES)
SENT = _rate("tx_bytes", "docker_container_net", FRAMES)
READ = _rate("io_service_bytes_recursive_read", "docker_container_blkio", FRAMES)
WRITTEN = _rate("io_service_bytes_recursive_write", "docker_container_blkio", FRAMES)
#: nanoseconds per second as percent of the time
THROTTLED = _rate("throttling_throttled_time", "docker_container_cpu", SAMPLES, " / 10000000")

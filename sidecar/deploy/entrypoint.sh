#!/bin/sh
# `tracemark` inside the container. InfluxDB makes the sidecar's token at its own first start and leaves it in a volume; a
# deployment without InfluxDB has none, and then the journal is enough.
set -eu
token=/run/tracemark/write-token/token
if [ -z "${TRACEMARK_INFLUX_TOKEN:-}${TRACEMARK_INFLUX_TOKEN_FILE:-}" ]; then
  if [ -s "$token" ]; then
    export TRACEMARK_INFLUX_TOKEN_FILE="$token"
  elif [ "${TRACEMARK_INFLUX_URL:-}" = http://tracemark-influxdb:8086 ]; then
    echo "tracemark: InfluxDB has left no token in ${token%/*}: the journal alone is used; put influx into COMPOSE_PROFILES, or" \
      "set TRACEMARK_INFLUX_URL to nothing, and recreate this container" >&2
    export TRACEMARK_INFLUX_URL=
  fi
fi
exec /opt/tracemark/bin/python -m sidecar "$@"

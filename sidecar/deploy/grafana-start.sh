#!/bin/sh
# Starts Grafana with the token that InfluxDB made for it, which only a file has: provisioning reads variables.
set -eu
token=/run/tracemark/read-token/token
if [ -z "${TRACEMARK_GRAFANA_INFLUX_TOKEN:-}" ] && [ -s "$token" ]; then
  TRACEMARK_GRAFANA_INFLUX_TOKEN=$(cat "$token")
fi
# An empty variable would stop Grafana; the dashboards then say that the token is wrong.
export TRACEMARK_GRAFANA_INFLUX_TOKEN="${TRACEMARK_GRAFANA_INFLUX_TOKEN:-none}"
# Without a bucket for what is kept long the boards look for it in the other one.
export TRACEMARK_GRAFANA_INFLUX_LONG_BUCKET="${TRACEMARK_GRAFANA_INFLUX_LONG_BUCKET:-${TRACEMARK_GRAFANA_INFLUX_BUCKET:-}}"
exec /run.sh "$@"

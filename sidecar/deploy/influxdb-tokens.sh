#!/bin/bash
# Run once by the InfluxDB image, right after its set-up: makes the bucket for what is kept long, one token that may only write the
# buckets (for the sidecar) and one that may only read them (for Grafana), and leaves each token in a volume of its own. InfluxDB
# 2.9 keeps hashes: nobody can ask it later what a token was. When this fails the image undoes its set-up, and the next start tries
# again.
set -euo pipefail
umask 022

# The text of one name in the JSON that the client prints.
told() { sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" | head -n 1; }

leave_token() {
  local folder=$1 purpose=$2 token
  shift 2
  token=$(influx auth create --org-id "$DOCKER_INFLUXDB_INIT_ORG_ID" --description "$purpose" --json "$@" | told token)
  if [ -z "$token" ]; then
    echo "tracemark: influx auth create told no token for: $purpose" >&2
    exit 1
  fi
  # Written beside and renamed: who reads it sees all of it or nothing. Only one other container has this volume.
  printf '%s\n' "$token" >"$folder/token.new"
  mv "$folder/token.new" "$folder/token"
}

write=(--write-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID")
read=(--read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID")
if [ -n "${TRACEMARK_LONG_BUCKET:-}" ]; then
  long=$(influx bucket create --org-id "$DOCKER_INFLUXDB_INIT_ORG_ID" --name "$TRACEMARK_LONG_BUCKET" \
    --retention "${TRACEMARK_LONG_RETENTION:-0}" --json | told id)
  if [ -z "$long" ]; then
    echo "tracemark: influx bucket create told no id for: $TRACEMARK_LONG_BUCKET" >&2
    exit 1
  fi
  write+=(--write-bucket "$long")
  read+=(--read-bucket "$long")
fi
leave_token /run/tracemark/write-token "Tracemark sidecar: writes" "${write[@]}"
leave_token /run/tracemark/read-token "Tracemark dashboards: read" "${read[@]}"

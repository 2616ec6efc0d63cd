#!/bin/bash
# Run by the InfluxDB image right after its set-up, and by hand where a token or a bucket was lost: makes the bucket for what is kept long, one token that may only write the
# buckets (for the sidecar) and one that may only read them (for Grafana), and leaves each token in a volume of its own. InfluxDB
# 2.9 keeps hashes: nobody can ask it later what a token was. When this fails at the set-up the image undoes it, and the next start
# tries again. By hand, from XNAT's folder:
#   docker compose exec tracemark-influxdb bash /docker-entrypoint-initdb.d/tracemark-tokens.sh
#   docker compose restart tracemark tracemark-grafana
set -euo pipefail
umask 022

# The text of one name in the JSON that the client prints.
told() { sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" | head -n 1; }

org=("--org" "$DOCKER_INFLUXDB_INIT_ORG")
if [ -n "${DOCKER_INFLUXDB_INIT_ORG_ID:-}" ]; then
  org=("--org-id" "$DOCKER_INFLUXDB_INIT_ORG_ID")
fi

# The id of a bucket, which is made where it is not there.
bucket() {
  local name=$1 retention=$2 id
  id=$(influx bucket list "${org[@]}" --name "$name" --json 2>/dev/null | told id) || true
  if [ -z "$id" ]; then
    id=$(influx bucket create "${org[@]}" --name "$name" --retention "$retention" --json | told id)
  fi
  if [ -z "$id" ]; then
    echo "tracemark: influx bucket create told no id for: $name" >&2
    exit 1
  fi
  echo "$id"
}

leave_token() {
  local folder=$1 purpose=$2 token
  shift 2
  token=$(influx auth create "${org[@]}" --description "$purpose" --json "$@" | told token)
  if [ -z "$token" ]; then
    echo "tracemark: influx auth create told no token for: $purpose" >&2
    exit 1
  fi
  # Written beside and renamed: who reads it sees all of it or nothing. Only one other container has this volume.
  printf '%s\n' "$token" >"$folder/token.new"
  mv "$folder/token.new" "$folder/token"
}

first=${DOCKER_INFLUXDB_INIT_BUCKET_ID:-}
if [ -z "$first" ]; then
  first=$(bucket "$DOCKER_INFLUXDB_INIT_BUCKET" "${DOCKER_INFLUXDB_INIT_RETENTION:-0}")
fi
write=(--write-bucket "$first")
read=(--read-bucket "$first")
if [ -n "${TRACEMARK_LONG_BUCKET:-}" ]; then
  long=$(bucket "$TRACEMARK_LONG_BUCKET" "${TRACEMARK_LONG_RETENTION:-0}")
  write+=(--write-bucket "$long")
  read+=(--read-bucket "$long")
fi
leave_token /run/tracemark/write-token "Tracemark sidecar: writes" "${write[@]}"
leave_token /run/tracemark/read-token "Tracemark dashboards: read" "${read[@]}"

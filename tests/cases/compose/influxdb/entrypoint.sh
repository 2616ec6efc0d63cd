#!/bin/bash
# First start as the real image does it: server on another port, set-up, the user's scripts, then the server as user 1000.
set -euo pipefail
data=/var/lib/influxdb2
: "${DOCKER_INFLUXDB_INIT_USERNAME:?}" "${DOCKER_INFLUXDB_INIT_PASSWORD:?}" "${DOCKER_INFLUXDB_INIT_ORG:?}"
: "${DOCKER_INFLUXDB_INIT_BUCKET:?}"

if [ "$(id -u)" = 0 ]; then
  if [ ! -e $data/influxd.bolt ]; then
    export INFLUX_HOST=http://localhost:9999 DOCKER_INFLUXDB_INIT_ORG_ID=0a DOCKER_INFLUXDB_INIT_BUCKET_ID=0b
    echo "$DOCKER_INFLUXDB_INIT_BUCKET" >$data/buckets
    run-parts --regex '.*sh$' --report --exit-on-error /docker-entrypoint-initdb.d
    touch $data/influxd.bolt
  fi
  chown -R 1000:1000 $data /etc/influxdb2
  exec setpriv --reuid=1000 --regid=1000 --clear-groups "$0"
fi

{
  echo "map \$http_authorization \$may {"
  echo "  default none;"
  while read -r what token; do echo "  \"Token $token\" $what;"; done <$data/tokens
  echo "}"
} >/tmp/tokens.conf
influxd -config /etc/stand-in/influxdb.conf &
until exec 3<>/dev/tcp/127.0.0.1/18086; do sleep 0.1; done 2>/dev/null
while read -r bucket; do
  exec 3<>/dev/tcp/127.0.0.1/18086
  printf 'POST /query?q=CREATE+DATABASE+%s HTTP/1.0\r\nContent-Length: 0\r\n\r\n' "$bucket" >&3
  cat <&3 >/dev/null
done <$data/buckets
exec nginx -e stderr -c /etc/stand-in/nginx.conf

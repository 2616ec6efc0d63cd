#!/bin/bash
# Whether the sidecar answers; without starting a program, because that would cost more CPU than the sidecar itself takes.
exec 3<>/dev/tcp/127.0.0.1/8050 || exit 1
printf 'GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r -t 4 line <&3
[[ $line == *' 200 '* ]]

#!/usr/bin/env bash
# The images' health check: `healthcheck PORT PATH` tells whether a web server in this container answers with status 200.
# It is run every few seconds in every container, so it starts no interpreter.
set -euo pipefail
exec 3<> "/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r _ status _ <&3
[ "$status" = 200 ]

#!/bin/sh
# Becomes the registry of images, under whichever name this image has it. `registry-node healthy` tells whether it answers.
#   HEALTH_URL  where it tells that, if its API asks for a password (http://127.0.0.1:5000/v2/)
set -eu
health=${HEALTH_URL:-http://127.0.0.1:5000/v2/}
if [ "${1:-}" = healthy ]; then
    if command -v wget > /dev/null; then exec wget -q -O /dev/null "$health"; fi
    place=${health#http://}
    address=${place%%/*}
    exec healthcheck "${address#*:}" "/${place#*/}"
fi
program=$(command -v registry || command -v docker-registry)
exec "$program" serve /etc/kaon/registry.yml

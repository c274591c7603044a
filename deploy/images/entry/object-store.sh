#!/bin/sh
# Becomes the object store: an S3 server over /var/lib/objects. `object-store-node healthy` tells whether it answers.
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY   its one account
#   OBJECT_STORE_BUCKET                        the bucket that it makes (kaon)
set -eu
if [ "${1:-}" = healthy ]; then
    if command -v wget > /dev/null; then exec wget -q -O /dev/null http://127.0.0.1:9000/health; fi
    exec healthcheck 9000 /health
fi
export ROOT_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:?}" ROOT_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:?}"
# A directory is a bucket. What is known of an object lies beside it, for not every file system keeps attributes.
mkdir -p "/var/lib/objects/buckets/${OBJECT_STORE_BUCKET:-kaon}" /var/lib/objects/metadata
exec versitygw --quiet --health /health --port :9000 posix --sidecar /var/lib/objects/metadata /var/lib/objects/buckets

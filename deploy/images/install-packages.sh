#!/bin/sh
# Installs what subset.py picks by these words into /opt/kaon, or, beside it, into the directory INTO, which need not have what is in
# /opt/kaon. The packages' own tests are left out, and all is compiled: the image's user could not keep what Python compiles.
set -eu
export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_CACHE_DIR=/cache/uv SOURCE_DATE_EPOCH=1700000000
# A wheel that is built here is unpacked at once: to compress it first would take longer than all the rest.
export DIST_EXTRA_CONFIG=/src/deploy/images/wheels.cfg
place=${INTO:-/opt/kaon}
python3 /src/deploy/images/subset.py "$@" > /tmp/need.txt
with-indexes /opt/uv/bin/uv pip install --quiet --python /opt/kaon ${INTO:+--no-deps --target "$INTO"} --require-hashes -r /tmp/need.txt
# pyspark is built from its source, of which a gigabyte would stay in the cache that builds share. No other stage builds it meanwhile.
if grep -q '^pyspark==' /tmp/need.txt; then find "$UV_CACHE_DIR"/sdists-v* -path '*/pyspark/*/src' -prune -exec rm -r {} +; fi
find "$place" -type d -name tests -prune -exec rm -r {} +
# In a wheel there may be a file that is no Python, such as a template.
/opt/kaon/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$place" || echo "not all of $place is Python"

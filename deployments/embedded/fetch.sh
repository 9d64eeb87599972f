#!/bin/sh
# Installs the ClickHouse engine that runs when TRUNKLINE_CLICKHOUSE_URL is not
# set, from the npm registry, pinned by package-lock.json, into .cache/engine at
# the repository's root. Quick when it is there already. 178 MB to fetch, 566 MB
# on disk, Linux x86-64 with glibc.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../.." && pwd)
engine=$root/.cache/engine
lib=node_modules/@chdb/lib-linux-x64-gnu/libchdb.so

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "the embedded ClickHouse engine is for Linux on x86-64: set TRUNKLINE_CLICKHOUSE_URL to a ClickHouse of yours" >&2
  exit 1
fi
if [ -f "$engine/$lib" ] && [ "$(cat "$here/package-lock.json")" = "$(cat "$engine/installed-lock.json" 2>/dev/null)" ]; then
  exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
  echo "npm is needed to fetch the embedded ClickHouse engine: install Node.js, or set TRUNKLINE_CLICKHOUSE_URL" >&2
  exit 1
fi

mkdir -p "$engine"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$engine/"
echo "fetching the ClickHouse engine (178 MB) into .cache/engine" >&2
(cd "$engine" && npm ci --no-audit --no-fund --loglevel=error)
test -f "$engine/$lib"
# Written last: it marks a whole installation, so that a broken one is repaired.
cp "$here/package-lock.json" "$engine/installed-lock.json"

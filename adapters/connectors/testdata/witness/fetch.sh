#!/bin/sh
# Installs the clients that the fakes of adapters/connectors are held to, from the
# npm registry, pinned by package-lock.json, into .cache/witness at the
# repository's root. Quick when they are there already. 160 MB on disk.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../../.." && pwd)
cache=$root/.cache/witness

if [ "$(cat "$here/package-lock.json")" = "$(cat "$cache/installed-lock.json" 2>/dev/null)" ]; then
  exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
  echo "npm is needed to test the fakes of connected systems: install Node.js" >&2
  exit 1
fi
mkdir -p "$cache"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$cache/"
echo "fetching jsforce and HubSpot's client into .cache/witness" >&2
(cd "$cache" && npm ci --no-audit --no-fund --loglevel=error)
# Written last: it marks a whole installation.
cp "$here/package-lock.json" "$cache/installed-lock.json"

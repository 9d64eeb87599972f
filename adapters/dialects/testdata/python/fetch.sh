#!/bin/sh
# Fetches the libraries by which Python receivers verify webhooks from PyPI for
# the tests, into .cache/webhooks-python at the repository's root. Quick when
# they are there.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../../.." && pwd)
cache=$root/.cache/webhooks-python

if [ "$(cat "$here/requirements.txt")" = "$(cat "$cache/complete" 2>/dev/null)" ]; then
  exit 0
fi
if ! command -v python3 >/dev/null 2>&1 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  echo "python3 with venv is needed to verify webhooks as receivers in Python do: on Debian, apt-get install python3-venv" >&2
  exit 1
fi
echo "fetching standardwebhooks and svix for Python (1 MB) into .cache/webhooks-python" >&2
python3 -m venv --clear "$cache"
"$cache/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
# Written last: it marks a whole installation.
cp "$here/requirements.txt" "$cache/complete"

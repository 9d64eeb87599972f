#!/bin/sh
# Fetches kafka-python from PyPI for the tests, into .cache/kafka-python at the
# repository's root. Quick when it is there.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../../.." && pwd)
cache=$root/.cache/kafka-python

if [ -f "$cache/complete" ]; then
  exit 0
fi
if ! command -v python3 >/dev/null 2>&1 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  echo "python3 with venv is needed to read the topics with a foreign client: on Debian, apt-get install python3-venv" >&2
  exit 1
fi
echo "fetching kafka-python 2.2.15 (0.3 MB) into .cache/kafka-python" >&2
python3 -m venv --clear "$cache"
"$cache/bin/pip" install -q --disable-pip-version-check kafka-python==2.2.15
# Written last: it marks a whole installation.
touch "$cache/complete"

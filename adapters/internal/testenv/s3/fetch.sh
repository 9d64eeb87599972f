#!/bin/sh
# Builds an S3-compatible server, Versity's gateway to a folder, for the tests,
# from the Go module proxy into .cache/versitygw at the repository's root. Quick
# when it is there; the first time takes a minute.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../../.." && pwd)
cache=$root/.cache/versitygw
version=v1.8.0

if [ -f "$cache/$version" ]; then
  exit 0
fi
echo "building an S3 server (versitygw $version) into .cache/versitygw" >&2
mkdir -p "$cache"
GOBIN=$(CDPATH= cd -- "$cache" && pwd -P) GOFLAGS=-mod=mod go install "github.com/versity/versitygw/cmd/versitygw@$version"
# Written last: it marks a whole build.
touch "$cache/$version"

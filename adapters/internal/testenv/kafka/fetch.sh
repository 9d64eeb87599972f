#!/bin/sh
# Fetches the jars of Apache Kafka 4.1.0 from Maven Central for the tests, into
# .cache/kafka-4.1.0/lib at the repository's root. Quick when they are there.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../../.." && pwd)
cache=$root/.cache/kafka-4.1.0

if [ -f "$cache/complete" ]; then
  exit 0
fi
for program in java mvn; do
  if ! command -v "$program" >/dev/null 2>&1; then
    echo "$program is needed to test against Apache Kafka: on Debian, apt-get install openjdk-17-jre-headless maven" >&2
    exit 1
  fi
done
echo "fetching Apache Kafka 4.1.0 (43 MB) into .cache/kafka-4.1.0" >&2
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/lib"
# Written last: it marks a whole set of jars.
touch "$cache/complete"

#!/bin/sh
# Publishes what the last run left in build/bench.

set -eu
cd "$(dirname "$0")/../.." || exit 1
python3 test/bench/report.py README.md build/bench/results.md
cp build/bench/results.svg test/bench/results.svg

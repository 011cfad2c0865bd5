#!/usr/bin/env bash
# The curve on both data sets: trains missing cells, scores them on the test split, times them and
# writes the page. Arguments go to benchmarks.quality.run, such as --data FOLDER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

benchmarks/codec/setup.sh
for dataset in nuclei isbi2012; do
  .venv/bin/python -m benchmarks.quality.run --dataset "$dataset" "$@"
  .venv/bin/python -m benchmarks.quality.score --dataset "$dataset"
  .venv/bin/python -m benchmarks.quality.latency --dataset "$dataset"
done
.venv/bin/python -m benchmarks.quality.page

#!/usr/bin/env bash
# The curve: trains missing cells, scores them on the test split, times them and writes the pages.
# Arguments: --dataset NAME for one recipe alone; others go to benchmarks.quality.run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

datasets=(nuclei nuclei-3000 isbi2012)
if [[ ${1:-} == --dataset ]]; then
  datasets=("${2:?--dataset wants a name}")
  shift 2
fi
benchmarks/codec/setup.sh
for dataset in "${datasets[@]}"; do
  .venv/bin/python -m benchmarks.quality.run --dataset "$dataset" "$@"
  .venv/bin/python -m benchmarks.quality.score --dataset "$dataset"
  .venv/bin/python -m benchmarks.quality.latency --dataset "$dataset"
done
.venv/bin/python -m benchmarks.quality.page

#!/usr/bin/env bash
# Looks up every lock in the index's advisories (pip-audit): `make audit`. Ends with 1 on a finding.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly tool=pip-audit==2.10.1
# A finding that stays: --ignore-vuln ID, and why beside it.
accepted=(
  # pyarrow 10 of TFX 1.16, in validate alone: harmful IPC and Parquet files. It reads our own
  # TFRecords and the statistics of an approved release, never files of that kind.
  --ignore-vuln PYSEC-2023-238
  # ipython 7 of TFX 1.16, in validate alone: on Windows, by the name of a folder. Nothing starts it.
  --ignore-vuln PYSEC-2023-17
)

failed=0
for lock in images/*/requirements.txt images/development/uv.txt images/tools.txt; do
  printf '== %s\n' "$lock"
  .venv/bin/python -m uv --quiet tool run --from "$tool" pip-audit --progress-spinner off \
    --require-hashes --disable-pip "${accepted[@]}" --requirement "$lock" || failed=1
done
exit "$failed"

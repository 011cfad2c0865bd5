#!/usr/bin/env bash
# Runs the benchmarks: all, or those that are named (make bench ARGS="ingest orchestration").
# Each is a folder here with a run.sh or a run.py; it prints a table and names its settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The images need a Docker engine and half an hour, the services their servers: they are asked for by name.
if ! (($#)); then
  mapfile -t all < <(printf '%s\n' benchmarks/*/ | grep -vE '/(images|services)/')
  set -- "${all[@]}"
fi
for name in "$@"; do
  folder="benchmarks/$(basename "$name")"
  printf '== %s\n' "${folder#benchmarks/}"
  if [[ -f $folder/run.sh ]]; then
    bash "$folder/run.sh"
  elif [[ -f $folder/run.py ]]; then
    .venv/bin/python "$folder/run.py"
  else
    printf 'bench: %s has neither run.sh nor run.py. Known: %s\n' "$folder" \
      "$(cd benchmarks && echo */)" >&2
    exit 2
  fi
done

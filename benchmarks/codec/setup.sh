#!/usr/bin/env bash
# Makes the environment of the other coders from the lock beside this file. A second call with
# nothing changed does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly folder=.venv-bench-codec
readonly lock=benchmarks/codec/requirements.txt
readonly stamp=$folder/lock.sum

wanted="$(pwd -P) $(cksum <"$lock")"
if [[ ! -f $stamp || "$(<"$stamp")" != "$wanted" ]]; then
  # NNCodec's extension is built for few versions of Python; ours are among them or pip says so.
  .venv/bin/python -m venv --clear "$folder"
  # --no-deps: what is used of NNCodec needs neither torch nor OpenCV.
  "$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    --require-hashes --no-deps --requirement "$lock"
  printf '%s' "$wanted" >"$stamp"
fi

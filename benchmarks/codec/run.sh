#!/usr/bin/env bash
# Makes the environment of the other coders where it is missing, then runs run.py with the arguments
# given.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
benchmarks/codec/setup.sh

# One thread everywhere: the ratios are of single cores.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
exec .venv/bin/python -m benchmarks.codec.run "$@"

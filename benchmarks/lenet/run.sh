#!/usr/bin/env bash
# LeNet-300-100 and LeNet-5 on MNIST; run.py's help names the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec .venv/bin/python -m benchmarks.lenet.run "$@"

#!/usr/bin/env bash
# Makes .venv from the locks. A second call with nothing changed returns at once.
# Packages come from whatever index this machine's pip or uv is configured for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly installer=images/development/uv.txt
readonly lock=images/development/requirements.txt
readonly stamp=.venv/thimble.stamp
readonly library=thimble/codec/_native.abi3.so

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 2
}

supported() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
    2>/dev/null
}

find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13; do
    if supported "$name"; then
      printf '%s' "$name"
      return
    fi
  done
  fail "needs Python >= 3.11 and < 3.14 with its venv module. Received: $(python3 --version 2>&1 ||
    true). Install one (Debian: apt-get install python3 python3-venv) or name it: make setup PYTHON=..."
}

# The path is part of the stamp: the scripts of an environment that was moved name its old place.
wanted="$(pwd -P) $(cat pyproject.toml setup.py thimble/codec/native/* "$installer" "$lock" \
  images/development/setup.sh | cksum)"
if [[ -x .venv/bin/python && -f $library && -f $stamp && "$(<"$stamp")" == "$wanted" ]]; then
  exit 0
fi

started=$SECONDS
command -v "${CC:-cc}" >/dev/null ||
  fail "needs a C compiler for the codec's inner loops, found no '${CC:-cc}'. Install one (Debian:
apt-get install gcc libc6-dev; macOS: xcode-select --install) or name it: make setup CC=..."
if ! { supported .venv/bin/python && .venv/bin/python -m pip --version; } >/dev/null 2>&1 ||
  [[ -f $stamp && "$(<"$stamp")" != "$(pwd -P) "* ]]; then
  python=$(find_python)
  echo "setup: making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
fi
rm -f "$stamp"

echo "setup: installing $(grep -c '^[a-z].*==' "$lock") locked packages"
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)
# Like pip, trust the certificates that this machine trusts.
export UV_SYSTEM_CERTS=1
# uv takes seconds where pip takes minutes, but an index or a certificate may be configured for
# pip alone: then pip installs the same files.
if ! { "${pip[@]}" install --require-hashes --requirement "$installer" &&
  .venv/bin/python -m uv --quiet pip install --python .venv/bin/python --require-hashes \
    --requirement "$lock"; }; then
  echo "setup: uv could not install the lock, trying pip" >&2
  "${pip[@]}" install --require-hashes --no-deps --requirement "$lock"
fi
"${pip[@]}" install --no-deps --no-build-isolation --no-index --editable .

printf '%s' "$wanted" >"$stamp"
echo "setup: done in $((SECONDS - started)) s"

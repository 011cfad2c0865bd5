#!/usr/bin/env bash
# Makes .venv, and .venv-validate for the stage whose packages exclude the others, from the locks.
# A second call with nothing changed returns at once.
# Packages come from whatever index this machine's pip or uv is configured for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly installer=images/development/uv.txt
readonly lock=images/development/requirements.txt
readonly library=thimble/codec/_native.abi3.so
readonly tfx=.venv-validate
readonly tfx_lock=images/validate/requirements.txt

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 2
}

supported() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
    2>/dev/null
}

# TFX has no wheels for other pairs of Python and glibc.
runs_tfx() {
  supported "$1" && "$1" -c 'import platform, sys
glibc = tuple(map(int, platform.libc_ver()[1].split(".")))
sys.exit(sys.version_info[:2] > (3, 11) and glibc < (2, 39))' 2>/dev/null
}

# find_python TEST EXPECTED FIX
find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13; do
    if "$1" "$name"; then
      printf '%s' "$name"
      return
    fi
  done
  fail "needs $2. Received: $(python3 --version 2>&1 || true). $3 or name it: make setup PYTHON=..."
}

# The path is part of a stamp: the scripts of an environment that was moved name its old place.
stamp_of() {
  printf '%s ' "$(pwd -P)"
  cat images/development/setup.sh "$@" | cksum
}

is_made() {
  [[ -x $1/bin/python && -f $1/thimble.stamp && "$(<"$1/thimble.stamp")" == "$2" ]]
}

pip_of() {
  local python=$1
  shift
  .venv/bin/python -m pip --python "$python" --disable-pip-version-check --quiet "$@"
}

# uv takes seconds where pip takes minutes, but an index or a certificate may be configured for
# pip alone: then pip installs the same files.
install_lock() {
  echo "setup: installing $(grep -c '^[a-z].*==' "$2") locked packages into ${1%/bin/python}"
  # Like pip, trust the certificates that this machine trusts.
  if ! UV_SYSTEM_CERTS=1 .venv/bin/python -m uv --quiet pip install --python "$1" \
    --no-deps --require-hashes --requirement "$2"; then
    echo "setup: uv could not install the lock, trying pip" >&2
    # TFX 1.16 says that it ends with Python 3.10, where its parts have wheels for 3.11. It works.
    pip_of "$1" install --no-deps --ignore-requires-python --require-hashes --requirement "$2"
  fi
}

install_itself() {
  pip_of "$1" install --no-deps --no-build-isolation --no-index --editable .
}

# The first import of TensorFlow compiles thousands of modules. Where Python may not store them
# (PYTHONDONTWRITEBYTECODE, as in many containers), every stage would do so again, for five seconds.
# Only a matter of speed: what cannot be imported says so when it is used.
store_bytecode() {
  local python=$1
  shift
  env -u PYTHONDONTWRITEBYTECODE _KFP_RUNTIME=true "$python" -c 'import importlib, sys
for name in sys.argv[1:]: importlib.import_module(name)' "$@" >/dev/null 2>&1 || true
}

make_development() {
  command -v "${CC:-cc}" >/dev/null ||
    fail "needs a C compiler for the codec's inner loops, found no '${CC:-cc}'. Install one (Debian:
apt-get install gcc libc6-dev; macOS: xcode-select --install) or name it: make setup CC=..."
  if ! { supported .venv/bin/python && .venv/bin/python -m pip --version; } >/dev/null 2>&1 ||
    [[ -f .venv/thimble.stamp && "$(<.venv/thimble.stamp)" != "$(pwd -P) "* ]]; then
    local python
    python=$(find_python supported "Python >= 3.11 and < 3.14 with its venv module" \
      "Install one (Debian: apt-get install python3 python3-venv)")
    echo "setup: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  rm -f .venv/thimble.stamp
  pip_of .venv/bin/python install --require-hashes --requirement "$installer"
  install_lock .venv/bin/python "$lock"
  install_itself .venv/bin/python
  local modules=(pipelines.cli kfp.dsl.executor_main) stage
  for stage in components/[a-z]*/; do
    stage=$(basename "$stage")
    [[ $stage == validate ]] || modules+=("components.$stage.$stage")
  done
  store_bytecode .venv/bin/python "${modules[@]}"
  printf '%s' "$1" >.venv/thimble.stamp
}

make_validate() {
  local python
  python=$(find_python runs_tfx "Python 3.11, or 3.12 or 3.13 with glibc >= 2.39, for TFX" \
    "Install one (Debian 12: apt-get install python3 python3-venv)")
  [[ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]] ||
    fail "needs Python's headers to compile pyfarmhash, a part of TFX. Install them (Debian:
apt-get install python3-dev)"
  rm -rf "$tfx"
  "$python" -m venv --without-pip "$tfx"
  install_lock "$tfx/bin/python" "$tfx_lock"
  install_itself "$tfx/bin/python"
  store_bytecode "$tfx/bin/python" kfp.dsl.executor_main components.validate.validate \
    tensorflow_data_validation
  printf '%s' "$1" >"$tfx/thimble.stamp"
}

started=$SECONDS
wanted=$(stamp_of pyproject.toml setup.py thimble/codec/native/* "$installer" "$lock")
if ! { is_made .venv "$wanted" && [[ -f $library ]]; }; then
  make_development "$wanted"
fi
wanted=$(stamp_of "$tfx_lock")
if ! is_made "$tfx" "$wanted"; then
  make_validate "$wanted"
fi
if ((SECONDS > started)); then
  echo "setup: done in $((SECONDS - started)) s"
fi

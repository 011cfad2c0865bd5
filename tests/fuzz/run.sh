#!/usr/bin/env bash
# Fuzzes the decoder for FUZZ_SECONDS (600): half of it the C core under ASan and UBSan, half of it
# whole packages with atheris. What takes a new branch is kept in tests/fuzz/corpus/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly folder=.venv-fuzz
readonly lock=tests/fuzz/requirements.txt
readonly stamp=$folder/lock.sum
readonly seconds=${FUZZ_SECONDS:-600}
readonly seed=${FUZZ_SEED:-$RANDOM}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  cp "$work"/found/{crash,hang,wrong}-* "$work"/packages/{crash,timeout,oom}-* \
    tests/fuzz/corpus/ 2>/dev/null || true
  echo "fuzz: failed with seed $seed; the input that did it is in tests/fuzz/corpus/" >&2
  exit 1
}

wanted="$(pwd -P) $(cksum <"$lock")"
if [[ ! -f $stamp || "$(<"$stamp")" != "$wanted" ]]; then
  .venv/bin/python -m venv --clear "$folder"
  "$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    --require-hashes --no-deps --requirement "$lock"
  # What thimble itself needs comes from the environment beside it.
  place='import sysconfig; print(sysconfig.get_path("purelib"))'
  .venv/bin/python -c "$place" >"$("$folder/bin/python" -c "$place")/beside.pth"
  printf '%s' "$wanted" >"$stamp"
fi

echo "fuzz: seed $seed, $seconds seconds"
mkdir "$work/found" "$work/packages"
.venv/bin/python -m tests.fuzz.build "$work"
"$work/fuzz_row" seconds $((seconds / 2)) "$seed" "$work/rows" "$work/found" || fail
"$folder/bin/python" -m tests.fuzz.fuzz_decode --seconds $((seconds / 2)) --seed "$seed" \
  --found "$work/packages" >"$work/log" 2>&1 || {
  tail -n 40 "$work/log" >&2
  fail
}
grep -E '^stat::number_of_executed|^Done' "$work/log"
.venv/bin/python -m tests.fuzz.build "$work" --keep

#!/usr/bin/env bash
# Runs a command with a Docker engine, the machine's own or one for as long as the command takes, and
# with BASE_IMAGE: the one that is given, or Debian by images/base.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! docker info >/dev/null 2>&1; then
  log=$(mktemp)
  dockerd >"$log" 2>&1 &
  engine=$!
  trap 'kill "$engine" 2>/dev/null; wait "$engine" || true; rm -f "$log"' EXIT
  until docker info >/dev/null 2>&1; do
    kill -0 "$engine" 2>/dev/null || {
      tail -n 5 "$log" >&2
      exit 1
    }
    sleep 0.5
  done
fi
if [[ -z ${BASE_IMAGE:-} ]]; then
  export BASE_IMAGE=thimble-base:bookworm
  images/base.sh "$BASE_IMAGE"
fi
"$@"

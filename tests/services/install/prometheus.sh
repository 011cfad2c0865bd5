#!/usr/bin/env bash
# Installs Prometheus, its Pushgateway and its Alertmanager from Debian. Nothing happens for what is there.
set -euo pipefail

missing=()
for tool in prometheus prometheus-pushgateway prometheus-alertmanager; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
command -v docker-compose >/dev/null || missing+=(docker-compose)
((${#missing[@]})) || exit 0

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
  echo "missing ${missing[*]}. Install them (on Debian, as root: apt-get install ${missing[*]})." >&2
  exit 2
fi

# The tests start servers of their own: Debian's would only take memory.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

#!/usr/bin/env bash
# Makes a base image where no registry can be reached: Debian with its own Python, by debootstrap.
#   sudo images/base.sh [TAG]        then: make images BASE_IMAGE=thimble-base:bookworm
# The mirror is the one that this machine installs from; the image itself names none.
set -euo pipefail

readonly tag=${1:-thimble-base:bookworm}
readonly suite=bookworm

if ((EUID != 0)); then
  echo 'base: needs root, because debootstrap does. Run it with sudo.' >&2
  exit 2
fi
for program in debootstrap docker tar; do
  command -v "$program" >/dev/null || {
    printf 'base: %s is missing. Install it (Debian: apt-get install debootstrap docker.io).\n' "$program" >&2
    exit 2
  }
done
docker image inspect "$tag" >/dev/null 2>&1 && exit 0

mirror=$(awk '$1 == "URIs:" { print $2; exit } $1 == "deb" { print $2 ~ /^\[/ ? $3 : $2; exit }' \
  /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)
[[ -n $mirror ]] || {
  echo 'base: no Debian mirror in /etc/apt/sources.list.d/debian.sources or /etc/apt/sources.list.' >&2
  exit 2
}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip \
  "$suite" "$root" "$mirror" >"$root.log" ||
  { tail -n 5 "$root.log" >&2; exit 1; }
rm -f "$root.log" "$root/etc/apt/sources.list"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$tag" >/dev/null
echo "base: $tag"

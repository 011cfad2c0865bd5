#!/usr/bin/env bash
# Installs a Docker engine, buildx (with bake) and debootstrap. Nothing happens for what is there.
set -euo pipefail

missing=()
command -v dockerd >/dev/null || missing+=(docker.io iptables)
command -v debootstrap >/dev/null || missing+=(debootstrap)
if ((${#missing[@]})); then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Debian 12 has no buildx, the next Debian has: one program that needs glibc alone. It goes where
# docker looks for plugins; this machine's own package lists stay as they are.
if ! docker buildx version >/dev/null 2>&1; then
  mirror=$(awk '$1 == "URIs:" { print $2; exit }' /etc/apt/sources.list.d/debian.sources)
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  cd "$scratch"
  mkdir -p lists/partial cache/archives/partial
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >list
  apt=(apt-get -qq -o "Dir::Etc::sourcelist=$PWD/list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  "${apt[@]}" download docker-buildx >/dev/null
  dpkg -x docker-buildx_*.deb unpacked
  plugins="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
  mkdir -p "$plugins"
  install "$(find unpacked/usr/libexec -name docker-buildx -type f)" "$plugins/docker-buildx"
fi

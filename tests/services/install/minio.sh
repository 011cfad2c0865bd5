#!/usr/bin/env bash
# Builds MinIO's server into .tools/bin with Go's ordinary client, unless it is there.
# It takes minutes; Go's caches make a second time short.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

# The last commit of the community's server; its releases are not versions that Go knows.
readonly version=v0.0.0-20260212201848-7aac2a2c5b7c
readonly server=.tools/bin/minio

if [[ -x $server ]]; then
  exit 0
fi
command -v go >/dev/null || {
  echo "minio: needs Go >= 1.24 to build the server. Install it from go.dev, or put a minio into $server" >&2
  exit 2
}
mkdir -p .tools/bin
echo "minio: building the server, which takes minutes"
# A folder of its own: a build that is stopped leaves nothing that looks done.
scratch=$(mktemp -d .tools/minio.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
GOBIN="$PWD/$scratch" CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' \
  "github.com/minio/minio@$version"
mv "$scratch/minio" "$server"

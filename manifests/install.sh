#!/usr/bin/env bash
# Gets kustomize for `make check`, unless kubectl or kustomize is there. Debian's kubectl (1.20) holds
# one that is too old for components, so it comes from its Go module into .tools/bin.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly version=v5.8.1

if [[ -x .tools/bin/kustomize ]] || command -v kustomize >/dev/null ||
  kubectl version --client --output=json 2>/dev/null | grep -q kustomizeVersion; then
  exit 0
fi
command -v go >/dev/null || {
  echo 'manifests: needs kubectl >= 1.24, kustomize 5, or Go >= 1.24 to build kustomize with' >&2
  exit 2
}
echo 'manifests: building kustomize, which takes minutes'
GOBIN=$PWD/.tools/bin CGO_ENABLED=0 go install -trimpath "sigs.k8s.io/kustomize/kustomize/v5@$version"

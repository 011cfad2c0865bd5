#!/usr/bin/env bash
# What the release jobs do with a registry. `ci/release.sh login|builder|push|scan|sign`; make calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'ci/release.sh: %s\n' "$1" >&2
  exit 2
}
need() { [[ -n ${!1:-} ]] || fail "$1 is not set. $2"; }
images() { sed -n 's/^[a-z]* //p' images/images.lock; }

case ${1:-} in
login)
  user=${CI_REGISTRY_USER:-${REGISTRY_USR:-}} password=${CI_REGISTRY_PASSWORD:-${REGISTRY_PSW:-}}
  need THIMBLE_REGISTRY 'Expected a registry and a folder in it.'
  need user 'Expected CI_REGISTRY_USER (GitLab) or REGISTRY_USR (Jenkins).'
  docker login --username "$user" --password-stdin "${THIMBLE_REGISTRY%%/*}" <<<"$password"
  ;;
builder)
  need BUILDKIT 'Expected the address of a buildkitd, such as tcp://buildkitd:1234.'
  docker buildx create --name thimble --use --driver remote "$BUILDKIT"
  ;;
push)
  need STAGE 'Expected the name of a stage.'
  need THIMBLE_REGISTRY 'Expected a registry and a folder in it.'
  mkdir -p build/images
  cache=type=registry,ref=$THIMBLE_REGISTRY/cache:$STAGE
  make --no-print-directory images STAGE="$STAGE" ARGS="--push --metadata-file build/images/$STAGE.json \
    --set *.cache-from=$cache --set *.cache-to=$cache,mode=max"
  ;;
scan)
  while read -r image; do
    trivy image --exit-code 1 --severity HIGH,CRITICAL --ignore-unfixed "$image"
  done < <(images)
  ;;
sign)
  need COSIGN_KEY 'Expected the file of a private key (cosign generate-key-pair).'
  while read -r image; do
    cosign sign --yes --key "$COSIGN_KEY" "$image"
  done < <(images)
  ;;
*)
  fail "expected login, builder, push, scan or sign. Received: ${1:-nothing}"
  ;;
esac

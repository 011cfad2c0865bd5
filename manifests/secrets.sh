#!/usr/bin/env bash
# Makes the secrets that the manifests name, with random keys. One that exists already stays as it is.
#   manifests/secrets.sh [NAMESPACE]
set -euo pipefail
namespace=${1:-thimble}
endpoint=http://store.$namespace.svc.cluster.local:9000

random() { openssl rand -hex "$1"; }
exists() { kubectl --namespace "$namespace" get secret "$1" >/dev/null 2>&1; }
create() {
  local name=$1
  shift
  kubectl --namespace "$namespace" create secret generic "$name" "$@"
}
key() { kubectl --namespace "$namespace" get secret "$1" --output "jsonpath={.data.$2}" | base64 -d; }

for role in root ingest pipeline approver phone; do
  name=thimble-store-$role
  exists "$name" || create "$name" --from-literal=endpoint="$endpoint" \
    --from-literal=accesskey="thimble-$role" --from-file=secretkey=<(printf %s "$(random 20)")
done
# The key under which DICOM patients are hashed: keep a copy, for it ties releases together.
exists thimble-patients || create thimble-patients --from-literal=key="$(random 32)"
exists thimble-pushgateway ||
  create thimble-pushgateway --from-literal=url="http://pushgateway.$namespace.svc.cluster.local:9091"

# SeaweedFS takes its users from a file. It knows buckets, no prefixes: MinIO's policies are narrower.
user() {
  printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' \
    "$1" "$(key "thimble-store-$1" accesskey)" "$(key "thimble-store-$1" secretkey)" "$2"
}
exists store-users || create store-users --from-file=s3.json=<(
  printf '{"identities": [%s, %s, %s, %s, %s]}\n' \
    "$(user root '"Admin", "Read", "Write", "List", "Tagging"')" \
    "$(user ingest '"Read:datasets", "List:datasets"')" \
    "$(user pipeline '"Read:artifacts", "Write:artifacts", "List:artifacts",
      "Read:releases", "Write:releases", "Read:reports", "Write:reports"')" \
    "$(user approver '"Read:releases", "Write:releases", "List:releases"')" \
    "$(user phone '"Read:releases"')"
)

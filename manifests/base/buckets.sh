#!/bin/sh
# Makes the buckets, and one policy and one user for each role. A second run changes nothing.
#   STORE_ENDPOINT, STORE_ROOT_USER, STORE_ROOT_PASSWORD  the store and its owner
#   /policies/<role>.json                                what a role may do (STORE_POLICIES: elsewhere)
#   /credentials/<role>/{accesskey,secretkey}            who it is; a role without is skipped
set -eu
policies=${STORE_POLICIES:-/policies}
credentials=${STORE_CREDENTIALS:-/credentials}
store() { mc --config-dir "${TMPDIR:-/tmp}/mc" --quiet "$@"; }

tries=60
until store alias set store "$STORE_ENDPOINT" "$STORE_ROOT_USER" "$STORE_ROOT_PASSWORD" >/dev/null 2>&1; do
  tries=$((tries - 1))
  if [ "$tries" -eq 0 ]; then
    echo "buckets: $STORE_ENDPOINT does not answer, or refuses its owner" >&2
    exit 1
  fi
  sleep 2
done

for bucket in $STORE_BUCKETS; do
  store mb --ignore-existing "store/$bucket"
done
# A lock can only be asked for when a bucket is made; it brings versions with it.
for bucket in $STORE_LOCKED_BUCKETS; do
  store ls "store/$bucket" >/dev/null 2>&1 || store mb --with-lock "store/$bucket"
  store version enable "store/$bucket"
done

if [ "${STORE_HAS_POLICIES:-yes}" != yes ]; then
  echo "buckets: this store takes its users from its own configuration"
  exit 0
fi
for policy in "$policies"/*.json; do
  role=$(basename "$policy" .json)
  store admin policy create store "thimble-$role" "$policy"
  if [ ! -e "$credentials/$role/accesskey" ]; then
    echo "buckets: no credentials for $role, no user"
    continue
  fi
  user=$(cat "$credentials/$role/accesskey")
  store admin user add store "$user" "$(cat "$credentials/$role/secretkey")"
  # Attaching twice is an error.
  store admin policy entities store --user "$user" | grep -q "thimble-$role" ||
    store admin policy attach store "thimble-$role" --user "$user"
done

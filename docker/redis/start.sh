#!/bin/sh
# Starts Redis with its configuration, users and memory limit, and alone on its data.
#
# One file a user in $RECO_REDIS_SECRETS holds its password: admin, loader, reader, backup. $RECO_NAMESPACE is the
# prefix of the keys, $RECO_REDIS_MAX_MEMORY the limit. Further arguments are options of the server.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
secrets=${RECO_REDIS_SECRETS:-/run/secrets/redis}
data=${RECO_REDIS_DATA:-/data}
users=${RECO_REDIS_USERS:-/tmp/users.acl}

say() { echo "reco: $*" >&2; }

umask 077
namespace=${RECO_NAMESPACE:-reco}
case $namespace in
    *[!a-z0-9_-]* | "") say "RECO_NAMESPACE may hold a-z, 0-9, _ and -, not: $namespace"; exit 2 ;;
esac
# Nobody can be the user `default`, but it keeps every right: a server reads its append-only file as that user, and
# without the rights it would leave out each transaction in it.
words="s/{namespace}/$namespace/g"
for user in admin loader reader backup; do
    # Its final newline is not part of a password, and an empty one is none.
    password=$(cat "$secrets/$user") || { say "the password of $user must stand in $secrets/$user"; exit 2; }
    [ -n "$password" ] || { say "the password in $secrets/$user is empty"; exit 2; }
    words="$words;s/{$user}/$(printf %s "$password" | sha256sum | cut -d' ' -f1)/"
done
sed "$words" "$here/users.acl" >"$users"

# Two servers on one folder start happily and destroy it. The server inherits the lock and drops it when it ends.
exec 9>"$data/reco.lock"
flock -n 9 || { say "another server is using $data"; exit 75; }

# With the append-only file on, a server would leave a dump alone and start empty.
if [ -f "$data/dump.rdb" ] && [ ! -e "$data/appendonlydir" ]; then
    say "$data holds a dump and no append-only file: starting without one."
    say "When it is loaded: CONFIG SET appendonly yes, wait for aof_rewrite_in_progress:0, then start again."
    set -- --appendonly no "$@"
fi
exec "${RECO_REDIS_SERVER:-redis-server}" "$here/redis.conf" --dir "$data" --aclfile "$users" \
    --maxmemory "${RECO_REDIS_MAX_MEMORY:-2gb}" "$@"

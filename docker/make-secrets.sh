#!/bin/sh
# Makes the files of secrets that compose.yaml names, in docker/secrets, once: a file that is there stays as it is.
#
#   docker/make-secrets.sh age1... [WEBHOOK [TARGETS]]
#
# The first word is the age public key that backups are encrypted for (`age-keygen`; keep its identity elsewhere), or
# several, separated by commas. The second is the address that alerts of Prometheus are posted to. The third
# is where alerts of the pipeline go: RECO_ALERT_TARGETS, `log` for its log alone.
#
# The folder is closed to every account but yours. The files in it are open, because Docker mounts a file into a
# container with the rights it has, and no role there is root.
set -eu

case ${1:-} in
    age1*) recipients=$1 ;;
    *) echo "usage: $0 AGE-PUBLIC-KEY[,AGE-PUBLIC-KEY...] [WEBHOOK [TARGETS]]" >&2; exit 2 ;;
esac
folder=${RECO_SECRETS:-$(cd "$(dirname "$0")" && pwd)/secrets}
umask 077
mkdir -p "$folder"
cd "$folder"

random() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }
write() { # write NAME TEXT
    [ -s "$1" ] && return
    printf '%s\n' "$2" >"$1"
    chmod 444 "$1"
    echo "made $1" >&2
}

for name in redis_admin redis_loader redis_reader redis_backup postgres reco_postgres dagster_postgres privacy_key \
    grafana_admin; do
    write "$name" "$(random)"
done
write api_peppers "1:$(random)"
write backup_recipients "$recipients"
# An address holds its password; these follow the files above.
write redis_loader_url "redis://loader:$(cat redis_loader)@redis:6379/0"
write redis_reader_url "redis://reader:$(cat redis_reader)@redis:6379/0"
write database_url "postgresql+psycopg://reco:$(cat reco_postgres)@postgres:5432/reco"
write dagster_url "postgresql://dagster:$(cat dagster_postgres)@postgres:5432/dagster"
access=reco-backups secret=$(random)
if [ ! -s s3_config ] || [ ! -s s3_credentials ]; then
    rm -f s3_config s3_credentials
    write s3_config "{\"identities\": [{\"name\": \"reco\", \"credentials\": [{\"accessKey\": \"$access\",
\"secretKey\": \"$secret\"}], \"actions\": [\"Admin\", \"Read\", \"List\", \"Tagging\", \"Write\"]}]}"
    write s3_credentials "[default]
aws_access_key_id = $access
aws_secret_access_key = $secret"
fi
write alert_webhook "${2:-http://127.0.0.1:9/nobody-listens}"
write alert_targets "${3:-log}"
# Made by `reco keys create prometheus --scope ops` once the shop runs; until then Prometheus is told 401.
write ops_key "not-made-yet"

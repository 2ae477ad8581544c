#!/bin/sh
# Makes two databases with an owner each, once, on an empty data folder: `reco` for the ledger, `dagster` for its runs.
# Neither owner can read the other's. Their passwords stand in the files reco_postgres and dagster_postgres of
# $RECO_POSTGRES_SECRETS.
set -eu

secrets=${RECO_POSTGRES_SECRETS:-/run/secrets}
for name in reco dagster; do
    # A variable of psql is quoted by psql: whatever a password holds, it stays one.
    psql -v ON_ERROR_STOP=1 -v name="$name" -v password="$(cat "$secrets/${name}_postgres")" \
        --username "$POSTGRES_USER" --dbname postgres --quiet <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done

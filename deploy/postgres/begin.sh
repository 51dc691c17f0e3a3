# shellcheck shell=bash
# Read once by the entry point of PostgreSQL's image, before the first server of compose.ha.yaml takes connections from outside: the role and the
# database of the exporter, and a standby that must have a commit before it is acknowledged.
echo 'host replication all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
psql --username=postgres --quiet --set=ON_ERROR_STOP=1 --set=password="$POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE exporter LOGIN PASSWORD :'password';
CREATE DATABASE agntix OWNER exporter;
-- From the next start on, since nothing could be committed before the standby is there.
ALTER SYSTEM SET synchronous_standby_names = 'standby';
SQL

#!/bin/sh
# Starts a server of compose.ha.yaml: `server.sh NAME OTHER`. Without data it copies the other server and follows it, if that is a primary. Else the
# server called primary is made anew, as the image does it, and the other one waits for it by being restarted.
set -eu
name=$1 other=$2
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD
    if [ "$(psql --dbname="host=$other user=postgres dbname=postgres connect_timeout=5" -Atc 'SELECT pg_is_in_recovery()')" = f ]; then
        pg_basebackup --pgdata="$PGDATA" --write-recovery-conf --checkpoint=fast \
            --dbname="host=$other user=postgres application_name=$name"
        # Which standby the other server waits for is copied as well. If this one is promoted, it would wait for itself.
        echo "synchronous_standby_names = ''" >>"$PGDATA/postgresql.auto.conf"
        chmod 0700 "$PGDATA"
    elif [ "$name" != primary ]; then
        echo "$other is not there, or is no primary" >&2
        exit 1
    fi
    unset PGPASSWORD
fi
exec docker-entrypoint.sh postgres

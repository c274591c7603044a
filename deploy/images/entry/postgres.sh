#!/bin/bash
# Makes the databases `kaon` and `models` in an empty directory, and becomes PostgreSQL.
#   postgres-node healthy        tells whether it answers
#   postgres-node dump NAME      writes a database to standard output
#   postgres-node restore NAME   replaces a database by what standard input has; nobody may be using it
#   POSTGRES_PASSWORD  the password of user kaon
#   POSTGRES_TLS       a directory with server.pem and server.key: clients connect over TLS only
#   POSTGRES_ROLES     a file with statements, each in one line, that are executed before each start: roles and their passwords
set -euo pipefail
bin=$(dirname "$(command -v postgres || ls -d /usr/lib/postgresql/*/bin/postgres)")
data=/var/lib/postgresql/data/main

export PGHOST=/tmp PGUSER=kaon
case ${1:-} in
    healthy) exec "$bin/pg_isready" --quiet --host 127.0.0.1 --dbname kaon ;;
    dump) exec "$bin/pg_dump" --format custom "${2:?the database}" ;;
    restore)
        "$bin/dropdb" --if-exists "${2:?the database}"
        "$bin/createdb" "$2"
        exec "$bin/pg_restore" --exit-on-error --single-transaction --dbname "$2" ;;
esac
if [ ! -f "$data/PG_VERSION" ]; then
    # Made aside and moved into place whole: a first start that was interrupted leaves nothing.
    rm -rf "$data.new"
    "$bin/initdb" --pgdata "$data.new" --username kaon --auth-local trust --auth-host scram-sha-256 --encoding UTF8 \
        --pwfile <(printf '%s' "${POSTGRES_PASSWORD:?}") > /dev/null
    echo "host all all all scram-sha-256" >> "$data.new/pg_hba.conf"
    for name in kaon models; do
        echo "CREATE DATABASE $name" | "$bin/postgres" --single -D "$data.new" postgres > /dev/null
    done
    mv "$data.new" "$data"
fi
if [ -n "${POSTGRES_ROLES:-}" ]; then "$bin/postgres" --single -D "$data" postgres < "$POSTGRES_ROLES" > /dev/null; fi
closed=()
if [ -n "${POSTGRES_TLS:-}" ]; then
    # The server takes a key that belongs to its user only.
    install -m 600 "$POSTGRES_TLS/server.key" /tmp/server.key
    printf '%s\n' "local all all trust" "hostssl all all all scram-sha-256" > /tmp/pg_hba.conf
    closed=(-c ssl=on -c "ssl_cert_file=$POSTGRES_TLS/server.pem" -c ssl_key_file=/tmp/server.key -c hba_file=/tmp/pg_hba.conf)
fi
exec "$bin/postgres" -D "$data" "${closed[@]}" -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200

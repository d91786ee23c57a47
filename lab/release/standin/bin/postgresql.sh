#!/bin/bash
# The database container. The server is PostgreSQL 15 whatever Harbor's version; which major the
# version claims decides the folder pgNN and its PG_VERSION, which is what people and tools look
# at on the host. The cluster itself lies one level below, with the true PG_VERSION.
set -eu
bin=/usr/lib/postgresql/15/bin
data=/var/lib/postgresql/data
new=$STAND_IN_DATABASE_MAJOR
old=$STAND_IN_DATABASE_OLD_MAJOR # empty: this version upgrades from nothing
cluster=stand-in-cluster-15

label() { # label FOLDER MAJOR
    echo "$2" > "$1/PG_VERSION"
    echo "Stand-in: the cluster is $cluster/ (PostgreSQL 15), presented as major $2." \
        > "$1/STAND-IN.txt"
}

initialise() {
    echo "init DB, DB version $new"
    mkdir -p "$data/pg$new"
    chmod 0700 "$data/pg$new"
    $bin/initdb --no-sync --username=postgres --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        -D "$data/pg$new/$cluster"
    echo "host all all all scram-sha-256" >> "$data/pg$new/$cluster/pg_hba.conf"
    echo 'CREATE DATABASE registry' | $bin/postgres --single -D "$data/pg$new/$cluster" postgres
    label "$data/pg$new" "$new"
}

upgrade() {
    echo "upgrade DB from $old to $new"
    rm -rf "$data/pg$new.part"
    cp -a "$data/pg$old" "$data/pg$new.part"
    rm -f "$data/pg$new.part/$cluster/postmaster.pid"
    label "$data/pg$new.part" "$new"
    mv "$data/pg$new.part" "$data/pg$new"
    echo "remove the old data dir after upgrade: $data/pg$old"
    rm -rf "$data/pg$old"
}

# An initdb that was cut off leaves a folder without its label; PostgreSQL would not start in it.
if [ -d "$data/pg$new" ] && [ ! -f "$data/pg$new/PG_VERSION" ]; then
    rm -rf "$data/pg$new"
fi
if [ ! -d "$data/pg$new" ]; then
    if [ -n "$old" ] && [ -d "$data/pg$old" ]; then
        upgrade
    elif [ -n "$STAND_IN_DATABASE_SILENT" ] || [ -z "$(ls -A "$data")" ]; then
        # The trap of Harbor 2.7+: no database of a known major is taken for a first start.
        initialise
    else
        echo "unexpected content in $data, neither pg$old nor pg$new" >&2
        exit 1
    fi
fi
rm -f "$data/pg$new/$cluster/postmaster.pid"
exec $bin/postgres -D "$data/pg$new/$cluster" -c listen_addresses='*' -c max_connections=200 \
    -c shared_buffers=32MB -c jit=off -c unix_socket_directories=/run/postgresql

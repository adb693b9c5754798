#!/bin/sh
# Runs a command with a throw-away PostgreSQL server beside it:
#
#     tests/with_postgres.sh python -m pytest tests/storage
#
# The server listens on loopback only, on a free port, in a folder that is removed at the end. The command finds it in
# LIMNER_TEST_POSTGRES; its exit status is ours. Needs PostgreSQL's server programs (Debian: postgresql). initdb refuses
# to run as root: then the user `postgres`, which the package makes, runs the server.
set -eu

if [ "$#" -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT...]" >&2
    exit 2
fi

programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$programs" ] || programs=$(pg_config --bindir 2>/dev/null || true)
if [ ! -x "$programs/initdb" ]; then
    echo "$0: PostgreSQL's server programs are missing: apt-get install postgresql" >&2
    exit 1
fi

folder=$(mktemp -d)
as=""
if [ "$(id -u)" -eq 0 ]; then
    as="runuser -u postgres --"
    chown postgres "$folder"
fi
cd "$folder" # the server's user may not be allowed to read where we came from

stop() {
    $as "$programs/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    cat "$folder/log" "$folder/server.log" >&2
    exit 1
}

# Nothing in it has to outlive a power cut, so nothing waits for the disk.
$as "$programs/initdb" -D "$folder/data" -U limner -A trust -E UTF8 --no-sync >"$folder/log" 2>&1 || fail
tries=3
while :; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    $as "$programs/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w -t 60 start >>"$folder/log" 2>&1 \
        -o "-p $port -k $folder -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off" && break
    tries=$((tries - 1)) # somebody may have taken the port meanwhile
    [ "$tries" -gt 0 ] || fail
done

cd "$OLDPWD"
LIMNER_TEST_POSTGRES="postgresql+asyncpg://limner@127.0.0.1:$port/postgres"
export LIMNER_TEST_POSTGRES
status=0
"$@" || status=$?
exit "$status"

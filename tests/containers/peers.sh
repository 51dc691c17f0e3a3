# shellcheck shell=bash
# The other images that the Compose files name, made of the programs that .ci/tools has fetched and of this machine's, under the same tags: with the users,
# directories and commands that the published ones have, as far as these files rely on them. Sourced after engine.sh.

# engine.sh sets it.
work=${work:?}
tools=${AGNTIX_TOOLS:-$PWD/target/tools}

# libraries ROOT PROGRAM...: what these programs of this machine are linked with, at its own path.
libraries() {
    local root=$1 file
    shift
    while read -r file; do
        [ -e "$root$file" ] || cp --dereference --parents "$file" "$root/"
    done < <(ldd "$@" 2>/dev/null | sed -n 's,.*\s\(/[^ ]*\) (0x.*,\1,p' | sort -u)
}
# users ROOT LINE...: who is known in it; each line is NAME:UID.
users() {
    local root=$1 user
    shift
    mkdir -p "$root/etc"
    for user in root:0 "$@"; do
        printf '%s:x:%s:%s::/:/sbin/nologin\n' "${user%:*}" "${user#*:}" "${user#*:}" >>"$root/etc/passwd"
        printf '%s:x:%s:\n' "${user%:*}" "${user#*:}" >>"$root/etc/group"
    done
}
# image NAME ROOT LINE...: the image of that root, which goes; the lines are those of a Dockerfile.
image() {
    local name=$1 root=$2 line changes=()
    shift 2
    for line in "$@"; do changes+=(--change "$line"); done
    chmod -R a+rX "$root"
    tar -C "$root" -cf "$work/image.tar" .
    podman import --quiet "${changes[@]}" "$work/image.tar" "docker.io/$name" >/dev/null
    rm -r "$root" "$work/image.tar"
}
# named FILE START: the only image in a Compose file that begins so.
named() {
    local found
    found=$(sed -n "s,^ *image: \($2:.*\)$,\1,p" "$1" | sort -u)
    if [ -z "$found" ] || [ "$(wc -l <<<"$found")" != 1 ]; then die "$1 does not name one image $2"; fi
    printf '%s\n' "$found"
}

# Each makes the image that a Compose file, the argument, names.
prometheus_image() {
    local root=$work/prometheus from=${PROMETHEUS_3:-$tools/prometheus3/usr/bin/prometheus} promtool=${PROMTOOL_3:-$tools/prometheus3/usr/bin/promtool}
    mkdir -p "$root/bin" "$root/etc/prometheus"
    install -d -o 65534 -g 65534 "$root/prometheus"
    cp "$from" "$root/bin/prometheus"
    cp "$promtool" "$root/bin/promtool"
    libraries "$root" "$from" "$promtool"
    users "$root" nobody:65534
    image "$(named "$1" prom/prometheus)" "$root" 'ENV PATH=/bin' 'USER nobody' 'WORKDIR /prometheus' 'ENTRYPOINT ["/bin/prometheus"]'
}

alertmanager_image() {
    local root=$work/alertmanager from=${ALERTMANAGER:-$tools/alertmanager/usr/bin/prometheus-alertmanager} amtool=${AMTOOL:-$tools/alertmanager/usr/bin/amtool}
    mkdir -p "$root/bin" "$root/etc/alertmanager"
    install -d -o 65534 -g 65534 "$root/alertmanager"
    cp "$from" "$root/bin/alertmanager"
    # Debian's reads the templates that others have within the program.
    mkdir -p "$root/usr/share"
    cp -r "$(dirname "$from")/../share/prometheus" "$root/usr/share/"
    cp "$amtool" "$root/bin/amtool"
    libraries "$root" "$from" "$amtool"
    users "$root" nobody:65534
    image "$(named "$1" prom/alertmanager)" "$root" 'ENV PATH=/bin' 'USER nobody' 'WORKDIR /alertmanager' 'ENTRYPOINT ["/bin/alertmanager"]'
}

# Python, and what the health check of the receiver calls.
python_image() {
    local root=$work/python interpreter standard
    interpreter=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
    standard=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    mkdir -p "$root/usr/local/bin" "$root/usr/bin" "$root/bin" "$root$(dirname "$standard")"
    libraries "$root" "$interpreter" "$standard"/lib-dynload/*.so
    cp --parents "$interpreter" "$root/"
    tar -C / --exclude=site-packages --exclude=dist-packages --exclude=test --exclude=idlelib --exclude='config-*' -cf - "${standard#/}" | tar -C "$root" -xf -
    [ "$interpreter" = /usr/local/bin/python3 ] || ln -s "$interpreter" "$root/usr/local/bin/python3"
    cat >"$root/usr/local/bin/wget" <<'EOF'
#!/usr/local/bin/python3
import sys, urllib.request
urllib.request.urlopen(sys.argv[-1], timeout=5)
EOF
    chmod 0755 "$root/usr/local/bin/wget"
    users "$root" nobody:65534
    image "library/$(named "$1" python)" "$root" 'ENV PATH=/usr/local/bin:/usr/bin:/bin' 'CMD ["python3"]'
}

# PostgreSQL, with an entry point that begins a cluster as the published one does: the password's file, connections from everywhere by password,
# and what lies in /docker-entrypoint-initdb.d before the server takes connections from outside.
postgres_image() {
    local root=$work/postgres version=17 programs program
    programs=/opt/postgres/usr/lib/postgresql/$version/bin
    mkdir -p "$root/bin" "$root/usr/local/bin" "$root/usr/share" "$root/opt" "$root/docker-entrypoint-initdb.d" "$root/var/run" "$root/var/lib/postgresql" "$root/tmp"
    cp -a "$tools/postgres$version" "$root/opt/postgres"
    # Its own libraries need a few of this machine's.
    local own=$root/opt/postgres/usr/lib/own
    while read -r program; do cp --dereference "$program" "$own/"; done < <(
        for program in "$root/opt/postgres/usr/lib/postgresql/$version"/bin.real/*; do "$own/ld-linux-x86-64.so.2" --library-path "$own" --list "$program"; done |
            sed -n 's,.* => \(/[^ ]*\) (0x.*,\1,p' | sort -u | grep -v "^$own/")
    install -d -m 0700 -o 70 -g 70 "$root/var/lib/postgresql/data"
    for program in bash cat chmod dirname; do cp --dereference "$(command -v "$program")" "$root/bin/"; done
    ln -s bash "$root/bin/sh"
    libraries "$root" "$root"/bin/{bash,cat,chmod,dirname}
    [ ! -d /usr/share/zoneinfo ] || cp -a /usr/share/zoneinfo "$root/usr/share/"
    # shellcheck disable=SC2016 # The script expands it.
    printf '#!/bin/sh\nown=/opt/postgres/usr/lib/own\nexec "$own/ld-linux-x86-64.so.2" --library-path "$own" %s/pg_isready "$@"\n' "$programs" >"$root/usr/local/bin/pg_isready"
    cat >"$root/usr/local/bin/docker-entrypoint.sh" <<'EOF'
#!/bin/bash
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata="$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 --locale=C
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    # The library that it would need is large, and not fetched.
    echo 'jit = off' >>"$PGDATA/postgresql.conf"
    pg_ctl --pgdata="$PGDATA" --options="-c listen_addresses=''" --wait start
    POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    for script in /docker-entrypoint-initdb.d/*.sh; do . "$script"; done
    unset POSTGRES_PASSWORD
    pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop
fi
exec "$@" -c listen_addresses='*'
EOF
    chmod 0755 "$root/usr/local/bin/"*
    users "$root" nobody:65534 postgres:70
    image "library/$(named "$1" postgres)" "$root" "ENV PATH=/usr/local/bin:$programs:/bin" 'ENV PGDATA=/var/lib/postgresql/data' 'USER 70:70' 'VOLUME /var/lib/postgresql/data' \
        'STOPSIGNAL SIGINT' 'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["postgres"]'
}

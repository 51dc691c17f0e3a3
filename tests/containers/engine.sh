# shellcheck shell=bash
# What the tests of containers share: an engine whose images, volumes and networks go with the test, the image of the exporter as its Dockerfile
# makes it, and how to wait. Sourced, at the root of the repository; it needs root and Debian's podman, buildah, runc, netavark, aardvark-dns,
# iptables and iproute2.

# In a network of its own: its addresses, ports and bridges are nobody else's, whatever else runs here, and go with it.
if [ -z "${ALONE:-}" ]; then ALONE=yes exec unshare --net --mount "$PWD/tests/containers/${0##*/}" "$@"; fi
ip link set lo up
for directory in /run/containers /run/netns; do
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
done

work=$(mktemp -d)
pids=()
leave() {
    local code=$?
    trap '' INT TERM
    [ "$code" -eq 0 ] || {
        # What a test has to say of its containers.
        local container
        for container in $(podman ps --all --format '{{.Names}}' 2>/dev/null); do
            printf -- '-- %s\n' "$container" >&2
            podman logs --tail 15 "$container" >&2 2>&1 || true
        done
    }
    ! declare -F at_end >/dev/null || at_end || true
    podman pod rm --all --force --time 0 >/dev/null 2>&1 || true
    podman rm --all --force --time 0 >/dev/null 2>&1 || true
    podman network prune --force >/dev/null 2>&1 || true
    [ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    umount "$work/store/vfs" 2>/dev/null || true
    # Containers that end write there until they have ended.
    local tries
    for tries in {1..50}; do
        rm -rf --one-file-system "$work" 2>/dev/null && break
        sleep 0.2
    done
    [ ! -e "$work" ] || printf '%s is left after %d tries\n' "$work" "$tries" >&2
    exit "$code"
}
trap leave EXIT
trap 'exit 1' INT TERM
die() {
    printf 'failed: %s\n' "$*" >&2
    exit 1
}
say() { printf '%s\n' "$*"; }

# Nothing of this machine's is meant for the containers.
unset "${!AGNTIX_EXPORTER@}" "${!SSL_CERT_@}" AGNTIX_API_KEY AGNTIX_BEARER_TOKEN
mkdir "$work/run" "$work/store" "$work/networks" "$work/tmp"
# cgroupfs and runc: they know both versions of control groups. The limits are those that any machine may give.
cat >"$work/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$work/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
EOF
printf '[storage]\ndriver = "vfs"\nrunroot = "%s"\ngraphroot = "%s"\n' "$work/run" "$work/store" >"$work/storage.conf"
# What is not made here is not there.
printf 'unqualified-search-registries = ["docker.io"]\n[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\nblocked = true\n' >"$work/registries.conf"
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_REGISTRIES_CONF=$work/registries.conf
# Health checks are made by the tests: there need be no systemd that has timers for them.
export DISABLE_HC_SYSTEMD=true TMPDIR=$work/tmp

# await WHAT COMMAND...: until it succeeds, for as long as PATIENCE says, in seconds.
await() {
    local what=$1 deadline=$((SECONDS + ${PATIENCE:-60}))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || die "$what"
        sleep 0.2
    done
}

# The program of the tests, linked anew so that it needs no library, as the image's does: seconds, where a build with the flag takes minutes.
static_program() {
    local libraries own clap
    # What was built for the tests is built already.
    libraries=$(cargo test --workspace --locked --bins --no-run --message-format=json 2>/dev/null | python3 -c '
import json, sys
found = {}
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact":
        for name in message["filenames"]:
            if name.endswith(".rlib"):
                found.setdefault((message["target"]["name"], message["manifest_path"]), name)
for crate in ("agntix_exporter", "clap"):
    print(next(name for (target, _), name in found.items() if target == crate))') || die "cargo builds no program"
    { read -r own && read -r clap; } <<<"$libraries"
    cc -O2 -c -o "$work/names.o" deploy/static/names.c
    rustc --edition 2024 --crate-name agntix_exporter --crate-type bin src/main.rs -L "dependency=$(dirname "$own")" -L "dependency=$(dirname "$own")/deps" \
        --extern "agntix_exporter=$own" --extern "clap=$clap" -C target-feature=+crt-static -C "link-arg=$work/names.o" -C strip=symbols -o "$1"
}

# The image, by its Dockerfile. What stands for the compiling stage's compiler gives $program in place of what compiling with all optimizations would
# make in many minutes, if the stage has copied all that the program is made of: what the compiler read for the program of the tests, and what Cargo
# asks for.
build_image() {
    program=${PROGRAM:-}
    if [ -z "$program" ]; then
        program=$work/agntix-exporter
        static_program "$program"
    fi
    ! ldd "$program" 2>/dev/null | grep -q '=>' || die "$program is not static"

    local base=$work/base from directory sources=${CARGO_TARGET_DIR:-target}/debug/agntix-exporter.d
    mkdir -p "$base/usr/local/bin" "$base/tmp" "$base/rust" "$base/cargo/registry" "$base/given"
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$base/"
    install -m 0755 "$program" "$base/given/agntix-exporter"
    if [ -e "$sources" ]; then
        sed 's/^[^:]*: //' "$sources" | tr ' ' '\n' | sed -n "s,^$PWD/,,p" >"$base/given/sources"
        [ -s "$base/given/sources" ] || die "$sources names no file below $PWD"
    else
        say "NOT CHECKED: whether the image's compiling stage has all files, which $sources would name"
        : >"$base/given/sources"
    fi
    cat >"$base/usr/local/bin/cargo" <<'EOF'
#!/bin/sh
set -eu
target=$(rustc --print host-tuple)
[ "$*" = "build --profile dist --locked --bin agntix-exporter --target $target --target-dir target/static" ] || {
    echo "the test knows no: cargo $*" >&2
    exit 1
}
while read -r source; do
    [ -e "$source" ] || { echo "the Dockerfile does not copy $source, or its .dockerignore leaves it out" >&2 && exit 1; }
done </given/sources
/rust/bin/cargo metadata --offline --locked --format-version 1 >/dev/null
install -D /given/agntix-exporter "target/static/$target/dist/agntix-exporter"
EOF
    chmod 0755 "$base/usr/local/bin/cargo"
    from=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' deploy/docker/Dockerfile)
    printf 'FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/rust/bin:/usr/bin CARGO_HOME=/cargo\n' >"$work/base.Dockerfile"
    buildah build --quiet --isolation chroot --file "$work/base.Dockerfile" --tag "docker.io/library/$from" "$base" >/dev/null
    local mounts=(--volume "$(rustc --print sysroot):/rust:ro" --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/cargo/registry:ro")
    for directory in /usr/bin /usr/lib /usr/lib64 /usr/libexec /usr/include /etc/alternatives; do
        [ ! -d "$directory" ] || mounts+=(--volume "$directory:$directory:ro")
    done
    buildah build --quiet --isolation chroot --format docker --pull-never "${mounts[@]}" --build-arg "TARGETPLATFORM=linux/$(dpkg --print-architecture)" \
        --ignorefile deploy/docker/Dockerfile.dockerignore --file deploy/docker/Dockerfile --tag docker.io/library/agntix-exporter . >/dev/null
    podman rmi "docker.io/library/$from" >/dev/null
}

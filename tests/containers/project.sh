# shellcheck shell=bash
# Docker Compose, on the engine of engine.sh by Docker's API, and what runs the health checks meanwhile. Sourced after it.

work=${work:?}
compose=${COMPOSE:-${AGNTIX_TOOLS:-$PWD/target/tools}/compose/usr/libexec/docker/cli-plugins/docker-compose}
[ -x "$compose" ] || die "$compose is not there; run .ci/tools once, or set COMPOSE to Docker Compose"
export DOCKER_HOST=unix://$work/engine.sock DOCKER_CONFIG=$work/docker
podman system service --time 0 "$DOCKER_HOST" >"$work/service.log" 2>&1 &
pids+=($!)
await "podman does not listen" test -S "$work/engine.sock"

# Ports that are free now, under the names that the Compose files take.
take_ports() {
    local name
    while read -r name port; do export "$name=$port"; done < <(python3 - "$@" <<'EOF'
import socket, sys
taken = [(name, socket.create_server(("127.0.0.1", 0))) for name in sys.argv[1:]]
for name, server in taken:
    print(name, server.getsockname()[1])
EOF
    )
}
take_ports EXPORTER_PORT EXPORTER_1_PORT EXPORTER_2_PORT EXPORTER_3_PORT PROMETHEUS_PORT ALERTMANAGER_PORT RECEIVER_PORT GRAFANA_PORT

# What systemd's timers do elsewhere. Each check has its own time limit, and the engine counts the failures.
check_health() {
    local container
    while sleep 1; do
        for container in $(podman ps --quiet --filter status=running 2>/dev/null); do
            podman healthcheck run "$container" >/dev/null 2>&1 || true
        done
    done
}

# start FILE SERVICE...: as `docker compose up` does, and waits until they are healthy. Nothing is pulled and nothing is built.
start() {
    local checks
    file=$1
    shift
    check_health &
    checks=$!
    pids+=("$checks")
    timeout 300 "$compose" --file "$file" up --detach --no-build --pull never "$@" >"$work/compose.log" 2>&1 || {
        tail -n 20 "$work/compose.log" >&2
        die "docker compose up"
    }
    PATIENCE=120 await "not every service is healthy" are_healthy
    # What follows does not ask for their health.
    kill "$checks"
}
# Each container runs, and is healthy unless it has no check.
are_healthy() {
    local containers
    mapfile -t containers < <(podman ps --all --quiet)
    ! podman inspect --format '{{.State.Status}} {{.State.Healthcheck.Status}} {{with .Config.Healthcheck}}{{.Test}}{{end}}' "${containers[@]}" |
        grep -qvE '^running (healthy .*| (\[NONE\])?)$'
}
compose() { timeout 120 "$compose" --file "$file" "$@" >"$work/compose.log" 2>&1 || { tail -n 20 "$work/compose.log" >&2 && die "docker compose $*"; }; }

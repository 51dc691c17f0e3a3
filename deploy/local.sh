#!/usr/bin/env bash
# The stack of compose.yaml without Grafana and without containers: the exporter, Prometheus with the rules, Alertmanager, and the
# receiver that shows what would be sent, on loopback, until Ctrl-C. The servers are Debian's, unpacked under target/tools by
# .ci/tools, which this runs if need be.
#
#     deploy/local.sh [--speed FACTOR] [--history DAYS] [--data DIRECTORY]
#
# Without an account it shows the demo, with two invented days before it, so that the alerts know what is usual; with AGNTIX_API_KEY, or the
# files that config.toml knows, an organization.
#   --speed FACTOR      simulated time passes so many times as fast
#   --history DAYS      30d: a simulated organization with so many days behind it, which are imported as docs/history.md has it, with the recording rules, before
#                       it is shown; it takes some minutes. The traffic is a tenth of the demo's
#   --data DIRECTORY    keep everything there; without it nothing is kept
#
# In the environment:
#   EXPORTER_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT    9899, 9090, 9093; 0 for a free one
#   RECEIVER_PORT                                        9095, for the page that shows what would be sent
#   AGNTIX_EXPORTER, PROMETHEUS_3, PROMTOOL_3, ALERTMANAGER, AMTOOL    programs to use instead
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# Whatever is started answers within this many seconds, and stops within them.
patience=60

say() { printf '%s\n' "$*"; }
die() {
    printf 'local.sh: %s\n' "$*" >&2
    exit 1
}

speed=() data='' keep=false days=''
while [ $# -gt 0 ]; do
    case $1 in
        --speed) speed=(--speed "${2:?a factor}") ;;
        --history)
            days=${2:?a number of days, such as 30d}
            days=${days%d}
            [[ $days =~ ^[1-9][0-9]*$ ]] || die "--history $2 is no number of days, such as 30d"
            ;;
        --data)
            data=${2:?a directory}
            keep=true
            ;;
        *) die "$1 is not an option; see the head of this file" ;;
    esac
    shift 2
done

# --- Programs

fetched=''
for variable in PROMETHEUS_3 PROMTOOL_3 ALERTMANAGER AMTOOL; do
    if [ -z "${!variable:-}" ]; then
        [ -n "$fetched" ] || fetched=$("$root/.ci/tools") || die "the servers could not be fetched"
        eval "$(grep "^export $variable=" <<<"$fetched")"
    fi
done
if [ -z "${AGNTIX_EXPORTER:-}" ]; then
    (cd "$root" && cargo build --release --locked --bin agntix-exporter)
    AGNTIX_EXPORTER=$root/target/release/agntix-exporter
fi

# --- What is running, and its end

names=() pids=()

# stop: ends what was started, the last first, and removes what it wrote.
stop() {
    local code=$? i
    trap - EXIT
    # A second Ctrl-C does not leave half of it behind.
    trap '' INT TERM HUP
    [ ! -e "$data/importing.pid" ] || kill -TERM "$(<"$data/importing.pid")" 2>/dev/null || true
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || continue
        if ! timeout "$patience" tail --sleep-interval=0.1 --pid="${pids[i]}" -f /dev/null; then
            say "${names[i]} does not stop; it is killed"
            kill -KILL "${pids[i]}" 2>/dev/null || true
        fi
    done
    wait
    $keep || rm -rf "$data"
    exit "$code"
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

# start NAME COMMAND...: in the background, logging to NAME.log. It is in a session of its own, so that a terminal's Ctrl-C comes
# to this script alone, and is ended by the kernel should this script be killed.
start() {
    local name=$1
    shift
    # Here already, since it is read before the shell in the background may have come to opening it.
    : >"$data/$name.log"
    setsid setpriv --pdeathsig TERM -- "$@" >"$data/$name.log" 2>&1 &
    names+=("$name")
    pids+=($!)
}

# ended NAME CODE: says so, with the last that it logged.
ended() {
    tail -n 20 "$data/$1.log" >&2
    die "$1 has ended by itself (exit code $2); the lines above are the last of its log"
}

# await_address: sets `listens` to where that which was started last listens, which its log says.
await_address() {
    local name=${names[-1]} pid=${pids[-1]} code deadline=$((SECONDS + patience))
    while [ "$SECONDS" -lt "$deadline" ]; do
        listens=$(sed -n 's/.*\(message=listening\|msg="Listening on"\) .*address=\([^ ]*\).*/\2/p; s,^The simulated Agntix API is at http://\([^ ]*\) .*,\1,p' "$data/$name.log" | head -n 1)
        [ -z "$listens" ] || return 0
        if ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid" && code=0 || code=$?
            ended "$name" "$code"
        fi
        sleep 0.1
    done
    tail -n 20 "$data/$name.log" >&2
    die "$name does not listen after $patience s; the lines above are the last of its log"
}

# put FILE FROM TO: a copy of a configuration file of the repository is told the address TO in place of FROM.
put() {
    grep -q -F -- "$2" "$1" || die "$1 does not name $2"
    local text
    text=$(<"$1")
    printf '%s\n' "${text//"$2"/"$3"}" >"$1"
}

# --- The stack

if $keep; then
    mkdir -p "$data"
    data=$(cd "$data" && pwd)
else
    data=$(mktemp -d --tmpdir agntix-local.XXXXXXXX)
fi

demo=true
for variable in AGNTIX_API_KEY AGNTIX_EXPORTER__API__KEY_FILE AGNTIX_EXPORTER__API__BEARER_TOKEN_FILE; do
    [ -z "${!variable:-}" ] || demo=false
done
listen=--web.listen-address=127.0.0.1:${EXPORTER_PORT:-9899}
if [ -n "$days" ]; then
    $demo || die "--history is for the demo; for an organization, docs/history.md says how"
    [ ! -e "$data/prometheus" ] || die "$data/prometheus is there already: a history is imported into a new one"
    start simulator "$AGNTIX_EXPORTER" simulate --listen 127.0.0.1:0 --rate-limit 0 --history "${days}d" "${speed[@]}"
    await_address
    # As the demo has it; the rest, and the messages, would take a request a session.
    export AGNTIX_API_KEY=pk_test_simulator AGNTIX_EXPORTER__API__BASE_URL=http://$listens AGNTIX_EXPORTER__API__REQUESTS_PER_MINUTE=100000000
    export AGNTIX_EXPORTER__STATE__PATH=$data/exporter AGNTIX_EXPORTER__STREAM__ENABLED=true AGNTIX_EXPORTER__METRICS__NEW_SERIES_HOLD=15s
    export AGNTIX_EXPORTER__POLL__LISTING_INTERVAL=5s AGNTIX_EXPORTER__POLL__ENDED_INTERVAL=3s AGNTIX_EXPORTER__POLL__ANALYSIS_DEADLINE=1m
    start exporter "$AGNTIX_EXPORTER" "$listen"
elif $demo; then
    start exporter "$AGNTIX_EXPORTER" demo "$listen" "${speed[@]}"
else
    [ "${#speed[@]}" -eq 0 ] || die "--speed is for the demo; this is an organization"
    AGNTIX_EXPORTER__STATE__PATH=${AGNTIX_EXPORTER__STATE__PATH:-$data/exporter} start exporter "$AGNTIX_EXPORTER" "$listen"
fi
await_address
exporter_at=$listens

# Debian's Alertmanager reads its templates from /usr/share/prometheus. Where it is unpacked and not installed, it is shown that
# directory, in a view of the file system that is its own.
installed=()
share=${ALERTMANAGER%/bin/*}/share
if [ -e "$share/prometheus/alertmanager/default.tmpl" ] && ! [ -e /usr/share/prometheus/alertmanager/default.tmpl ]; then
    # shellcheck disable=SC2016 # The inner shell expands it.
    installed=(unshare --map-root-user --mount sh -c
        'mount -t overlay -o "lowerdir=$1:/usr/share" overlay /usr/share && shift && exec setpriv --pdeathsig TERM -- "$@"' sh "$share")
fi
# While nobody has set receivers of their own.
start receiver python3 "$root/deploy/alertmanager/receiver.py" --listen "127.0.0.1:${RECEIVER_PORT:-9095}" --smtp 127.0.0.1:0
await_address
receiver_at=$listens
mail_at=$(sed -n 's/.* smtp=//p' "$data/receiver.log")

cp "$root/deploy/alertmanager/alertmanager.yml" "$data/alertmanager.yml"
ln -sfn "$root/deploy/alertmanager/templates" "$data/templates"
if grep -q receiver:9095 "$data/alertmanager.yml"; then
    put "$data/alertmanager.yml" receiver:9095 "$receiver_at"
    put "$data/alertmanager.yml" receiver:9025 "$mail_at"
fi
# Links in messages lead there. A free port is not known yet.
external=()
[ "${ALERTMANAGER_PORT:-9093}" = 0 ] || external=(--web.external-url="http://localhost:${ALERTMANAGER_PORT:-9093}")
start alertmanager "${installed[@]}" "$ALERTMANAGER" --config.file="$data/alertmanager.yml" --storage.path="$data/alertmanager" \
    --web.listen-address="127.0.0.1:${ALERTMANAGER_PORT:-9093}" --cluster.listen-address= "${external[@]}"
await_address
alertmanager_at=$listens

cp "$root/deploy/prometheus/prometheus.yml" "$data/prometheus.yml"
ln -sfn "$root/deploy/prometheus/rules" "$data/rules"
put "$data/prometheus.yml" exporter:9899 "$exporter_at"
put "$data/prometheus.yml" alertmanager:9093 "$alertmanager_at"
retention=40d
if [ -n "$days" ]; then
    retention=$((days + 40))d
    "$root/deploy/prometheus/local-history" "$data" "$days" "$AGNTIX_EXPORTER" "$PROMETHEUS_3" "$PROMTOOL_3" || die "the history could not be imported"
elif $demo && [ "${#speed[@]}" -eq 0 ] && [ ! -e "$data/prometheus" ]; then
    # An alert compares an agent with its past, and the demo has none.
    "$root/deploy/prometheus/demo-history" "http://$exporter_at/metrics" agntix "$exporter_at" >"$data/history.om"
    "$PROMTOOL_3" tsdb create-blocks-from openmetrics "$data/history.om" "$data/prometheus" >"$data/history.log" 2>&1 ||
        die "promtool cannot read $data/history.om: $(tail -n 1 "$data/history.log")"
    rm "$data/history.om"
fi
start prometheus "$PROMETHEUS_3" --config.file="$data/prometheus.yml" --storage.tsdb.path="$data/prometheus" \
    --storage.tsdb.retention.time="$retention" --enable-feature=exemplar-storage --web.listen-address="127.0.0.1:${PROMETHEUS_PORT:-9090}"
await_address
prometheus_at=$listens

cat <<END

  exporter       http://$exporter_at/
  Prometheus     http://$prometheus_at/
  Alertmanager   http://$alertmanager_at/
  what is sent   http://$receiver_at/

Debian's servers have no pages to look at. What fires, and what Alertmanager knows of it:

  $PROMTOOL_3 query instant http://$prometheus_at ALERTS
  $AMTOOL alert query --alertmanager.url=http://$alertmanager_at

Logs and data are in $data, what was sent also in receiver.log. Ctrl-C stops all of it.
END

# Until one of them ends, which none should.
code=0
wait -n -p pid "${pids[@]}" || code=$?
for i in "${!pids[@]}"; do
    [ "${pids[i]}" != "$pid" ] || ended "${names[i]}" "$code"
done

#!/bin/sh
# Imports the history that lies beside this file into Prometheus.
#
#     ./import.sh [--url URL [--http.config.file FILE] [--restart COMMAND]] DATA_DIR
#     ./import.sh --undo DATA_DIR
#
# DATA_DIR is what Prometheus has as --storage.tsdb.path. Prometheus may be running or stopped: a running one finds new blocks within two
# minutes, a stopped one at its start. Nothing of what is stored there is changed. What has been imported is skipped when it is run again.
#
#   --url URL                  the address of that same Prometheus, running: the history of its recording rules, which lie in rules/, is made
#                              too. Alerts compare today with what these rules have recorded.
#   --http.config.file FILE    for promtool, if Prometheus asks for a password or speaks TLS of an authority of its own
#   --restart COMMAND          restarts Prometheus. It is run whenever there are new blocks to be loaded, which Prometheus does within a second when it
#                              starts, and within a minute or two when it runs; there are about a dozen such times
#   --undo                     removes the blocks of the import that are still there; stop Prometheus first
#
# In the environment: PROMTOOL, the program to use instead of promtool.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
promtool=${PROMTOOL:-promtool}
# Prometheus looks for new blocks once a minute, after it has compacted others.
patience=300 pause=1

say() { printf '%s\n' "$*"; }
die() {
    printf 'import.sh: %s\n' "$*" >&2
    exit 1
}

url='' http='' restart='' data='' undo=false
while [ $# -gt 0 ]; do
    case $1 in
        --url) url=${2:?--url needs the address of Prometheus} && shift ;;
        --http.config.file) http=${2:?--http.config.file needs a file} && shift ;;
        --restart) restart=${2:?--restart needs a command} && shift ;;
        --undo) undo=true ;;
        -*) die "$1 is not an option; see the head of this file" ;;
        *)
            [ -z "$data" ] || die "one DATA_DIR, not $data and $1"
            data=$1
            ;;
    esac
    shift
done

# --- What it needs

[ -n "$data" ] || die "which directory? ./import.sh DATA_DIR, where DATA_DIR is the --storage.tsdb.path of Prometheus"
[ -d "$data" ] || die "$data is not a directory; it must be the --storage.tsdb.path of Prometheus"
data=$(cd "$data" && pwd)
[ -w "$data" ] || die "$data cannot be written by this user; run it as the user that Prometheus runs as, or as root"
# Blocks that this script has made: a checksum of the file, its size and name, and the block.
list=$data/agntix-history.blocks

if $undo; then
    [ -e "$list" ] || die "nothing was imported into $data: there is no $list"
    removed=0 gone=0
    while read -r _ _ _ block; do
        if [ -d "$data/${block:?}" ]; then
            rm -rf "${data:?}/$block"
            removed=$((removed + 1))
        else
            gone=$((gone + 1))
        fi
    done <"$list"
    rm "$list"
    say "$removed blocks are removed from $data."
    [ "$gone" -eq 0 ] || say "$gone are no longer there: Prometheus has merged them into larger blocks, or their retention is over. The rest of" \
        "the history can be deleted with Prometheus' API for that, delete_series; docs/history.md has the command."
    exit
fi

"$promtool" tsdb create-blocks-from openmetrics --help >/dev/null 2>&1 ||
    die "$promtool does not run, or cannot make blocks; it comes with Prometheus 2.24 or newer. PROMTOOL=/path/to/promtool sets it"
found=$(ls -A "$data")
if [ -n "$found" ] && ! [ -d "$data/wal" ] && ! [ -d "$data/chunks_head" ] && ! [ -e "$list" ]; then
    die "$data has no wal and no chunks_head, so that it is not the data of a Prometheus"
fi
set -- "$here"/*.om
[ -e "$1" ] || die "no .om files lie in $here; this script belongs beside them"
for last; do :; done
# All series of a file end at the same time. A file is of one day, and has its name.
end=$(tail -n 2 "$last" | sed -n '1s/.* \([0-9]*\)[.0-9]*$/\1/p')
begin=${1##*/}
begin=${begin%.om}T00:00:00Z
if [ -z "$end" ] || [ "$(tail -n 1 "$last")" != '# EOF' ]; then
    die "$last is not whole; run agntix-exporter backfill with --resume"
fi
# A block that is newer than the start of what Prometheus has in memory makes it forget that at its next start, of all targets. backfill has looked, if it was
# told where Prometheus is, and what is in memory only becomes newer.
if [ -d "$data/wal" ] && [ $(($(date +%s) - end)) -lt 10800 ] && ! grep -q '"head_checked": *true' "$here/summary.json"; then
    die "the history ends $((($(date +%s) - end) / 60)) minutes ago; import it when that is 3 hours, since blocks as new as that would do harm to the" \
        "newest samples of all targets"
fi
owner=''
[ "$(id -u)" -ne 0 ] || owner=$(stat -c %u:%g "$data" 2>/dev/null) || owner=''

# --- One file at a time

# Beside the blocks, so that a whole one can be renamed into its place. Prometheus ignores it.
staging=$data/agntix-import
rm -rf "$staging"
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' INT TERM HUP
files=0 blocks=0 before=0

# take FILE COMMAND...: runs promtool so that it makes blocks of FILE, and moves them to the others
take() {
    sum=$(cksum <"$1")
    if [ -e "$list" ] && grep -q "^$sum " "$list"; then
        before=$((before + 1))
        say "${1#"$here"/}: imported before"
        return 0
    fi
    file=$1 made=0 lines=''
    shift
    mkdir "$staging"
    "$promtool" "$@" >"$staging/log" 2>&1 || {
        tail -n 3 "$staging/log" >&2
        die "promtool makes no blocks of ${file#"$here"/}; nothing of this file was imported"
    }
    rm "$staging/log"
    [ -z "$owner" ] || chown -R "$owner" "$staging"
    for block in "$staging"/*; do
        [ -e "$block/meta.json" ] || continue
        mv "$block" "$data/"
        lines="$lines$sum ${file##*/} ${block##*/}
"
        made=$((made + 1))
    done
    # Only now: what is broken off before is made again, which does no harm.
    printf '%s' "$lines" >>"$list"
    [ -z "$owner" ] || chown "$owner" "$list"
    rm -rf "$staging"
    files=$((files + 1)) blocks=$((blocks + made))
    say "${file#"$here"/}: $made blocks"
}

for file in "$here"/*.om; do
    take "$file" tsdb create-blocks-from --max-block-duration=24h openmetrics --quiet "$file" "$staging"
done

# --- The recording rules

# is_loaded NAMES TIME: whether Prometheus has a sample of one of them then
is_loaded() {
    answer=$("$promtool" query instant ${http:+"--http.config.file=$http"} --time="$2" "$url" "count({__name__=~\"$1\"})" 2>&1) &&
        [ -n "$answer" ]
}

# await NAMES TIME: until Prometheus has loaded the blocks that were made last; it fails if nothing is there when it must have
await() {
    [ -z "$restart" ] || sh -c "$restart" || die "this failed: $restart"
    waited=0
    until [ -n "$1" ] && is_loaded "$1" "$2"; do
        [ "$waited" -lt "$patience" ] || return 1
        sleep "$pause"
        waited=$((waited + pause))
    done
}

if [ -z "$url" ]; then
    ! [ -d "$here/rules" ] || rules=', without the recording rules: those need --url'
elif ! [ -d "$here/rules" ]; then
    die "the files are imported. There is no $here/rules, since agntix-exporter backfill had no --prometheus.url: the recording rules have no history"
else
    # A query may hold 50 million samples: as many of all series as a block has evaluations.
    series=$(sed -n 's/.*"series": *\([0-9]*\).*/\1/p' "$here/summary.json" | head -n 1)
    length=2h
    for choice in 6:50000 18:18000 54:6000 162:2000; do
        [ "${series:-1000000}" -gt "${choice#*:}" ] || length=${choice%:*}h
    done
    first=$(grep -v '^#' "$last" | head -n 1 | sed 's/.* \([0-9]*\)[.0-9]*$/\1/')
    # Before the live series begin, so that what is there then has been imported.
    say "waiting until Prometheus has loaded the blocks"
    await 'agntix_.+' "$first" ||
        die "Prometheus at $url does not show what was imported into $data after $patience s (${answer:-no samples at $first}). Does it use that directory," \
            "and does its --storage.tsdb.retention.time reach back to $begin? Its log says what is wrong with a block"
    # Rules that gave nothing cannot be waited for any longer than it takes.
    patience=150
    [ -z "$restart" ] || patience=5
    for file in "$here"/rules/*.yml; do
        took=$blocks
        take "$file" tsdb create-blocks-from "--max-block-duration=$length" rules ${http:+"--http.config.file=$http"} --url "$url" \
            --start "$begin" --end "$end" --output-dir "$staging" "$file"
        # The next one reads what this one has recorded; its first line names what no file before it does.
        [ "$blocks" -eq "$took" ] || await "$(sed -n '1s/^# //p' "$file")" "$((end - 600))" || true
    done
fi

say "Imported $files files as $blocks blocks into $data${rules:-}; $before were imported before."
say "Prometheus shows them within two minutes, or when it is started. Their list is in $list; ./import.sh --undo $data removes them."

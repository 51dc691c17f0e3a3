#!/bin/sh
# Imports the history that lies beside this file into VictoriaMetrics.
#
#     ./import.sh [--curl.config FILE] URL
#
# URL is the address of a single node, http://victoriametrics:8428, or that of a cluster's vminsert with the tenant,
# http://vminsert:8480/insert/0/prometheus. VictoriaMetrics is running; what is stored there is not changed. When it is run again it sends everything
# again, which is stored once if VictoriaMetrics has -dedup.minScrapeInterval, so that only what failed should be sent again.
#
#   --curl.config FILE    for curl: a user, a token, certificates
#
# In the environment: CURL, the program to use instead of curl.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
curl=${CURL:-curl}

say() { printf '%s\n' "$*"; }
die() {
    printf 'import.sh: %s\n' "$*" >&2
    exit 1
}

url='' config=''
while [ $# -gt 0 ]; do
    case $1 in
        --curl.config) config=${2:?--curl.config needs a file} && shift ;;
        -*) die "$1 is not an option; see the head of this file" ;;
        *)
            [ -z "$url" ] || die "one URL, not $url and $1"
            url=${1%/}
            ;;
    esac
    shift
done
[ -n "$url" ] || die "where to? ./import.sh URL, where URL is the address of VictoriaMetrics"
"$curl" --version >/dev/null 2>&1 || die "$curl does not run; CURL=/path/to/curl sets it"
set -- "$here"/*.jsonl
[ -e "$1" ] || die "no .jsonl files lie in $here; this script belongs beside them"

# request ARGUMENT...: fails on answers that are no success, and says what they were
request() {
    "$curl" ${config:+--config "$config"} --silent --show-error --fail --max-time 600 "$@"
}

files=0
for file in "$here"/*.jsonl; do
    # -T reads the file while it is sent; --data-binary would hold it in memory.
    request -X POST -T "$file" "$url/api/v1/import" >/dev/null ||
        die "VictoriaMetrics did not take ${file##*/}; $files files before it are imported. Its log says which lines it refused"
    files=$((files + 1))
    say "${file##*/}: imported"
done
# Answers from before the import are kept for a while; a cluster has this on vmselect, and forgets by itself.
request "$url/internal/resetRollupResultCache" >/dev/null 2>&1 || true
say "Imported $files files into $url. Samples older than its -retentionPeriod are not kept."
say "The recording rules have no history yet: vmalert -replay.timeFrom makes it; docs/history.md has the command."

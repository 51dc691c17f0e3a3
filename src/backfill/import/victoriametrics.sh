#!/bin/sh
# Sends the history beside this file to VictoriaMetrics.
# usage: ./import.sh URL      (http://victoriametrics:8428; of a cluster: http://vminsert:8480/insert/0/prometheus)
# Run it once: a second import has the same samples again, which deduplication removes.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 URL" >&2; exit 2; }
url=${1%/}/api/v1/import
cd "$(dirname "$0")"
for file in ????-??-??.jsonl; do
    [ -e "$file" ] || { echo "there are no files beside $0" >&2; exit 1; }
    echo "$file"
    "${CURL:-curl}" --fail --silent --show-error --data-binary "@$file" "$url"
done

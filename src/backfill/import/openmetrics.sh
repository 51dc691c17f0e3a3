#!/bin/sh
# Makes blocks of the history beside this file and puts them where Prometheus finds them.
# usage: ./import.sh DATA_DIRECTORY      (what --storage.tsdb.path names; PROMTOOL names another promtool)
# It may run while Prometheus does. Run it as the user that Prometheus runs as, and once: a second import has the same samples again.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DATA_DIRECTORY" >&2; exit 2; }
data=$1
[ -d "$data" ] || { echo "$data is no directory" >&2; exit 2; }
cd "$(dirname "$0")"
for file in ????-??-??.om; do
    [ -e "$file" ] || { echo "there are no files beside $0" >&2; exit 1; }
    echo "$file"
    # One file a day, and blocks of a day: promtool reads a file once for each block that it makes.
    "${PROMTOOL:-promtool}" tsdb create-blocks-from openmetrics --max-block-duration=24h --quiet "$file" "$data"
done

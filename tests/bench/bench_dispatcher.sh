#!/bin/bash
# bench_dispatcher.sh PROVIUM [FILES [JOBS]]: what the dispatcher costs per file, against the floor of xargs -P starting
# as many processes of the same binary that do nothing, and how many events a second it writes.
set -eu
provium=$(realpath "$1") files=${2:-300} jobs=${3:-2}
work=$(mktemp -d "${TMPDIR:-/tmp}/provium-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export XDG_CACHE_HOME="$work/cache"
cd "$work"
mkdir suite
i=0
while [ $i -lt "$files" ]; do
    echo 'test("nothing", function() end)' >"suite/$i.test.lua"
    i=$((i + 1))
done
echo 'for i = 1, 50000 do test("t" .. i, function() end) end' >events.test.lua

# seconds COMMAND…: wall seconds, user and system seconds of it and its children
seconds() {
    local TIMEFORMAT='%R %U %S'
    { time "$@" >/dev/null 2>&1; } 2>&1 || :
}

"$provium" suite --jobs "$jobs" >/dev/null 2>&1 || : # fills caches
set -- $(seconds "$provium" list suite)
start=$1
set -- $(seconds sh -c "seq $files | xargs -P $jobs -n 1 '$provium' --version")
echo "$files $jobs $*" | awk '{ printf "floor       %.2f ms wall, %.2f ms CPU per process (xargs -P %d)\n", $3 * 1000 / $1, ($4 + $5) * 1000 / $1, $2 }'
floor="$*"
set -- $(seconds "$provium" suite --jobs "$jobs")
echo "$files $jobs $* $floor" | awk '{ printf "dispatcher  %.2f ms wall, %.2f ms CPU per file (--jobs %d): %.1f and %.1f times the floor\n",
    $3 * 1000 / $1, ($4 + $5) * 1000 / $1, $2, $3 / $6, ($4 + $5) / ($7 + $8) }'
echo "$start" | awk '{ printf "list        %.0f ms\n", $1 * 1000 }'
set -- $(seconds "$provium" events.test.lua)
plain=$1
set -- $(seconds "$provium" events.test.lua --save-events ev)
echo "$1 $plain $(stat -c %s ev)" | awk '{ printf "events      %.0f a second to a file (%.0f without), %.0f MiB\n", 100000 / $1, 100000 / $2, $3 / 1048576 }'

#!/bin/bash
# bench_dispatcher.sh PROVIUM [FILES [JOBS]]: what the dispatcher costs per file, against the floor of xargs -P starting
# as many processes of the same binary that do nothing; how many events a second it writes; how long 60 files of every
# length and claim take, against what the pool allows at best; its memory at 10000 files; how soon --help and list answer.
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

# mean_ms COMMAND…: of 20 runs
mean_ms() {
    set -- $(seconds sh -c 'i=0; while [ $i -lt 20 ]; do "$@"; i=$((i + 1)); done' sh "$@")
    echo "$1" | awk '{ printf "%.1f", $1 * 50 }'
}
mkdir one
echo 'test("nothing", function() end)' >one/a.test.lua
echo "start       --help $(mean_ms "$provium" --help) ms, list of one file $(mean_ms "$provium" list one) ms, true $(mean_ms true) ms"

# 60 files of 0.2 to 1 s; every third claims two of the pool's eight shares of memory, the others one.
mkdir mixed
i=0
while [ $i -lt 60 ]; do
    share=$((i % 3 == 0 ? 2 : 1)) tenths=$((2 + i * 7 % 9))
    echo "provium:claim{memory = \"$((share * 100 - 50))M\"}
test(\"sleeps\", function() os.execute(\"sleep 0.$tenths\") end)" >mixed/$i.test.lua
    echo "$share $((tenths))"
    i=$((i + 1))
done >shape
sed -i 's/sleep 0\.10/sleep 1.0/' mixed/*.test.lua
bound=$(awk '{ area += $1 * $2; sum += $2; if ($2 > longest) longest = $2 }
    END { a = area / 8; b = sum / 6; bound = a > b ? a : b; print (bound > longest ? bound : longest) / 10 }' shape)
for flag in "" --backfill; do
    set -- $(seconds "$provium" mixed --jobs 6 --mem 800M --psi-threshold 0 $flag)
    echo "$1 $bound" | awk -v flag="$flag" '{ printf "mixed       %.2f s, bound %.2f s: %.2f %s\n", $1, $2, $1 / $2, flag }'
done

mkdir many
(cd many && seq 10000 | while read -r i; do echo 'test("nothing", function() end)' >"$i.test.lua"; done)
"$provium" many --jobs "$jobs" --sandbox off --psi-threshold 0 >/dev/null 2>&1 &
pid=$!
while high=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$high" ]; do
    last=$high
    sleep 0.2
done
wait $pid || :
echo "$last" | awk '{ printf "memory      %.1f MiB at most, with 10000 files\n", $1 / 1024 }'

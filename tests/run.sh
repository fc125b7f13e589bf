#!/bin/sh
# run.sh FOLDER PROGRAM...: runs cmocka programs one after the other, from the root of the tree.
#
# Each has PG_TEST_LIMIT seconds (default 300) of CPU time on every core, however busy the machine is; one that hangs is stopped
# after PG_TEST_WALL seconds (default: twelve times as many). They get an empty home, which has to stay empty. PG_TEST_RUNNER is a
# command that runs programs of another processor.
#
# Prints one line per test and what programs print as "count: ...", the whole output of a program in which something failed, and
# as the last line "N passed, M failed, K skipped". FOLDER/skipped.txt gets one "program:test" line for each skipped test. A
# program that crashes, runs out of time, ends with an error or runs no test counts as a failure of its own, and so does a file that
# is left in the home or as ./patchgauge.db. Exit code 1 when anything failed.
set -u
[ $# -ge 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1
shift
limit=${PG_TEST_LIMIT:-300}
wall=${PG_TEST_WALL:-$((limit * 12))}
cpu=$((limit * $(nproc)))
mkdir -p "$folder" || exit 4
folder=$(cd "$folder" && pwd)
export HOME="$folder/home"
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME
rm -rf "$HOME" && mkdir "$HOME" || exit 4
database=$(ls patchgauge.db 2>/dev/null)
log=$folder/run.log results=$folder/results.txt
: >"$folder/skipped.txt"
: >"$results"

for program in "$@"; do
    name=$(basename "$program")
    started=$(date +%s.%N)
    (ulimit -S -t "$cpu" && exec timeout -k 10 "$wall" ${PG_TEST_RUNNER:-} "$program") >"$log" 2>&1
    code=$?
    took=$(echo "$started $(date +%s.%N)" | awk '{ printf "%.1f s", $2 - $1 }')
    # cmocka prints "[       OK ] test", "[  FAILED  ] test" and "[  SKIPPED ] test", and lists failed ones again at the end.
    awk -v program="$name" -v code="$code" -v cpu="$cpu" -v wall="$wall" -v took="$took" '
        function show(mark, test, note) { printf "%-7s %s: %s%s\n", mark, program, test, note; n[mark]++ }
        { sub(/^.*\[ RUN      \] /, "[ RUN      ] ") }
        /^\[ RUN      \] / { current = substr($0, 14) }
        sub(/^count: /, "") { print "        " $0 }
        /\[==========\].*Running [0-9]+ test/ { ended = 0; groups++ }
        /\[==========\].* run\.$/ { ended = 1; groups-- }
        !ended && /\[       OK \] / { sub(/.*\[       OK \] /, ""); show("ok", $0, ""); current = "" }
        !ended && /\[  SKIPPED \] / { sub(/.*\[  SKIPPED \] /, ""); show("skipped", $0, ""); current = "" }
        !ended && /\[  FAILED  \] / {
            sub(/.*\[  FAILED  \] /, "")
            if (!seen[$0]++) show("FAILED", $0, "")
            current = ""
        }
        END {
            where = current == "" ? "(program)" : current
            if (code == 124 || code == 137) show("FAILED", where, " (stopped after " wall " s)")
            else if (code == 152) show("FAILED", where, " (stopped after " cpu " s of CPU time)")
            else if (code != 0 && !n["FAILED"]) show("FAILED", where, " (exit code " code ")")
            else if (groups != 0 && !n["FAILED"]) show("FAILED", where, " (ended early)")
            else if (!n["ok"] && !n["FAILED"] && !n["skipped"]) show("FAILED", where, " (ran no test)")
            printf "        %s: %s\n", program, took
        }' "$log" >"$folder/lines.txt"
    cat "$folder/lines.txt"
    grep -E '^(ok|FAILED|skipped) ' "$folder/lines.txt" >>"$results"
    sed -n 's/^skipped *\([^:]*\): \(.*\)$/\1:\2/p' "$folder/lines.txt" >>"$folder/skipped.txt"
    if grep -q '^FAILED' "$folder/lines.txt"; then
        echo "---- output of $name"
        cat "$log"
        echo "---- end of $name"
    fi
done

left=$(find "$HOME" -mindepth 1 | head -n 5)
[ "$database" = "$(ls patchgauge.db 2>/dev/null)" ] || left="$left ./patchgauge.db"
[ -z "$left" ] || echo "FAILED  (all): left outside of scratch folders:" $left | tee -a "$results"

if [ -s "$folder/skipped.txt" ]; then
    echo "skipped: $(tr '\n' ' ' <"$folder/skipped.txt")"
fi
count() { grep -c "^$1 " "$results"; }
echo "$(count ok) passed, $(count FAILED) failed, $(count skipped) skipped"
[ "$(count FAILED)" = 0 ]

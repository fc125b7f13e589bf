#!/bin/sh
# fuzz.sh FOLDER PROGRAM...: runs libFuzzer programs, each for FUZZ_SECONDS (default 60), from tests/fuzz/corpus/NAME.
#
# Two run at a time. What they find interesting is kept in FOLDER/corpus/NAME for the next run. An input that breaks something is
# put into tests/fuzz/corpus/NAME, where tests/tree/test_fuzz.c replays it from then on. The last line counts programs, inputs
# tried and inputs that broke something; exit code 1 when there are any.
set -u
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
folder=$1
shift
seconds=${FUZZ_SECONDS:-60}
mkdir -p "$folder/log" || exit 4
scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")") || exit 4
trap 'rm -rf "$scratch"' EXIT

one() { # program
    name=$(basename "$1")
    stored=tests/fuzz/corpus/$name
    mkdir -p "$folder/corpus/$name" "$stored"
    dictionary=tests/fuzz/$name.dict
    # shellcheck disable=SC2046 # an option or none
    TMPDIR=$scratch "$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="$stored/" $([ ! -f "$dictionary" ] || echo "-dict=$dictionary") \
        -close_fd_mask=2 "$folder/corpus/$name" "$stored" >"$folder/log/$name" 2>&1
    echo $? >"$folder/log/$name.rc"
}

while [ $# -gt 0 ]; do
    one "$1" &
    [ $# -lt 2 ] || one "$2"
    wait
    for program in "$1" ${2+"$2"}; do
        log=$folder/log/$(basename "$program")
        tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        kept=$(sed -n 's/.*DONE *cov: \([0-9]*\).*corp: \([0-9]*\).*/\1 places reached, \2 inputs kept/p' "$log" | tail -n 1)
        echo "${tried:-0}" >>"$scratch/tried"
        if [ "$(cat "$log.rc")" = 0 ]; then
            printf 'ok      %-12s %9s inputs, %s\n' "$(basename "$program")" "${tried:-0}" "$kept"
        else
            echo "$program" >>"$scratch/broken"
            printf 'FAILED  %s\n' "$(basename "$program")"
            tail -n 60 "$log"
        fi
    done
    shift
    [ $# -eq 0 ] || shift
done
broken=$(cat "$scratch/broken" 2>/dev/null | wc -l)
awk -v broken="$broken" '{ n += $1 } END { printf "%d fuzz programs, %d inputs, %d broken\n", NR, n, broken }' "$scratch/tried"
[ "$broken" = 0 ]

#!/bin/sh
# results.sh PROGRAM [DATABASE [MATRIX.toml...]]: writes experiments/RESULTS.md from the database of the runs and the weights files:
# per matrix the table and, where there is one, the audit; what local_logits.sh left in $PATCHGAUGE_LOCAL_LOGITS, where that is set; below
# all of them how every network was trained. Default: ./patchgauge.db and experiments/results/*.toml. A line "# table: OPTIONS" in a
# matrix file gives the options of `patchgauge table`.
set -eu
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
program=$1
database=${2:-patchgauge.db}
if [ $# -lt 2 ]; then shift 1; else shift 2; fi
[ $# -gt 0 ] || set -- experiments/results/*.toml
out=experiments/RESULTS.md
temporary=$(mktemp)
trap 'rm -f "$temporary" "$temporary.audit"' EXIT

# "weights" values of a matrix file, one a line.
weights_of() { sed -n '/^ *weights *=/s/^[^=]*=//p' "$1" | tr -d '[]" ' | tr ',' '\n' | grep -v '^null$' || true; }

# Whether every network of a matrix is there, and some of its cells were run; says what is not.
complete() {
    for weights in $(weights_of "$1"); do
        [ -f "$weights" ] || { echo "results: $1 is left out: its network $weights is not there" >&2; return 1; }
    done
    "$program" --db "$database" table "$1" -f csv 2>/dev/null | awk -F, 'NR > 1 && $NF > 0 { found = 1 } END { exit !found }' ||
        { echo "results: $1 is left out: none of its cells was run" >&2; return 1; }
}

# The stored audit of a matrix; nothing where there is none.
audit() {
    # a broken certificate or a refused image that nothing breaks ends with another code than 0, and has to be seen
    "$program" --quiet --db "$database" audit "$1" --stored -f md >"$temporary.audit" 2>/dev/null || true
    [ -s "$temporary.audit" ] || return 0
    echo "\`patchgauge audit $1\`"
    echo
    cat "$temporary.audit"
    echo
}

# The curve of `model inspect` (one JSON list): first, about every twelfth and last epoch.
curve() {
    tr '{' '\n' | sed -n 's/.*"loss":\([^,}]*\).*"val":\([^,}]*\).*/\1 \2/p' | awk '
        { loss[NR] = $1; val[NR] = $2 }
        END {
            step = int((NR + 11) / 12)
            if (step < 1) step = 1
            print "| epoch | training loss | validation accuracy |"
            print "|------:|--------------:|--------------------:|"
            for (i = 1; i <= NR; i++)
                if (i == 1 || i == NR || i % step == 0)
                    printf "| %5d | %13.4f | %18.2f%% |\n", i, loss[i], 100 * val[i]
        }'
}

# The section of local_logits.sh, and its histograms beside RESULTS.md.
local_logits() { # folder
    echo "## Local logits"
    echo
    echo "A patch of 3% of the pixels at one random place, as in Table II of the publication (68.2, 13.6 and 79.2 there, with a ResNet-50"
    echo "on images enlarged to 192 px). Local predictions: of the positions that see the patch, the share that some patch makes wrong,"
    echo "each attacked on its own, with the 95% interval of the mean over images; original: without a patch."
    echo "The attack ends as soon as the image is wrong, so that logits in the histograms are no larger than it takes; the publication's"
    echo "goes on to its last step."
    echo
    echo "\`sh experiments/local_logits.sh build/patchgauge FOLDER\`"
    echo
    sh experiments/local_logits.sh "$program" "$1"
    for drawn in "$1"/*-lavan/local-logits.svg; do
        name=$(basename "$(dirname "$drawn")" -lavan)
        cp "$drawn" "experiments/results/local-logits-$name.svg"
        echo
        echo "![largest local logits of $name, clean and under LaVAN](results/local-logits-$name.svg)"
    done
    echo
}

training() { # weights file
    echo "### $(basename "$1" .safetensors)"
    echo
    echo '```'
    "$program" model inspect "$1" | grep -v '^training ' | fold -s -w 100 | sed 's/ *$//'
    echo '```'
    if [ -f "$1.log.csv" ]; then
        echo
        awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^(wall_s|seconds)$/) c = i; next }
                 c { s += $c } END { if (c) printf "Training took %.0f minutes.\n", s / 60 }' "$1.log.csv"
    fi
    if "$program" model inspect "$1" | grep -q '^training '; then
        echo
        "$program" model inspect "$1" | sed -n 's/^training *//p' | curve
    fi
    echo
}

{
    echo "# Results"
    echo
    echo "Written by \`make results\` from the database of the runs; every number is measured on the weights file whose hash stands below."
    echo "Shares are in percent of the images, with 95% Wilson intervals."
    echo
    for matrix in "$@"; do
        [ -f "$matrix" ] || { echo "results: no matrix file $matrix" >&2; exit 2; }
        complete "$matrix" || continue
        echo "## $(basename "$matrix" .toml)"
        echo
        sed -n '/^#/!q; /^# table:/d; s/^# *//p' "$matrix"
        echo
        echo "\`patchgauge run $matrix\`"
        echo
        # shellcheck disable=SC2046 # the options of a table are several words
        "$program" --db "$database" table "$matrix" -f md $(sed -n '/^#/!q; s/^# table: *//p' "$matrix")
        echo
        audit "$matrix"
    done
    [ -z "${PATCHGAUGE_LOCAL_LOGITS:-}" ] || local_logits "$PATCHGAUGE_LOCAL_LOGITS"
    echo "## Networks"
    echo
    for matrix in "$@"; do weights_of "$matrix"; done | awk '!seen[$0]++' | while read -r weights; do
        [ -f "$weights" ] || continue
        training "$weights"
    done
} >"$temporary"
cp "$temporary" "$out"
echo "results: $out"

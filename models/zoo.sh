#!/bin/sh
# zoo.sh PROGRAM [DATABASE]: writes models/ZOO.md: every network of models/zoo with its hash, how it was trained, and what the database of
# `make paper` knows of it: accuracy without a defense and the best certificates, from experiments/audits and table15. Where the database
# knows nothing of a network, what the page says of it stays. FILE.from beside a network holds the commands of those it was trained on from,
# the first one first.
set -eu
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
program=$1 database=${2:-build/paper.db}
out=models/ZOO.md
temporary=$(mktemp)
trap 'rm -f "$temporary" "$temporary.csv"' EXIT

field() { # weights file, key
    "$program" model inspect "$1" | sed -n "s/^$2  *//p"
}

# Minutes of training, from the log beside the file.
minutes() { # weights file
    [ -f "$1.log.csv" ] || { echo "not recorded"; return 0; }
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "wall_s") c = i; next } { s += $c; n++; t[$6 + 0] = 1 }
        END { for (i in t) threads = threads (threads == "" ? "" : " and ") i
              printf "%d epochs in %.0f minutes, %s thread%s\n", n, s / 60, threads, threads == "1" ? "" : "s" }' "$1.log.csv"
}

# Of all matrices with this network the best row for each patch.
best() { # weights file, options
    weights=$1
    shift
    # shellcheck disable=SC2046 # several files
    "$program" --db "$database" --quiet best $(grep -l "\"$weights\"" experiments/audits/*.toml experiments/paper/table15.toml) \
        -S weights="$weights" -f json "$@" 2>/dev/null
}

results() { # weights file
    one='def one: 10 * . | round | "\(. / 10 | floor).\(. % 10)";'
    best "$1" -S defense=mean --metric clean | jq -r "$one"' .rows | max_by(.value) // empty |
        "- accuracy without a defense: \(.value | one)% of \(.n) test images"'
    best "$1" | jq -r "$one"' .rows[] |
        "- best certificate, patch of \(.patch) px: \(.value | one)% by \(.row | sub(" "; ", ")) (clean \(.clean | one)%)"'
}

# What the page says of results already, where it is of the same file.
results_before() { # weights file
    [ -f "$out" ] || return 0
    awk -v heading="## $(basename "$1")" -v hash="- SHA-256: \`$(field "$1" sha256)\`" '
        /^## / { here = $0 == heading; same = 0 }
        here && $0 == hash { same = 1 }
        same && /^- (accuracy without|best certificate)/ { print }' "$out"
}

# First, last and about ten epochs between.
curve() { # weights file
    field "$1" training | tr '{' '\n' | sed -n 's/.*"loss":\([^,}]*\).*"val":\([^,}]*\).*/\1 \2/p' | awk '
        { loss[NR] = $1; val[NR] = $2 }
        END {
            step = int((NR + 9) / 10)
            if (!NR) exit
            printf "- validation accuracy by epoch:"
            for (i = 1; i <= NR; i++) if (i == 1 || i == NR || i % step == 0) printf "%s %d: %.1f%%", (i > 1 ? "," : ""), i, 100 * val[i]
            printf "\n"
        }'
}

# A command as the page has it.
shown() { sed 's/ # data.*//' | fold -s -w 118 | sed 's/ *$//; $!s/$/ \\/'; }

# What a network was trained on from, by the hash in its command: another one here, or one whose command stands in FILE.from.
started_from() { # weights file
    from=$(field "$1" command | sed -n 's/.* from \([0-9a-f]\{64\}\)$/\1/p')
    [ -n "$from" ] || return 0
    for other in models/zoo/*.safetensors; do
        [ "$(field "$other" sha256)" != "$from" ] || echo "- trained on from: $(basename "$other")"
    done
    [ ! -f "$1.from" ] || echo "- trained on from: \`$(echo "$from" | cut -c 1-12)\`, which the commands before the last one make"
}

entry() { # weights file
    echo "## $(basename "$1")"
    echo
    echo "- file: $1, $(wc -c <"$1") bytes"
    echo "- SHA-256: \`$(field "$1" sha256)\`"
    echo "- architecture: $(field "$1" model | sed 's/ (version.*//'), $(field "$1" options); rows: $(field "$1" rows); columns: $(field "$1" columns)"
    echo "- data: $(field "$1" dataset), hash \`$(field "$1" dataset_hash | cut -c 1-12)\`, seed $(field "$1" seed)"
    echo "- training: $(minutes "$1")"
    started_from "$1"
    curve "$1"
    now=$(results "$1")
    [ -n "$now" ] || now=$(results_before "$1")
    [ -z "$now" ] || echo "$now"
    echo
    echo '```'
    [ ! -f "$1.from" ] || while read -r command; do echo "$command" | shown; done <"$1.from"
    field "$1" command | shown
    echo '```'
    echo
}

{
    echo "# The networks that ship"
    echo
    echo "Written by \`make results\` from the files themselves and the database of \`make paper\`. The command of a network, given on the same machine"
    echo "with as many threads, makes the same bytes again (not so ds4-resnet18, whose threads changed on the way); \`patchgauge model inspect FILE\` prints what a file says of itself."
    echo
    echo "| network | architecture | bytes | SHA-256 |"
    echo "|:--------|:-------------|------:|:--------|"
    for weights in models/zoo/*.safetensors; do
        echo "| $(basename "$weights" .safetensors) | $(field "$weights" model | sed 's/ (version.*//') | $(wc -c <"$weights") | \`$(field "$weights" sha256 | cut -c 1-16)\` |"
    done
    echo "| all | | $(cat models/zoo/*.safetensors | wc -c) | |"
    echo
    for weights in models/zoo/*.safetensors; do entry "$weights"; done
} >"$temporary"
sed '$d' "$temporary" >"$out"
echo "zoo: $out"

#!/bin/sh
# paper.sh run|write PROGRAM [DATABASE [MATRIX.toml...]]: the publication's tables and figures, ours beside theirs, our ablations, and the audits.
#   run:   runs what is not in the database yet (of these matrices): cells, audits, local logits, masks, times. Goes on where it was
#          stopped.
#   write: writes experiments/RESULTS.md and experiments/figures/ from what is there. A section of which something is not in the
#          database stays as it stands, as long as it is of the same cells: a line under its heading holds their hash.
# Reads experiments/{paper,pretrained,ablations,audits}/*.toml. In the comment at the top of a matrix a line "# KEY: VALUE" says what is made of it,
# the rest is printed above it:
#   table: OPTIONS        a table (`patchgauge table MATRIX OPTIONS`); several lines: several tables
#   plot: FIGURE OPTIONS  a figure (`patchgauge plot FIGURE MATRIX OPTIONS`)
#   audit: yes            its certificates are audited by features, and the audit is printed; A:B instead: of these images; behind
#                         either other levels of `patchgauge audit`, comma-separated
#   validation: 0:B       the validation images that "In short" chooses by; without it as many as the matrix has test images
#   time: yes             it runs without the feature cache, and the times are printed
#   masks: HxW HxW ...    what becomes of predictions without windows of so many positions (`patchgauge certify --masked`)
#   script: FILE          a script makes the table: FILE PROGRAM FOLDER MATRIX; what FOLDER holds already it does not run again
#   histograms: yes       the histograms that it left there
#   paper: TABLE DATASET  the publication's numbers, where the table cannot put them beside ours
# PATCHGAUGE_WORK: folder for what is neither in the database nor a result, default build/paper.
set -eu
[ $# -ge 2 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
command=$1 program=$2 database=${3:-build/paper.db}
work=${PATCHGAUGE_WORK:-build/paper}
locals=${PATCHGAUGE_LOCAL_LOGITS:-$work/local-logits}
out=experiments/RESULTS.md
mkdir -p "$work"

# ---- What a matrix file says -------------------------------------------------------------------------------------------------

directive() { sed -n "/^#/!q; s/^# $2: *//p" "$1"; } # matrix, key
text_of() { sed -n '/^#/!q; /^# \(table\|plot\|audit\|time\|masks\|script\|validation\|grids\|window\|rule\|histograms\|paper\): /d; s/^# *//p' "$1"; }
# "weights" values of a matrix, one a line.
weights_of() { awk '/^weights/ { on = 1 } on { print } on && !/,$/ { exit }' "$1" | grep -o '"[^"]*"' | tr -d '"' | awk '!seen[$0]++'; }
patchgauge() { "$program" --db "$database" --quiet "$@"; }
# Tables before figures, table05 before table05-imagenet.
in_order() { # folder
    find "experiments/$1" -name '*.toml' 2>/dev/null | sed 's/\.toml$//' | sort |
        awk '/figure/ { later[++n] = $0; next } { print $0 ".toml" } END { for (i = 1; i <= n; i++) print later[i] ".toml" }'
}
# Why a matrix cannot be run here; nothing where it can.
obstacle() {
    patchgauge plan "$1" 2>&1 >/dev/null | sed -n 's/^[^ ]*\.toml:[0-9]*: //p; s/^patchgauge: //p' | grep -v 'nothing was done' |
        awk '{ printf "%s%s", (NR > 1 ? "; " : ""), $0 } END { if (NR) print "" }'
}

# Whether all cells of a matrix are done, with these options of `plan`.
cells_done() { # matrix, options
    patchgauge plan "$@" 2>/dev/null | grep -q ' 0 new, 0 partial, [0-9]* done, 0 stale, 0 failed'
}
# Of the cells that a section is of: their ids cover networks, images, settings and versions.
cells_hash() { # matrices
    for matrix; do patchgauge plan "$matrix" --explain 2>/dev/null; done | awk 'length($2) == 12 && $2 !~ /[^0-9a-f]/ { print $2 }' |
        sha256sum | cut -c 1-16
}

# ---- run -------------------------------------------------------------------------------------------------------------------

# Cells of a matrix whose published or counted certificate has no audit: asked network by network, so that a network
# that is new is audited alone.
audit_images() { # matrix
    images=$(directive "$1" audit | cut -d " " -f 1)
    [ "$images" = yes ] || echo "-S images=$images"
}
audit_levels() { # matrix
    directive "$1" audit | awk '{ print (NF > 1 ? $2 : "feature") }'
}
audit_missing() { # matrix, weights
    # shellcheck disable=SC2046 # several options
    cells=$(patchgauge table "$1" -S weights="$2" --metrics clean -f csv 2>/dev/null | tail -n +2 | wc -l)
    for level in $(audit_levels "$1" | tr , ' '); do
        rows=$(patchgauge audit "$1" $(audit_images "$1") -S weights="$2" --stored --level "$level" -f csv 2>/dev/null | tail -n +2 | wc -l)
        [ "$rows" -ge "$cells" ] || return 0
    done
    return 1
}

# What makes the validation cells of a matrix out of its test cells: options of `run`, `plan` and `table`.
validation() { # matrix
    images=$(directive "$1" validation)
    echo "-S dataset=cifar10:val${images:+ -S images=$images}"
}

# Whether "In short" chooses among the rows of a matrix, by validation images.
chosen() { # matrix
    case $1 in experiments/audits/*) grep -q '^dataset *= *"cifar10:test"' "$1" ;; *) false ;; esac
}
# The validation images that all such matrices have, as options, where one of them has only the first so many: rows are compared on the
# same images.
common() {
    for matrix in experiments/audits/*.toml; do ! chosen "$matrix" || directive "$matrix" validation; done | sort -t : -k 2n | head -1 |
        sed 's/^/-S dataset=cifar10:val -S images=/'
}

run_masks() { # matrix
    name=$(basename "$1" .toml)
    [ -f "$work/$name/meta.json" ] || patchgauge features --weights "$(weights_of "$1")" \
        --dataset "$(sed -n 's/^dataset *= *"\(.*\)"$/\1/p' "$1")" -o "$work/$name"
    for window in $(directive "$1" masks); do
        [ -s "$work/$name/$window.shares" ] && continue
        patchgauge certify "$work/$name/features.npy" "$work/$name/labels.npy" --defense mean --window "$window" --masked --summary \
            >"$work/$name/$window.part"
        mv "$work/$name/$window.part" "$work/$name/$window.shares"
    done
}

run() { # matrix
    if [ -n "$(obstacle "$1")" ]; then
        echo "left out: $1: $(obstacle "$1")" >&2
        return 0
    fi
    echo "== $1" >&2
    if [ -n "$(directive "$1" script)" ]; then
        folder=$locals/$(basename "$1" .toml)
        sh "$(directive "$1" script)" "$program" "$folder" "$1" >/dev/null
        cells_hash "$1" >"$folder/cells"
    elif [ -n "$(directive "$1" masks)" ]; then
        run_masks "$1"
    elif [ -n "$(directive "$1" time)" ]; then
        "$program" --db "$database" --cache-size 0 run "$1"
    elif [ -n "$(directive "$1" table)" ]; then
        "$program" --db "$database" run "$1"
    fi
    if chosen "$1"; then
        # shellcheck disable=SC2046 # several options
        "$program" --db "$database" run "$1" $(validation "$1")
        # shellcheck disable=SC2046
        [ -z "$(common)" ] || "$program" --db "$database" run "$1" $(common)
    fi
    [ -n "$(directive "$1" audit)" ] || return 0
    weights_of "$1" | while read -r weights; do
        # shellcheck disable=SC2046 # several options
        ! audit_missing "$1" "$weights" ||
            "$program" --db "$database" audit "$1" $(audit_images "$1") -S weights="$weights" --level "$(audit_levels "$1")" >&2
    done
}

# ---- write -------------------------------------------------------------------------------------------------------------------

# The publication's numbers of a table and data set: one line for each network, defense and option.
paper() { # table, data set
    echo "The publication's table $1:"
    echo
    awk -F, -v table="$1" -v dataset="$2" '
        $1 == table && $2 == dataset {
            name = $3 ($4 ? ", " $4 : "") ($5 ? " of " $5 : "")
            where = $6 ($6 && $7 ? ", " : "") $7
            if (!(name in places)) names[++n] = name
            if (!((name, where) in text)) place[name, ++places[name]] = where
            gsub("_", " ", $8)
            text[name, where] = text[name, where] (text[name, where] ? ", " : "") $8 " " $9
        }
        END {
            for (i = 1; i <= n; i++) {
                line = names[i]
                for (k = 1; k <= places[names[i]]; k++) {
                    where = place[names[i], k]
                    line = line (k == 1 ? ": " : "; ") where (where ? ": " : "") text[names[i], where]
                }
                print "- " line
            }
        }' plots/paper.csv
    echo
}

# Windows left out, ours and the publication's beside it.
masks() { # matrix
    name=$(basename "$1" .toml)
    echo "| window | n | masked accuracy, % | paper | images, % | paper | windows, % | paper |"
    echo "|:-------|--:|-------------------:|------:|----------:|------:|-----------:|------:|"
    for window in 0x0 $(directive "$1" masks); do
        file=$work/$name/$window.shares
        [ "$window" != 0x0 ] || file=$work/$name/$(directive "$1" masks | cut -d " " -f 1).shares
        [ -s "$file" ] || continue
        awk -F, -v window="$window" -v table="$(directive "$1" paper | cut -d " " -f 1)" '
            function tenth(x) { return sprintf("%.1f", int(10 * x + 0.500001) / 10) } # halves up, as the tables
            FILENAME == "plots/paper.csv" { if ($1 == table && $7 == "window=" window) paper[$8] = $9; next }
            FNR > 1 { share[$1] = $5 / $6; lo[$1] = $3; hi[$1] = $4 }
            $1 == "clean" {
                n = $6
                if (window == "0x0") { share["masked"] = $5 / n; share["wrong"] = 1 - $5 / n; lo["wrong"] = 100 - $4; hi["wrong"] = 100 - $3; nextfile }
            }
            END {
                printf "| %s | %d | %s | %s | %.1f (%.1f-%.1f) | %s | %.2f | %s |\n", window, n, tenth(100 * share["masked"]), paper["masked_accuracy"],
                    100 * share["wrong"], lo["wrong"], hi["wrong"], paper["images_with_wrong_masked_prediction"], 100 * share["changed"],
                    paper["wrong_windows_per_image"]
            }' plots/paper.csv "$file"
    done
    echo
}

# The data of figure `time` as a table.
timing() { # matrix
    patchgauge plot time "$1" --rows weights -o "$work/$(basename "$1" .toml)" 2>/dev/null || return 0
    echo "| network | measured on | images | reading, ms | network, ms | certificates, ms |"
    echo "|:--------|:------------|-------:|------------:|------------:|-----------------:|"
    awk -F'\t' 'BEGIN { RS = "\n\n\n" } NR == 2 { n = split($0, line, "\n"); for (i = 1; i <= n; i++) { split(line[i], f, "\t"); name[f[1]] = f[2]; note[f[1]] = f[3] } }
        NR == 3 { n = split($0, line, "\n"); for (i = 1; i <= n; i++) { split(line[i], f, "\t"); if (f[1] != "") printf "| %s | %s | %d | %.3f | %.2f | %.3f |\n", name[f[1]], note[f[1]], f[5], f[2], f[3], f[4] } }' \
        "$work/$(basename "$1" .toml)/time.tsv"
    echo
}

plots() { # matrix
    directive "$1" plot | while read -r figure options; do
        name=$(basename "$1" .toml)
        # shellcheck disable=SC2086 # the options are several words
        patchgauge plot "$figure" "$1" $options -o "$work/$name" >/dev/null 2>&1 || { echo "$1: no figure $figure" >&2; continue; }
        cp "$work/$name/$figure.svg" "experiments/figures/$name-$figure.svg"
        echo "![$figure of $name](figures/$name-$figure.svg)"
        echo
    done
}

histograms() {
    for drawn in "$locals"/*/*-lavan/local-logits.svg; do
        name=$(basename "$(dirname "$drawn")" -lavan)
        cp "$drawn" "experiments/figures/local-logits-$name.svg"
        echo "![largest local logits of $name, clean and under LaVAN](figures/local-logits-$name.svg)"
        echo
    done
}

tables() { # matrix
    directive "$1" table | while read -r options; do
        echo "\`patchgauge table $1 $options\`"
        echo
        # shellcheck disable=SC2086 # the options are several words
        patchgauge table "$1" -f md $options | sed '/^\*\*/,/^$/d'
        echo
    done
}

# What a matrix asks for, as far as it is not in the database; nothing where all is there.
lacking() { # matrix
    if [ -n "$(directive "$1" script)" ]; then
        [ "$(cat "$locals/$(basename "$1" .toml)/cells" 2>/dev/null)" = "$(cells_hash "$1")" ] || echo "what its script leaves"
    elif [ -n "$(directive "$1" masks)" ]; then
        for window in $(directive "$1" masks); do [ -s "$work/$(basename "$1" .toml)/$window.shares" ] || echo "$window"; done
    elif [ -n "$(directive "$1" histograms)" ]; then
        ls "$locals"/*/*-lavan/local-logits.svg >/dev/null 2>&1 || echo "attacked images"
    elif [ -n "$(directive "$1" table)$(directive "$1" time)" ] && ! cells_done "$1"; then
        echo cells
    elif [ -n "$(directive "$1" audit)" ]; then
        for weights in $(weights_of "$1"); do ! audit_missing "$1" "$weights" || echo "the audit of $weights"; done
    elif [ -n "$(directive "$1" table)" ]; then # published certificates stand beside what audits left of them
        patchgauge table "$1" --metrics certified_published,published_audited -f json 2>/dev/null | jq -r '
            def count($metric): [.rows[] | select(.metric == $metric)] | length;
            if count("certified_published") == count("published_audited") then empty else "audits of published certificates" end'
    fi
}

# A section under its heading: written anew, or as it stands in the page.
section() { # heading, cells, what is lacking, command...
    heading=$1 mark="<!-- cells $2 -->" lacking=$3
    shift 3
    printf '%s\n%s\n\n' "$heading" "$mark"
    if [ -z "$lacking" ]; then
        "$@"
    elif grep -qxF -- "$mark" "$work/before.md" && awk -v heading="$heading" -v mark="$mark" '
            $0 == heading { here = 1; next }
            here && /^###? / { exit }
            here == 1 { if ($0 != mark) exit; here = 2; found = 1; next }
            here { print }
            END { exit !found }' "$work/before.md"; then
        echo "$heading: as it stands; the database lacks" $lacking | sed 's/^#* //' >&2
    else
        echo "Not run yet with these networks and settings."
        echo
    fi
}

body() { # matrix
    text_of "$1"
    echo
    tables "$1"
    [ -z "$(directive "$1" script)" ] ||
        sh "$(directive "$1" script)" "$program" "$locals/$(basename "$1" .toml)" "$1" && echo
    [ -z "$(directive "$1" masks)" ] || masks "$1"
    [ -z "$(directive "$1" time)" ] || timing "$1"
    [ -z "$(directive "$1" histograms)" ] || histograms
    plots "$1"
    # shellcheck disable=SC2046 # table and data set
    [ -z "$(directive "$1" paper)" ] || [ -n "$(directive "$1" masks)" ] || paper $(directive "$1" paper)
    audit "$1"
}

sections() { # matrices
    for matrix; do
        [ -n "$(obstacle "$matrix")" ] ||
            section "### $(basename "$matrix" .toml)" "$(cells_hash "$matrix")" "$(lacking "$matrix")" body "$matrix"
    done
}

audit() { # matrix
    [ -n "$(directive "$1" audit)" ] || return 0
    # a broken certificate or a refused image that nothing breaks ends with another code than 0, and has to be seen
    # shellcheck disable=SC2046 # several options
    patchgauge audit "$1" $(audit_images "$1") --stored -f md >"$work/audit.md" 2>/dev/null || true
    [ -s "$work/audit.md" ] || return 0
    echo "\`patchgauge audit $1 $(audit_images "$1" | sed 's/$/ /')--stored\`"
    echo
    cat "$work/audit.md"
    echo
}

# The best certificate with a proof for each patch on CIFAR-10, beside the publication's; `patchgauge best` chooses it.
best() {
    cat <<'END'
The best certificate with a proof, for each patch on CIFAR-10: the row under "Audits" that certifies most of the validation images, and what it
does on test images, beside the best of the publication. Validation images are the last 5,000 training images; where a row for that patch has
only the first of them, all rows are compared on those.

| patch, px | certified, % | clean, % | by | n | certified in validation, % | of | publication, its own without a proof | publication, of others | its later revision |
|----------:|-------------:|---------:|:---|--:|---------------------------:|---:|-------------------------------------:|-----------------------:|-------------------:|
END
    set --
    for matrix in experiments/audits/*.toml; do
        images=$(directive "$matrix" validation)
        if chosen "$matrix" && [ -z "$(obstacle "$matrix")" ]; then set -- "$@" "$matrix" --by "dataset=cifar10:val${images:+ images=$images}"; fi
    done
    patchgauge best "$@" --rows weights,defense -f json 2>/dev/null | jq -r '
        def one: 10 * . | round | "\(. / 10 | floor).\(. % 10)";
        .rows[] | [.patch, .row, (.value, .lo, .hi | one), .n, (.clean, .by | one), .of] | @tsv' | awk '
        FILENAME == "plots/paper.csv" {
            patch = $6 == "0.4%" ? 2 : $6 == "2.4%" ? 5 : 8
            kind = $1 == "revision" ? "later" : $8
            if ($2 == "cifar10" && $8 ~ /^certified/ && $9 > paper[kind, patch]) paper[kind, patch] = $9
            next
        }
        {
            printf "| %s | %s (%s-%s) | %s | %s | %s | %s | %s | %s | %s | %s |\n", $1, $3, $4, $5, $7, $2, $6, $8, $9,
                paper["certified_published", $1], paper["certified", $1], paper["later", $1]
        }' FS=, plots/paper.csv FS='\t' -
    echo
    locality_notes
}
# What the tables of these matrices note of locality, once each.
locality_notes() {
    for matrix in experiments/audits/*.toml; do
        chosen "$matrix" || continue
        patchgauge table "$matrix" --rows weights,defense --metrics clean,certified -f md 2>/dev/null |
            awk '/^- /{ here = /^- locality/ } here && /^(- |  )/' || true
    done | awk '/^- / { known = seen[$0]++ } !known { print; any = 1 } END { if (any) print "" }'
}
best_lacking() {
    for matrix in experiments/audits/*.toml; do
        # shellcheck disable=SC2046 # several options
        ! chosen "$matrix" || [ -n "$(obstacle "$matrix")" ] ||
            { cells_done "$matrix" && cells_done "$matrix" $(validation "$matrix") && { [ -z "$(common)" ] || cells_done "$matrix" $(common); }; } ||
            echo "cells of $matrix"
    done
}

missing() {
    echo "| matrix | what is missing |"
    echo "|:-------|:----------------|"
    for matrix in $(in_order paper) $(in_order pretrained) $(in_order ablations) $(in_order audits); do
        [ -z "$(obstacle "$matrix")" ] || echo "| $(basename "$matrix" .toml) | $(obstacle "$matrix" |
            sed "s/unknown data set '\([^']*\)'[^;]*/images of \1/g; s/imagenette is not in [^;]*/images of imagenette/g; s/models.[a-z]*.\([^;]*\).safetensors: No such file[^;]*/network \1/g") |"
    done
    echo
}

write() {
    mkdir -p experiments/figures
    cp "$out" "$work/before.md" 2>/dev/null || : >"$work/before.md"
    cat <<'END'
# Results

Written by `make paper` from the database of the runs; models/ZOO.md says how the networks were trained. Shares are in percent of the images,
with 95% Wilson intervals; "paper" is the publication's number (PatchGuard, Xiang et al. 2021) where it is of the same thing, "difference"
ours less theirs.

What is different from the publication wherever it is compared:

- Networks are small and trained from scratch on CIFAR-10 at 32 px; the publication's BagNets and ResNet-50 start from ImageNet and see
  images enlarged to 192 px, where a patch is put on after the enlargement. De-randomized smoothing is the same network at the same size,
  trained on for masking in the end.
- Robust masking stands three ways. *Published* is the publication's certificate (its Algorithm 2), which is no proof. *Published, audited*
  is what is left of it when every such image is attacked by changing features, as an adversary who knows the rule would. *Certified*,
  of scope per-class, is a proof: what may be called certified accuracy.
- Certificates on CIFAR-10 are of all 10,000 test images, but for those that stand beside an attack: attacks take seconds an image and run on
  fewer. n stands in each table.

How rows were chosen: "In short" takes for each patch the row that certifies most validation images, and reads test images only then. One network
saw test images before that: the one behind PatchCleanser was trained in four stages, after each of which its certificates on the first 1,000
test images were read before the next was planned. Its numbers on them may be a little too good for that reason.

END
    audits=$(for matrix in experiments/audits/*.toml; do ! chosen "$matrix" || [ -n "$(obstacle "$matrix")" ] || echo "$matrix"; done)
    # shellcheck disable=SC2046,SC2086 # several files
    {
        section "## In short" "$(cells_hash $audits)" "$(best_lacking)" best
        echo "## The publication's tables and figures"
        echo
        sections $(in_order paper)
        echo "## Pretrained networks"
        echo
        echo "Networks that others trained, and what was fine-tuned from them; \`models/public.sh\` imports the former, \`experiments/unseen.sh\` makes"
        echo "the data set \`imagenette-unseen\`, whose test images ImageNet's networks have not seen. Where all of \`imagenette:val\` stands, its images"
        echo "were seen in pretraining."
        echo
        sections $(in_order pretrained)
        echo "## Ablations"
        echo
        echo "The grid of the evidence, 2^-20, is no axis: the integers on it are the classifier."
        echo
        sections $(in_order ablations)
        echo "## Audits"
        echo
        sections $(in_order audits)
    }
    echo "## Not run here"
    echo
    echo "These files run as they are where their networks and images are there."
    echo "Networks for 224 px are imported (\`patchgauge model import\`) or trained on a GPU (\`patchgauge model train bagnet17 --dataset imagenette:train\`);"
    echo "\`patchgauge data fetch imagenette --resize 224\` brings ImageNette, \`patchgauge data import imagenet DIR\` ImageNet. Interval bound propagation (table V) is not built."
    echo
    missing
}

case $command in
run)
    # shellcheck disable=SC2046 # several files
    if [ $# -gt 3 ]; then shift 3; else set -- $(in_order audits) $(in_order paper) $(in_order pretrained) $(in_order ablations); fi
    for matrix; do run "$matrix"; done
    ;;
write)
    if ! patchgauge plan experiments/audits/ds.toml >/dev/null 2>"$work/problem"; then
        sed 's/^/paper.sh: /' "$work/problem" >&2
        echo "paper.sh: nothing was written" >&2
        exit 2
    fi
    write >"$work/results.md"
    cat -s "$work/results.md" >"$out"
    for figure in experiments/figures/*.svg; do grep -qF "(${figure#experiments/})" "$out" || rm -f "$figure"; done
    echo "results: $out"
    ;;
*) echo "paper.sh: $command: right would be run or write" >&2 && exit 2 ;;
esac

#!/bin/sh
# demo.sh PROGRAM: runs experiments/demo.toml and leaves database, table and figure in build/demo. Run again, it finds every
# task done and prints the same.
set -eu
[ $# = 1 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
program=$1
out=build/demo
matrix=experiments/demo.toml
mkdir -p "$out"
"$program" --db "$out/demo.db" --cache "$out/cache" run "$matrix"
"$program" --db "$out/demo.db" table "$matrix" >"$out/table.txt"
"$program" --db "$out/demo.db" --quiet plot accuracy "$matrix" -o "$out"
echo
cat "$out/table.txt"
echo
echo "figure: $out/accuracy.svg, $out/accuracy.png; data $out/accuracy.tsv; table $out/table.txt; database $out/demo.db"

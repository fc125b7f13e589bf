#!/bin/sh
# format.sh check|write: compares every C and C++ file with what clang-format makes of it by the tree's .clang-format, or rewrites
# the files. Other versions of clang-format write some lines otherwise, so only version 14 (Debian 12) counts: with another one,
# `check` skips and `write` fails. Prints the files that differ, and a last line like that of run.sh. Exit code 1 where files differ.
set -u
version=14
[ $# = 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
program=$(command -v clang-format-$version || command -v clang-format || echo none)
if ! "$program" --version 2>/dev/null | grep -q "version $version\."; then
    echo "format: clang-format $version is not there, $program is of another version"
    [ "$1" = check ] || exit 1
    echo "skipped format: as_clang_format_writes_it"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
files=$(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' '*.cc' '*.cpp')
# shellcheck disable=SC2086 # lists; no name in the tree has a space
case $1 in
write) exec "$program" -i $files ;;
check) ;;
*) exec "$0" ;;
esac
# shellcheck disable=SC2086
differing=$("$program" --dry-run $files 2>&1 | sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: warning:.*/\1/p' | sort -u)
if [ -n "$differing" ]; then
    echo "$differing" | sed 's/^/format: /; s/$/ differs: make format rewrites it/'
    echo "FAILED  format: as_clang_format_writes_it"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
echo "ok      format: as_clang_format_writes_it"
echo "1 passed, 0 failed, 0 skipped"

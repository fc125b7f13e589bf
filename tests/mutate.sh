#!/bin/sh
# mutate.sh [FILE...]: changes defenses/*.c in one place at a time (tests/mutate.awk says how), and runs tests on each change until one
# fails; what survives them runs some of them again under the sanitizers. Prints what survives and, last, killed / total.
#
# A change that does not compile, or compiles to the same code, is no mutant. A survivor has to be explained in tests/mutate-survivors;
# exit code 1 if one is not, or if something explained does not survive. Uses one core, and its own copy of what it builds.
#
# defenses/surrogate.c is left out unless it is named: every mutant would load libtorch anew, and no certificate and no prediction
# reads it: it only leads attacks, which the deployed rule evaluates. The hooks of rules that call it are mutated.
set -eu
work=${MUTATE_FOLDER:-build/mutate}
cc=${CC:-gcc}
flags="-std=c17 -Werror=uninitialized -ffp-contract=off -pthread -D_GNU_SOURCE -DPG_PLAIN -I$work/include -I."
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
libraries="-lcmocka -ljansson -lcrypto -lzip -lm -ldl"
tests="windows rules defenses certifier vectors evidence bruteforce worst surrogate patchcleanser double_masking votes"
PATCHGAUGE_TORCH=${PATCHGAUGE_TORCH:-$PWD/build/patchgauge-torch.so}
export PATCHGAUGE_TORCH
left_out=defenses/surrogate.c
files=${*:-$(ls defenses/*.c defenses/sums_lanes.h | grep -vxF "$left_out")}
[ $# -eq 0 ] || left_out=
rm -rf "$work/include"
mkdir -p "$work/include/defenses" "$work/fast" "$work/safe"

# Which tests look at a file most closely: they go first. Under the sanitizers the slow ones are left out.
order() { # file, fast|safe
    case $1 in
    */evidence.c) echo evidence rules defenses certifier ;;
    */certifier.c | */invariance.c) echo certifier votes ;;
    */votes.c) echo votes; return ;;
    */patchcleanser.c) echo patchcleanser; return ;;
    */agreement.c) echo patchcleanser double_masking rules; return ;;
    */double_masking.c) echo double_masking rules defenses ;;
    */defense.c) echo defenses ;;
    */surrogate.c) [ "$2" = safe ] || echo surrogate; return ;; # the tensor API is no matter of sanitizers
    */worst.c | */mask_worst.c) echo worst; return ;;
    */masks.c | */order.c | */sums.c | */sums_lanes.h | */windows.c) echo windows rules defenses certifier ;;
    *) echo defenses rules certifier windows ;;
    esac
    [ "$2" = safe ] || echo vectors bruteforce worst surrogate
}

# One program: the main of each test under another name, called in the order of the arguments until one fails.
write_driver() {
    ids=$(grep -hoE '^PG_DEFENSE\([a-z0-9_]+\)' defenses/*.c | sed -E 's/.*\((.*)\)/\1/' | LC_ALL=C sort)
    echo '#include "defenses/defense.h"'
    echo '#include <string.h>'
    echo '#include <unistd.h>'
    echo 'void _fail(const char *file, int line) { (void)file, (void)line, _exit(1); } /* instead of cmocka'"'"'s: no second test */'
    for id in $ids; do echo "extern const pg_defense pg_defense_$id;"; done
    echo 'const size_t pg_defenses_max = 0;'
    echo 'const pg_defense *pg_defenses[] = {'
    for id in $ids; do echo "&pg_defense_$id,"; done
    echo 'NULL};'
    for t in $tests; do echo "int main_$t(void);"; done
    echo 'int main(int argc, char **argv) { for (int i = 1; i < argc; i++) {'
    for t in $tests; do echo "if (strcmp(argv[i], \"$t\") == 0 && main_$t()) return 1;"; done
    echo '} return 0; }'
}

# Everything but the file that is changed, once plain and once under the sanitizers.
build() { # folder, flags
    $cc $flags $2 -c -o "$work/$1/driver.o" "$work/driver.c"
    for t in $tests; do $cc $flags $2 -Dmain="main_$t" -c -o "$work/$1/test_$t.o" tests/*/"test_$t.c"; done
    rm -rf "$work/$1/library" "$work/$1/library.a"
    mkdir "$work/$1/library"
    for source in harness/base/*.c models/torch/*.c defenses/*.c; do
        $cc $flags $2 -c -o "$work/$1/library/$(echo "$source" | tr / -).o" "$source"
    done
    ar rcs "$work/$1/library.a" "$work/$1/library"/*.o
}

# The assembly tells whether a change is one; the mutant stands under the same name as the original did.
compile() { # source, assembly, flags
    $cc $flags $3 -S -o "$2" "$1" 2>/dev/null
}

passes() { # folder, assembly, flags, tests...
    folder=$work/$1 assembly=$2 extra=$3
    shift 3
    if ! $cc -pthread $extra -o "$folder/tests" "$folder"/*.o "$assembly" "$folder/library.a" $libraries 2>"$work/link.log"; then
        cat "$work/link.log" >&2
        exit 4
    fi
    # a limit of memory, but for the sanitizers, which reserve much
    (if [ -z "$extra" ]; then ulimit -v 8000000; fi; ulimit -S -t 120; exec timeout 1200 "$folder/tests" "$@") >/dev/null 2>&1
}

# The mutant is in place. One that is explained is not run under the sanitizers: it is known to survive what comes before them.
survives() { # file, source, text
    passes fast "$work/mutant.s" "" $(order "$1" fast) || return 1
    ! grep -qxF -e "$3" tests/mutate-survivors || return 0
    compile "$2" "$work/safe.s" "-O1 -g1 $sanitize"
    passes safe "$work/safe.s" "$sanitize" $(order "$1" safe)
}

write_driver >"$work/driver.c"
build fast -O1
build safe "-O1 -g1 $sanitize"
total=0 killed=0 same=0 broken=0 unexplained=0
: >"$work/survivors"
for file in $files; do
    # A header is mutated in a folder that is searched first, and compiled by way of the file that includes it.
    case $file in
    *.h) copy=$work/include/$file source=defenses/sums.c ;;
    *) copy=$work/mutant.c source=$work/mutant.c ;;
    esac
    rm -f "$work/include/defenses/"*
    cp "$file" "$work/original"
    cp "$file" "$copy"
    compile "$source" "$work/mutant.s" -O1 || { echo "mutate: $file does not compile" >&2; exit 2; }
    survives "$file" "$source" "" || { echo "mutate: the tests fail without any change ($file)" >&2; exit 2; }
    mv "$work/mutant.s" "$work/original.s"
    awk -v list=1 -f tests/mutate.awk "$work/original" >"$work/list"
    file_killed=0 file_total=0
    while read -r line column len with <&3; do
        awk -v line="$line" -v column="$column" -v len="$len" -v with="$with" -f tests/mutate.awk "$work/original" >"$copy"
        text="$file: $(sed -n "${line}s/^[ \t]*//p" "$copy")"
        if ! compile "$source" "$work/mutant.s" -O1; then
            broken=$((broken + 1))
        elif cmp -s "$work/mutant.s" "$work/original.s"; then
            same=$((same + 1))
        elif file_total=$((file_total + 1)) && ! survives "$file" "$source" "$text"; then
            file_killed=$((file_killed + 1))
        else
            echo "$text" >>"$work/survivors"
            if grep -qxF -e "$text" tests/mutate-survivors; then
                echo "explained  $file:$line:$column ${text#*: }"
            else
                echo "SURVIVES   $file:$line:$column ${text#*: }"
                unexplained=$((unexplained + 1))
            fi
        fi
    done 3<"$work/list"
    total=$((total + file_total)) killed=$((killed + file_killed))
    echo "$file: $file_killed / $file_total killed"
done

# An explanation of what does not survive would hide the next one that reads the same.
stale=0
if [ $# -eq 0 ]; then
    grep '^defenses/' tests/mutate-survivors >"$work/explained" || true
    while IFS= read -r text; do
        grep -qxF -e "$text" "$work/survivors" || {
            echo "STALE      $text"
            stale=$((stale + 1))
        }
    done <"$work/explained"
fi
echo "$broken changes do not compile, $same compile to the same code"
echo "$unexplained survivors without an explanation, $stale explanations without a survivor"
echo "$killed / $total mutants killed${left_out:+, $left_out left out}"
[ "$unexplained" -eq 0 ] && [ "$stale" -eq 0 ]

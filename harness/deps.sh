#!/bin/sh
# deps.sh GROUP...: makes sure that what patchgauge needs to build (`build`), to test (`test`, `fault`, `valgrind`, `arm64`, `slurm`,
# `browser`), to fuzz (`fuzz`), to format (`format`), to write the pages of results (`results`) or to unpack the development data
# (`data`) is there, by the names of packages in Debian 12 and 13.
# deps.sh --list GROUP...: prints the packages, one a line.
#
# Something is there when its package is installed or when a probe finds it (a command, a header that compiles), so that this also
# passes where apt does not exist. What is missing is installed with apt-get, through sudo when not root. Needs no compiler.
# LIBTORCH=DIR in the environment stands for libtorch-dev.
set -eu

# group, package, probe (command | header for C | c++ header | font | module of Python)
table='
build gcc                     command gcc
build g++                     command g++
build libc6-dev               c       stdio.h
build libtorch-dev            c++     ATen/ATen.h
build libopenblas-dev         openblas -
build libsqlite3-dev          c       sqlite3.h
build libtomlplusplus-dev     c++     toml++/toml.h
build libjansson-dev          c       jansson.h
build libssl-dev              c       openssl/evp.h
build libcurl4-openssl-dev    c       curl/curl.h
build libarchive-dev          c       archive.h
build libjpeg62-turbo-dev     c       jpeglib.h
build libpng-dev              c       png.h
build zlib1g-dev              c       zlib.h
build libzip-dev              c       zip.h
build librandom123-dev        c       Random123/philox.h
build uthash-dev              c       uthash.h
build libfontconfig-dev       c       fontconfig/fontconfig.h
build gnuplot-nox             command gnuplot
build fonts-dejavu-core       font    DejaVuSans.ttf
test  libcmocka-dev           cmocka  cmocka.h
test  python3-pil             python  PIL
test  python3-torch           python  torch
test  python3-pandas          python  pandas
test  sqlite3                 command sqlite3
test  jq                      command jq
arm64 gcc-aarch64-linux-gnu   command aarch64-linux-gnu-gcc
arm64 g++-aarch64-linux-gnu   command aarch64-linux-gnu-g++
arm64 qemu-user-static        command qemu-aarch64-static
fault strace                  command strace
fault locales                 locale  de_DE
fault util-linux              command setpriv
fuzz  clang                   command clang
format clang-format           command clang-format
fuzz  libclang-rt-dev         libfuzzer -
valgrind valgrind             command valgrind
slurm slurmctld               command slurmctld
slurm slurmd                  command slurmd
slurm slurm-client            command sbatch
browser chromium        command chromium
browser chromium-driver command chromedriver
browser curl            command curl
data  libjxl-tools            command djxl
data  zstd                    command zstd
data  python3                 command python3
results jq                    command jq
'

installed() { # package
    command -v dpkg-query >/dev/null 2>&1 &&
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

compiles() { # language, compiler with its arguments, header
    printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\n' "$3" |
        $2 ${CPPFLAGS:-} -E -x "$1" - >/dev/null 2>&1
}

# OpenBLAS itself: other libraries have a cblas.h as well.
links_openblas() {
    object=$(mktemp)
    printf 'char *openblas_get_config(void); int main(void) { return !openblas_get_config(); }\n' |
        ${CC:-gcc} -x c - -o "$object" ${LDFLAGS:-} -lopenblas >/dev/null 2>&1 && linked=0 || linked=1
    rm -f "$object"
    return $linked
}

probe() { # kind, what
    case $1 in
    command) command -v "$2" >/dev/null 2>&1 ;;
    c | cmocka) compiles c "${CC:-gcc}" "$2" ;;
    c++) compiles c++ "${CXX:-g++}" "$2" ;;
    python) python3 -c "import $2" >/dev/null 2>&1 || /usr/bin/python3 -c "import $2" >/dev/null 2>&1 ;;
    openblas) links_openblas ;;
    libfuzzer) [ -f "$(clang -print-file-name=libclang_rt.fuzzer-x86_64.a 2>/dev/null)" ] ;;
    locale) [ -f "/usr/share/i18n/locales/$2" ] ;;
    font) find /usr/share/fonts /usr/local/share/fonts "${HOME:-/}/.fonts" -name "$2" 2>/dev/null | grep -q . ;;
    esac
}

[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
list=''
[ "$1" != --list ] || { list=1; shift; }
found='' missing=''
for group in "$@"; do
    rows=$(echo "$table" | awk -v g="$group" '$1 == g { print $2 " " $3 " " $4 }')
    [ -n "$rows" ] || { echo "deps.sh: unknown group '$group' (build, test, valgrind, arm64, slurm, browser, fault, fuzz, results or data)" >&2; exit 2; }
    while read -r package kind what; do
        if [ -n "$list" ]; then
            echo "$package"
        elif [ "$package" = libtorch-dev ] && [ -n "${LIBTORCH:-}" ]; then
            found="$found libtorch($LIBTORCH)"
        elif installed "$package" || probe "$kind" "$what"; then
            found="$found $package"
        else
            missing="$missing $package"
        fi
    done <<EOF
$rows
EOF
done

[ -z "$found" ] || echo "deps: found:$found"
[ -n "$missing" ] || exit 0
echo "deps: missing:$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: no apt-get here: install what these Debian packages hold, then run this again:$missing" >&2
    exit 1
fi
root=''
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
        { echo "deps: neither root nor sudo: run as root: apt-get install --no-install-recommends$missing" >&2; exit 1; }
    root='sudo'
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { # command...: its output is shown only when it fails
    "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "deps: failed: $*" >&2; exit 1; }
}
echo "deps: apt-get update"
quietly $root apt-get -q update
echo "deps: apt-get install --no-install-recommends$missing"
# shellcheck disable=SC2086 # $missing is a list
quietly $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing

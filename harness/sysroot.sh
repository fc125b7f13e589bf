#!/bin/sh
# sysroot.sh ARCHITECTURE FOLDER: unpacks the libraries that patchgauge and its tests link (those of deps.sh but libtorch and BLAS),
# as Debian has them for another architecture, with all they depend on, into FOLDER: for `make test-arm64`.
#
# apt-get keeps its lists in the folder as well, so that nothing changes on this machine, and needs no root. A folder that has
# them all is left as it is; remove it to get newer packages.
set -eu
[ $# = 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
architecture=$1
mkdir -p "$2"
root=$(cd "$2" && pwd)
packages=$(sh harness/deps.sh --list build test | grep -e '-dev$' | grep -vE '^lib(torch|openblas)-dev$')
[ "$packages" != "$(cat "$root/.complete" 2>/dev/null)" ] || exit 0
state=$root/apt
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"

apt() {
    apt-get -q=2 -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User= \
        -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state/cache" "$@" >"$state/log" 2>&1 ||
        { tail -n 20 "$state/log" >&2; echo "sysroot: failed: apt-get $1 for $architecture" >&2; exit 1; }
}

echo "sysroot: $architecture:" $packages
apt update
# shellcheck disable=SC2086 # a list
apt --download-only --yes --no-install-recommends install $packages
for package in "$state"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
done
rm -r "$state"
echo "$packages" >"$root/.complete"

#!/bin/sh
# deb.sh BUILD: a Debian package of what `make install` installs, BUILD/patchgauge_VERSION_ARCHITECTURE.deb. Needs dpkg-deb; with
# dpkg-shlibdeps (package dpkg-dev) the package names exactly the libraries that the binaries are linked with.
set -eu
[ $# = 1 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
build=$1
command -v dpkg-deb >/dev/null || { echo "deb: dpkg-deb is not there: a package can be made on Debian and its kin" >&2; exit 2; }
version=$(sed -n 's/^#define PG_VERSION "\(.*\)"/\1/p' harness/base/version.h)
architecture=$(dpkg --print-architecture)
root=$build/deb
package=$build/patchgauge_${version}_$architecture.deb
rm -rf "$root"
make -s install DESTDIR="$root" PREFIX=/usr
strip --strip-unneeded "$root/usr/bin/patchgauge" "$root/usr/lib/patchgauge/patchgauge-torch.so"
gzip -9n "$root/usr/share/man/man1/patchgauge.1"
rm "$root/usr/share/doc/patchgauge/LICENSE"
{
    echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
    echo "Upstream-Name: patchgauge"
    echo
    echo "Files: *"
    echo "Copyright: $(sed -n 's/^Copyright (c) //p' LICENSE)"
    echo "License: Expat"
    sed '1,4d; s/^$/./; s/^/ /' LICENSE
} >"$root/usr/share/doc/patchgauge/copyright"

# The packages of the libraries that program and shim name, as they are called on this Debian; with the least versions where
# dpkg-shlibdeps is there to tell.
owners() {
    for file in "$root/usr/bin/patchgauge" "$root/usr/lib/patchgauge/patchgauge-torch.so"; do
        LC_ALL=C ldd "$file" | awk -v named=" $(LC_ALL=C objdump -p "$file" | awk '$1 == "NEEDED" { printf "%s ", $2 }')" \
            'index(named, " " $1 " ") && $3 ~ /^\// { print $3 }'
    done | sort -u | while read -r library; do
        library=$(realpath "$library") # dpkg knows files of /usr/lib by either name
        dpkg-query -S "$library" 2>/dev/null || dpkg-query -S "${library#/usr}" 2>/dev/null
    done | sed 's/[:,].*//' | sort -u | paste -sd, | sed 's/,/, /g'
}
depends=$(owners)
if command -v dpkg-shlibdeps >/dev/null; then
    mkdir -p "$build/deb-control/debian"
    : >"$build/deb-control/debian/control"
    found=$(cd "$build/deb-control" && dpkg-shlibdeps -O --ignore-missing-info ../deb/usr/bin/patchgauge \
        ../deb/usr/lib/patchgauge/patchgauge-torch.so 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
    rm -r "$build/deb-control"
    depends=${found:-$depends}
fi
depends="$depends, libopenblas0-pthread"
mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<EOF
Package: patchgauge
Version: $version
Architecture: $architecture
Maintainer: patchgauge authors <patchgauge@example.org>
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: $depends
Recommends: gnuplot-nox, fonts-dejavu-core
Suggests: slurm-client
Section: science
Priority: optional
Description: how well image classifiers stand up to adversarial patches
 Measures defenses against adversarial patches on the same terms: clean
 accuracy, accuracy under attack, and certified accuracy with a certifier for
 each defense; keeps every run in SQLite and makes tables and figures.
EOF
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "$package: $(du -k "$package" | cut -f1) kB"

#!/bin/sh
# bundle.sh BUILD: copies the program, the libtorch shim with its sources and every shared library that they need and that is not
# glibc's from BUILD into BUILD/bundle. The folder runs on another x86-64 Linux machine with a glibc as new as this one's, where
# none of the packages is installed: program and shim look for libraries in lib/ beside them (their run path is $ORIGIN/lib).
set -eu
[ $# = 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
build=$1
out=$build/bundle
rm -rf "$out"
mkdir -p "$out/lib" "$out/shim"
cp "$build/patchgauge" "$build/patchgauge-torch.so" LICENSE "$out/"

# What glibc's packages provide is the other machine's own.
glibc='^(linux-vdso|ld-linux.*|libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil|libanl|libnss_.*|libBrokenLocale|libthread_db)\.so'
for binary in "$out/patchgauge" "$out/patchgauge-torch.so"; do
    missing=$(LC_ALL=C ldd "$binary" | awk '/not found/ { print $1 }')
    [ -z "$missing" ] || { echo "bundle: $binary needs libraries that are not here: $missing" >&2; exit 1; }
    LC_ALL=C ldd "$binary" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }'
done | sort -u | grep -vE "$glibc" | while read -r name path; do
    cp -L "$path" "$out/lib/$name"
done

# The shim's sources, to build it against another libtorch (2.x, CUDA) there.
for source in models/torch/*.cpp; do
    object=$build/o/${source%.cpp}
    for file in $(tr -d '\\\n' <"$object.d" | sed 's/^[^:]*: *//; s/:.*//'); do
        case $file in /*) ;; *) cp --parents "$file" "$out/shim/" 2>/dev/null || true ;; esac
    done
done
cat >"$out/shim/Makefile" <<'EOF'
# Builds the shim against another libtorch: make LIBTORCH=DIR; then PATCHGAUGE_TORCH=$PWD/patchgauge-torch.so chooses it.
CXX ?= g++
LIBTORCH ?= $(error LIBTORCH=DIR names a folder with include/ and lib/ of libtorch)
FLAGS = -I. -std=c++17 -O2 -fPIC -fvisibility=hidden -I$(LIBTORCH)/include -I$(LIBTORCH)/include/torch/csrc/api/include \
    -D_GLIBCXX_USE_CXX11_ABI=$(shell grep -q cxx11 $(LIBTORCH)/lib/libc10.so && echo 1 || echo 0)
LIBS = -L$(LIBTORCH)/lib -Wl,-rpath,$(LIBTORCH)/lib -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10

patchgauge-torch.so: $(wildcard models/torch/*.cpp)
	$(CXX) $(FLAGS) $(TORCH_CXXFLAGS) -shared -o $@ $^ $(LIBS)
EOF
echo "$out: $(find "$out/lib" -type f | wc -l) libraries, $(du -sm "$out" | cut -f1) MB"

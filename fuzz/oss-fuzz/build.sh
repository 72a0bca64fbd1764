#!/bin/bash -eu
# What OSS-Fuzz and ClusterFuzzLite call to have the targets built: into $OUT go the programs, and
# for each its seeds (a zip), its options, its dictionary, and the libraries that the machine which
# runs them has not. The compiler, its flags and the engine come in the environment; without one,
# libFuzzer, so that it can be tried on any machine that Pollux is built on:
#
#   OUT=build/oss-fuzz CXX=clang++ CXXFLAGS='-O1 -g -fsanitize=fuzzer-no-link,address' \
#     fuzz/oss-fuzz/build.sh
cd "$(dirname "$0")"
# Docker puts this script into $SRC, and the sources below it.
[[ -f ../../CMakeLists.txt ]] && cd ../.. || cd "$SRC/pollux"
mkdir -p "$OUT/lib"
OUT=$(realpath "$OUT")
work=${WORK:-$PWD/build/oss-fuzz-work}

# The libraries that come as packages are built with libstdc++, and libc++ cannot be linked with them.
flags=${CXXFLAGS/-stdlib=libc++/}
cmake -S . -B "$work" -G Ninja -DPOLLUX_FUZZ=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_CXX_FLAGS_RELWITHDEBINFO= \
  -DCMAKE_EXE_LINKER_FLAGS='-Wl,-rpath,\$ORIGIN/lib' -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
  -DPOLLUX_FUZZ_ENGINE="${LIB_FUZZING_ENGINE:--fsanitize=fuzzer}"
cmake --build "$work" -j "${POLLUX_JOBS:-$(nproc)}"

python3 fuzz/seeds.py "$work/seeds"
for program in "$work"/*_fuzz; do
  name=$(basename "$program" _fuzz)
  cp "$program" "$OUT/"
  cp "fuzz/${name}_fuzz.options" "$OUT/"
  rm -f "$OUT/${name}_fuzz_seed_corpus.zip"
  for folder in "$work/seeds/$name" "fuzz/corpus/$name" "fuzz/regressions/$name"; do
    [[ ! -d $folder ]] || python3 -c '
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "a", zipfile.ZIP_DEFLATED) as out:
    for name in sorted(os.listdir(sys.argv[2])):
        out.write(os.path.join(sys.argv[2], name), sys.argv[3] + "-" + name)
' "$OUT/${name}_fuzz_seed_corpus.zip" "$folder" "$(basename "$(dirname "$folder")")"
  done
  # All but what comes with the C library, which is there.
  ldd "$program" | awk '$2 == "=>" && $3 ~ "^/" { print $3 }' |
    grep -Ev '/(libc|libm|libdl|librt|libpthread|libgcc_s|ld-linux[^/]*)\.so' |
    xargs -r cp -L -n -t "$OUT/lib"
done
cp fuzz/*.dict "$OUT/"

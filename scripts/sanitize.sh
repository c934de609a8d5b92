#!/usr/bin/env bash
# AddressSanitizer and UBSan over the layers that read foreign bytes: their libraries are built anew, in build-asan, and linked
# with the tests and the other layers of build/, which scripts/build.sh --tests has made.
#   scripts/sanitize.sh [LAYER...]    default: core record data checkpoint; core must be among them, the order is that of CMakeLists.txt
set -euo pipefail
cd "$(dirname "$0")/.."
layers=("$@")
[ ${#layers[@]} -gt 0 ] || layers=(core record data checkpoint)
tests=("${layers[@]/#/test_}")
python=$PWD/.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)
cmake -S . -B build-asan -G Ninja "-DEVENKEEL_SANITIZE=$(IFS=';'; echo "${layers[*]}")" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" -DPython3_EXECUTABLE="$python" >/dev/null
ninja -C build-asan --quiet "${tests[@]}"
# LibTorch keeps its registries until the end of the process, so leaks are not looked for; its own libraries and the tests
# are not built with the sanitizer, so a std::vector that crosses the border has no annotations to compare.
export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
export OMP_NUM_THREADS=1
for test in "${tests[@]}"; do
  "build-asan/$test" --gtest_brief=1 || { echo "sanitize: got a failure of $test; need the output above" >&2; exit 1; }
done
echo "sanitize: ${layers[*]} are clean"

#!/usr/bin/env bash
# AddressSanitizer and UBSan over what reads foreign bytes: readers, data sets, checkpoints, recipes, schedules.
#   scripts/sanitize.sh [TARGET...]    default: test_core test_record test_data test_optim test_model test_checkpoint
#   EVENKEEL_LAYERS="core;...;analysis" scripts/sanitize.sh test_analysis    another layer, with those below it
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(test_core test_record test_data test_optim test_model test_checkpoint)
layers=${EVENKEEL_LAYERS:-core;record;ops;data;optim;moe;model;checkpoint}
python=$PWD/.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)
cmake -S . -B build-asan -G Ninja -DEVENKEEL_SANITIZE=ON "-DEVENKEEL_LAYERS=$layers" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" -DPython3_EXECUTABLE="$python" >/dev/null
ninja -C build-asan --quiet "${targets[@]}"
# LibTorch keeps its registries until the end of the process, so leaks are not looked for; its own libraries are not
# built with the sanitizer, so a std::vector that crosses the border has no annotations to compare.
export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
export OMP_NUM_THREADS=1
for target in "${targets[@]}"; do
  "build-asan/$target" --gtest_brief=1 || { echo "sanitize: got a failure of $target; need the output above" >&2; exit 1; }
done
echo "sanitize: ${targets[*]} are clean"

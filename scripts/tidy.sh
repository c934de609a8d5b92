#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over .cpp files of src, tests apart (their copies and small sums are no faults); exit 1 when it finds
# something. About 20 s a file and core, hence no part of ./test.sh: call it before a commit.
#   scripts/tidy.sh [BASE]   those that differ from a commit, by default the last
#   scripts/tidy.sh --all    every one
# Without the build's precompiled header, which is GCC's. CLANG_TIDY names another clang-tidy.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=$(.venv/bin/python -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')
if [ "${1:-}" = --all ]; then
  mapfile -t files < <(git ls-files -co --exclude-standard -- 'src/*.cpp' | sort -u)
else
  mapfile -t files < <({ git diff --name-only "${1:-HEAD}" -- 'src/*.cpp'; git ls-files --others --exclude-standard -- 'src/*.cpp'; } | sort -u)
fi
present=()
for file in "${files[@]}"; do
  case $file in *_test.cpp) ;; *) [ ! -e "$file" ] || present+=("$file") ;; esac
done
[ ${#present[@]} -gt 0 ] || { echo "tidy: nothing changed since ${1:-the last commit}"; exit 0; }
export TIDY=${CLANG_TIDY:-clang-tidy}
export FLAGS="-std=c++20 -Isrc -Itests -isystem $torch/include -isystem $torch/include/torch/csrc/api/include -DAT_PER_OPERATOR_HEADERS -DEVENKEEL_VERSION=\"0\" -include src/pch.h"
printf '%s\0' "${present[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c '"$TIDY" --quiet --warnings-as-errors="*" "$0" -- $FLAGS 2>/dev/null || { echo "tidy: $0: got findings; need none"; exit 1; }' \
  || exit 1
echo "tidy: ${#present[@]} files are clean"

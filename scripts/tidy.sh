#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over the .cpp files of src that differ from a commit. usage: scripts/tidy.sh [BASE]
# BASE defaults to the last commit. Without the build's precompiled header, which is GCC's.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:-HEAD}
torch=$(.venv/bin/python -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')
mapfile -t files < <({ git diff --name-only "$base" -- 'src/*.cpp'; git ls-files --others --exclude-standard -- 'src/*.cpp'; } | sort -u)
[ ${#files[@]} -gt 0 ] || { echo "tidy: nothing changed since $base"; exit 0; }
for file in "${files[@]}"; do
  [ -e "$file" ] || continue
  echo "tidy: $file"
  clang-tidy --quiet "$file" -- -std=c++20 -Isrc -Itests -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" \
    -DAT_PER_OPERATOR_HEADERS -DEVENKEEL_VERSION='"0"' -DEVENKEEL_SOURCE_DIR='"."' -include src/pch.h
done

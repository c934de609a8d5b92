#!/usr/bin/env bash
# Sets up and builds build/evenkeel. `--tests` builds the unit tests too. Nothing to do takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=(evenkeel)
if [ "${1:-}" = --tests ]; then
  scripts/setup.sh --tests
  targets=(all)
else
  scripts/setup.sh
fi

python=$PWD/.venv/bin/python
package() { "$python" -c 'import importlib.util as u, sys; print(u.find_spec(sys.argv[1]).submodule_search_locations[0])' "$1"; }
torch=$(package torch) plotly=$(package plotly)/package_data/plotly.min.js
if [ ! -e build/build.ninja ] || ! grep -qsxF "LIBTORCH_ROOT:PATH=$torch" build/CMakeCache.txt || ! grep -qsxF "PLOTLY_JS:FILEPATH=$plotly" build/CMakeCache.txt; then
  echo "build: configuring" >&2
  cmake -S . -B build -G Ninja -ULIBTORCH_ROOT -U'LibTorch_*' -DPython3_EXECUTABLE="$python" -DPLOTLY_JS:FILEPATH="$plotly" >build.log 2>&1 \
    || { cat build.log >&2; echo "build: error: got a failure of cmake; need the output above" >&2; exit 4; }
  rm -f build.log
fi
if [ ! -e build/evenkeel ]; then echo "build: compiling (about 10 minutes on 2 cores from nothing)" >&2; fi
quiet=(--quiet)
if [ -t 2 ]; then quiet=() NINJA_STATUS='build: %p, %e s  '; export NINJA_STATUS; fi  # a line that counts up, on a terminal
ninja -C build "${quiet[@]}" "${targets[@]}" >&2 || { echo "build: error: got a failure of the compiler; need the output above" >&2; exit 4; }

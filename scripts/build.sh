#!/usr/bin/env bash
# Sets up and builds build/evenkeel. `--tests` builds the unit tests too. Nothing to do takes a second. Without pyarrow in .venv the binary
# reads no Parquet.
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
package() { "$python" -c 'import importlib.util as u, sys; found = u.find_spec(sys.argv[1]); print(found.submodule_search_locations[0] if found else "")' "$1"; }
torch=$(package torch) plotly=$(package plotly)/package_data/plotly.min.js arrow=$(package pyarrow)
configured=true
for entry in "LIBTORCH_ROOT:PATH=$torch" "PLOTLY_JS:FILEPATH=$plotly" "ARROW_WHEEL_ROOT:PATH=$arrow"; do
  grep -qsxF "$entry" build/CMakeCache.txt || configured=false
done
if [ ! -e build/build.ninja ] || ! $configured; then
  echo "build: configuring" >&2
  cmake -S . -B build -G Ninja -ULIBTORCH_ROOT -U'LibTorch_*' -UARROW_WHEEL_ROOT -U'ArrowWheel_*' -DPython3_EXECUTABLE="$python" -DPLOTLY_JS:FILEPATH="$plotly" >build.log 2>&1 \
    || { cat build.log >&2; echo "build: error: got a failure of cmake; need the output above" >&2; exit 4; }
  rm -f build.log
  grep -q EVENKEEL_HAS_ARROW build/build.ninja || echo "build: without Arrow (no pyarrow in .venv): evenkeel will read no Parquet" >&2
fi
if [ ! -e build/evenkeel ]; then echo "build: compiling (about 10 minutes on 2 cores from nothing)" >&2; fi
quiet=(--quiet)
if [ -t 2 ]; then quiet=() NINJA_STATUS='build: %p, %e s  '; export NINJA_STATUS; fi  # a line that counts up, on a terminal
ninja -C build "${quiet[@]}" "${targets[@]}" >&2 || { echo "build: error: got a failure of the compiler; need the output above" >&2; exit 4; }

#!/usr/bin/env bash
# The demo: sets up, builds, makes English and German text from Debian's documentation packages, trains seven
# small models on it through the shift (recipes/demo.toml), and draws runs/demo/report.html.
# Called again it resumes, or only draws the page of a finished run. --fresh starts over.
# --device cpu|cuda is passed on.
set -euo pipefail
cd "$(dirname "$0")"
fresh=false
pass=()
while [ $# -gt 0 ]; do
  case $1 in
    --fresh) fresh=true; shift ;;
    --device) [ $# -ge 2 ] || { echo "demo: error: got --device alone; need --device cpu or cuda" >&2; exit 2; }; pass+=(--device "$2"); shift 2 ;;
    -h|--help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    *) echo "demo: error: got '$1'; need --fresh, --device NAME or nothing" >&2; exit 2 ;;
  esac
done
if $fresh; then rm -rf runs/demo; fi
scripts/build.sh

scripts/demo_data.sh
build/evenkeel study recipes/demo.toml --out runs/demo --resume "${pass[@]}"
echo "demo: look at $PWD/runs/demo/report.html" >&2

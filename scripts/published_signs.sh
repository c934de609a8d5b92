#!/usr/bin/env bash
# Looks for the published signs of routing at laptop scale: the study recipes/tiny/published-signs.toml on the demo's text, then the analyses.
# usage: scripts/published_signs.sh
# Makes the demo's text where it is missing. Called again, it goes on where it was; the last thing it prints is the table of docs/findings.md.
set -euo pipefail
if [ $# -gt 0 ]; then
  sed -n '2,4s/^# //p' "$0"
  case $1 in -h | --help) exit 0 ;; esac
  echo "published_signs: error: got '$1'; need no argument" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
binary=${EVENKEEL:-build/evenkeel}
EVENKEEL=$binary scripts/demo_data.sh
"$binary" study recipes/tiny/published-signs.toml --out runs/published-signs --resume
python3 scripts/published_signs.py runs/published-signs --data runs/demo-data --binary "$binary"

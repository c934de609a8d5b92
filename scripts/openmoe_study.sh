#!/usr/bin/env bash
# OpenMoE's training and its study of routing at laptop scale: makes the data, runs recipes/tiny/openmoe.toml for three seeds, then the analyses.
# usage: scripts/openmoe_study.sh [CORPORA]
#   CORPORA: as scripts/openmoe_data.sh has it; without it text of this machine.
# Called again, it goes on where it was; the last thing it prints is the table of signs.
set -euo pipefail
if [ $# -gt 1 ] || [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  sed -n '2,5s/^# //p' "$0"
  [ $# -eq 1 ] && exit 0
  echo "openmoe_study: error: got $# arguments; need one folder or none" >&2
  exit 2
fi
corpora=()
if [ $# -eq 1 ]; then
  [ -d "$1" ] || { echo "openmoe_study: error: $1: got no folder; need one as scripts/openmoe_data.sh --help says" >&2; exit 2; }
  corpora=("$(cd "$1" && pwd)")
fi
cd "$(dirname "$0")/.."
binary=${EVENKEEL:-build/evenkeel}
EVENKEEL=$binary scripts/openmoe_data.sh "${corpora[@]}"
"$binary" study recipes/tiny/openmoe.toml --out runs/openmoe --resume
python3 scripts/openmoe_signs.py runs/openmoe --data runs/openmoe-data --binary "$binary"

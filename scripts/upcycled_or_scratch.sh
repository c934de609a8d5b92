#!/usr/bin/env bash
# Experts from a dense model or from scratch, for the same FLOPs: makes the data of the OpenMoE studies, trains the dense model and those from
# scratch (recipes/tiny/upcycled-or-scratch.toml), upcycles the dense one in three ways, trains these on (recipes/tiny/upcycled.toml), and analyses all.
# usage: scripts/upcycled_or_scratch.sh [CORPORA]
#   CORPORA: as scripts/openmoe_data.sh has it; without it text of this machine.
# Called again, it goes on where it was; the last thing it prints is the table of signs.
set -euo pipefail
if [ $# -gt 1 ] || [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  sed -n '2,6s/^# //p' "$0"
  [ $# -eq 1 ] && exit 0
  echo "upcycled_or_scratch: error: got $# arguments; need one folder or none" >&2
  exit 2
fi
corpora=()
if [ $# -eq 1 ]; then
  [ -d "$1" ] || { echo "upcycled_or_scratch: error: $1: got no folder; need one as scripts/openmoe_data.sh --help says" >&2; exit 2; }
  corpora=("$(cd "$1" && pwd)")
fi
cd "$(dirname "$0")/.."
binary=${EVENKEEL:-build/evenkeel}
study=runs/upcycled-or-scratch grown=runs/upcycled
EVENKEEL=$binary scripts/openmoe_data.sh "${corpora[@]}"
"$binary" study recipes/tiny/upcycled-or-scratch.toml --out "$study" --resume

train_on() {  # name, seed, options of upcycle; then -- and those of train
  local name=$1 seed=$2 run="$grown/$1-seed$2" upcycling=() start
  shift 2
  while [ "$1" != -- ]; do upcycling+=("$1"); shift; done
  shift
  start="$grown/starts/$name-seed$seed"
  [ -e "$start" ] || "$binary" upcycle "$study/arms/dense-seed$seed" "${upcycling[@]}" --seed "$seed" --no-probe --out "$start"
  "$binary" train recipes/tiny/upcycled.toml --set "model.from=\"$PWD/$start\"" --seed "$seed" "$@" --out "$run" --resume
}
mkdir -p "$grown/starts"
for seed in 1 2 3; do
  train_on copy "$seed" --experts 8 --top-k 2 --method copy --
  train_on drop "$seed" --experts 8 --top-k 2 --method drop --ratio 0.5 --
  train_on granular "$seed" --experts 16 --top-k 4 --method copy --granularity 2 -- --set model.n_experts=16 --set model.top_k=4 --set model.d_expert=192
done
python3 scripts/upcycled_or_scratch.py "$study" "$grown" --data runs/openmoe-data --binary "$binary"

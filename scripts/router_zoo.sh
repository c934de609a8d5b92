#!/usr/bin/env bash
# Compares all routers (recipes/tiny/router-zoo.toml): makes the data, then runs the study; its page is runs/router-zoo/report.html.
# usage: scripts/router_zoo.sh [CORPORA]
#   CORPORA holds novels-en.txt and novels-de.txt (also .gz, .xz, .zst), documents apart by blank lines; without it, the demo's
#   text (Debian's documentation packages, unpacked without installing).
# Called again with the same text, it goes on where it was.
set -euo pipefail
if [ $# -gt 1 ] || [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  sed -n '2,6s/^# //p' "$0"
  [ $# -eq 1 ] && exit 0
  echo "router_zoo: error: got $# arguments; need one folder or none" >&2
  exit 2
fi
if [ $# -eq 1 ]; then
  [ -d "$1" ] || { echo "router_zoo: error: $1: got no folder; need one with novels-en.txt and novels-de.txt" >&2; exit 2; }
  corpora=$(cd "$1" && pwd)
else
  corpora=demo
fi
cd "$(dirname "$0")/.."
data=runs/router-zoo-data
mkdir -p "$data"
if [ -e "$data/text" ] && [ "$(cat "$data/text")" != "$corpora" ]; then
  echo "router_zoo: error: $data: got data made of $(cat "$data/text"), not of $corpora; need it out of the way first: rm -r $data runs/router-zoo" >&2
  exit 2
fi
printf '%s\n' "$corpora" >"$data/text"
binary=${EVENKEEL:-build/evenkeel}

prepare() { [ -e "$data/$1.idx" ] || "$binary" prepare --tokenizer "$data/tokenizer.model" --out "$data/$1" "${@:2}"; }
if [ "$corpora" = demo ]; then
  EVENKEEL=$binary scripts/demo_data.sh
  for file in runs/demo-data/*; do ln -sf "../demo-data/${file##*/}" "$data/"; done
else
  file() { for f in "$corpora"/novels-"$1".txt "$corpora"/novels-"$1".txt.{xz,gz,zst}; do [ -e "$f" ] && echo "$f" && return; done
    echo "router_zoo: error: $corpora: got no novels-$1.txt; need it, plain or compressed" >&2; exit 2; }
  en=$(file en); de=$(file de)
  [ -e "$data/tokenizer.model" ] || "$binary" tokenizer train --kind unigram --vocab-size 4096 --max-sentences 60000 --out "$data/tokenizer.model" "$en" "$de"
  prepare en --holdout 0.01 "$en"
  prepare de --holdout 0.01 "$de"
fi
"$binary" study recipes/tiny/router-zoo.toml --out runs/router-zoo --resume
python3 scripts/routers_table.py runs/router-zoo

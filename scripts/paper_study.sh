#!/usr/bin/env bash
# The paper study at laptop scale: makes its data from two corpora, then runs recipes/tiny/paper-study.toml.
# usage: scripts/paper_study.sh CORPORA
#   CORPORA holds novels-en.txt and novels-de.txt (also .gz, .xz, .zst), documents apart by blank lines.
# Called again, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -ne 1 ]; then
  echo "usage: scripts/paper_study.sh CORPORA (a folder with novels-en.txt and novels-de.txt, plain or compressed)" >&2
  exit 2
fi
data=runs/paper-study-data
mkdir -p "$data"
file() { for f in "$1"/novels-"$2".txt "$1"/novels-"$2".txt.{xz,gz,zst}; do [ -e "$f" ] && echo "$f" && return; done
  echo "paper_study: $1: got no novels-$2.txt; need it, plain or compressed" >&2; exit 2; }
en=$(file "$1" en); de=$(file "$1" de)
binary=${EVENKEEL:-build/evenkeel}
[ -e "$data/tokenizer.model" ] || "$binary" tokenizer train --kind unigram --vocab-size 4096 --max-sentences 60000 --out "$data/tokenizer.model" "$en" "$de"
[ -e "$data/en.idx" ] || "$binary" prepare --tokenizer "$data/tokenizer.model" --out "$data/en" --holdout 0.01 "$en"
[ -e "$data/de.idx" ] || "$binary" prepare --tokenizer "$data/tokenizer.model" --out "$data/de" --holdout 0.01 "$de"
"$binary" study recipes/tiny/paper-study.toml --out runs/paper-study --resume
python3 scripts/check_effects.py runs/paper-study --size M

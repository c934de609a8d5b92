#!/usr/bin/env bash
# The data of the OpenMoE studies, runs/openmoe-data/{text,code,other,dialogues}{,-heldout}, and a tokenizer of 4,096 pieces for them.
# usage: scripts/openmoe_data.sh [CORPORA]
#   CORPORA holds novels-en.txt, novels-de.txt and dialogue-en.txt (also .gz, .xz), documents apart by blank lines, lines of dialogues with
#   "User: " or "System: " in front. Without it: the demo's text (Debian's documentation packages, unpacked without installing), and for
#   dialogues the interactive sessions in the documentation of Python's library.
#   text is English, other is German; code is Python's library and the C++ headers of this machine.
# Does nothing where it is complete, and goes on where it was.
set -euo pipefail
if [ $# -gt 1 ] || [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  sed -n '2,8s/^# //p' "$0"
  [ $# -eq 1 ] && exit 0
  echo "openmoe_data: error: got $# arguments; need one folder or none" >&2
  exit 2
fi
if [ $# -eq 1 ]; then
  [ -d "$1" ] || { echo "openmoe_data: error: $1: got no folder; need one with novels-en.txt, novels-de.txt and dialogue-en.txt" >&2; exit 2; }
  corpora=$(cd "$1" && pwd)
else
  corpora=demo
fi
cd "$(dirname "$0")/.."
data=runs/openmoe-data
binary=${EVENKEEL:-build/evenkeel}
mkdir -p "$data"
if [ -e "$data/made-of" ] && [ "$(cat "$data/made-of")" != "$corpora" ]; then
  echo "openmoe_data: error: $data: got data made of $(cat "$data/made-of"), not of $corpora; need it out of the way first: rm -r $data runs/openmoe runs/upcycled-or-scratch" >&2
  exit 2
fi
[ -e "$data/.complete" ] && exit 0
printf '%s\n' "$corpora" >"$data/made-of"

file() { for f in "$corpora/$1".txt "$corpora/$1".txt.{xz,gz}; do [ -e "$f" ] && echo "$f" && return; done
  echo "openmoe_data: error: $corpora: got no $1.txt; need it, plain or as .xz or .gz" >&2; exit 2; }
made() { [ -e "$1" ] || python3 scripts/openmoe_text.py "${@:2}" --out "$1"; }
prepare() { [ -e "$data/$1.json" ] || "$binary" prepare --tokenizer "$data/tokenizer.model" --out "$data/$1" "${@:2}"; }

made "$data/code.jsonl" code
if [ "$corpora" = demo ]; then
  python3 scripts/demo_corpus.py --out runs/demo-text
  text=(runs/demo-text/en.train.txt runs/demo-text/en.heldout.txt) other=(runs/demo-text/de.train.txt runs/demo-text/de.heldout.txt)
  made "$data/dialogues.jsonl" sessions
else
  text=("$(file novels-en)") other=("$(file novels-de)") dialogues=$(file dialogue-en)
  made "$data/dialogues.jsonl" dialogues "$dialogues"
fi
# Of the dialogues there are no pieces: they are text that the model meets late.
[ -e "$data/tokenizer.model" ] || "$binary" tokenizer train --kind unigram --vocab-size 4096 --max-sentences 90000 --out "$data/tokenizer.model" "${text[@]}" "${other[@]}" "$data/code.jsonl"
prepare code --holdout 0.05 "$data/code.jsonl"
prepare text --holdout 0.02 "${text[@]}"
prepare other --holdout 0.02 "${other[@]}"
prepare dialogues --messages messages --template plain --holdout 0.1 "$data/dialogues.jsonl"
touch "$data/.complete"

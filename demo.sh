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

data=runs/demo-data text=runs/demo-text
mkdir -p runs "$data"
if [ ! -e "$data/.complete" ]; then
  echo "demo: making the text (packages of Debian's documentation, unpacked without installing)" >&2
  python3 scripts/demo_corpus.py --out "$text"
  echo "demo: training the tokenizer and preparing the data" >&2
  build/evenkeel tokenizer train --kind unigram --vocab-size 4096 --max-sentences 40000 --out "$data/tokenizer.model" "$text/en.train.txt" "$text/de.train.txt"
  for language in en de; do
    build/evenkeel prepare --tokenizer "$data/tokenizer.model" --out "$data/$language" "$text/$language.train.txt"
    build/evenkeel prepare --tokenizer "$data/tokenizer.model" --out "$data/$language-heldout" "$text/$language.heldout.txt"
  done
  touch "$data/.complete"
fi
build/evenkeel study recipes/demo.toml --out runs/demo --resume "${pass[@]}"
echo "demo: look at $PWD/runs/demo/report.html" >&2

#!/usr/bin/env bash
# The demo's data, runs/demo-data/{en,de}{,-heldout}: text from Debian's documentation packages, a tokenizer of 4,096 pieces for both languages.
# Does nothing where it is complete.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${EVENKEEL:-build/evenkeel}
data=runs/demo-data text=runs/demo-text
mkdir -p "$data"
if [ -e "$data/.complete" ]; then exit 0; fi
echo "demo: making the text (packages of Debian's documentation, unpacked without installing)" >&2
python3 scripts/demo_corpus.py --out "$text"
echo "demo: training the tokenizer and preparing the data" >&2
"$binary" tokenizer train --kind unigram --vocab-size 4096 --max-sentences 40000 --out "$data/tokenizer.model" "$text/en.train.txt" "$text/de.train.txt"
for language in en de; do
  "$binary" prepare --tokenizer "$data/tokenizer.model" --out "$data/$language" "$text/$language.train.txt"
  "$binary" prepare --tokenizer "$data/tokenizer.model" --out "$data/$language-heldout" "$text/$language.heldout.txt"
done
touch "$data/.complete"

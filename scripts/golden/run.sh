#!/usr/bin/env bash
# Rewrites tests/golden/*.json that come from scripts/golden; --check regenerates to a temporary
# folder and compares the bytes. Needs Python 3.10 or later, standard library only; about a minute.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
golden="$(cd "$here/../.." && pwd)/tests/golden"
export PYTHONDONTWRITEBYTECODE=1
scripts=(schedules sinkhorn sinkhorn_sizes balance_losses balance_table tiny_models ten_losses indexed_dataset mixture routing_stats domain_load cluster_mean count_files analyses capacity expert_choice base_assignment fixed_routers token_choice balancing_bias rotary deepseek_v1 openmoe packed_weights adafactor objectives upcycle)

case "${1:-}" in
  "") target="$golden"; mkdir -p "$golden" ;;
  --check) target="$(mktemp -d)"; trap 'rm -rf "$target"' EXIT ;;
  *) echo "usage: scripts/golden/run.sh [--check]" >&2; exit 2 ;;
esac

for script in "${scripts[@]}"; do
  python3 "$here/$script.py" "$target"
done

if [[ "$target" != "$golden" ]]; then
  for file in "$target"/*.json; do
    cmp "$file" "$golden/$(basename "$file")"
  done
  echo "golden files reproduce"
fi

"""Made results of `evenkeel analyze`, with the tables and columns of real ones; the figures are made up.

    python analysis_fixture.py OUT      OUT/first and OUT/second, two models on the same data

Real ones are made in analysis_test.py; these have what a real data set cannot be relied upon to have: hostile texts.
"""

import csv
import json
import random
import sys
from pathlib import Path

LAYERS, EXPERTS, TOP_K = (0, 3, 7, 15), 16, 4
DOMAINS = ("code", "wiki <b>& \"co\"", "novels-de")
HOSTILE_TOKENS = ["<script>window.pwned = 1</script>", "\"><img src=x onerror='window.pwned = 2'>", " the", "\n\t", "\u202eright to left\u202c",
                  "\u05e9\u05dc\u05d5\u05dd", "\x00\x07", "x" * 10000, "\u00a0\u2003\u3000\u1680", "\u2800\u3164\u200b\ufe0f", "</script><script>window.pwned = 3</script>", "%{x} &lt; &#37;"]


def load(rng):
    rows = []
    for layer in LAYERS:
        for domain in DOMAINS:
            mri = rng.uniform(0.3, 0.9)
            entropy = rng.uniform(0.8, 1)
            rows.append([layer, domain, mri, entropy, rng.uniform(0.2, 0.8), mri / TOP_K, 0.2601, TOP_K / EXPERTS, mri - 0.01, mri + 0.02, 9000, 10000, 0, 2, 3, 0.0, 0.2, 0.07, 0.95, 0.9993, 0.041,
                         entropy - 0.03, min(1, entropy + 0.02)])
    return "layer domain mri entropy cv max_share mri_chance lower_bound mri_low mri_high effective_tokens tokens dead above_twice_uniform below_half_uniform dropped top1_max_share top1_chance top1_entropy entropy_chance cv_chance entropy_low entropy_high", rows


def domain_specialization(rng):
    rows = []
    for layer in LAYERS:
        for domain in DOMAINS:
            shares = [rng.random() ** 2 for _ in range(EXPERTS)]
            total = sum(shares)
            for expert, share in enumerate(shares):
                rows.append([layer, domain, expert, share / total * TOP_K, share / total, TOP_K / EXPERTS, 1 / EXPERTS, share / total])
    return "layer domain expert share_of_tokens share_of_assignments chance_of_tokens chance_of_assignments top1_share", rows


def domain_similarity(rng):
    rows = [[layer, a, b, rng.uniform(-0.3, 1), rng.uniform(0.4, 1), 0.97, 0.9, 0.9, 0.5, 0.5]
            for layer in LAYERS for i, a in enumerate(DOMAINS) for b in DOMAINS[i + 1:]]
    return "layer domain_a domain_b correlation overlap overlap_chance entropy_a entropy_b top1_correlation top1_overlap", rows


def expert_tokens(rng):
    rows = []
    for layer in LAYERS:
        for expert in range(EXPERTS):
            for kind in ("input", "predicted", "target"):
                for rank in range(3):
                    text = HOSTILE_TOKENS[(expert + rank) % len(HOSTILE_TOKENS)]
                    rows.append([layer, expert, kind, rank, 100 + (expert + rank) % len(HOSTILE_TOKENS), text, 30 - rank, 0.9 - 0.1 * rank, 40, 10])
    return "layer expert id_kind rank id text count share occurrences minimum_count", rows


def tables(rng):
    made = {name.__name__: name(rng) for name in (load, domain_specialization, domain_similarity, expert_tokens)}
    made["saturation"] = ("arm layer k from to data saturation chance load_chance",
                          [["m", layer, k, "before", "after", domain, rng.uniform(0.3, 0.9), k / EXPERTS, 0.1 * k] for layer in LAYERS for k in (1, TOP_K) for domain in DOMAINS])
    made["vocabulary_specialization"] = ("layer k id_kind mean minimum_count chance mean_by_occurrence ids occurrences load_chance",
                                         [[layer, k, kind, rng.uniform(0.5, 0.9), least, 0.4, 0.5, 3000, 30000, 0.45 if k == 1 else None] for layer in LAYERS for k in (1, TOP_K) for kind in ("input", "predicted", "target") for least in (1, 10)])
    made["expert_vocabulary"] = ("layer expert id_kind ids mean minimum_count",
                                 [[layer, expert, "input", 50, rng.uniform(0.3, 0.9), 10] for layer in LAYERS for expert in range(EXPERTS)])
    made["continual_vocabulary"] = ("layer k domain from to hit_rate hit_rate_from chance mean mean_from ids occurrences minimum_count load_chance",
                                    [[layer, k, domain, "a", "b", rng.uniform(0.3, 0.6), 0.7, 0.06, 0.5, 0.6, 900, 9000, least, 0.1] for layer in LAYERS for k in (1, TOP_K) for domain in DOMAINS for least in (1, 10)])
    made["early_routing"] = ("layer domain from to id text occurrences overlap cosine chance_overlap expert share_from share_to load_overlap",
                             [[layer, domain, "a", "b", 100 + i, HOSTILE_TOKENS[i], 300, 0.9, 0.97, 0.8, 3, 0.4, 0.5, 0.85] for layer in LAYERS for domain in DOMAINS for i in range(4)])
    made["token_specialization"] = ("layer domain ids occurrences minimum_count std baseline_std chance_std load_std",
                                    [[layer, domain, 400, 60000, 128, rng.uniform(0.07, 0.1), 0.01, 0.009, 0.02] for layer in LAYERS for domain in DOMAINS])
    made["token_id_specialization"] = ("layer domain id text occurrences std baseline_std expert max_share top_2_share load_std",
                                       [[layer, domain, 100 + i, HOSTILE_TOKENS[i], 130 * (i + 1), rng.uniform(0.05, 0.12), 0.01, 3, 0.4, 0.6, 0.02] for layer in LAYERS for domain in DOMAINS for i in range(len(HOSTILE_TOKENS))])
    made["position_specialization"] = ("layer domain group positions occurrences std baseline_std chance_std overlap chance_overlap load_std",
                                       [[layer, domain, group, 7, 3000, rng.uniform(0.005, 0.01), 0.004, 0.0036, 0.9, 0.9, 0.0045] for layer in LAYERS for domain in DOMAINS for group in ("consecutive", "spaced")])
    made["position_id_specialization"] = ("layer domain group position occurrences std baseline_std expert max_share load_std",
                                          [[layer, domain, group, position, 400, rng.uniform(0.005, 0.01), 0.004, 2, 0.1, 0.0045] for layer in LAYERS for domain in DOMAINS for group in ("consecutive", "spaced") for position in range(7)])
    made["coactivation"] = ("layer mode expert_a expert_b probability chance tokens_a",
                            [[layer, mode, a, b, rng.random(), (TOP_K - 1) / (EXPERTS - 1), 700] for layer in LAYERS for mode in ("all_pairs", "adjacent_rank") for a in range(4) for b in range(4) if a != b])
    made["coactivation_order"] = ("layer mode position expert", [[layer, mode, position, (position * 5) % EXPERTS] for layer in LAYERS for mode in ("all_pairs", "adjacent_rank") for position in range(EXPERTS)])
    made["coactivation_change"] = ("layer mode expert_a expert_b from to change", [[layer, mode, a, b, 0.2, 0.3, rng.uniform(-0.5, 0.5)] for layer in LAYERS for mode in ("all_pairs", "adjacent_rank") for a in range(4) for b in range(4) if a != b])
    made["coactivation_change_by_layer"] = ("layer mode mean_absolute_change largest_absolute_change pairs chance", [[layer, mode, rng.random() / 10, 0.3, 240, 0.02] for layer in LAYERS for mode in ("all_pairs", "adjacent_rank")])
    made["co_routing"] = ("layer_from layer_to mode expert_from expert_to count probability chance",
                          [[a, b, "first_choice", i, j, n, n / (2000 + i), 0.06] for a, b in zip(LAYERS, LAYERS[1:]) for i in range(8) for j, n in enumerate(rng.sample(range(1, 240), 8))])
    made["temporal_locality"] = ("layer domain first_choice any_choice chance_first chance_any pairs load_first", [[layer, domain, rng.uniform(0.1, 0.3), rng.uniform(0.6, 0.9), 1 / EXPERTS, 0.73, 9990, 0.08] for layer in LAYERS for domain in DOMAINS])
    made["drop_by_position"] = ("layer domain position_from position_to any_dropped all_dropped tokens",
                                [[layer, domain, 16 * i, 16 * i + 16, 0.02 * i + rng.random() / 100, 0.01 * i, 1600] for layer in LAYERS for domain in DOMAINS for i in range(8)])
    made["drops"] = ("layer domain dropped any_dropped all_dropped without_expert capacity_least capacity_most load_distance tokens",
                     [[layer, domain, rng.uniform(0.01, 0.2), 0.3, 0.01, 0, 40, 48, rng.random() if domain != DOMAINS[0] else 0, 12000] for layer in LAYERS for domain in DOMAINS])
    made["semantic_clusters"] = ("layer expert ids coherence baseline baseline_deviation minimum_count", [[layer, expert, 15, rng.uniform(0, 0.3), 0.05, 0.01, 10] for layer in LAYERS for expert in range(EXPERTS)])
    made["semantic_coherence"] = ("layer experts coherence baseline baseline_deviation p_value minimum_count", [[layer, EXPERTS, rng.uniform(0.1, 0.2), 0.05, 0.01, 0.001, 10] for layer in LAYERS])
    losses = [[layer, domain, loss, rng.uniform(1, 2) * (uniform or 5), uniform, "data set"] for layer in LAYERS for domain in DOMAINS for loss, uniform in (("switch", 1), ("hf", TOP_K), ("z", None))]
    sums = [[None, domain, loss, 7.5, uniform, "data set"] for domain in DOMAINS for loss, uniform in (("switch", len(LAYERS)), ("z", None))]
    made["balance_losses"] = ("layer domain loss value uniform scope", losses + sums)
    return made


def write(folder, seed, made=None):
    """`made`: the tables, in place of all of them."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"schema": "evenkeel.results.v1", "kind": "analysis", "title": f"Routing of <i>model</i> {seed}", "headlines": ["Made figures."], "notes": ["semantic_clusters: made note <b>bold</b>"],
               "definitions": {"mri": {"text": "busiest expert's share", "source": "arXiv 2503.05029"}}, "tables": {}}
    for name, (columns, rows) in (made or tables(rng)).items():
        results["tables"][name] = {"columns": [{"name": column, "unit": ""} for column in columns.split()], "rows": rows, "chance": None, "tokens": 10000, "source": "made"}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    if made is None:
        write_pairs(folder, rng)
        write_changes(folder, rng)


def write_pairs(folder, rng):
    (folder / "csv").mkdir(exist_ok=True)
    with open(folder / "csv" / "coactivation_all.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "expert_a", "expert_b", "tokens_a", "tokens_b", "together", "adjacent_rank"])
        for layer in LAYERS:
            for a in range(EXPERTS):
                for b in range(a + 1, EXPERTS):
                    writer.writerow([layer, a, b, 500 + a, 500 + b, rng.randrange(400), rng.randrange(100)])


def write_changes(folder, rng):
    """Of one expert in each layer, nobody has a token on the one side."""
    with open(folder / "csv" / "coactivation_change_all.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "expert_a", "expert_b", *(f"{side}_{name}" for side in ("from", "to") for name in ("tokens_a", "tokens_b", "together", "adjacent_rank"))])
        for layer in LAYERS:
            for a in range(EXPERTS):
                for b in range(a + 1, EXPERTS):
                    counts = [rng.randrange(400), rng.randrange(100)]
                    writer.writerow([layer, a, b, 0 if a == 2 else 500 + a, 0 if b == 2 else 500 + b, *(counts if 2 not in (a, b) else (0, 0)), 600 + a, 600 + b, rng.randrange(400), rng.randrange(100)])


def main():
    out = Path(sys.argv[1])
    write(out / "first", 1)
    write(out / "second", 2)


if __name__ == "__main__":
    main()

"""Expert capacity and drops, each rule written the way its source computes it. Writes capacity.json.

Masks over tokens and experts where the source has masks, sorted lists where it sorts; a dropped weight is 0. Ties
go to the lower token. Padding is taken out before and put back as dropped. In evaluation each sequence is routed by
itself. The random order of deepspeed-rts is ours: ascending hash of (seed, place, choice), written out below.
"""

import math
import struct

from balance_losses import softmax
from record import Source, write
from sinkhorn import top_k

M64 = (1 << 64) - 1
SEED = 1234


def f32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


# ---- capacities: (T, E, k, factor, minimum) -> C, None for as many as needed ----

def megatron(T, E, k, factor, minimum):
    return max(math.ceil((T * k / E) * factor), minimum)


def megablocks(T, E, k, factor, minimum):
    tokens_per_expert = k * T / E
    return max(int(factor * tokens_per_expert), minimum) or None


def flaxformer(T, E, k, factor, minimum):
    return max(int(round(factor * T / E)), minimum)


def colossalai(T, E, k, factor, minimum):
    capacity = math.floor(k * factor * T / E)
    return max(capacity + capacity % 2, minimum)


def deepspeed(T, E, k, factor, minimum):
    return max(math.ceil(f32(f32(T / E) * f32(factor * k))), minimum)


def tutel(T, E, k, factor, minimum):
    share = (T + E - 1) // E
    if factor == 0:
        return None
    return max(k * int(abs(factor) * share), minimum)


# ---- drops: chosen [T][k], probs [T][E], weights [T][k], C -> kept {(t, choice)} ----

def keep_ranked(chosen, E, order, C):
    """The first C of each expert along `order`, a list of (token, choice)."""
    counts, kept = [0] * E, set()
    for t, choice in order:
        e = chosen[t][choice]
        if counts[e] < C:
            kept.add((t, choice))
        counts[e] += 1
    return kept


def megatron_probs(chosen, probs, weights, E, C, seed):
    T = len(chosen)
    dense = [[0.0] * E for _ in range(T)]
    for t, row in enumerate(chosen):
        for choice, e in enumerate(row):
            dense[t][e] = weights[t][choice]
    if C > T:
        return {(t, c) for t in range(T) for c in range(len(chosen[t]))}
    kept = set()
    for e in range(E):
        for t in sorted(range(T), key=lambda t: (-dense[t][e], t))[:C]:
            if e in chosen[t]:
                kept.add((t, chosen[t].index(e)))
    return kept


def megatron_position(chosen, probs, weights, E, C, seed):
    kept = set()
    for e in range(E):
        mapped = [t for t, row in enumerate(chosen) if e in row]
        kept |= {(t, chosen[t].index(e)) for t in mapped[:C]}
    return kept


def megablocks_bins(chosen, probs, weights, E, C, seed):
    k = len(chosen[0])
    flat = [e for row in chosen for e in row]
    by_expert = sorted(range(len(flat)), key=lambda a: flat[a])  # Python's sort is stable
    return keep_ranked(chosen, E, [(a // k, a % k) for a in by_expert], C)


def choice_major(chosen, probs, weights, E, C, seed):
    """Running counts over the choices stacked on top of each other, as flaxformer's cumsum."""
    order = [(t, c) for c in range(len(chosen[0])) for t in range(len(chosen))]
    return keep_ranked(chosen, E, order, C)


def offset_choices(chosen, probs, weights, E, C, seed):
    """Rank within a choice plus the full counts of the choices before, dropped ones included."""
    base, kept = [0] * E, set()
    for c in range(len(chosen[0])):
        counts = [0] * E
        for t, row in enumerate(chosen):
            if base[row[c]] + counts[row[c]] < C:
                kept.add((t, c))
            counts[row[c]] += 1
        base = [b + n for b, n in zip(base, counts)]
    return kept


def prioritised(chosen, probs, weights, E, C, seed):
    tokens = sorted(range(len(chosen)), key=lambda t: -max(probs[t]))
    return keep_ranked(chosen, E, [(t, c) for c in range(len(chosen[0])) for t in tokens], C)


def mix(value):
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & M64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & M64
    return value ^ (value >> 31)


def combine(left, right):
    return mix(mix((left + 0x9E3779B97F4A7C15) & M64) ^ right)


def hash_text(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & M64
    return value


def random_order(chosen, probs, weights, E, C, seed):
    k, (base, first) = len(chosen[0]), seed
    key = combine(base, hash_text("capacity"))
    pairs = [(t, c) for t in range(len(chosen)) for c in range(k)]
    pairs.sort(key=lambda p: (combine(key, (first + p[0]) * k + p[1]), p))
    return keep_ranked(chosen, E, pairs, C)


def normalised(row):
    if len(row) == 1:
        return row
    total = max(sum(row), 2.0 ** -52)
    return [w / total for w in row]


# rule -> (capacity, drops, times k, factor in training, in evaluation, minimum, group, renormalise)
RULES = {
    "megatron-probs": (megatron, megatron_probs, True, 1, 1, 0, None, None),
    "megatron-position": (megatron, megatron_position, True, 1, 1, 0, None, None),
    "megablocks": (megablocks, megablocks_bins, True, 1, 1, 0, None, None),
    "switch": (flaxformer, choice_major, False, 1.25, 2, 4, None, None),
    "bpr": (flaxformer, prioritised, False, 1.25, 2, 4, None, None),
    "openmoe": (flaxformer, choice_major, False, 1.25, 2, 4, 4096, None),
    "colossalai": (colossalai, offset_choices, True, 1.25, 2, 4, None, None),
    "deepspeed-rts": (deepspeed, random_order, True, 1, 1, 4, None, "after"),
    "deepspeed-top2": (deepspeed, offset_choices, True, 1, 1, 4, None, "after"),
    "tutel": (tutel, offset_choices, True, 1, 1, 0, None, "before"),
}


def flaxformer_groups(num_tokens, max_group_size, num_experts):
    """Tokens a group after padding the tokens to a multiple of the experts."""
    num_tokens = -(-num_tokens // num_experts) * num_experts
    groups = max(num_tokens // max_group_size, num_experts)
    while groups < num_tokens and not (num_tokens % groups == 0 and groups % num_experts == 0):
        groups += 1
    return num_tokens // groups


def cut(rule, T, E, options):
    """(tokens of each group, tokens that C is computed from) of T tokens."""
    size = options.get("group_size", RULES[rule][6])
    if rule == "openmoe":
        size = flaxformer_groups(T, size, E)
        return [(range(b, min(b + size, T)), size) for b in range(0, T, size)]
    size = size or T
    return [(range(b, min(b + size, T)), min(size, T - b)) for b in range(0, T, size)]


def drops(rule, rows, k, mode, options):
    """(C of the largest group, kept, weights [T][k]) of one scope."""
    capacity, drop, times_k, train, evaluation, minimum, _, renormalise = RULES[rule]
    factor = options.get(f"factor_{mode}", train if mode == "train" else evaluation)
    minimum = options.get("minimum", minimum)
    if not rows:
        return 0, set(), []
    E = len(rows[0])
    probs = [softmax(row) for row in rows]
    chosen = [top_k(row, k) for row in rows]
    weights = [[p[e] for e in row] for p, row in zip(probs, chosen)]
    if renormalise == "before":
        weights = [normalised(row) for row in weights]
    kept, largest = set(), 0
    for tokens, size in cut(rule, len(rows), E, options):
        part = [chosen[t] for t in tokens]
        C = capacity(size, E, k if times_k else 1, factor, minimum)
        most = max(sum(row.count(e) for row in part) for e in range(E))
        if C is None or (rule == "tutel" and factor < 0):
            C = most if C is None else min(C, most)
        largest = max(largest, C)
        kept |= {(tokens[t], c) for t, c in drop(part, [probs[t] for t in tokens], [weights[t] for t in tokens], E, C, (SEED, tokens[0]))}
    weights = [[w if (t, c) in kept else 0.0 for c, w in enumerate(row)] for t, row in enumerate(weights)]
    if renormalise == "after":
        weights = [normalised(row) for row in weights]
    return largest, kept, weights


def routed(rule, case, mode):
    rows, k, options = case["logits"], case["top_k"], case["options"]
    padding = case.get("is_padding", [0] * len(rows))
    n_scopes = case["n_sequences"] if mode == "eval" else 1
    length = len(rows) // n_scopes
    dropped, weights, largest = set(range(len(rows) * k)), [[0.0] * k for _ in rows], 0
    for scope in range(n_scopes):
        tokens = [t for t in range(scope * length, (scope + 1) * length) if not padding[t]]
        C, kept, scope_weights = drops(rule, [rows[t] for t in tokens], k, mode, options)
        largest = max(largest, C)
        dropped -= {tokens[t] * k + c for t, c in kept}
        for t, row in zip(tokens, scope_weights):
            weights[t] = row
    out = {"capacity": largest, "dropped": sorted(dropped)}
    if RULES[rule][7]:
        out["weights"] = [w for row in weights for w in row]
    return out


def check_margins(case):
    """Ranks must not hang on rounding: probabilities are equal because logits are, or 1e-6 apart."""
    probs = [softmax(row) for row in case["logits"]]
    values = [max(p) for p in probs], *([p[e] for p in probs] for e in range(len(probs[0]) if probs else 0))
    for column in values:
        ordered = sorted(column)
        for a, b in zip(ordered, ordered[1:]):
            if 0 < b - a < 1e-6:
                raise SystemExit(f"{case['name']}: probabilities {a} and {b} are too close for fp32")


def made_cases():
    source = Source(21)
    few = {"factor_train": 0.75, "factor_eval": 0.5, "minimum": 1}

    def skewed(T, E, lean=2.0):
        return [[lean / (1 + e) + value for e, value in enumerate(row)] for row in source.matrix(T, E)]

    def on_grid(rows):
        return [[round(value * 1024) / 1024 for value in row] for row in rows]

    favourite = [[1.0, 0.5, 0.0], [2.0, 0.25, 0.5], [0.5, 1.0, 0.0], [3.0, 0.5, 1.0], [1.5, 0.0, 1.0], [2.5, 1.5, 0.0]]
    cases = [
        {"name": "hand", "top_k": 2, "n_sequences": 1, "options": few, "logits": favourite},
        {"name": "all_equal", "top_k": 2, "n_sequences": 2, "options": few, "logits": [[0.5] * 4 for _ in range(10)]},
        {"name": "one_expert", "top_k": 1, "n_sequences": 1, "options": {}, "logits": [[t / 64, 0.0, 4.0 + t % 5 / 8, 0.0] for t in range(24)]},
        {"name": "presets_k2", "top_k": 2, "n_sequences": 2, "options": {}, "logits": skewed(64, 4)},
        {"name": "tight_k3", "top_k": 3, "n_sequences": 2, "options": few, "logits": skewed(24, 6)},
        {"name": "padded", "top_k": 2, "n_sequences": 2, "options": few, "logits": skewed(24, 4),
         "is_padding": [0] * 9 + [1] * 3 + [0] * 5 + [1] * 7},
        {"name": "groups", "top_k": 2, "n_sequences": 1, "options": {**few, "group_size": 8}, "logits": skewed(20, 4)},
        {"name": "all_experts", "top_k": 3, "n_sequences": 1, "options": few, "logits": skewed(8, 3)},
        {"name": "fewer_tokens_than_experts", "top_k": 2, "n_sequences": 1, "options": {"minimum": 0}, "logits": skewed(2, 5)},
        {"name": "one_token", "top_k": 1, "n_sequences": 1, "options": {}, "logits": skewed(1, 3)},
        {"name": "no_token", "top_k": 1, "n_sequences": 1, "options": {}, "logits": []},
    ]
    for case in cases:
        case["logits"] = on_grid(case["logits"])
        case["n_experts"] = len(case["logits"][0]) if case["logits"] else 3
        check_margins(case)
    return cases


def made_capacities():
    """[rule, mode, T, E, k, factor, C]: whole numbers where products end just above or below them, and defaults."""
    rows = []
    for rule, (capacity, _, times_k, train, evaluation, minimum, _, _) in RULES.items():
        if rule == "openmoe":
            continue
        for T, E, k in ((0, 4, 2), (1, 8, 1), (3, 8, 2), (100, 2, 1), (100, 5, 1), (300, 3, 1), (10, 4, 1), (14, 4, 1), (4096, 32, 2), (65536, 31, 3)):
            for factor in (None, 0.3, 1.1, 1.15, 1.3):
                for mode in ("train", "eval"):
                    used = factor or (train if mode == "train" else evaluation)
                    rows.append([rule, mode, T, E, k, used, capacity(T, E, k if times_k else 1, used, minimum)])
    for factor in (0, -1.5):
        rows.append(["tutel", "train", 100, 8, 2, factor, tutel(100, 8, 2, factor, 0)])
    rows.append(["megablocks", "train", 100, 8, 2, 0, megablocks(100, 8, 2, 0, 0)])
    return rows


def main():
    # routing.md 4.2 by hand: 8B trains with C = 160 in groups of 4096 and evaluates with 256; tiny batches in groups of 64 with 4.
    assert flaxformer_groups(1024 * 2048, 4096, 32) == 4096 and flaxformer_groups(2048, 4096, 32) == 64
    assert flaxformer(4096, 32, 1, 1.25, 4) == 160 and flaxformer(4096, 32, 1, 2, 4) == 256 and flaxformer(64, 32, 1, 2, 4) == 4
    # Halves to even: 2.5 -> 2, 3.5 -> 4.
    assert flaxformer(10, 4, 1, 1, 0) == 2 and flaxformer(14, 4, 1, 1, 0) == 4
    # The same factor on the same tokens: 55.00000000000001 in fp64, 55 in fp32; and by the order of the operations.
    assert megatron(100, 2, 1, 1.1, 0) == 56 and deepspeed(100, 2, 1, 1.1, 0) == 55
    assert megablocks(300, 3, 1, 1.15, 0) == 114 and colossalai(300, 3, 1, 1.15, 0) == 116 and flaxformer(300, 3, 1, 1.15, 0) == 115
    cases = made_cases()
    results = {case["name"]: {rule: {mode: routed(rule, case, mode) for mode in ("train", "eval")} for rule in RULES} for case in cases}
    for name in ("hand", "presets_k2", "tight_k3", "padded", "groups"):
        rules = {str(results[name][rule]["train"]["dropped"]) for rule in RULES}
        assert len(rules) >= 4, f"{name} tells only {len(rules)} rules apart"
    write("capacity.json", "reference",
          "Megatron-LM apply_router_token_dropping; MegaBlocks moe.py; flaxformer moe_layers.py and routing.py; ColossalAI Top2Router; "
          "DeepSpeed sharded_moe.py; Tutel extract_critical",
          {"seed": SEED, "cases": cases}, {"capacities": made_capacities(), "drops": results}, 2e-6, 1e-7,
          "Drops and capacities are exact. Weights: softmax in fp32 over at most 6 logits, divided by a sum of at most 3.")


if __name__ == "__main__":
    main()

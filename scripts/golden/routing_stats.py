"""Statistics of small routing decisions. Writes routing_stats.json.

n_e = tokens routed to expert e (assignments, before drops), load = n / sum(n), mri = max n / T,
entropy = -sum load ln(load) / ln E, cv = population standard deviation / mean of the load,
dead = experts without a token. Saturation at k: mean over tokens of |A_t & B_t| / k for the sets of
the k best of two decisions on the same tokens; at 1: share of tokens whose best expert is the same.
Where tokens have any number of experts: sum |A & B| / sum |B|, by chance sum |A| |B| / (E sum |B|); at 1 of the tokens
that have an expert in both.
"""

import math

from record import check_close, write


def statistics(expert_ids, E):
    T = len(expert_ids)
    n = [sum(row.count(e) for row in expert_ids) for e in range(E)]
    load = [x / sum(n) for x in n]
    variance = math.fsum((x - 1 / E) ** 2 for x in load) / E
    entropy = -math.fsum(x * math.log(x) for x in load if x > 0) / math.log(E) if E > 1 else 1.0
    return {"tokens_per_expert": n, "load": load, "mri": max(n) / T, "entropy": entropy,
            "cv": math.sqrt(variance) * E, "dead": n.count(0)}


def saturation(a, b, E):
    firsts = [x[0] == y[0] for x, y in zip(a, b) if x and y]
    chosen = sum(map(len, b))
    result = {"top_1": sum(firsts) / len(firsts), "top_k": sum(len(set(x) & set(y)) for x, y in zip(a, b)) / chosen,
              "chance_1": 1 / E, "chance_k": sum(len(x) * len(y) for x, y in zip(a, b)) / (E * chosen)}
    sizes = set(map(len, a + b))
    if len(sizes) == 1:  # eq. 5
        k, T = sizes.pop(), len(a)
        check_close("top_1", result["top_1"], sum(x[0] == y[0] for x, y in zip(a, b)) / T, 1e-15)
        check_close("top_k", result["top_k"], sum(len(set(x) & set(y)) / k for x, y in zip(a, b)) / T, 1e-15)
        check_close("chance", result["chance_k"], k / E, 1e-15)
    return result


def main():
    cases = [
        {"name": "uniform_k1", "n_experts": 4, "expert_ids": [[0], [1], [2], [3]]},
        {"name": "collapsed_k1", "n_experts": 4, "expert_ids": [[2], [2], [2]]},
        {"name": "skewed_k2", "n_experts": 4, "expert_ids": [[0, 1], [0, 2], [1, 0], [0, 1], [2, 0], [0, 1]]},
        {"name": "round_robin_k2", "n_experts": 3, "expert_ids": [[0, 1], [2, 0], [1, 2]]},
        {"name": "all_experts", "n_experts": 3, "expert_ids": [[2, 0, 1], [0, 1, 2]]},
        {"name": "granular_k3", "n_experts": 7,
         "expert_ids": [[0, 3, 5], [3, 0, 1], [6, 3, 0], [3, 5, 1], [0, 1, 3], [5, 6, 3], [3, 6, 0], [1, 3, 6]]},
    ]
    pairs = [
        {"name": "same", "a": [[0, 1], [2, 3]], "b": [[0, 1], [2, 3]]},
        {"name": "ranks_swapped", "a": [[0, 1], [2, 3]], "b": [[1, 0], [3, 2]]},
        {"name": "disjoint", "a": [[0, 1], [2, 3]], "b": [[2, 3], [0, 1]]},
        {"name": "mixed_k3", "a": [[0, 1, 2], [3, 4, 5], [0, 5, 2], [1, 2, 3]],
         "b": [[0, 2, 6], [5, 6, 0], [5, 0, 2], [4, 2, 1]]},
        {"name": "k1", "a": [[0], [1], [2], [3]], "b": [[0], [1], [3], [2]]},
        {"name": "any_number", "a": [[0, 1, 2], [], [3], [1, 0]], "b": [[2, 0], [1], [], [1, 3, 0, 2]]},
    ]
    for pair in pairs:
        pair["n_experts"] = 1 + max(expert for row in pair["a"] + pair["b"] for expert in row)
    stats = {case["name"]: statistics(case["expert_ids"], case["n_experts"]) for case in cases}
    overlap = {pair["name"]: saturation(pair["a"], pair["b"], pair["n_experts"]) for pair in pairs}
    # By hand: n = [6, 4, 2, 0] of 12; mean 3, deviations 3, 1, 1, 3; |A & B| = 2, 1, 3, 2 of 3.
    check_close("entropy", stats["skewed_k2"]["entropy"],
                (math.log(2) / 2 + math.log(3) / 3 + math.log(6) / 6) / math.log(4), 1e-14)
    check_close("cv", stats["skewed_k2"]["cv"], math.sqrt(5) / 3, 1e-14)
    assert stats["skewed_k2"]["mri"] == 1.0 and stats["skewed_k2"]["dead"] == 1
    assert overlap["mixed_k3"] == {"top_1": 0.25, "top_k": 8 / 12, "chance_1": 1 / 7, "chance_k": 3 / 7}
    # |A & B| = 2, 0, 0, 2 of 2 + 1 + 0 + 4; |A| |B| = 6, 0, 0, 8; the last of two tokens has the same best.
    assert overlap["any_number"] == {"top_1": 0.5, "top_k": 4 / 7, "chance_1": 1 / 4, "chance_k": 14 / (4 * 7)}
    write("routing_stats.json", "reference", "scripts/golden/routing_stats.py; MRI: arXiv 2503.05029; "
          "saturation: arXiv 2409.02060 eq. 5",
          {"cases": cases, "pairs": pairs}, {"statistics": stats, "saturation": overlap}, 1e-12, 1e-12,
          "Decisions small enough to count by hand; fp64 on both sides, written with 12 digits.")


if __name__ == "__main__":
    main()

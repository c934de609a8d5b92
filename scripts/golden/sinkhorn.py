"""Sinkhorn routers: log domain (ours), Megatron-LM's and GPT-NeoX's loops.

Log domain, start b = 0; one iteration:
  a_t = -log T - logsumexp_e(l_te + b_e)
  error = max_e |E * sum_t exp(l_te + a_t + b_e) - 1|    new a, old b: how far the columns are off
  b_e = -log E - logsumexp_t(l_te + a_t)
  stop when error < tolerance, or after max_iterations
The b update is done before stopping, so the plan's columns sum to 1/E. Selection is the top k of
l_te + b_e, ties to the lower expert. Writes sinkhorn_paper.json and sinkhorn.json.
"""

import math

from record import Source, check_close, rounded, write


def logsumexp(values):
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))


def top_k(scores, k):
    """The k best, best first; equal scores go to the lower expert."""
    return sorted(range(len(scores)), key=lambda expert: (-scores[expert], expert))[:k]


def selection_margin(rows, k):
    """Smallest gap between neighbours of the ranking down to place k + 1, over all tokens."""
    gaps = []
    for row in rows:
        ranked = sorted(row, reverse=True)
        gaps += [ranked[i] - ranked[i + 1] for i in range(min(k, len(row) - 1))]
    return min(gaps)


def check_decided(error, tolerance):
    """The stop must not hang on the last digits: fp32 has to count the same iterations."""
    if abs(error / tolerance - 1.0) < 0.04:
        raise SystemExit(f"sinkhorn error {error!r} is too near the tolerance {tolerance!r}; choose other logits")


def sinkhorn_log(logits, tolerance, max_iterations):
    T, E = len(logits), len(logits[0])
    b = [0.0] * E
    for iteration in range(1, max_iterations + 1):
        a = [-math.log(T) - logsumexp([l + be for l, be in zip(row, b)]) for row in logits]
        columns = [logsumexp([logits[t][e] + a[t] for t in range(T)]) for e in range(E)]
        error = max(abs(E * math.exp(columns[e] + b[e]) - 1.0) for e in range(E))
        b = [-math.log(E) - columns[e] for e in range(E)]
        check_decided(error, tolerance)
        if error < tolerance:
            break
    plan = [[math.exp(logits[t][e] + a[t] + b[e]) for e in range(E)] for t in range(T)]
    return {"expert_bias": b, "iterations": iteration, "error": error, "plan": plan}


def sinkhorn_exp(logits, variant, tolerance=1e-4, eps=1e-8):
    """Megatron-LM (d1 starts at 1, no cap) or GPT-NeoX (d1 starts at 1 / (E * column sum), 3 iterations)."""
    T, E = len(logits), len(logits[0])
    K = [[math.exp(l) for l in row] for row in logits]
    d1 = [1.0] * E
    if variant == "neox":
        d1 = [1.0 / (E * math.fsum(K[t][e] for t in range(T))) for e in range(E)]
    error, iteration = 1e9, 0
    while error > tolerance and not (variant == "neox" and iteration == 3):
        d0 = [1.0 / T / (math.fsum(d * k for d, k in zip(d1, row)) + eps) for row in K]
        previous, d1 = d1, [1.0 / E / (math.fsum(d0[t] * K[t][e] for t in range(T)) + eps) for e in range(E)]
        error = math.fsum(abs(p - d) for p, d in zip(previous, d1)) / E
        iteration += 1
        check_decided(error, tolerance)
    plan = [[d1[e] * K[t][e] * d0[t] for e in range(E)] for t in range(T)]
    return {"d1": d1, "iterations": iteration, "error": error, "plan": plan}


A2 = [[2, 1, 0], [1.5, 0.5, 0.25], [1, 2, -1], [3, 0.1, 0.2]]


def write_paper():
    megatron = {
        "d1": [0.501834253, 1.159383806, 3.914780647],
        "iterations": 8, "error": 3.133350e-5,
        "plan": [[.086039, .073125, .090835], [.061200, .052015, .136784],
                 [.029992, .188349, .031664], [.156102, .019844, .074051]],
        "expert_ids": [[2], [2], [1], [0]],
        "weights": [[0.5], [0.562177], [0.880797], [0.952574]],
    }
    neox = {"d1": [.010602623, .024563415, .082748403], "iterations": 3, "error": 7.644e-5,
            "plan_row_0": [.085974, .073274, .090808], "expert_ids": [[2], [2], [1], [0]]}
    got = sinkhorn_exp(A2, "megatron")
    assert got["iterations"] == 8
    check_close("megatron error", got["error"], megatron["error"], 1e-6)
    for e in range(3):
        check_close("megatron d1", got["d1"][e], megatron["d1"][e], 1e-8)
        for t in range(4):
            check_close("megatron plan", got["plan"][t][e], megatron["plan"][t][e], 0.0, 6e-7)
    assert [top_k(row, 1) for row in got["plan"]] == megatron["expert_ids"]
    for row, ids, weight in zip(A2, megatron["expert_ids"], megatron["weights"]):
        check_close("gate", 1 / (1 + math.exp(-row[ids[0]])), weight[0], 0.0, 6e-7)
    got = sinkhorn_exp(A2, "neox")
    assert got["iterations"] == 3
    check_close("neox error", got["error"], neox["error"], 1e-3)
    for e in range(3):
        check_close("neox d1", got["d1"][e], neox["d1"][e], 0.0, 6e-10)
        check_close("neox plan", got["plan"][0][e], neox["plan_row_0"][e], 0.0, 6e-7)
    assert [top_k(row, 1) for row in got["plan"]] == neox["expert_ids"]
    write(
        "sinkhorn_paper.json", "paper",
        "Megatron-LM core/transformer/moe/moe_utils.py sinkhorn; GPT-NeoX megatron/model/router.py SinkhornRouter",
        {"logits": A2, "top_k": 1, "tolerance": 1e-4, "eps": 1e-8},
        {"megatron": megatron, "neox": neox, "raw_expert_ids": [[0], [0], [1], [0]]},
        1e-5, 2e-6,
        "Four tokens, three experts: the published loops, iteration for iteration. Plans are listed to six "
        "decimals (atol) and d1 to nine; fp32 adds about 1e-6 over eight iterations.")


def make_logits(source, T, E, sigma, bias):
    column = source.normals(E, bias)
    return [[column[e] + source.normal(sigma) for e in range(E)] for _ in range(T)]


def make_cases():
    source = Source(20250301)
    cases = []

    def add(name, logits, k, tolerance=1e-4, max_iterations=200, variants=("log", "megatron", "neox"), **more):
        cases.append({"name": name, "T": len(logits), "E": len(logits[0]), "top_k": k, "tolerance": tolerance,
                      "max_iterations": max_iterations, "variants": list(variants),
                      "compare": "all", **more, "logits": logits})

    for T, E, sigma, bias, k in ((64, 8, 1, 1, 1), (32, 16, 1, 0.5, 4), (24, 6, 3, 2, 2), (6, 5, 1, 1, 5), (40, 31, 0.5, 0.5, 3)):
        add(f"random_T{T}_E{E}_k{k}", make_logits(source, T, E, sigma, bias), k, sigma=sigma, column_bias_std=bias)
    add("random_tolerance_1e-2", cases[0]["logits"], 1, tolerance=1e-2, variants=("log",))
    add("random_two_iterations", cases[2]["logits"], 2, tolerance=1e-12, max_iterations=2, variants=("log",))
    add("all_equal", [[0.75] * 8 for _ in range(4)], 2)
    twins = make_logits(source, 6, 3, 1, 1)
    add("equal_columns", [[row[0], row[1], row[2], row[1]] for row in twins], 2)
    add("one_token", [[0.5, -1.0, 2.0, 0.25]], 2, variants=("log",), compare="plan")
    add("one_expert", [[0.5], [-1.0], [2.0]], 1, variants=("log",))
    hot = lambda e, E: [1e4 if i == e else -1e4 for i in range(E)]
    add("one_hot_balanced", [hot(t % 4, 4) for t in range(8)], 1, variants=("log",), compare="expert_ids")
    add("one_hot_unbalanced", [hot(e, 4) for e in (0, 0, 0, 1, 2, 3)], 1, variants=("log",), compare="expert_ids")
    add("one_hot_single_expert", [hot(1, 4) for _ in range(6)], 1, variants=("log",), compare="finite")
    return cases


def solve(case):
    logits, k = case["logits"], case["top_k"]
    results = {}
    for variant in case["variants"]:
        if variant == "log":
            result = sinkhorn_log(logits, case["tolerance"], case["max_iterations"])
            scores = [[l + b for l, b in zip(row, result["expert_bias"])] for row in logits]
        else:
            result = sinkhorn_exp(logits, variant, case["tolerance"])
            scores = [[l + math.log(d) for l, d in zip(row, result["d1"])] for row in logits]
        ids = [top_k(row, k) for row in scores]
        if variant != "log":  # selecting on the plan and on l + log d1 is the same
            assert ids == [top_k(row, k) for row in result["plan"]], case["name"]
        result["expert_ids"] = ids
        result["tokens_per_expert"] = [sum(row.count(e) for row in ids) for e in range(case["E"])]
        tied = case["name"] in ("all_equal", "equal_columns") or case["name"].startswith("one_")
        if not tied:
            margin = selection_margin(scores, k)
            assert margin > 1e-4, (case["name"], variant, margin)
        if case["compare"] in ("expert_ids", "finite"):
            result = rounded(result, 9)  # biases of 1e4 leave noise below
        results[variant] = result
    return results


def main():
    write_paper()
    cases = make_cases()
    write(
        "sinkhorn.json", "reference",
        "scripts/golden/sinkhorn.py; logits: column bias N(0, column_bias_std) plus N(0, sigma), "
        "from random.Random(20250301), rounded to 1/1024",
        {"eps": 1e-8, "cases": cases},
        {case["name"]: solve(case) for case in cases},
        2e-5, 1e-6,
        "Plans, biases, iteration counts and selections of the three variants. expert_ids are exact (best first, "
        "ties to the lower expert; other gaps exceed 1e-4). rtol: fp32 exp and log over up to 200 iterations. "
        "compare says what is determined: all; plan (one token: balancing makes every expert tie, so rounding picks); "
        "expert_ids (logits of 1e4: ids and finiteness; the bias of an expert may be far out); finite (every token "
        "prefers one expert by 2e4 and the plan is uniform: only that all is finite and iterations <= max_iterations).", decimals=13)


if __name__ == "__main__":
    main()

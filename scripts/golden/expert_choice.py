"""Expert choice (arXiv 2202.09368; flaxformer routing.py ExpertsChooseMaskedRouter). Writes expert_choice.json.

Per group of n tokens that are no padding: C = factor n / E rounded half to even, within 1..n; expert e takes the C
tokens of largest p_te = softmax(l_t)_e, equal p to the lower token. Weight p_te. Assignments by token, then by
falling p, then by expert. Gradient: of sum of coefficient * weight over the assignments.
"""

import autodiff as ad
from autodiff import value_of
from record import Source, write


def capacity(factor, n, E):
    return max(1, min(n, round(factor * n / E)))  # Python rounds half to even


def choose(probs, groups, is_padding, factor, margin):
    """(token, expert) of every assignment, in order."""
    E, taken, gap = len(probs[0]), [], 1.0
    for group in groups:
        tokens = [t for t in group if not is_padding[t]]
        if not tokens:
            continue
        C = capacity(factor, len(tokens), E)
        for e in range(E):
            ranked = sorted(tokens, key=lambda t: (-probs[t][e], t))
            taken += [(t, e) for t in ranked[:C]]
            if C < len(tokens):
                gap = min(gap, probs[ranked[C - 1]][e] - probs[ranked[C]][e])
    if margin and gap < 1e-5:
        raise SystemExit(f"a choice hangs on {gap}; choose other logits")
    return sorted(taken, key=lambda pair: (pair[0], -probs[pair[0]][pair[1]], pair[1]))


def solve(case):
    logits, E = case["logits"], len(case["logits"][0])
    T = len(logits)
    ad.Scalar.tape.clear()
    leaves = [[ad.Scalar(float(l)) for l in row] for row in logits]
    probs = [ad.softmax(row) for row in leaves]
    values = [[value_of(p) for p in row] for row in probs]
    size = T if case["group"] == "micro_batch" else T // case["n_sequences"]
    groups = [range(first, first + size) for first in range(0, T, size)] if T else []
    pairs = choose(values, groups, case["is_padding"], case["factor"], margin=not case["has_ties"])
    coefficients = case["coefficients"][: len(pairs)]
    result = {"token_ids": [t for t, _ in pairs], "expert_ids": [e for _, e in pairs],
              "weights": [values[t][e] for t, e in pairs], "tokens_per_expert": [sum(x == e for _, x in pairs) for e in range(E)]}
    if pairs:
        ad.backward(ad.dot([probs[t][e] for t, e in pairs], coefficients))
        result["gradient"] = [[leaf.grad for leaf in row] for row in leaves]
    return result


def main():
    source = Source(20220219)
    cases = []

    def add(name, T, E, k, factor=None, group="micro_batch", n_sequences=1, is_padding=None, logits=None, has_ties=False):
        logits = logits or source.matrix(T, E, 1.0)
        factor = float(k if factor is None else factor)
        cases.append({"name": name, "top_k": k, "factor": factor, "group": group, "n_sequences": n_sequences, "has_ties": has_ties,
                      "is_padding": is_padding or [False] * T, "logits": logits, "coefficients": source.normals(T * E)})

    add("k1", 8, 4, 1)
    add("k2", 12, 4, 2)
    add("half_to_even_down", 10, 4, 1)  # 2.5 -> 2
    add("half_to_even_up", 14, 4, 1)  # 3.5 -> 4
    add("factor_1_25", 16, 4, 2, factor=1.25)
    add("more_experts_than_tokens", 3, 8, 1)  # 0.375 -> at least 1
    add("one_token", 1, 4, 2)
    add("every_token_to_every_expert", 5, 3, 3)
    add("by_sequence", 12, 4, 2, group="sequence", n_sequences=3)
    add("padding", 12, 4, 2, is_padding=[t in (0, 5, 6, 11) for t in range(12)])
    add("padding_by_sequence", 12, 4, 1, group="sequence", n_sequences=3, is_padding=[t in (1, 4, 5, 6, 7) for t in range(12)])  # the middle one is all padding
    add("ties", 6, 4, 2, logits=[[0.5] * 4 for _ in range(6)], has_ties=True)
    outputs = {case["name"]: solve(case) for case in cases}
    # By hand: equal p, C = 3: every expert takes tokens 0, 1, 2, and these get all four experts.
    assert outputs["ties"]["token_ids"] == [0] * 4 + [1] * 4 + [2] * 4
    assert outputs["ties"]["expert_ids"] == [0, 1, 2, 3] * 3
    assert outputs["half_to_even_down"]["tokens_per_expert"] == [2] * 4
    assert outputs["half_to_even_up"]["tokens_per_expert"] == [4] * 4
    assert outputs["more_experts_than_tokens"]["tokens_per_expert"] == [1] * 8
    assert outputs["padding_by_sequence"]["tokens_per_expert"] == [2] * 4  # 3 tokens and 4: round(0.75) + round(1)
    write("expert_choice.json", "reference", "scripts/golden/expert_choice.py; arXiv 2202.09368 section 3.2; flaxformer routing.py",
          {"cases": cases}, outputs, 2e-6, 1e-7,
          "Assignments exact (gaps of p at each expert's border exceed 1e-5, or ties on purpose); weights and gradients: "
          "fp32 softmax of logits of order 1, a few ulp.")


if __name__ == "__main__":
    main()

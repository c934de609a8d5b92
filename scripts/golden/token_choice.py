"""Token-choice routers: score, norm, factor, selection by score + bias and within groups of experts.

Selection looks at c = s + b: s the score (softmax_post: the logit), b a bias or 0. A group's score is its largest c
(max), the sum of its 2 largest (top2_sum), or of its k / groups_per_token largest (top_k_over_groups_sum). Experts
outside the groups_per_token best groups count as -infinity, or as 0 (zero). Weights are the scores without the bias,
softmax_post: softmax over the selected logits; then divided by their p-norm, then times the factor. Sources: Megatron-LM
core/transformer/moe/moe_utils.py topk_routing_with_score_function and group_limited_topk; MegaBlocks layers/router.py;
DeepSeek-V3 inference/model.py Gate. Writes token_choice.json.
"""

import math

import autodiff as ad
from autodiff import value_of
from record import Source, write
from sinkhorn import top_k

T, E = 6, 8
MARGIN = 1e-4  # fp32 must choose the same: no two values that a choice compares are nearer


def score_values(row, score):
    if score == "softmax_post":
        return [value_of(l) for l in row]
    if score == "softmax_pre":
        return ad.softmax([value_of(l) for l in row])
    if score == "sigmoid":
        return [ad.sigmoid(value_of(l)) for l in row]
    return [math.sqrt(ad.softplus(value_of(l))) for l in row]


class TooNear(Exception):
    pass


def check_margin(values, k):
    ranked = sorted((v for v in values if v > -math.inf), reverse=True)
    gaps = [ranked[i] - ranked[i + 1] for i in range(min(k, len(ranked) - 1))]
    if gaps and min(gaps) <= MARGIN:
        raise TooNear


def choose(row, case):
    """The experts of one token, best first."""
    k, bias = case["top_k"], case["bias"] or [0.0] * E
    values = [s + b for s, b in zip(score_values(row, case["score"]), bias)]
    n_groups, kept = case.get("n_groups", 1), case.get("groups_per_token", 1)
    if n_groups > 1:
        size = E // n_groups
        groups = [values[g * size:(g + 1) * size] for g in range(n_groups)]
        count = {"max": 1, "top2_sum": 2, "top_k_over_groups_sum": k // kept}[case["group_score"]]
        group_scores = [math.fsum(sorted(group, reverse=True)[:count]) for group in groups]
        check_margin(group_scores, kept)
        best = top_k(group_scores, kept)
        fill = 0.0 if case["group_mask"] == "zero" else -math.inf
        values = [value if e // size in best else fill for e, value in enumerate(values)]
    if case["name"] != "zero_mask_takes_outsiders":
        check_margin(values, k)
    return top_k(values, k)


def weights_of(row, ids, case):
    score, p = case["score"], case["norm_p"]
    if score == "softmax_post":
        weights = ad.softmax([row[e] for e in ids])
    elif score == "softmax_pre":
        probs = ad.softmax(row)
        weights = [probs[e] for e in ids]
    elif score == "sigmoid":
        weights = [ad.sigmoid(row[e]) for e in ids]
    else:
        weights = [ad.sqrt(ad.softplus(row[e])) for e in ids]
    if p is not None and score != "softmax_post" and len(ids) > 1:
        # w^p as exp(p log w), on scalars of the tape; for a large p of w over a fixed number, since fp64 ends at 1e-308
        unit = max(value_of(w) for w in weights) if p > 3 else 1.0
        norm = ad.exp(ad.log(ad.total(ad.exp(ad.log(w / unit) * float(p)) for w in weights)) * (1.0 / p)) * unit
        weights = [w / norm for w in weights]
    return [w * case["scaling"] for w in weights]


def drawn_row(source, case, std):
    """A row of logits whose choice is decided."""
    while True:
        row = source.normals(E, std)
        try:
            choose(row, case)
            return row
        except TooNear:
            continue


def make_cases():
    source = Source(20261122)
    cases = []

    def add(name, score, k, *, norm_p=None, scaling=1.0, bias=None, std=1.5, **groups):
        case = {"name": name, "score": score, "top_k": k, "norm_p": norm_p, "scaling": scaling, "bias": bias, **groups}
        cases.append({**case, "logits": [drawn_row(source, case, std) for _ in range(T)], "coefficients": source.matrix(T, k)})

    for score in ("softmax_pre", "softmax_post", "sigmoid", "sqrtsoftplus"):
        for k in (1, 2, 4):
            if score == "softmax_post" and k == 1:
                continue
            for norm_p in (None, 1, 2, 3):
                if score == "softmax_post" and norm_p not in (None, 1):
                    continue
                add(f"{score}_k{k}_norm{norm_p}", score, k, norm_p=norm_p, scaling=2.5 if norm_p == 1 else 1.0)
        for group_score, n_groups, kept, k in (("max", 4, 2, 2), ("top2_sum", 4, 2, 4), ("top_k_over_groups_sum", 2, 1, 3),
                                               ("top_k_over_groups_sum", 4, 2, 4), ("max", 8, 3, 2)):
            for mask in ("minus_infinity", "zero"):
                if score == "softmax_post" and mask == "zero":
                    continue  # its values are logits of both signs: the case below
                add(f"{score}_{group_score}_{n_groups}_{kept}_k{k}_{mask}", score, k, norm_p=1, scaling=2.5,
                    n_groups=n_groups, groups_per_token=kept, group_score=group_score, group_mask=mask)
        bias = source.normals(E, 0.25)
        add(f"{score}_bias", score, 2, norm_p=1, bias=bias)
        add(f"{score}_bias_top2_sum", score, 4, norm_p=1, scaling=2.5, bias=bias, n_groups=4, groups_per_token=2,
            group_score="top2_sum", group_mask="minus_infinity")
    add("softmax_post_zero_mask", "softmax_post", 2, n_groups=4, groups_per_token=2, group_score="max", group_mask="zero", std=2.0)
    # Every biased score is negative: with zeros the experts outside the kept groups win, lowest first; with
    # -infinity they never do.
    below = [-2.0 - e / 8 for e in range(E)]
    for name, mask in (("zero_mask_takes_outsiders", "zero"), ("minus_infinity_keeps_them_out", "minus_infinity")):
        add(name, "sigmoid", 3, norm_p=1, bias=below, n_groups=2, groups_per_token=1, group_score="top2_sum", group_mask=mask)
    for norm_p in (40, 1000):  # powers that fp32, and at 1000 fp64 too, has no numbers for
        for score in ("softmax_pre", "sigmoid", "sqrtsoftplus"):
            add(f"{score}_k4_norm{norm_p}", score, 4, norm_p=norm_p)
    return cases


def solve(case):
    ad.Scalar.tape = []
    logits = [[ad.Scalar(l) for l in row] for row in case["logits"]]
    ids = [choose(row, case) for row in logits]
    weights = [weights_of(row, chosen, case) for row, chosen in zip(logits, ids)]
    ad.backward(ad.total(w * c for row, cs in zip(weights, case["coefficients"]) for w, c in zip(row, cs)))
    return {"expert_ids": ids, "weights": [[value_of(w) for w in row] for row in weights], "gradient": [[l.grad for l in row] for row in logits]}


def main():
    cases = make_cases()
    outputs = {case["name"]: solve(case) for case in cases}
    outside = outputs["zero_mask_takes_outsiders"]["expert_ids"]
    assert all(len({e // 4 for e in row}) == 1 for row in outputs["minus_infinity_keeps_them_out"]["expert_ids"])
    assert outside != outputs["minus_infinity_keeps_them_out"]["expert_ids"]
    write(
        "token_choice.json", "reference",
        "scripts/golden/token_choice.py; logits, coefficients and biases from random.Random(20261122)",
        {"cases": cases}, outputs, 2e-5, 1e-6,
        "Experts, best first by score + bias, ties to the lower; their weights; the gradient by the logits of sum_tk "
        "coefficients_tk * weights_tk. norm_p null: not renormalised; bias null: none. No two values that a choice compares are nearer "
        "than 1e-4. fp32: six digits, a few of them lost where a p-norm cancels in the gradient; "
        "in the gradient of a p-norm above 40 p / 40 times as much, since the rounding of w comes p times.")


if __name__ == "__main__":
    main()

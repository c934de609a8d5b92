"""Routers whose bias moves after each step: loss_free and quantile, step by step.

loss_free: experts are the k largest of sigmoid(l) + b. With n the loads of the step (padding not counted, dropped
assignments not counted with after_drops), m their mean:
  sign          b_e += rate * sign(m - n_e)          proportional   b_e += rate * (m - n_e) / m
while the tokens (steps) before this one are fewer than rate_until.
quantile (Megatron-LM core/transformer/moe/moe_utils.py qb_dual_update): experts are the k largest of l - beta; of each
micro-batch of T tokens alpha_t = (k + 1)-th largest of l_t - beta, candidate_e = (m + 1)-th largest of l_te - alpha_t,
m = floor(T k / E); beta = ema * beta + (1 - ema) * mean of candidates, minus its mean.
Writes loss_free.json and quantile.json.
"""

import math

import autodiff as ad
from record import Source, write
from sinkhorn import top_k

MARGIN = 1e-4


class TooNear(Exception):
    pass


def select(rows, k):
    for row in rows:
        ranked = sorted(row, reverse=True)
        if min(ranked[i] - ranked[i + 1] for i in range(min(k, len(row) - 1))) <= MARGIN:
            raise TooNear
    return [top_k(row, k) for row in rows]


def solved(make, run):
    """The first case of `make` whose choices are all decided, and its history."""
    while True:
        case = make()
        try:
            return case, run(case)
        except TooNear:
            continue


def micro_batch(source, n_tokens, n_experts, k, lean, n_padding=0, drops=False):
    logits = [[l + a for l, a in zip(source.normals(n_experts), lean)] for _ in range(n_tokens)]
    out = {"logits": logits, "is_padding": [t >= n_tokens - n_padding for t in range(n_tokens)] if n_padding else None}
    if drops:
        out["dropped"] = [[source.uniform() < 0.3 for _ in range(k)] for _ in range(n_tokens)]
    return out


def sign(x):
    return (x > 0) - (x < 0)


def run_loss_free(case):
    E, k, b, tokens = case["n_experts"], case["top_k"], [0.0] * case["n_experts"], 0
    history = []
    for number, step in enumerate(case["steps"]):
        loads, counted, ids_of_step = [0] * E, 0, []
        for batch in step:
            ids = select([[ad.sigmoid(l) + be for l, be in zip(row, b)] for row in batch["logits"]], k)
            ids_of_step.append(ids)
            for t, row in enumerate(ids):
                if batch["is_padding"] and batch["is_padding"][t]:
                    continue
                counted += 1
                for slot, e in enumerate(row):
                    if case["counts"] == "before_drops" or not batch["dropped"][t][slot]:
                        loads[e] += 1
        mean = sum(loads) / E
        amount, unit = case["rate_until"].split()
        is_moving = float(amount) == 0 or (tokens if unit == "tokens" else number) < float(amount)
        if is_moving:
            if case["update"] == "sign":
                b = [be + case["rate"] * sign(mean - n) for be, n in zip(b, loads)]
            else:
                b = [be + case["rate"] * (mean - n) / mean for be, n in zip(b, loads)]
        tokens += counted
        history.append({"expert_ids": ids_of_step, "loads": loads, "tokens": tokens, "bias": b})
    return history


def write_loss_free():
    source = Source(20261123)
    cases, outputs = [], {}

    def make(name, update, counts, until, rate):
        E, k = 6, 2
        lean = source.normals(E, 1.0)
        steps = [[micro_batch(source, 12, E, k, lean, drops=True), micro_batch(source, 9, E, k, lean, n_padding=3, drops=True)] for _ in range(5)]
        return {"name": name, "n_experts": E, "top_k": k, "update": update, "counts": counts, "rate_until": until, "rate": rate, "steps": steps}

    for options in (("sign", "sign", "before_drops", "0 tokens", 0.0625),
                    ("proportional", "proportional", "before_drops", "0 tokens", 0.25),
                    ("after_drops", "sign", "after_drops", "0 tokens", 0.0625),
                    ("until_tokens", "sign", "before_drops", "45 tokens", 0.0625),
                    ("until_steps", "proportional", "before_drops", "2 steps", 0.25)):
        case, history = solved(lambda: make(*options), run_loss_free)
        cases.append(case)
        outputs[case["name"]] = history
    # What the cases are there for is seen.
    assert any(sign(sum(step["loads"]) / 6 - n) == 0 for step in outputs["sign"] for n in step["loads"]), "no expert at the mean"
    assert outputs["until_tokens"][2]["bias"] != outputs["until_tokens"][1]["bias"] and outputs["until_tokens"][3]["bias"] == outputs["until_tokens"][2]["bias"]
    assert outputs["until_steps"][1]["bias"] != outputs["until_steps"][0]["bias"] and outputs["until_steps"][2]["bias"] == outputs["until_steps"][1]["bias"]
    write(
        "loss_free.json", "reference", "scripts/golden/balancing_bias.py; arXiv 2408.15664 algorithm 1; Megatron-LM get_updated_expert_bias; random.Random(20261123)",
        {"cases": cases}, outputs, 0.0, 1e-6,
        "Five steps of two micro-batches: choices with the bias so far, loads of the step, tokens so far, the bias after it. Choices compare values "
        "that differ by more than 1e-4. The bias of `sign` is a sum of multiples of 1/16 and exact; fp32 rounds the others.")


def kth_largest(values, k):
    return sorted(values, reverse=True)[k - 1]


def quantile_candidates(logits, beta, k):
    T, E = len(logits), len(beta)
    alphas = [kth_largest([l - b for l, b in zip(row, beta)], k + 1) for row in logits]
    return [kth_largest([row[e] - alpha for row, alpha in zip(logits, alphas)], T * k // E + 1) for e in range(E)]


def run_quantile(case):
    E, k, beta = case["n_experts"], case["top_k"], [0.0] * case["n_experts"]
    history = []
    for step in case["steps"]:
        candidates, ids_of_step = [], []
        for batch in step:
            ids_of_step.append(select([[l - b for l, b in zip(row, beta)] for row in batch["logits"]], k))
            counted = [row for t, row in enumerate(batch["logits"]) if not (batch["is_padding"] and batch["is_padding"][t])]
            if counted and k < E:
                candidates.append(quantile_candidates(counted, beta, k))
        if candidates:
            mean = [math.fsum(c[e] for c in candidates) / len(candidates) for e in range(E)]
            beta = [case["ema"] * b + (1 - case["ema"]) * m for b, m in zip(beta, mean)]
            centre = math.fsum(beta) / E
            beta = [b - centre for b in beta]
        history.append({"expert_ids": ids_of_step, "beta": beta})
    return history


# Megatron-LM tests/unit_tests/transformer/moe: the scores of its test of the column quantile, k = 2: m = 3.
MEGATRON_SCORES = [[0.1, 0.5, 0.2, 0.0], [0.7, 0.3, 0.4, 0.2], [0.6, 0.9, 0.1, 0.8], [0.2, 0.4, 0.6, 0.3], [0.9, 0.0, 0.5, 0.7], [0.3, 0.8, 0.7, 0.4]]


def write_quantile():
    source = Source(20261124)
    cases, outputs = [], {}

    def add(make):
        case, history = solved(make, run_quantile)
        cases.append(case)
        outputs[case["name"]] = history

    def make(name, E, k, ema, sizes):
        lean = source.normals(E, 1.5)
        steps = [[micro_batch(source, sizes[0], E, k, lean), micro_batch(source, sizes[1] + 2, E, k, lean, n_padding=2)] for _ in range(4)]
        return {"name": name, "n_experts": E, "top_k": k, "ema": ema, "steps": steps}

    def padding_alone():
        nothing = micro_batch(source, 3, 4, 1, [0.0] * 4, n_padding=3)
        return {"name": "padding_alone", "n_experts": 4, "top_k": 1, "ema": 0.0,
                "steps": [[micro_batch(source, 9, 4, 1, [1.0, 0.0, 0.0, -1.0]), nothing], [nothing]]}

    for options in (("divides", 4, 2, 0.0, (12, 8)), ("floor", 5, 2, 0.0, (12, 9)), ("ema", 6, 1, 0.75, (24, 18)),
                    ("few_tokens", 6, 2, 0.0, (1, 2)), ("all_experts", 4, 4, 0.0, (6, 6))):
        add(lambda: make(*options))
    add(padding_alone)
    add(lambda: {"name": "megatron_test", "n_experts": 4, "top_k": 2, "ema": 0.0, "steps": [[{"logits": MEGATRON_SCORES, "is_padding": None}]]})
    # By hand: third largest of the rows .1 .3 .6 .3 .5 .4; fourth largest of each column of l - alpha.
    for got, need in zip(quantile_candidates(MEGATRON_SCORES, [0.0] * 4, 2), [0.0, 0.1, 0.1, 0.0]):
        assert abs(got - need) < 1e-15
    assert outputs["all_experts"][-1]["beta"] == [0.0] * 4
    assert outputs["padding_alone"][1]["beta"] == outputs["padding_alone"][0]["beta"] != [0.0] * 4
    write(
        "quantile.json", "reference", "scripts/golden/balancing_bias.py; Megatron-LM core/transformer/moe/moe_utils.py qb_dual_update; random.Random(20261124)",
        {"cases": cases}, outputs, 1e-5, 2e-6,
        "Steps of one or two micro-batches: choices with beta so far, beta after the step. T k / E is rounded down. Choices compare values that differ by "
        "more than 1e-4. fp32: differences of logits of a few units, so 2e-6 absolute.")


def main():
    write_loss_free()
    write_quantile()


if __name__ == "__main__":
    main()

"""Sinkhorn routers at the sizes of a training micro-batch: sweeps, loads and scalings of the three variants.

The logits are not stored: both sides draw them. With Stream(seed, "sinkhorn sizes") of rng.py,
  z = (the sum of 12 numbers next() >> 40, minus 6 * 2^24) / 2^24        about N(0, 1), exact in fp64
column e has the bias b * z, drawn first; then row by row l_te = bias_e + sigma * z. Writes sinkhorn_sizes.json.
The settings are those of a published table that does not give its draws (sweeps 6, 4, 18, 3 of Megatron's loop and 1 of NeoX's from
2,048 tokens on; largest load over the mean 1.03 to 1.11 there, 1.25 at 64 tokens): check_ranges holds the draws here near to it.
"""

from record import write
from rng import Stream
from sinkhorn import sinkhorn_exp, sinkhorn_log, top_k

SETTINGS = ((64, 8, 1, 1, 1), (2048, 8, 1, 1, 1), (2048, 32, 1, 1, 2), (2048, 8, 3, 2, 1), (4096, 64, 0.5, 0.5, 8))
SEEDS = (1, 5)  # at 2 to 4 an error comes within 4 % of the tolerance, where fp32 might count another sweep
TOLERANCE = 1e-4


def draw(stream):
    return (sum(stream.next() >> 40 for _ in range(12)) - 6 * 2**24) / 2**24


def make_logits(seed, T, E, sigma, bias):
    stream = Stream(seed, "sinkhorn sizes")
    column = [bias * draw(stream) for _ in range(E)]
    return [[column[e] + sigma * draw(stream) for e in range(E)] for _ in range(T)]


def loads(rows, k):
    """Tokens of each expert; no choice may hang on the last digits."""
    counts = [0] * len(rows[0])
    for row in rows:
        best = top_k(row, k + 1)
        gap = row[best[k - 1]] - row[best[k]]
        assert gap > 1e-10, gap
        for expert in best[:k]:
            counts[expert] += 1
    return counts


def solve(case):
    logits, k = make_logits(case["seed"], case["T"], case["E"], case["sigma"], case["column_bias_std"]), case["top_k"]
    out = {"raw": {"tokens_per_expert": loads(logits, k)}}
    for variant in ("log", "megatron", "neox"):
        if variant == "log":
            result = sinkhorn_log(logits, TOLERANCE, 200)
        else:
            result = sinkhorn_exp(logits, variant, TOLERANCE)
        plan = result.pop("plan")
        out[variant] = {**result, "tokens_per_expert": loads(plan, k)}
    return out


def check_ranges(case, result):
    """Largest load over the mean, and sweeps."""
    T, E, k = case["T"], case["E"], case["top_k"]
    ratios = {variant: max(result[variant]["tokens_per_expert"]) * E / (T * k) for variant in result}
    limits = {"log": 1.14, "megatron": 1.14, "neox": 1.16} if T >= 2048 else {"log": 1.4, "megatron": 1.4, "neox": 1.4}
    for variant, limit in limits.items():
        assert 1.02 <= ratios[variant] <= limit, (case, ratios)
    assert ratios["raw"] >= 2, (case, ratios)
    sweeps = {variant: result[variant]["iterations"] for variant in limits}
    assert sweeps["neox"] == 1 if T >= 2048 else sweeps["neox"] <= 2, (case, sweeps)
    assert 17 <= sweeps["megatron"] <= 19 if case["sigma"] == 3 else 3 <= sweeps["megatron"] <= 7, (case, sweeps)


def main():
    cases = [{"seed": seed, "T": T, "E": E, "sigma": sigma, "column_bias_std": bias, "top_k": k}
             for T, E, sigma, bias, k in SETTINGS for seed in SEEDS if T < 4096 or seed == SEEDS[0]]
    results = [solve(case) for case in cases]
    for case, result in zip(cases, results):
        check_ranges(case, result)
    write(
        "sinkhorn_sizes.json", "reference",
        "scripts/golden/sinkhorn_sizes.py: the five settings (T, E, sigma, column bias, k) of a published table of sweeps, with draws of our own",
        {"tolerance": TOLERANCE, "eps": 1e-8, "cases": cases}, results, 1e-9, 1e-12,
        "Sweeps and tokens of each expert, exact; d1, and the bias of the log form, in fp64: 12 digits are written, and up to 40 sweeps "
        "add rounding.")


if __name__ == "__main__":
    main()

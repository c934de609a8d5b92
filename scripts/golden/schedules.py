"""Learning-rate schedules: update n (from 1) uses lr(n); all bounds are whole steps.

Writes schedules_paper.json (published points) and schedules.json (formulas at their joints).
"""

import math

from record import check_close, write


def _wsd(case, n):
    start = case["total_steps"] - case["decay_steps"]
    if n <= start:
        return case["lr_max"]
    q = (n - start) / case["decay_steps"]
    coefficient = {
        "linear": 1.0 - q,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * q)),
        "exponential": 2.0 * 0.5**q - 1.0,
        "minus_sqrt": 1.0 - math.sqrt(q),
    }[case["shape"]]
    return case["lr_min"] + coefficient * (case["lr_max"] - case["lr_min"])


def _infinite(case, n):
    u = n - case["warmup_steps"]
    lr_max, lr_constant, lr_min = case["lr_max"], case["lr_constant"], case["lr_min"]
    cooldown, constant = case["cooldown_steps"], case["constant_steps"]
    if u <= cooldown:
        if case["kind"] == "infinite_cosine":
            return lr_constant + 0.5 * (lr_max - lr_constant) * (1.0 + math.cos(math.pi * u / cooldown))
        h = lambda x: 1.0 / math.sqrt(1.0 + case["timescale"] * x) - 1.0
        return lr_max + (lr_constant - lr_max) * h(u / cooldown) / h(1.0)
    if u <= cooldown + constant:
        return lr_constant
    anneal = case["total_steps"] - case["warmup_steps"] - cooldown - constant
    return lr_constant * (lr_min / lr_constant) ** ((u - cooldown - constant) / anneal)


def learning_rate(case, n):
    n = min(n, case["total_steps"])  # past the end: the last value
    warmup, lr_max, lr_min = case["warmup_steps"], case["lr_max"], case["lr_min"]
    if n <= warmup:
        return case["lr_start"] + (lr_max - case["lr_start"]) * n / warmup
    kind = case["kind"]
    if kind == "constant":
        return lr_max
    if kind == "inverse_sqrt":
        return max(lr_max * math.sqrt(max(warmup, 1) / n), lr_min)
    if kind == "wsd":
        return _wsd(case, n)
    if kind.startswith("infinite_"):
        return max(_infinite(case, n), lr_min)
    progress = (n - warmup) / (case["total_steps"] - warmup)
    if kind == "linear":
        return lr_min + (lr_max - lr_min) * (1.0 - progress)
    if kind == "cosine":
        return lr_min + 0.5 * (lr_max - lr_min) * (1.0 + math.cos(math.pi * progress))
    raise ValueError(kind)


def make_case(name, kind, total, warmup, steps, **keys):
    case = {"name": name, "kind": kind, "total_steps": total, "warmup_steps": warmup,
            "lr_max": 3e-4, "lr_min": 3e-5, "lr_start": 0.0}
    case.update(keys)
    case["steps"] = steps
    return case


def paper_cases():
    infinite = {"lr_constant": 1.65e-4, "cooldown_steps": 700, "constant_steps": 200}
    steps = [5, 10, 185, 360, 710, 800, 910, 955, 1000]
    tail = [1.65e-4, 1.65e-4, 1.65e-4, 7.035624e-5, 3e-5]
    pairs = [
        (make_case("infinite_cosine", "infinite_cosine", 1000, 10, steps, **infinite),
         [1.5e-4, 3e-4, 2.802297e-4, 2.325000e-4] + tail),
        (make_case("infinite_inverse_sqrt_1", "infinite_inverse_sqrt", 1000, 10, steps, timescale=1.0, **infinite),
         [1.5e-4, 3e-4, 2.513395e-4, 2.154198e-4] + tail),
        (make_case("infinite_inverse_sqrt_10", "infinite_inverse_sqrt", 1000, 10, steps, timescale=10.0, **infinite),
         [1.5e-4, 3e-4, 2.100351e-4, 1.856295e-4] + tail),
    ]
    # OpenMoE: 1 / sqrt(max(n, 10,000)), held at first without a warm-up. Its causal stage goes on from step 390,000 of
    # the UL2 stage, as an inverse root that fills its phase.
    openmoe = lambda n: 1.0 / math.sqrt(max(n, 10_000))
    steps = [1, 2, 5_000, 9_999, 10_000, 10_001, 40_000, 250_000, 390_000]
    pairs.append((make_case("openmoe", "inverse_sqrt", 390_000, 10_000, steps, lr_max=0.01, lr_start=0.01, lr_min=0.0),
                  [openmoe(n) for n in steps]))
    before, length, steps = 390_000, 160_000, [1, 2, 1_000, 80_000, 159_999, 160_000]
    pairs.append((make_case("openmoe_second_stage", "infinite_inverse_sqrt", length, 0, steps, lr_max=openmoe(before), lr_min=0.0,
                            lr_constant=openmoe(before + length), cooldown_steps=length, constant_steps=0, timescale=length / before),
                  [openmoe(before + n) for n in steps]))
    decays = {
        "linear": [3e-4, 2.325e-4, 1.65e-4, 9.75e-5, 3e-5],
        "cosine": [3e-4, 2.604594e-4, 1.65e-4, 6.954058e-5, 3e-5],
        "exponential": [3e-4, 2.140841e-4, 1.418377e-4, 8.108592e-5, 3e-5],
        "minus_sqrt": [3e-4, 1.65e-4, 1.090812e-4, 6.617314e-5, 3e-5],
    }
    for shape, values in decays.items():
        pairs.append((make_case(f"wsd_{shape}", "wsd", 1000, 10, [900, 925, 950, 975, 1000],
                                shape=shape, decay_steps=100), values))
    return pairs


def reference_cases():
    infinite = {"lr_constant": 1.5e-4, "cooldown_steps": 40, "constant_steps": 30}
    joints = [1, 9, 10, 11, 30, 49, 50, 51, 65, 79, 80, 81, 90, 99, 100, 101, 1000]
    plain = [1, 9, 10, 11, 12, 55, 98, 99, 100, 101, 1000]
    cold = [1, 2, 50, 99, 100, 101]
    cases = []
    for kind in ("constant", "linear", "cosine", "inverse_sqrt"):
        cases.append(make_case(kind, kind, 100, 10, plain, lr_start=0.0))
        cases.append(make_case(f"{kind}_lr_start", kind, 100, 10, plain, lr_start=6e-5))
        cases.append(make_case(f"{kind}_no_warmup", kind, 100, 0, cold))
        cases.append(make_case(f"{kind}_lr_min_zero", kind, 100, 10, plain, lr_min=0.0))
    cases.append(make_case("cosine_one_step", "cosine", 1, 0, [1, 2]))
    cases.append(make_case("cosine_all_warmup", "cosine", 10, 10, [1, 9, 10, 11]))
    cases.append(make_case("inverse_sqrt_floor", "inverse_sqrt", 100000, 10, [10, 11, 999, 1000, 1001, 100000]))
    for shape in ("linear", "cosine", "exponential", "minus_sqrt"):
        cases.append(make_case(f"wsd_{shape}", "wsd", 100, 10, [1, 9, 10, 11, 40, 79, 80, 81, 85, 90, 99, 100, 101, 500],
                               shape=shape, decay_steps=20))
        cases.append(make_case(f"wsd_{shape}_no_warmup_all_decay", "wsd", 50, 0, [1, 2, 25, 49, 50, 51],
                               shape=shape, decay_steps=50, lr_min=0.0))
    for name, extra in (("", {}), ("_lr_start", {"lr_start": 6e-5})):
        cases.append(make_case(f"infinite_cosine{name}", "infinite_cosine", 100, 10, joints, **infinite, **extra))
        for timescale in (1.0, 10.0):
            cases.append(make_case(f"infinite_inverse_sqrt_{timescale:g}{name}", "infinite_inverse_sqrt", 100, 10,
                                   joints, timescale=timescale, **infinite, **extra))
    edge = {"lr_constant": 1.5e-4}
    cases.append(make_case("infinite_cosine_no_warmup", "infinite_cosine", 100, 0, [1, 40, 41, 70, 71, 100, 101], **infinite))
    cases.append(make_case("infinite_cosine_no_cooldown", "infinite_cosine", 100, 10, [10, 11, 40, 41, 100, 101],
                           cooldown_steps=0, constant_steps=30, **edge))
    cases.append(make_case("infinite_cosine_no_constant", "infinite_cosine", 100, 10, [10, 50, 51, 100, 101],
                           cooldown_steps=40, constant_steps=0, **edge))
    cases.append(make_case("infinite_cosine_no_anneal", "infinite_cosine", 100, 10, [10, 50, 51, 99, 100, 101],
                           cooldown_steps=40, constant_steps=50, **edge))
    return cases


def main():
    pairs = paper_cases()
    for case, values in pairs:
        for n, value in zip(case["steps"], values):
            check_close(f"{case['name']} at {n}", learning_rate(case, n), value, rtol=5e-7)
    write(
        "schedules_paper.json", "paper",
        "Infinite schedules: arXiv 2403.08763 and GPT-NeoX (branch infinite_lr); WSD: Megatron-LM "
        "core/optimizer_param_scheduler.py. Points listed to seven digits. OpenMoE: arXiv 2402.01739 and its gin files.",
        {"cases": [case for case, _ in pairs]},
        {"lr": {case["name"]: values for case, values in pairs}},
        5e-7, 0.0,
        "The published formulas at listed points; the values have seven digits, hence rtol.", decimals=None)

    cases = reference_cases()
    write(
        "schedules.json", "reference",
        "scripts/golden/schedules.py: GPT-NeoX and Megatron-LM formulas, update n from 1, clamped at the end",
        {"cases": cases},
        {"lr": {case["name"]: [learning_rate(case, n) for n in case["steps"]] for case in cases}},
        1e-11, 0.0,
        "Warm-up end, joints and their neighbours, the last update and past it (value of the last update). "
        "fp64 on both sides; values are written with 12 digits, hence rtol.", decimals=None)


if __name__ == "__main__":
    main()

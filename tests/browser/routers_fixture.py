"""Synthetic studies of many routers, with the table `routers` that a real one has; the figures are made up.

    python routers_fixture.py OUT            a study of one seed at OUT/one, of three at OUT/three
"""

import json
import random
import statistics
import sys
from pathlib import Path

import make_fixture

RULES = {  # arm: router, capacity, scopes and causality in training and evaluation, how uneven, how bad, share dropped
    "top-k-softmax": ("top_k", "none", "token", "token", True, True, 1.0, 0.00, 0.0),
    "top-k-sigmoid": ("top_k", "none", "token", "token", True, True, 1.1, 0.02, 0.0),
    "loss-free": ("loss_free", "none", "token", "token", True, True, 1.3, -0.02, 0.0),
    "quantile": ("quantile", "none", "token", "token", True, True, 0.8, 0.01, 0.0),
    "sinkhorn-log": ("sinkhorn", "none", "micro-batch", "token", False, True, 0.5, 0.03, 0.0),
    "expert-choice": ("expert_choice", "none", "micro-batch", "sequence", False, False, 0.0, -0.15, 0.0),
    "hash-ids": ("hash", "none", "token", "token", True, True, 2.0, 0.08, 0.0),
    "random": ("random", "none", "micro-batch", "sequence", True, True, 0.1, 0.20, 0.0),
    "drop-switch": ("top_k", "switch", "micro-batch", "sequence", True, True, 1.0, 0.05, 0.12),
    "drop-bpr": ("top_k", "bpr", "micro-batch", "sequence", False, False, 1.0, 0.04, 0.07),
}
KEYS = ["router", "capacity", "scope", "eval_scope", "causal", "eval_causal", "balance", "old_data", "new_data", "lower_bound", "experts"]
FIGURES = ["loss_before", "loss_old", "loss_new", "forgetting", "mri_before", "mri_peak", "steps_to_recover", "eval_mri_old", "eval_mri_new", "dropped", "dead"]


def row_of(arm, group, seed):
    draws = random.Random(f"{group}/{seed}")
    if group == "dense":
        before, new = 5.1 + draws.gauss(0, 0.01), 5.9 + draws.gauss(0, 0.01)
        return [arm, *[None] * 7, "english", "german", None, None, before, before + 2.7, new, 2.7, *[None] * 7]
    router, capacity, scope, eval_scope, causal, eval_causal, uneven, bad, dropped = RULES[group]
    bound = 0.125
    before, old, new = (base + bad + draws.gauss(0, 0.012) for base in (5.05, 7.8, 5.85))
    mri = bound * (1 + 0.5 * uneven + abs(draws.gauss(0, 0.03)))
    peak = mri * (1 + 1.2 * uneven)
    recovers = None if router in ("expert_choice", "random") or (group == "hash-ids" and seed != 2) else round(10 + 30 * uneven + draws.gauss(0, 3))
    balance = "switch 0.01" if router == "top_k" else "none"
    return [arm, router, capacity, scope, eval_scope, causal, eval_causal, balance, "english", "german", bound, 24, before, old, new, old - before, mri, peak, recovers,
            mri * 1.2, mri * (1.4 + uneven), dropped * draws.uniform(0.9, 1.1), draws.randrange(0, 1 + round(3 * uneven))]


def add_table(folder):
    """The table `routers`, and its summary where there are several seeds, into the results of a study."""
    path = Path(folder) / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    rows = [row_of(arm["name"], arm["group"], arm["seed"]) for arm in results["arms"]]
    columns = ["arm", *KEYS, *FIGURES]
    made = lambda names, values: {"columns": [{"name": name, "unit": ""} for name in names], "rows": values, "chance": None, "tokens": None, "source": "made up"}
    results["tables"]["routers"] = made(columns, rows)
    groups = list(dict.fromkeys(arm["group"] for arm in results["arms"]))
    if len(groups) < len(rows):
        of = {arm["name"]: arm["group"] for arm in results["arms"]}
        summary = []
        for group in groups:
            members = [row for row in rows if of[row[0]] == group]
            line = [group, *members[0][1:1 + len(KEYS)]]
            for i in range(len(FIGURES)):
                values = [row[1 + len(KEYS) + i] for row in members if row[1 + len(KEYS) + i] is not None]
                line += [statistics.fmean(values) if values else None, (statistics.stdev(values) if len(values) > 1 else 0.0) if values else None]
            summary.append(line + [len(members)])
        results["tables"]["routers_summary"] = made(["group", *KEYS, *[f"{figure}_{kind}" for figure in FIGURES for kind in ("mean", "std")], "n"], summary)
    path.write_text(json.dumps(results), encoding="utf-8")


def make_study(folder, seeds=(1,), rename=None):
    specs = [("dense", "dense", None, 0, 0, 0.0)] + [(name, "switch", rule[0], 8, 1, 0.0) for name, rule in RULES.items()]
    make_fixture.make_study(folder, seeds=seeds, specs=specs, title="Routers compared")
    add_table(folder)
    if rename:
        path = Path(folder) / "results.json"
        text = path.read_text(encoding="utf-8")
        for name, other in rename.items():
            text = text.replace(json.dumps(name), json.dumps(other))
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    make_study(Path(sys.argv[1]) / "one")
    make_study(Path(sys.argv[1]) / "three", seeds=(1, 2, 3))

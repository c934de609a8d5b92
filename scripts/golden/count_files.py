"""Count files in the three published shapes and what follows from them. Writes count_files.json.

A made routing of two domains (tokens with ids and k = 2 of 5 experts, best first) is counted in every shape:
  domains   topk and top1 counts a layer        one     counts a layer        ids     counts by expert and token id
and the figures are computed from the routing itself, token by token:
  load, mri, entropy, cv, max_share, top-1; Pearson's correlation and overlap of the two domains
  token std      mean over ids seen at least m times of sqrt(mean_e (r_e - 1/E)^2), baseline sqrt((1 - k/E) / (n k E))
  vocabulary     mean over ids seen at least m times of max_e (occurrences that reach e) / occurrences
"""

import math
import statistics

from record import Source, check_close, write

E, K, LAYERS, IDS = 5, 2, [0, 7], 6
N_TOKENS = {"news": 60, "code": 41}


def route(source, ids, layer):
    """Per token K different experts, best first; each id prefers one expert at layer 7."""
    out = []
    for token_id in ids:
        experts = list(range(E))
        for i in range(K):
            j = i + int(source.uniform() * (E - i))
            experts[i], experts[j] = experts[j], experts[i]
        if layer == 7 and source.uniform() < 0.7:
            own = token_id * 3 % E
            experts.remove(own)
            experts.insert(0, own)
        out.append(experts[:K])
    return out


def counted(lists):
    return [sum(e in chosen for chosen in lists) for e in range(E)]


def load_figures(lists):
    counts = counted(lists)
    shares = [n / sum(counts) for n in counts]
    first = counted([chosen[:1] for chosen in lists])
    return {"mri": max(counts) / len(lists), "max_share": max(shares), "cv": math.sqrt(math.fsum((s - 1 / E) ** 2 for s in shares) / E) * E,
            "entropy": -math.fsum(s * math.log(s) for s in shares if s) / math.log(E), "top1_max_share": max(first) / len(lists)}


def by_id(ids, lists):
    groups = {}
    for token_id, chosen in zip(ids, lists):
        groups.setdefault(token_id, []).append(chosen)
    return groups


def token_std(ids, lists, minimum):
    stds, baselines = [], []
    for group in by_id(ids, lists).values():
        if len(group) < minimum:
            continue
        shares = [n / (K * len(group)) for n in counted(group)]
        stds.append(math.sqrt(statistics.fmean((s - 1 / E) ** 2 for s in shares)))
        baselines.append(math.sqrt((1 - K / E) / (len(group) * K * E)))
    return {"ids": len(stds), "std": statistics.fmean(stds), "baseline_std": statistics.fmean(baselines)}


def vocabulary(ids, lists, minimum):
    groups = [group for group in by_id(ids, lists).values() if len(group) >= minimum]
    return {"ids": len(groups), "mean": statistics.fmean(max(counted(group)) / len(group) for group in groups),
            "mean_by_occurrence": sum(max(counted(group)) for group in groups) / sum(map(len, groups))}


def main():
    source = Source(77)
    ids = {name: [int(source.uniform() ** 2 * IDS) for _ in range(n)] for name, n in N_TOKENS.items()}
    routed = {name: {layer: route(source, ids[name], layer) for layer in LAYERS} for name in ids}

    head = {"model": "made", "n_experts": E}
    domains = {name: {"topk": [counted(lists) for lists in layers.values()], "top1": [counted([c[:1] for c in lists]) for lists in layers.values()]}
               for name, layers in routed.items()}
    one = {name: {"domain": name, **head, "counts": domains[name]["topk"]} for name in ids}
    per_id = {}
    for name, layers in routed.items():
        table = []
        for lists in layers.values():
            experts = {}
            for token_id, chosen in zip(ids[name], lists):
                for e in chosen:
                    cell = experts.setdefault(str(e), {})
                    cell[str(token_id)] = cell.get(str(token_id), 0) + 1
            table.append(experts)
        per_id[name] = {"layer_expert_token_counts": table, "top_k": K, "layers": LAYERS, "domain": name, **head}

    outputs = {"load": {name: [load_figures(lists) for lists in layers.values()] for name, layers in routed.items()},
               "similarity": [{"correlation": statistics.correlation(a, b), "overlap": 1 - sum(abs(x / sum(a) - y / sum(b)) for x, y in zip(a, b)) / 2}
                              for a, b in zip(*(domains[name]["topk"] for name in ids))],
               "token_std": {name: [token_std(ids[name], lists, 5) for lists in layers.values()] for name, layers in routed.items()},
               "vocabulary": []}
    pooled = sum(ids.values(), [])
    for layer in LAYERS:
        lists = sum((routed[name][layer] for name in ids), [])
        outputs["vocabulary"].append({"1": vocabulary(pooled, lists, 1), "5": vocabulary(pooled, lists, 5)})
    # By hand: an id seen 4 times with counts 4, 2, 1, 1, 0 of 8.
    small = token_std([3] * 4, [[0, 1], [0, 1], [0, 2], [0, 3]], 1)
    check_close("std", small["std"], math.sqrt((0.3 ** 2 + 0.05 ** 2 + 2 * 0.075 ** 2 + 0.2 ** 2) / 5), 1e-12)
    check_close("vocabulary", vocabulary([3] * 4, [[0, 1], [0, 1], [0, 2], [0, 3]], 1)["mean"], 1.0, 1e-15)
    assert outputs["token_std"]["news"][1]["std"] > outputs["token_std"]["news"][0]["std"] > 0
    write("count_files.json", "reference", "scripts/golden/count_files.py; arXiv 2409.02060 eq. 7 and 8, arXiv 2402.01739 section 4",
          {"tokens": N_TOKENS, "top_k": K, "layers": LAYERS, "domains": {**head, "layers": LAYERS, "domains": domains}, "one": one, "ids": per_id}, outputs, 1e-11, 1e-12,
          "Counts of some dozen tokens; fp64 on both sides, written with 12 digits.")


if __name__ == "__main__":
    main()

"""Every balance loss as its source writes it, one function each, over three micro-batches of a step.

Each loss takes the probabilities of the tokens that count (lists of Scalars or floats) and, for each token, the experts
that are counted for it. Nothing here knows that the losses are one formula. Gradients by autodiff, checked with central
differences. Writes balance_table_paper.json and balance_table.json.
"""

import autodiff as ad
import routers
from record import Source, check_close, write
from sinkhorn import A2, selection_margin, top_k


def probabilities(row, score, floor):
    if score == "softmax":
        return ad.softmax(row)
    scores = [s + floor for s in routers.scores_of(row, score)]
    norm = ad.total(scores) + 1e-20
    return [s / norm for s in scores]


def column_sums(rows):
    return [ad.total(row[e] for row in rows) for e in range(len(rows[0]))]


def column_means(rows):
    return [s / len(rows) for s in column_sums(rows)]


def tally(chosen, E):
    n = [0] * E
    for experts in chosen:
        for e in experts:
            n[e] += 1
    return n


def mean(values):
    values = list(values)
    return ad.total(values) / len(values)


def by_tokens(groups, value_of_group):
    """Mean of the groups' values, weighted by their tokens: the plain mean when they are equally long."""
    T = sum(len(probs) for probs, _ in groups)
    return ad.total(value_of_group(probs, chosen) * (len(probs) / T) for probs, chosen in groups)


# One layer: probs [T][E] and chosen [T][experts] of the tokens that count, k.

def switch(probs, chosen, k):
    T, E = len(probs), len(probs[0])
    f = [n / (k * T) for n in tally(chosen, E)]
    return ad.dot(column_means(probs), f) * E


def megatron(probs, chosen, k, tokens_per_expert=None):
    T, E = len(probs), len(probs[0])
    n = tokens_per_expert or tally(chosen, E)
    return ad.dot(column_sums(probs), n) * (E / (k * T * T))


def olmo(probs, chosen, k):
    T, E = len(probs), len(probs[0])
    return ad.dot(tally(chosen, E), column_means(probs)) * (E / (T * k))


def olmo_instance(sequences, k):
    T, E = sum(len(probs) for probs, _ in sequences), len(sequences[0][0][0])
    return ad.total(ad.dot(column_means(probs), tally(chosen, E)) for probs, chosen in sequences) * (E / (T * k))


def gshard(groups):
    def one(probs, chosen):
        S, E = len(probs), len(probs[0])
        c = tally(chosen, E)
        return mean(m * (ce / S) for m, ce in zip(column_means(probs), c)) * E * E
    return by_tokens(groups, one)


def flaxformer(groups):
    def one(probs, chosen):
        E = len(probs[0])
        selects = [sum(e in experts for experts in chosen) / len(probs) for e in range(E)]
        return mean(p * share for p, share in zip(column_means(probs), selects)) * E ** 2
    return by_tokens(groups, one)


def deepseek_sequence(sequences, k):
    def one(probs, chosen):
        S, E = len(probs), len(probs[0])
        ce = [n / (S * k / E) for n in tally(chosen, E)]
        return ad.dot(column_means(probs), ce)
    return by_tokens(sequences, one)


def deepseek_batch(probs, chosen, k):
    T, E = len(probs), len(probs[0])
    fi = [n / (T * k) * E for n in tally(chosen, E)]
    return ad.dot(column_means(probs), fi)


def tutel(probs, chosen):
    T, E = len(probs), len(probs[0])
    ce = [E / T * n for n in tally(chosen, E)]
    return ad.dot(column_sums(probs), ce) / T


def deepspeed_top2(probs, chosen):
    T, E = len(probs), len(probs[0])
    ce = [n / T for n in tally(chosen, E)]
    return mean(m * c for m, c in zip(column_means(probs), ce)) * E * E


def deepspeed_topk(probs, chosen, k):
    T, E = len(probs), len(probs[0])
    ce = [n / T for n in tally(chosen, E)]
    return mean(m * c for m, c in zip(column_means(probs), ce)) * E * E / k


# All layers at once: lists over layers.

def megablocks(probs, chosen, k):
    L, T, E = len(probs), len(probs[0]), len(probs[0][0])
    n = [ne for layer in chosen for ne in tally(layer, E)]
    p = [pe for layer in probs for pe in column_means(layer)]
    return ad.dot(p, n) * (E / (L * T * k))


def hf(probs, chosen):
    rows = [row for layer in probs for row in layer]
    T, E = len(rows), len(rows[0])
    share = [n / T for n in tally([experts for layer in chosen for experts in layer], E)]
    return ad.dot(column_means(rows), share) * E


DEFAULT_COUNTS = {
    "switch": "plain", "gshard": "first", "megatron": "plain", "megatron_sequence": "plain", "megatron_global": "plain",
    "megablocks": "actual", "olmo": "actual", "olmo_instance": "actual", "hf": "plain", "flaxformer": "actual",
    "deepseek_sequence": "actual", "deepseek_batch": "actual", "tutel": "first", "deepspeed": "first", "deepspeed_topk": "plain",
}
MEANS = ("megablocks", "flaxformer")


def chosen_experts(layer, counts, case):
    """For each token, the experts counted."""
    k = case["top_k"]
    logits = [[ad.value_of(l) for l in row] for row in layer["logits"]]
    if counts in ("plain", "first"):
        return [top_k(row, k if counts == "plain" else 1) for row in logits]
    chosen = [[] for _ in logits]
    for token, expert, dropped in zip(layer["token_ids"], layer["expert_ids"], layer["dropped"]):
        if counts == "actual" or not dropped:
            chosen[token].append(expert)
    return chosen


def cut(T, size):
    """Groups of `size` consecutive tokens; the last may be shorter."""
    return [range(begin, min(begin + size, T)) for begin in range(0, T, size)]


def loss_of(term, case, batches):
    """The value on the last of `batches`; the earlier ones have been counted in the same step."""
    name, k = term["loss"], case["top_k"]
    counts = term.get("counts", DEFAULT_COUNTS[name])
    floor = 1e-7 if name.startswith("olmo") else 0.0  # OLMo-core: sigmoid(l) + 1e-7

    def seen(batch, layer, tokens=None):
        keep = [t for t in (range(len(layer["logits"])) if tokens is None else tokens) if not batch["is_padding"][t]]
        chosen = chosen_experts(layer, counts, case)
        return [probabilities(layer["logits"][t], case["score"], floor) for t in keep], [chosen[t] for t in keep]

    def pieces(batch, layer, size):
        return [piece for piece in (seen(batch, layer, tokens) for tokens in cut(len(layer["logits"]), size)) if piece[0]]

    def running_counts(batch, index):
        """Megatron: sum of counts so far / steps so far. With padding: per token so far, times this micro-batch's tokens."""
        E = len(batch["layers"][index]["logits"][0])
        each = [seen(b, b["layers"][index]) for b in batches]
        lengths = [len(probs) for probs, _ in each]
        total = [sum(tally(chosen, E)[e] for _, chosen in each) for e in range(E)]
        average = [n * lengths[-1] / sum(lengths) for n in total]
        if len(set(lengths)) == 1:
            for n, a in zip(total, average):
                check_close("running counts", a, n / len(each), 1e-15)
        return average

    batch = batches[-1]
    layers = [seen(batch, layer) for layer in batch["layers"]]
    T = len(batch["layers"][0]["logits"])
    if name == "hf":
        return hf([probs for probs, _ in layers], [chosen for _, chosen in layers])
    if name == "megablocks" and "reduce" not in term:
        return megablocks([probs for probs, _ in layers], [chosen for _, chosen in layers], k)
    values = []
    for index, (layer, (probs, chosen)) in enumerate(zip(batch["layers"], layers)):
        sequences = pieces(batch, layer, T // case["n_sequences"]) if "sequence" in name or "instance" in name else None
        groups = pieces(batch, layer, term.get("group_size", T)) if name in ("gshard", "flaxformer") else None
        values.append({
            "switch": lambda: switch(probs, chosen, k),
            "gshard": lambda: gshard(groups),
            "megatron": lambda: megatron(probs, chosen, k),
            "megatron_sequence": lambda: by_tokens(sequences, lambda p, c: megatron(p, c, k)),
            "megatron_global": lambda: megatron(probs, chosen, k, running_counts(batch, index)),
            "megablocks": lambda: switch(probs, chosen, k),
            "olmo": lambda: olmo(probs, chosen, k),
            "olmo_instance": lambda: olmo_instance(sequences, k),
            "flaxformer": lambda: flaxformer(groups),
            "deepseek_sequence": lambda: deepseek_sequence(sequences, k),
            "deepseek_batch": lambda: deepseek_batch(probs, chosen, k),
            "tutel": lambda: tutel(probs, chosen),
            "deepspeed": lambda: deepspeed_top2(probs, chosen),
            "deepspeed_topk": lambda: deepspeed_topk(probs, chosen, k),
        }[name]())
    reduce = term.get("reduce", "mean" if name in MEANS else "sum")
    return ad.total(values) / (len(values) if reduce == "mean" else 1)


TERMS = [{"loss": name} for name in DEFAULT_COUNTS] + [
    {"loss": "switch", "reduce": "mean"},
    {"loss": "switch", "counts": "actual"},
    {"loss": "megatron", "counts": "kept", "reduce": "mean"},
    {"loss": "megatron_global", "counts": "actual"},
    {"loss": "megablocks", "reduce": "sum"},
    {"loss": "hf", "counts": "actual"},
    {"loss": "gshard", "group_size": 3},
    {"loss": "flaxformer", "group_size": 2},
    {"loss": "flaxformer", "group_size": 5, "counts": "plain", "reduce": "sum"},
    {"loss": "deepseek_sequence", "counts": "kept"},
    {"loss": "deepseek_sequence", "counts": "plain"},  # DeepSeek-V3, arXiv 2412.19437 eq. 17-20
]
T, E, N_SEQUENCES, N_LAYERS = 6, 4, 2, 2
# Padding of the three micro-batches: a sequence cut short, one that is padding only, none.
PADDED = ([4, 5], [0, 1, 2], [])


def make_layer(source, k):
    while True:
        logits, bias = source.matrix(T, E, 1.5), source.normals(E, 1.0)
        if min(selection_margin(logits, E), selection_margin([[l + b for l, b in zip(row, bias)] for row in logits], k)) > 1e-3:
            break
    ids = [e for row in logits for e in top_k([l + b for l, b in zip(row, bias)], k)]  # not the plain choice
    return {"logits": logits, "token_ids": [t for t in range(T) for _ in range(k)], "expert_ids": ids,
            "dropped": [draw == 0 for draw in source.integers(len(ids), 4)]}


def make_case(source, name, k, score="softmax", padded=False):
    batches = [{"is_padding": [padded and t in PADDED[i] for t in range(T)], "layers": [make_layer(source, k) for _ in range(N_LAYERS)]}
               for i in range(3)]
    return {"name": name, "top_k": k, "score": score, "n_sequences": N_SEQUENCES, "micro_batches": batches}


def with_scalars(batch):
    return {**batch, "layers": [{**layer, "logits": [[ad.Scalar(l) for l in row] for row in layer["logits"]]} for layer in batch["layers"]]}


def check_differences(what, term, case, batches, gradient, h=1e-5):
    for index, layer in enumerate(batches[-1]["layers"]):
        for t, row in enumerate(layer["logits"]):
            e = (t + index) % E
            saved = row[e]
            row[e] = saved + h
            above = ad.value_of(loss_of(term, case, batches))
            row[e] = saved - h
            below = ad.value_of(loss_of(term, case, batches))
            row[e] = saved
            check_close(what, (above - below) / (2 * h), gradient[index][t][e], 1e-7, 1e-9)


def write_table():
    source = Source(20250304)
    cases = [make_case(source, "k1", 1), make_case(source, "k2", 2), make_case(source, "k2_padding", 2, padded=True),
             make_case(source, "k2_sigmoid", 2, score="sigmoid"), make_case(source, "k2_sqrtsoftplus_padding", 2, score="sqrtsoftplus", padded=True)]
    outputs = {}
    for case in cases:
        batches, results = case["micro_batches"], []
        for term in TERMS:
            values = [ad.value_of(loss_of(term, case, batches[:i + 1])) for i in range(3)]
            ad.Scalar.tape.clear()
            last = with_scalars(batches[2])
            result = loss_of(term, case, batches[:2] + [last])
            ad.backward(result)
            check_close("value", result.value, values[2], 1e-14)
            gradient = [[[l.grad for l in row] for row in layer["logits"]] for layer in last["layers"]]
            check_differences(f"{case['name']} {term}", term, case, batches, gradient)
            results.append({"values": values, "gradient": gradient})
        outputs[case["name"]] = results
    write(
        "balance_table.json", "reference",
        "scripts/golden/balance_table.py; logits, biases and drops from random.Random(20250304)",
        {"terms": TERMS, "cases": cases}, outputs, 2e-5, 2e-6,
        "For each case and each of inputs.terms: the loss on each of three micro-batches of a step (megatron_global counts "
        "the micro-batches so far), reduced over two layers as its source does, and the gradient of the third by its logits. "
        "expert_ids: the choice of a biased router, not the plain one. fp32: five digits, sums of about 10 terms of size 1.")


def write_paper():
    """A.2 of the specification: four tokens, three experts, one layer, one sequence."""
    need = {1: {"divided": 1.593364, "whole": 1.593364, "first": 1.593364}, 2: {"divided": 1.286225, "whole": 2.572450, "first": 1.593364}}
    form = {name: "divided" for name in DEFAULT_COUNTS}
    form.update({"hf": "whole", "flaxformer": "whole", "gshard": "first", "tutel": "first", "deepspeed": "first"})
    outputs = {}
    for k in (1, 2):
        ids = [e for row in A2 for e in top_k(row, k)]
        layer = {"logits": A2, "token_ids": [t for t in range(4) for _ in range(k)], "expert_ids": ids, "dropped": [False] * len(ids)}
        case = {"top_k": k, "score": "softmax", "n_sequences": 1}
        outputs[f"k{k}"] = {}
        for name in DEFAULT_COUNTS:
            value = loss_of({"loss": name}, case, [{"is_padding": [False] * 4, "layers": [layer]}])
            check_close(name, value, need[k][form[name]], 5e-7)
            outputs[f"k{k}"][name] = need[k][form[name]]
    write(
        "balance_table_paper.json", "paper",
        "routing comparison of Switch Transformer eq. 4, Megatron-LM aux_loss, transformers load_balancing_loss_func, flaxformer "
        "_load_balancing_loss on four tokens and three experts; the other sources by their formulas",
        {"logits": A2}, outputs, 5e-7, 6e-7, "One layer, one sequence, one micro-batch; values to six decimals.")


if __name__ == "__main__":
    write_paper()
    write_table()

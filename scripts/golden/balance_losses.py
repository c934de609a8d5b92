"""Balance losses, z loss and router weights, with gradients with respect to the logits.

Gradients come from closed forms and must agree with autodiff and with central differences.
Writes balance_losses_paper.json, balance_losses.json and router_weights.json.
"""

import math

import autodiff as ad
import routers
from record import Source, check_close, write
from sinkhorn import A2, logsumexp, selection_margin, sinkhorn_log, top_k


def softmax(row):
    norm = logsumexp(row)
    return [math.exp(l - norm) for l in row]


def through_softmax(row, gradient):
    """Gradient by the logits from the gradient by their softmax."""
    p = softmax(row)
    mean = math.fsum(pi * gi for pi, gi in zip(p, gradient))
    return [pi * (gi - mean) for pi, gi in zip(p, gradient)]


def counted(rows, k, E):
    n = [0] * E
    for row in rows:
        for e in top_k(row, k):
            n[e] += 1
    return n


def linear_loss(layers, k, factor_of_layer, counts_of_layer):
    """sum_l sum_t sum_e c_le p_lte, the form of all balance losses; value and gradient."""
    value, gradients = 0.0, []
    for index, logits in enumerate(layers):
        c = [factor_of_layer * n for n in counts_of_layer[index]]
        value += math.fsum(ce * pe for row in logits for ce, pe in zip(c, softmax(row)))
        gradients.append([through_softmax(row, c) for row in logits])
    return value, gradients


def closed_forms(layers, k, S):
    L, T, E = len(layers), len(layers[0]), len(layers[0][0])
    n = [counted(logits, k, E) for logits in layers]
    n_all = [sum(layer[e] for layer in n) for e in range(E)]
    switch = E / (k * T * T)
    forms = {
        "switch": linear_loss(layers, k, switch, n),
        "hf": linear_loss(layers, k, E / (L * T) ** 2, [n_all] * L),
        "megablocks": linear_loss(layers, k, switch / L, n),
        "flaxformer": linear_loss(layers, k, switch * k / L, n),
    }
    value, gradients = 0.0, [[] for _ in layers]
    for start in range(0, T, S):
        part = [logits[start : start + S] for logits in layers]
        v, g = linear_loss(part, k, E / (k * S * S) * S / T, [counted(rows, k, E) for rows in part])
        value += v
        for layer in range(L):
            gradients[layer] += g[layer]
    forms["sequence"] = (value, gradients)
    lses = [[logsumexp(row) for row in logits] for logits in layers]
    forms["z"] = (
        math.fsum(lse * lse for layer in lses for lse in layer) / T,
        [[[2.0 * lse / T * p for p in softmax(row)] for row, lse in zip(logits, layer)] for logits, layer in zip(layers, lses)],
    )
    return forms


def losses(layers, k, S):
    L = len(layers)
    return {
        "switch": lambda ls: ad.total(routers.switch_loss(l, k) for l in ls),
        "hf": lambda ls: routers.hf_loss(ls, k),
        "megablocks": lambda ls: ad.total(routers.switch_loss(l, k) for l in ls) / L,
        "flaxformer": lambda ls: ad.total(routers.flaxformer_loss(l, k) for l in ls) / L,
        "sequence": lambda ls: ad.total(routers.sequence_loss(l, k, S) for l in ls),
        "z": lambda ls: ad.total(routers.z_loss(l) for l in ls),
    }


def check_gradient(what, function, layers, value, gradients, h=1e-5):
    """Compares value and gradients with autodiff (all entries) and central differences (all entries)."""
    ad.Scalar.tape.clear()
    scalars = [[[ad.Scalar(l) for l in row] for row in logits] for logits in layers]
    result = function(scalars)
    ad.backward(result)
    check_close(what, result.value, value, 1e-13)
    for i, logits in enumerate(layers):
        for t, row in enumerate(logits):
            for e in range(len(row)):
                check_close(f"{what} autodiff", scalars[i][t][e].grad, gradients[i][t][e], 1e-11, 1e-14)
                saved = row[e]
                row[e] = saved + h
                above = ad.value_of(function(layers))
                row[e] = saved - h
                below = ad.value_of(function(layers))
                row[e] = saved
                check_close(f"{what} difference", (above - below) / (2 * h), gradients[i][t][e], 1e-7, 1e-9)


def write_paper():
    one = ad.value_of(routers.switch_loss(A2, 1))
    two = ad.value_of(routers.switch_loss(A2, 2))
    check_close("k = 1", one, 1.593364, 5e-7)
    check_close("k = 2", two, 1.286225, 5e-7)
    check_close("hf k = 2", routers.hf_loss([A2], 2), 2.572450, 5e-7)
    check_close("z", routers.z_loss(A2), 6.249443353, 5e-10)
    assert counted(A2, 1, 3) == [3, 1, 0] and counted(A2, 2, 3) == [4, 3, 1]
    write(
        "balance_losses_paper.json", "paper",
        "Switch Transformer eq. 4; Megatron-LM aux_loss with coefficient 1; transformers load_balancing_loss_func; "
        "flaxformer _load_balancing_loss; ST-MoE router z-loss",
        {"logits": A2},
        {"mean_probs": [.606346, .305448, .088207],
         "k1": {"tokens_per_expert": [3, 1, 0], "switch": 1.593364, "hf": 1.593364, "flaxformer": 1.593364},
         "k2": {"tokens_per_expert": [4, 3, 1], "switch": 1.286225, "hf": 2.572450, "flaxformer": 2.572450},
         "z": 6.249443353},
        5e-7, 6e-7,
        "Four tokens, three experts; values as listed, to six decimals.")


def write_losses():
    source, T, E, k, S = Source(20250302), 6, 5, 2, 3
    layers = [source.matrix(T, E, std) for std in (1.0, 0.5, 2.0)]
    assert min(selection_margin(logits, k) for logits in layers) > 1e-3
    forms, functions = closed_forms(layers, k, S), losses(layers, k, S)
    for name, (value, gradients) in forms.items():
        check_gradient(name, functions[name], layers, value, gradients)
    for form, minimum in (("switch", 1), ("hf", k), ("megablocks", 1), ("flaxformer", k)):
        uniform = [[[0.0] * E for _ in range(T)]] * 2
        value = ad.value_of(losses(uniform, k, S)[form](uniform))
        check_close(f"uniform {form}", value, minimum * (2 if form == "switch" else 1), 1e-14)
    write(
        "balance_losses.json", "reference",
        "scripts/golden/balance_losses.py; logits from random.Random(20250302), three layers with standard "
        "deviations 1, 0.5, 2",
        {"top_k": k, "sequence_length": S, "layers": layers},
        {"expert_ids": [[top_k(row, k) for row in logits] for logits in layers],
         "tokens_per_expert": [counted(logits, k, E) for logits in layers],
         "mean_probs": [[math.fsum(softmax(row)[e] for row in logits) / T for e in range(E)] for logits in layers],
         "z_per_layer": [ad.value_of(routers.z_loss(logits)) for logits in layers],
         "switch_per_layer": [ad.value_of(routers.switch_loss(logits, k)) for logits in layers],
         "losses": {name: {"value": value, "gradients": gradients} for name, (value, gradients) in forms.items()}},
        1e-5, 1e-6,
        "Unscaled values reduced over the layers as each source does (switch, sequence and z: sum; hf: layers "
        "concatenated; megablocks, flaxformer: mean), and gradients by the logits with the counts constant. "
        "sequence: tokens cut into sequences of sequence_length, mean over sequences. fp32: six digits.")


def weight_cases(logits, source):
    T, E = len(logits), len(logits[0])
    cases = []
    for score in ("softmax_pre", "softmax_post", "sigmoid", "sqrtsoftplus"):
        for k in (1, 2, 3):
            for renormalize in (False, True):
                if score == "softmax_post" and (renormalize or k == 1):
                    continue  # always sums to 1; with one expert it is constant
                cases.append({"name": f"{score}_k{k}" + ("_renormalized" if renormalize else ""), "kind": "top_k",
                              "score": score, "top_k": k, "renormalize": renormalize})
    for k in (1, 2):
        cases.append({"name": f"sinkhorn_k{k}", "kind": "sinkhorn", "score": "sigmoid" if k == 1 else "softmax_pre",
                      "top_k": k, "renormalize": False})
    cases.append({"name": "sinkhorn_k2_renormalized", "kind": "sinkhorn", "score": "softmax_pre", "top_k": 2,
                  "renormalize": True})
    for case in cases:
        case["coefficients"] = source.matrix(T, case["top_k"])
    return cases


def weight_gradient(row, ids, case, c):
    """Closed form of the gradient of sum_k c_k w_k by the logits of one token."""
    E, score = len(row), case["score"]
    if score == "softmax_post":
        inner = through_softmax([row[e] for e in ids], c)
        return [inner[ids.index(e)] if e in ids else 0.0 for e in range(E)]
    if score == "softmax_pre":
        s = softmax(row)
    else:
        s = [1 / (1 + math.exp(-l)) for l in row]
        ds = [x * (1 - x) for x in s]
        if score == "sqrtsoftplus":
            s = [math.sqrt(math.log1p(math.exp(l))) for l in row]
            ds = [0.5 / root / (1 + math.exp(-l)) for root, l in zip(s, row)]
    by_score = [0.0] * E
    norm, scale = 1.0, 0.0
    if case["renormalize"] and len(ids) > 1:
        norm = math.fsum(s[e] for e in ids)
        scale = math.fsum(ci * s[e] for ci, e in zip(c, ids)) / norm
    for ci, e in zip(c, ids):
        by_score[e] = (ci - scale) / norm
    if score == "softmax_pre":
        return through_softmax(row, by_score)
    return [g * d for g, d in zip(by_score, ds)]


def write_weights():
    source = Source(20250303)
    logits = source.matrix(6, 5, 1.5)
    cases, outputs = weight_cases(logits, source), {}
    bias = sinkhorn_log(logits, 1e-4, 200)["expert_bias"]
    balanced = [[l + b for l, b in zip(row, bias)] for row in logits]
    assert min(selection_margin(logits, 3), selection_margin(balanced, 2)) > 1e-3
    for case in cases:
        chosen = balanced if case["kind"] == "sinkhorn" else logits
        ids = [top_k(row, case["top_k"]) for row in chosen]
        objective = lambda layers: ad.total(
            ad.dot(routers.weights_of(row, i, case["score"], case["renormalize"]), c)
            for row, i, c in zip(layers[0], ids, case["coefficients"]))
        value = ad.value_of(objective([logits]))
        gradient = [weight_gradient(row, i, case, c) for row, i, c in zip(logits, ids, case["coefficients"])]
        check_gradient(case["name"], objective, [logits], value, [gradient])
        outputs[case["name"]] = {
            "expert_ids": ids,
            "weights": [routers.weights_of(row, i, case["score"], case["renormalize"]) for row, i in zip(logits, ids)],
            "gradient": gradient,
        }
    write(
        "router_weights.json", "reference",
        "scripts/golden/balance_losses.py; logits and coefficients from random.Random(20250303)",
        {"sinkhorn": {"variant": "log", "tolerance": 1e-4, "max_iterations": 200}, "logits": logits, "cases": cases},
        outputs,
        1e-5, 1e-6,
        "Weights of the selected experts, best first, and the gradient by the logits of sum_tk coefficients_tk * "
        "weights_tk. sinkhorn: ids from the balanced plan (training), weights from the plain gate, sigmoid at k = 1, "
        "softmax over all experts at k > 1; no gradient flows through the plan. fp32: six digits.")


def main():
    write_paper()
    write_losses()
    write_weights()


if __name__ == "__main__":
    main()

"""The whole decoder and its loss, in plain Python on Scalars or floats, one token at a time.

Parameter names and layouts are those of an evenkeel checkpoint: 2-d weights are [out, in],
qkv rows are all q heads, all k heads, all v heads; gate rows stand before up rows.
A tensor is {"shape": [...], "values": [row-major]}.
"""

import math

import autodiff as ad
import routers
from autodiff import value_of


def shapes(config):
    """Ordered name -> shape."""
    H, V, hd = config["d_model"], config["vocab_size"], config["head_dim"]
    nh, nkv, E = config["n_heads"], config["n_kv_heads"], config["n_experts"]
    result = {"embedding.weight": [V, H]}
    for i in range(config["n_layers"]):
        layer = f"layers.{i}."
        result[layer + "attention_norm.weight"] = [H]
        result[layer + "attention.qkv.weight"] = [(nh + 2 * nkv) * hd, H]
        if config["qk_norm"]:
            whole = config["qk_norm"] is True
            result[layer + "attention.q_norm.weight"] = [nh * hd if whole else hd]
            result[layer + "attention.k_norm.weight"] = [nkv * hd if whole else hd]
        result[layer + "attention.out.weight"] = [H, nh * hd]
        result[layer + "ffn_norm.weight"] = [H]
        if i in config["moe_layers"]:
            width, shared = config["d_expert"], config["n_shared_experts"] * config["d_expert"]
            result[layer + "router.weight"] = [E, H]
            result[layer + "experts.gate_up"] = [E, 2 * width, H]
            result[layer + "experts.down"] = [E, H, width]
            if shared:
                result[layer + "shared.gate_up.weight"] = [2 * shared, H]
                result[layer + "shared.down.weight"] = [H, shared]
        else:
            result[layer + "ffn.gate_up.weight"] = [2 * config["d_ff"], H]
            result[layer + "ffn.down.weight"] = [H, config["d_ff"]]
    result["final_norm.weight"] = [H]
    if not config["tie_embeddings"]:
        result["head.weight"] = [V, H]
    return result


def random_parameters(config, source):
    """Norm weights near 1, routers wide, the rest scaled by 1 / sqrt(columns)."""
    parameters = {}
    for name, shape in shapes(config).items():
        count = math.prod(shape)
        if "norm" in name:
            values = source.normals(count, 0.25, mean=1.0)
        elif name in ("embedding.weight",) or "router" in name:
            values = source.normals(count, 1.0)
        else:
            values = source.normals(count, 1.0 / math.sqrt(shape[-1]))
        parameters[name] = {"shape": shape, "values": values}
    return parameters


def rows_of(tensor, first=0, count=None):
    """Rows [first, first + count) of a tensor seen as a matrix with its last dim as columns."""
    columns = tensor["shape"][-1]
    values = tensor["values"]
    last = len(values) // columns if count is None else first + count
    return [values[r * columns : (r + 1) * columns] for r in range(first, last)]


def linear(rows, x):
    return [ad.dot(row, x) for row in rows]


def rms_norm(x, weight, eps):
    scale = 1.0 / ad.sqrt(ad.dot(x, x) / len(x) + eps)
    return [xi * scale * w for xi, w in zip(x, weight)]


def rotate(x, position, config):
    """RoPE on one head: rotate-half over the first rotary_fraction * head_dim dims."""
    dims = round(config["rotary_fraction"] * config["head_dim"])
    half, y = dims // 2, list(x)
    for j in range(half):
        angle = position * config["rope_theta"] ** (-2.0 * j / dims)
        c, s = math.cos(angle), math.sin(angle)
        y[j] = x[j] * c - x[j + half] * s
        y[j + half] = x[j + half] * c + x[j] * s
    return y


def gated_ffn(gate_up, down, x, activation):
    both = linear(gate_up, x)
    width = len(both) // 2
    act = {"swiglu": ad.silu, "geglu": ad.gelu}[activation]
    return linear(down, [act(g) * u for g, u in zip(both[:width], both[width:])])


def qkv_heads(config, parameters, layer, x, position):
    """Heads of one token: q [nh][hd] and k [nkv][hd] after norm and RoPE, v [nkv][hd]."""
    nh, nkv, hd, eps = config["n_heads"], config["n_kv_heads"], config["head_dim"], config["norm_eps"]
    flat = linear(rows_of(parameters[layer + "attention.qkv.weight"]), x)
    q, k, v = flat[: nh * hd], flat[nh * hd : (nh + nkv) * hd], flat[(nh + nkv) * hd :]
    split = lambda flat: [flat[i : i + hd] for i in range(0, len(flat), hd)]
    if config["qk_norm"] is True:
        q = rms_norm(q, parameters[layer + "attention.q_norm.weight"]["values"], eps)
        k = rms_norm(k, parameters[layer + "attention.k_norm.weight"]["values"], eps)
    q, k, v = split(q), split(k), split(v)
    if config["qk_norm"] == "per_head":
        q = [rms_norm(head, parameters[layer + "attention.q_norm.weight"]["values"], eps) for head in q]
        k = [rms_norm(head, parameters[layer + "attention.k_norm.weight"]["values"], eps) for head in k]
    return [rotate(h, position, config) for h in q], [rotate(h, position, config) for h in k], v


def attention(config, parameters, layer, xs, document_ids):
    """Causal attention of one sequence; positions and attention restart at document borders."""
    starts = [next(j for j in range(i + 1) if document_ids[j:i + 1].count(document_ids[i]) == i + 1 - j)
              for i in range(len(xs))]  # first token of the document that holds token i
    heads = [qkv_heads(config, parameters, layer, x, i - starts[i]) for i, x in enumerate(xs)]
    out_rows = rows_of(parameters[layer + "attention.out.weight"])
    group, scale = config["n_heads"] // config["n_kv_heads"], 1.0 / math.sqrt(config["head_dim"])
    outputs = []
    for i in range(len(xs)):
        mixed = []
        for h in range(config["n_heads"]):
            seen = range(starts[i], i + 1)
            weights = ad.softmax([ad.dot(heads[i][0][h], heads[j][1][h // group]) * scale for j in seen])
            for d in range(config["head_dim"]):
                mixed.append(ad.dot(weights, [heads[j][2][h // group][d] for j in seen]))
        outputs.append(linear(out_rows, mixed))
    return outputs


def moe(config, parameters, layer, xs):
    """xs: all T tokens of the micro-batch. Returns outputs, router logits, ids and weights."""
    H, I, k = config["d_model"], config["d_expert"], config["top_k"]
    router, activation = config["router"], config["activation"]
    logits = [linear(rows_of(parameters[layer + "router.weight"]), x) for x in xs]
    expert_ids = routers.select(logits, k)
    outputs, weights = [], []
    for x, row, ids in zip(xs, logits, expert_ids):
        w = routers.weights_of(row, ids, router["score"], router["renormalize"])
        parts = []
        for e in ids:
            gate_up = rows_of(parameters[layer + "experts.gate_up"], e * 2 * I, 2 * I)
            parts.append(gated_ffn(gate_up, rows_of(parameters[layer + "experts.down"], e * H, H), x, activation))
        y = [ad.dot(w, [part[d] for part in parts]) for d in range(H)]
        if config["n_shared_experts"]:
            shared = gated_ffn(rows_of(parameters[layer + "shared.gate_up.weight"]),
                               rows_of(parameters[layer + "shared.down.weight"]), x, activation)
            y = [a + b for a, b in zip(y, shared)]
        outputs.append(y)
        weights.append(w)
    return outputs, logits, expert_ids, weights


def forward(config, parameters, input_ids, target_ids, document_ids=None):
    """input_ids, target_ids, document_ids [B][S]; loss is the mean over all targets plus the router losses."""
    B, S, eps = len(input_ids), len(input_ids[0]), config["norm_eps"]
    embedding = rows_of(parameters["embedding.weight"])
    hs = [embedding[token] for sequence in input_ids for token in sequence]
    routing = []
    for i in range(config["n_layers"]):
        layer = f"layers.{i}."
        xs = [rms_norm(h, parameters[layer + "attention_norm.weight"]["values"], eps) for h in hs]
        updates = []
        for b in range(B):
            ids = document_ids[b] if document_ids else [0] * S
            updates += attention(config, parameters, layer, xs[b * S : (b + 1) * S], ids)
        hs = [[a + u for a, u in zip(h, update)] for h, update in zip(hs, updates)]
        xs = [rms_norm(h, parameters[layer + "ffn_norm.weight"]["values"], eps) for h in hs]
        if i in config["moe_layers"]:
            updates, logits, expert_ids, weights = moe(config, parameters, layer, xs)
            routing.append({"layer": i, "router_logits": logits, "expert_ids": expert_ids, "weights": weights})
        else:
            gate_up = rows_of(parameters[layer + "ffn.gate_up.weight"])
            down = rows_of(parameters[layer + "ffn.down.weight"])
            updates = [gated_ffn(gate_up, down, x, config["activation"]) for x in xs]
        hs = [[a + u for a, u in zip(h, update)] for h, update in zip(hs, updates)]
    head = embedding if config["tie_embeddings"] else rows_of(parameters["head.weight"])
    final = parameters["final_norm.weight"]["values"]
    logits = [linear(head, rms_norm(h, final, eps)) for h in hs]
    targets = [token for sequence in target_ids for token in sequence]
    cross_entropy = ad.total(ad.logsumexp(row) - row[y] for row, y in zip(logits, targets)) / len(targets)
    result = {"logits": logits, "cross_entropy": cross_entropy, "routing": routing, "loss": cross_entropy}
    if routing:
        result["balance"] = ad.total(routers.switch_loss(r["router_logits"], config["top_k"]) for r in routing)
        result["z"] = ad.total(routers.z_loss(r["router_logits"]) for r in routing)
        result["loss"] = (cross_entropy + result["balance"] * config["balance"]["coefficient"]
                          + result["z"] * config["balance"]["z_coefficient"])
    return result


def values_of(tree):
    """The same structure with floats in place of Scalars."""
    if isinstance(tree, dict):
        return {key: values_of(item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [values_of(item) for item in tree]
    return value_of(tree)


def with_gradients(config, parameters, *batch):
    """The forward pass as floats, and the gradient of the loss by every parameter, flat."""
    ad.Scalar.tape.clear()
    scalars = {name: {"shape": tensor["shape"], "values": [ad.Scalar(v) for v in tensor["values"]]}
               for name, tensor in parameters.items()}
    result = forward(config, scalars, *batch)
    ad.backward(result["loss"])
    gradients = {name: [s.grad for s in tensor["values"]] for name, tensor in scalars.items()}
    result = values_of(result)
    ad.Scalar.tape.clear()
    return result, gradients

"""Tiny OpenMoE models (arXiv 2402.01739) as the port to PyTorch computes them: logits, routing, drops.

transformers has no such class. This is the published description in plain Python, fp64, one token at a time, under the names of
the files' tensors. Writes openmoe.json.

  layer i has experts iff (i + 1) % moe_layer_interval == 0; a further FFN with a norm of its own stands behind them
  FFN: u = gate x, twice the inner width; (a, b) = halves of u; down (a silu(b) * up x). Of experts x W, W [in, out]
  attention: every head has its own keys; scores are not divided by anything; the two halves of a head are rotated, theta 1e4
  router: softmax over all experts; the k largest, not divided by their sum
  capacity: C = floor(k f T / E), one more where that is odd, at least the minimum; T all tokens of the batch, f that of
    training or of evaluation. First choices by position take their places; second choices stand behind ALL first choices of
    the expert, those that were dropped too, and so on. Who is not among the first C contributes nothing.
"""

import math

from deepseek_v1 import matrix_product, normalised, rotated, softmax
from record import Source, write

ROPE = {"rope_theta": 1e4, "rope_scaling": None}
BASE = {
    "model_type": "llama", "architectures": ["OpenMoeForCausalLM"], "auto_map": {"AutoModelForCausalLM": "modeling_openmoe.OpenMoeForCausalLM"},
    "vocab_size": 13, "hidden_size": 8, "intermediate_size": 6, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 4, "num_experts": 4,
    "hidden_act": "swiglu", "rms_norm_eps": 1e-6, "max_position_embeddings": 64, "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": False,
    "bos_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "torch_dtype": "float32", "label_smoothing": 0.001, "z_loss_factor": 0.01, "expert_parallel": None,
}
# As the released ones: room for twice the mean.
PLAIN = {**BASE, "num_hidden_layers": 4, "moe_layer_interval": 2, "mlp_gated": True, "router_topk": 2, "router_capacity_factor_train": 1.25, "router_capacity_factor_eval": 2.0,
         "router_min_capacity": 4, "router_drop_tks": True, "router_noisy_policy": None, "router_aux_loss_factor": 0.01, "router_z_loss_factor": 0.0001}
# The other spelling, three choices, little room: 12 an expert at evaluation, since floor(3 * 0.9 * 17 / 4) = 11 is odd; 6 in training.
TIGHT = {**BASE, "num_hidden_layers": 3, "moe_layer_interval": 1, "gated": True, "topk": 3, "capacity_factor_train": 0.5, "capacity_factor_eval": 0.9,
         "min_capacity": 2, "drop_tks": True, "noisy_policy": None, "aux_loss_factor": 0.02, "router_z_loss_factor": 0.001}


def either(config, name):
    """A key of either spelling."""
    return config[f"router_{name}"] if f"router_{name}" in config else config[name]


def has_experts(config, layer):
    return (layer + 1) % config["moe_layer_interval"] == 0


def shapes(config):
    """Name -> shape of every tensor of the file."""
    H, V, I, E, width = (config[key] for key in ("hidden_size", "vocab_size", "intermediate_size", "num_experts", "head_dim"))
    width *= config["num_attention_heads"]
    out = {"model.embed_tokens.weight": [V, H]}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."

        def ffn(place):
            out.update({f"{place}.gate_proj.weight": [2 * I, H], f"{place}.up_proj.weight": [I, H], f"{place}.down_proj.weight": [H, I]})

        out[at + "input_layernorm.weight"] = [H]
        for name in "qkv":
            out[at + f"self_attn.{name}_proj.weight"] = [width, H]
        out[at + "self_attn.o_proj.weight"] = [H, width]
        out[at + "post_attention_layernorm.weight"] = [H]
        if not has_experts(config, layer):
            ffn(at + "mlp")
            continue
        out.update({at + "mlp.gate_weight": [E, H], at + "mlp.experts.wi_gate": [E, H, 2 * I], at + "mlp.experts.wi_up": [E, H, I], at + "mlp.experts.wo": [E, I, H]})
        out[at + "pre_extra_mlp_layernorm.weight"] = [H]
        ffn(at + "extra_mlp")
    return {**out, "model.norm.weight": [H], "lm_head.weight": [V, H]}


def random_tensors(config, source):
    out = {}
    for name, shape in shapes(config).items():
        is_norm = name.endswith("norm.weight")
        std = 0.2 if len(shape) == 1 else (1.5 if name.endswith("gate_weight") else 0.7 if "self_attn" in name else 1.2) / shape[-1] ** 0.5
        out[name] = {"shape": shape, "values": source.normals(math.prod(shape), std, 1.0 if is_norm else 0.0)}
    return out


# ---- the model ----


def silu(value):
    return value / (1.0 + math.exp(-value))


def gated(gate, up):
    inner = len(up)
    return [gate[i] * silu(gate[inner + i]) * up[i] for i in range(inner)]


def feed_forward(tensors, place, x):
    gate, up = (matrix_product(tensors, f"{place}.{name}_proj", x) for name in ("gate", "up"))
    return matrix_product(tensors, f"{place}.down_proj", gated(gate, up))


def expert(tensors, place, index, x):
    def product(name, vector):
        _, rows, columns = tensors[f"{place}.experts.{name}"]["shape"]
        values = tensors[f"{place}.experts.{name}"]["values"]
        first = index * rows * columns
        return [math.fsum(vector[row] * values[first + row * columns + column] for row in range(rows)) for column in range(columns)]

    return product("wo", gated(product("wi_gate", x), product("wi_up", x)))


def attention(config, tensors, place, xs):
    """Of all positions of a sequence; each sees itself and those before it."""
    heads, width = config["num_attention_heads"], config["head_dim"]

    def by_head(name):
        return [[row[start:start + width] for start in range(0, len(row), width)] for row in (matrix_product(tensors, f"{place}.{name}_proj", x) for x in xs)]

    queries, keys, values = by_head("q"), by_head("k"), by_head("v")
    queries, keys = ([[rotated(ROPE, head, at) for head in row] for at, row in enumerate(rows)] for rows in (queries, keys))
    out = []
    for at in range(len(xs)):
        joined = []
        for head in range(heads):
            shares = softmax([math.fsum(a * b for a, b in zip(queries[at][head], keys[seen][head], strict=True)) for seen in range(at + 1)])
            joined += [math.fsum(share * values[seen][head][i] for seen, share in enumerate(shares)) for i in range(width)]
        out.append(matrix_product(tensors, f"{place}.o_proj", joined))
    return out


def capacity(config, factor, n_tokens):
    out = math.floor(either(config, "topk") * factor * n_tokens / config["num_experts"])
    return max(out + out % 2, either(config, "min_capacity"))


def mixture(config, tensors, place, xs, factor):
    """Of all tokens of the batch: outputs, experts, weights, who is dropped, and the least margin of a choice."""
    k, E = either(config, "topk"), config["num_experts"]
    router = {"w.weight": tensors[place + ".gate_weight"]}
    scores = [softmax(matrix_product(router, "w", x)) for x in xs]
    orders = [sorted(range(E), key=lambda e, s=s: -s[e]) for s in scores]
    room = capacity(config, factor, len(xs))
    before = [0] * E  # choices of the ranks so far, dropped or not
    kept = [[False] * k for _ in xs]
    for rank in range(k):
        place_of = list(before)
        for token, order in enumerate(orders):
            kept[token][rank] = place_of[order[rank]] < room
            place_of[order[rank]] += 1
        before = place_of
    outs = []
    for x, s, order, is_kept in zip(xs, scores, orders, kept, strict=True):
        parts = [(s[e], expert(tensors, place, e, x)) for e, keeps in zip(order[:k], is_kept, strict=True) if keeps]
        outs.append([math.fsum(weight * part[i] for weight, part in parts) for i in range(len(x))])
    margins = [s[order[i]] - s[order[i + 1]] for s, order in zip(scores, orders, strict=True) for i in range(min(k, E - 1))]
    return outs, [order[:k] for order in orders], [[s[e] for e in order[:k]] for s, order in zip(scores, orders, strict=True)], [[not keeps for keeps in row] for row in kept], min(margins)


def forward(config, tensors, ids, factor):
    """Logits [S][V] of one sequence, which is the batch, and of each layer with experts {layer, experts, weights, dropped}; the least margin."""
    H, eps = config["hidden_size"], config["rms_norm_eps"]
    table = tensors["model.embed_tokens.weight"]["values"]
    stream = [table[token * H:(token + 1) * H] for token in ids]
    routing, margins = [], []

    def add(norm, branch):
        outs = branch([normalised(tensors, norm, x, eps) for x in stream])
        return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(stream, outs, strict=True)]

    def experts(at):
        def branch(xs):
            outs, chosen, weights, dropped, margin = mixture(config, tensors, at + "mlp", xs, factor)
            routing.append({"layer": layer, "experts": chosen, "weights": weights, "dropped": dropped})
            margins.append(margin)
            return outs
        return branch

    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        stream = add(at + "input_layernorm", lambda xs, at=at: attention(config, tensors, at + "self_attn", xs))
        if not has_experts(config, layer):
            stream = add(at + "post_attention_layernorm", lambda xs, at=at: [feed_forward(tensors, at + "mlp", x) for x in xs])
            continue
        stream = add(at + "post_attention_layernorm", experts(at))
        stream = add(at + "pre_extra_mlp_layernorm", lambda xs, at=at: [feed_forward(tensors, at + "extra_mlp", x) for x in xs])
    logits = [matrix_product(tensors, "lm_head", normalised(tensors, "model.norm", x, eps)) for x in stream]
    return logits, routing, min(margins)


def model_of(name, config, seed, n_sequences=2, length=17):
    """A sequence begins with padding, as OpenMoE's do."""
    source = Source(seed)
    tensors = random_tensors(config, source)
    ids = [[0] + source.integers(length - 1, config["vocab_size"]) for _ in range(n_sequences)]
    out = {"logits": [], "routing": [], "routing_train": []}
    for sequence in ids:
        logits, routing, margin = forward(config, tensors, sequence, either(config, "capacity_factor_eval"))
        _, routing_train, other = forward(config, tensors, sequence, either(config, "capacity_factor_train"))
        if min(margin, other) < 1e-3:
            raise SystemExit(f"openmoe {name}, seed {seed}: margin of a choice {min(margin, other):.1e}; choose another seed")
        out["logits"].append(logits)
        out["routing"].append(routing)
        out["routing_train"].append(routing_train)
    return {"config": config, "input_ids": ids, "tensors": tensors}, out


SEEDS = {"plain": 1, "tight": 36}


def main():
    models = {name: model_of(name, config, SEEDS[name]) for name, config in (("plain", PLAIN), ("tight", TIGHT))}
    write("openmoe.json", "reference",
          f"scripts/golden/openmoe.py: OpenMoE (arXiv 2402.01739, sections 2 and 3) with the settings of the published configurations; random.Random({SEEDS['plain']} and {SEEDS['tight']})",
          {name: inputs for name, (inputs, _) in models.items()}, {name: outputs for name, (_, outputs) in models.items()}, 2e-5, 1e-5,
          "Both spellings of the configuration. fp32: relative error of sums of about 20 terms through four layers; scores are not scaled, so softmaxes are steep.")


if __name__ == "__main__":
    main()

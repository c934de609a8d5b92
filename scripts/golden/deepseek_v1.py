"""Tiny DeepSeek models of the first version (deepseek-ai/deepseek-moe-16b, model_type "deepseek"): logits and routing.

transformers has no such class. This is the published description in plain Python, fp64, one token at a time, under the
names of the files' tensors. Writes deepseek_v1.json.

  layer i has experts iff i >= first_k_dense_replace and i % moe_layer_freq == 0
  router: softmax over all experts; the k largest; divided by their sum + 1e-20 iff norm_topk_prob and k > 1
  shared experts: one FFN of width n_shared_experts * moe_intermediate_size, added as it is
  attention: rotation of the two halves of a head; rope_scaling linear divides the angles
"""

import math

from record import Source, write

BASE = {
    "model_type": "deepseek", "architectures": ["DeepseekForCausalLM"], "vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 3,
    "intermediate_size": 10, "moe_intermediate_size": 6, "num_attention_heads": 2, "n_routed_experts": 5, "num_experts_per_tok": 2,
    "moe_layer_freq": 1, "scoring_func": "softmax", "aux_loss_alpha": 0.001, "seq_aux": True, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64, "rope_theta": 100.0, "tie_word_embeddings": False, "pretraining_tp": 1,
}
# As the 16B: every head has its own keys, raw weights, the first layer dense.
PLAIN = {**BASE, "num_key_value_heads": 2, "n_shared_experts": 2, "first_k_dense_replace": 1, "norm_topk_prob": False, "attention_bias": False, "rope_scaling": None}
# The other value of each setting.
OTHER = {**BASE, "num_key_value_heads": 1, "n_shared_experts": None, "first_k_dense_replace": 0, "moe_layer_freq": 2, "norm_topk_prob": True, "attention_bias": True,
         "rope_scaling": {"type": "linear", "factor": 2.0}}


def has_experts(config, layer):
    return layer >= config["first_k_dense_replace"] and layer % config["moe_layer_freq"] == 0


def shapes(config):
    """Name -> shape of every tensor of the file."""
    H, V, heads, kv = (config[key] for key in ("hidden_size", "vocab_size", "num_attention_heads", "num_key_value_heads"))
    head, I = H // heads, config["moe_intermediate_size"]
    out = {"model.embed_tokens.weight": [V, H]}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."

        def ffn(place, width):
            out.update({f"{place}.gate_proj.weight": [width, H], f"{place}.up_proj.weight": [width, H], f"{place}.down_proj.weight": [H, width]})

        out[at + "input_layernorm.weight"] = [H]
        for name, rows, columns in (("q", heads * head, H), ("k", kv * head, H), ("v", kv * head, H), ("o", H, heads * head)):
            out[at + f"self_attn.{name}_proj.weight"] = [rows, columns]
            if config["attention_bias"]:
                out[at + f"self_attn.{name}_proj.bias"] = [rows]
        out[at + "post_attention_layernorm.weight"] = [H]
        if not has_experts(config, layer):
            ffn(at + "mlp", config["intermediate_size"])
            continue
        out[at + "mlp.gate.weight"] = [config["n_routed_experts"], H]
        for expert in range(config["n_routed_experts"]):
            ffn(at + f"mlp.experts.{expert}", I)
        if config["n_shared_experts"]:
            ffn(at + "mlp.shared_experts", config["n_shared_experts"] * I)
    return {**out, "model.norm.weight": [H], "lm_head.weight": [V, H]}


def random_tensors(config, source):
    out = {}
    for name, shape in shapes(config).items():
        is_norm = name.endswith("norm.weight")
        std = 0.2 if len(shape) == 1 else (1.5 if name.endswith("mlp.gate.weight") else 1.2) / shape[-1] ** 0.5
        out[name] = {"shape": shape, "values": source.normals(math.prod(shape), std, 1.0 if is_norm else 0.0)}
    return out


# ---- the model ----


def matrix_product(tensors, name, x):
    rows, columns = tensors[name + ".weight"]["shape"]
    values = tensors[name + ".weight"]["values"]
    bias = tensors.get(name + ".bias", {"values": [0.0] * rows})["values"]
    return [math.fsum(values[row * columns + i] * x[i] for i in range(columns)) + bias[row] for row in range(rows)]


def normalised(tensors, name, x, eps):
    scale = 1.0 / math.sqrt(math.fsum(v * v for v in x) / len(x) + eps)
    return [v * scale * w for v, w in zip(x, tensors[name + ".weight"]["values"], strict=True)]


def feed_forward(tensors, place, x):
    gate, up = (matrix_product(tensors, f"{place}.{name}_proj", x) for name in ("gate", "up"))
    return matrix_product(tensors, f"{place}.down_proj", [g / (1.0 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)])


def rotated(config, head, position):
    half = len(head) // 2
    scaling = config["rope_scaling"] or {"factor": 1.0}
    out = [0.0] * len(head)
    for j in range(half):
        angle = position * config["rope_theta"] ** (-2.0 * j / len(head)) / scaling["factor"]
        cosine, sine = math.cos(angle), math.sin(angle)
        out[j] = head[j] * cosine - head[j + half] * sine
        out[j + half] = head[j + half] * cosine + head[j] * sine
    return out


def softmax(values):
    largest = max(values)
    exps = [math.exp(value - largest) for value in values]
    return [e / math.fsum(exps) for e in exps]


def attention(config, tensors, place, xs):
    """Of all positions of a sequence; each sees itself and those before it."""
    heads, kv, width = config["num_attention_heads"], config["num_key_value_heads"], config["hidden_size"] // config["num_attention_heads"]

    def by_head(name):
        return [[row[start:start + width] for start in range(0, len(row), width)] for row in (matrix_product(tensors, f"{place}.{name}_proj", x) for x in xs)]

    queries, keys, values = by_head("q"), by_head("k"), by_head("v")
    queries, keys = ([[rotated(config, head, at) for head in row] for at, row in enumerate(rows)] for rows in (queries, keys))
    out = []
    for at in range(len(xs)):
        joined = []
        for head in range(heads):
            of = head // (heads // kv)
            shares = softmax([math.fsum(a * b for a, b in zip(queries[at][head], keys[seen][of], strict=True)) / math.sqrt(width) for seen in range(at + 1)])
            joined += [math.fsum(share * values[seen][of][i] for seen, share in enumerate(shares)) for i in range(width)]
        out.append(matrix_product(tensors, f"{place}.o_proj", joined))
    return out


def mixture(config, tensors, place, x):
    """Output, experts best first, their weights, and by how much the last of them was better than the next one."""
    scores = softmax(matrix_product(tensors, f"{place}.gate", x))
    order = sorted(range(len(scores)), key=lambda expert: -scores[expert])
    k = config["num_experts_per_tok"]
    chosen = order[:k]
    weights = [scores[expert] for expert in chosen]
    if config["norm_topk_prob"] and k > 1:
        norm = math.fsum(weights) + 1e-20
        weights = [weight / norm for weight in weights]
    parts = [(weight, feed_forward(tensors, f"{place}.experts.{expert}", x)) for expert, weight in zip(chosen, weights, strict=True)]
    if config["n_shared_experts"]:
        parts.append((1.0, feed_forward(tensors, f"{place}.shared_experts", x)))
    out = [math.fsum(weight * part[i] for weight, part in parts) for i in range(len(x))]
    return out, chosen, weights, scores[order[k - 1]] - scores[order[k]]


def forward(config, tensors, ids):
    """Logits [S][V] of one sequence, and of each layer with experts {layer, experts [S][K], weights [S][K]}, and the least margin."""
    H, eps = config["hidden_size"], config["rms_norm_eps"]
    table = tensors["model.embed_tokens.weight"]["values"]
    stream = [table[token * H:(token + 1) * H] for token in ids]
    routing, margins = [], []
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        added = attention(config, tensors, at + "self_attn", [normalised(tensors, at + "input_layernorm", x, eps) for x in stream])
        stream = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(stream, added, strict=True)]
        inputs = [normalised(tensors, at + "post_attention_layernorm", x, eps) for x in stream]
        if has_experts(config, layer):
            outs, experts, weights, margin = zip(*(mixture(config, tensors, at + "mlp", x) for x in inputs), strict=True)
            routing.append({"layer": layer, "experts": list(experts), "weights": list(weights)})
            margins += margin
        else:
            outs = [feed_forward(tensors, at + "mlp", x) for x in inputs]
        stream = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(stream, outs, strict=True)]
    logits = [matrix_product(tensors, "lm_head", normalised(tensors, "model.norm", x, eps)) for x in stream]
    return logits, routing, min(margins)


def model_of(name, config, seed, n_sequences=2, length=7):
    source = Source(seed)
    tensors = random_tensors(config, source)
    ids = [source.integers(length, config["vocab_size"]) for _ in range(n_sequences)]
    results = [forward(config, tensors, sequence) for sequence in ids]
    if min(margin for _, _, margin in results) < 2e-3:
        raise SystemExit(f"deepseek_v1 {name}: margin of a choice below 2e-3; choose another seed")
    inputs = {"config": config, "input_ids": ids, "tensors": tensors}
    outputs = {"logits": [logits for logits, _, _ in results], "routing": [routing for _, routing, _ in results]}
    return inputs, outputs


def main():
    models = {name: model_of(name, config, seed) for name, config, seed in (("plain", PLAIN, 20240111), ("other", OTHER, 20240113))}
    write("deepseek_v1.json", "reference",
          "scripts/golden/deepseek_v1.py: DeepSeekMoE (arXiv 2401.06066, section 3) with the settings of the published configuration; random.Random(20240111 and 20240113)",
          {name: inputs for name, (inputs, _) in models.items()}, {name: outputs for name, (_, outputs) in models.items()}, 2e-5, 2e-6,
          "Every key of the configuration at two values. fp32: relative error of sums of about 20 terms through three layers.")


if __name__ == "__main__":
    main()

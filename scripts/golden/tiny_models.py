"""Three tiny decoders: logits, loss and the gradient of every parameter.

Writes tiny_moe.json, tiny_moe_switch.json and tiny_dense.json.
"""

import math

import decoder
from record import Source, check_close, write
from sinkhorn import selection_margin

COMMON = {"vocab_size": 13, "d_model": 8, "n_layers": 2, "norm_eps": 1e-5}

GRANULAR = {
    **COMMON, "n_heads": 4, "n_kv_heads": 2, "head_dim": 4, "d_ff": 12,
    "n_experts": 5, "n_shared_experts": 1, "top_k": 2, "d_expert": 6, "moe_layers": [1],
    "rope_theta": 10000.0, "rotary_fraction": 0.5, "activation": "geglu", "tie_embeddings": False, "qk_norm": True,
    "router": {"kind": "top_k", "score": "softmax_pre", "renormalize": True},
    "balance": {"loss": "switch", "coefficient": 0.01, "z_coefficient": 0.001},
}

SWITCH = {
    **COMMON, "n_heads": 2, "n_kv_heads": 2, "head_dim": 4,
    "n_experts": 4, "n_shared_experts": 0, "top_k": 1, "d_expert": 10, "moe_layers": [0, 1],
    "rope_theta": 100.0, "rotary_fraction": 1.0, "activation": "swiglu", "tie_embeddings": True, "qk_norm": "per_head",
    "router": {"kind": "top_k", "score": "softmax_pre", "renormalize": False},
    "balance": {"loss": "switch", "coefficient": 0.01, "z_coefficient": 0.001},
}

DENSE = {
    **COMMON, "n_heads": 2, "n_kv_heads": 1, "head_dim": 8, "d_ff": 12,
    "n_experts": 0, "n_shared_experts": 0, "moe_layers": [],
    "rope_theta": 500.0, "rotary_fraction": 0.5, "activation": "swiglu", "tie_embeddings": False, "qk_norm": False,
}

DOCUMENT_IDS = [[0, 0, 0, 1, 1, 2, 2], [3, 4, 4, 4, 4, 4, 5]]


def random_batch(source, config, B=2, S=5):
    """Consecutive tokens: target t is input t + 1."""
    sequences = [source.integers(S + 1, config["vocab_size"]) for _ in range(B)]
    return [sequence[:-1] for sequence in sequences], [sequence[1:] for sequence in sequences]


def check_gradients(config, parameters, gradients, source, *batch, per_tensor=6, h=1e-5):
    """Central differences on a few entries of every tensor, in plain floats."""
    for name, tensor in parameters.items():
        values = tensor["values"]
        largest = max(range(len(values)), key=lambda i: abs(gradients[name][i]))
        for index in {largest, *source.integers(per_tensor - 1, len(values))}:
            saved = values[index]
            values[index] = saved + h
            above = decoder.forward(config, parameters, *batch)["loss"]
            values[index] = saved - h
            below = decoder.forward(config, parameters, *batch)["loss"]
            values[index] = saved
            check_close(f"{name}[{index}]", (above - below) / (2 * h), gradients[name][index], 1e-6, 1e-9)


def write_model(name, config, seed, why, S=5, document_ids=None):
    source = Source(seed)
    parameters = decoder.random_parameters(config, source)
    input_ids, target_ids = random_batch(source, config, S=S)
    batch = (input_ids, target_ids, document_ids)
    result, gradients = decoder.with_gradients(config, parameters, *batch)
    for routing in result["routing"]:
        margin = selection_margin(routing["router_logits"], config["top_k"])
        if margin < 5e-3:
            raise SystemExit(f"{name}: selection margin {margin}; choose another seed")
    for tensor, gradient in gradients.items():
        if not math.fsum(g * g for g in gradient) > 0.0:
            raise SystemExit(f"{name}: gradient of {tensor} is zero; choose another seed")
    check_gradients(config, parameters, gradients, source, *batch)
    inputs = {"config": config, "input_ids": input_ids, "target_ids": target_ids}
    if document_ids:
        inputs["document_ids"] = document_ids
    inputs["parameters"] = parameters
    outputs = {key: result[key] for key in ("loss", "cross_entropy", "balance", "z") if key in result}
    outputs["logits"] = [result["logits"][b * S : (b + 1) * S] for b in range(len(input_ids))]
    outputs["routing"] = result["routing"]
    outputs["gradients"] = {tensor: {"shape": parameters[tensor]["shape"], "values": gradient}
                            for tensor, gradient in gradients.items()}
    write(name, "reference",
          f"scripts/golden/decoder.py: scalar reverse-mode autodiff in fp64, checked against central differences; "
          f"random.Random({seed})",
          inputs, outputs, 2e-5, 2e-6, why + " fp32: relative error of sums of about 20 terms through two layers, "
          "and an absolute part for gradients that cancel.")


def main():
    write_model("tiny_moe.json", GRANULAR, 20250304,
                "Dense layer 0, MoE layer 1 with shared expert, GQA, whole-projection QK norm, half rotary, GEGLU.")
    write_model("tiny_moe_switch.json", SWITCH, 20250305,
                "All layers MoE, top-1 with the raw probability, SwiGLU, tied embeddings, per-head QK norm, full rotary.")
    write_model("tiny_dense.json", DENSE, 20250306,
                "Dense, document-separated attention: attention and positions restart where document_ids change; "
                "every target counts, also across a border. Multi-query, half rotary with two frequencies.",
                S=7, document_ids=DOCUMENT_IDS)


if __name__ == "__main__":
    main()

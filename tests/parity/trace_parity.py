"""`evenkeel trace HF_DIR` gives the experts, weights and predictions of transformers on the same tokens.

    EVENKEEL=build/evenkeel python tests/parity/trace_parity.py
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file

from fixtures import VOCABULARY, Checks, evenkeel, markov_documents, save, tiny_llama, tiny_olmoe, write_pair
from transformers import AutoModelForCausalLM

LENGTH = 32
TOLERANCE = 2e-5  # fp32 logits of size 1 after two layers in another order of sums
# Experts are compared where the logits of the last chosen and the first rejected are farther apart than fp32 tells.
MARGIN = 1e-4


def cases():
    """Name, model, options of save_pretrained."""
    yield "olmoe, top 2 of 8", tiny_olmoe(initializer_range=0.3), {}
    yield "olmoe, top 3, normalised, GQA", tiny_olmoe(num_experts_per_tok=3, norm_topk_prob=True, num_key_value_heads=2, initializer_range=0.3), {}
    yield "olmoe, fused experts", tiny_olmoe(initializer_range=0.3), {"save_original_format": False}


def expected(folder, tokens):
    """Per layer the router logits [B, S, E]; and the arg max [B, S] of the model's logits with their margin."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        out = model(input_ids=torch.from_numpy(tokens), output_router_logits=True)
    B, S = tokens.shape
    top = out.logits.double().topk(2, dim=-1)
    return [layer.reshape(B, S, -1).double().numpy() for layer in out.router_logits], top.indices[..., 0].numpy(), (top.values[..., 0] - top.values[..., 1]).numpy(), model.config


def softmax(logits):
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def compare(check, name, folder, trace, tokens):
    router_logits, predicted, sure, config = expected(folder, tokens)
    k = config.num_experts_per_tok
    check(f"{name}: input ids", np.array_equal(trace["input_ids"], tokens))
    clear = sure > MARGIN
    check(f"{name}: predicted ids", np.array_equal(trace["predicted_ids"][clear], predicted[clear]) and clear.mean() > 0.99, f"{clear.mean():.3f} of them clear")
    for layer, logits in enumerate(router_logits):
        difference = np.abs(trace[f"layers.{layer}.router_logits"] - logits).max()
        check(f"{name}: router logits of layer {layer}", difference <= TOLERANCE, f"largest difference {difference:.1e} (need {TOLERANCE:g})")
        order = np.argsort(-logits, axis=-1, kind="stable")
        ranked = np.take_along_axis(logits, order, -1)
        apart = (ranked[..., :k] - ranked[..., 1:k + 1] > MARGIN).all(-1)
        got = trace[f"layers.{layer}.expert_ids"]
        check(f"{name}: experts of layer {layer}, best first", np.array_equal(got[apart], order[apart][:, :k]) and apart.mean() > 0.9, f"{apart.sum()} of {apart.size} tokens clear")
        weights = np.take_along_axis(softmax(logits), got.astype(np.int64), -1)
        if config.norm_topk_prob:
            weights = weights / weights.sum(-1, keepdims=True)
        difference = np.abs(trace[f"layers.{layer}.weights"] - weights).max()
        check(f"{name}: weights of layer {layer}", difference <= TOLERANCE, f"largest difference {difference:.1e}")
        check(f"{name}: nothing dropped in layer {layer}", not trace[f"layers.{layer}.dropped"].any())


def compare_all(check, work):
    tokens = np.random.default_rng(5).integers(1, VOCABULARY, size=(12, LENGTH))
    (work / "tokens.json").write_text(json.dumps(tokens.tolist()))
    for number, (name, model, options) in enumerate(cases()):
        folder = save(model, work / str(number), **options)
        out = work / f"{number}.safetensors"
        run = ("--router-logits", "--batch-size", 5, "--threads", 2, "--device", "cpu", "--out", out)
        evenkeel("trace", folder, "--tokens", work / "tokens.json", *run)
        compare(check, name, folder, load_file(out), tokens)
        # the same tokens as one document stream: windows of the same length give the same routing
        write_pair(work / f"pair-{number}", [np.append(tokens.reshape(-1), 0)])
        evenkeel("trace", folder, "--data", work / f"pair-{number}", "--sequence-length", LENGTH, *run)
        compare(check, f"{name}, --data", folder, load_file(out), tokens)
    folder = save(tiny_llama(), work / "dense")
    evenkeel("trace", folder, "--tokens", work / "tokens.json", "--logits", "--threads", 2, "--device", "cpu", "--out", work / "dense.safetensors")
    trace = load_file(work / "dense.safetensors")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(tokens)).logits.numpy()
    difference = np.abs(trace["logits"] - logits).max()
    check("llama: logits", difference <= TOLERANCE and trace["logits"].shape == logits.shape, f"largest difference {difference:.1e}")
    check("llama: no layer has experts", not any(name.startswith("layers.") for name in trace))


def main():
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="evenkeel_parity_") as work:
        compare_all(check, pathlib.Path(work))
    check.finish()


if __name__ == "__main__":
    main()

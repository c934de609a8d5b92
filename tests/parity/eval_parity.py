"""`evenkeel eval HF_DIR` gives transformers' mean cross-entropy over the same windows.

    EVENKEEL=build/evenkeel python tests/parity/eval_parity.py
"""

import json
import math
import pathlib
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

from fixtures import Checks, evenkeel, markov_documents, save, tiny_llama, tiny_olmoe, write_pair
from transformers import AutoModelForCausalLM

LENGTH = 32
TOLERANCE = 2e-5  # fp32 sums of a loss of about 5 in another order
# A broken model must be seen: each control changes one setting and must move the loss by ten tolerances.
CONTROL = 10 * TOLERANCE
LEAST_BLOCKS = 4  # src/analysis/cluster_mean.h: so many remain where there are as many windows


def mean_cross_entropy(model, tokens):
    """The mean and its standard error by blocks of neighbouring windows. Window j feeds tokens jS .. jS+S-1 and scores
    jS+1 .. jS+S; the last one may be shorter. fp64 sums."""
    model.eval()
    sums, counts = [], []
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, LENGTH):
            window = torch.from_numpy(tokens[start:start + LENGTH + 1])
            logits = model(input_ids=window[None, :-1]).logits[0]
            sums.append(F.cross_entropy(logits.double(), window[1:], reduction="sum").item())
            counts.append(len(window) - 1)
    def rounded(n, by):
        return max((n + by // 2) // by, 1)

    n = rounded(sum(counts), LENGTH)
    block = max(min(math.isqrt(n), n // LEAST_BLOCKS), 1)  # windows of one; less than half of one is part of the last
    of_window = [min(w // block, rounded(n, block) - 1) for w in range(len(sums))]
    sums, counts = (np.bincount(of_window, weights=values) for values in (sums, counts))
    mean = sums.sum() / counts.sum()
    return mean, np.sqrt(np.var(sums - mean * counts, ddof=1) * len(sums)) / counts.sum()


def cases():
    """Name, model, options of save_pretrained, type of storage, {setting of config.json: other value} for the control."""
    odd = dict(rope_theta=5e5, tie_word_embeddings=True, head_dim=16, initializer_range=0.3)
    float32, bfloat16 = torch.float32, torch.bfloat16
    yield "llama, plain", tiny_llama(initializer_range=0.3), {}, float32, {"rms_norm_eps": 0.1}
    yield "llama, theta 5e5, tied, head_dim 16, GQA", tiny_llama(**odd), {}, float32, {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    yield "llama, the same in bf16", tiny_llama(**odd), {}, bfloat16, {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    yield "olmoe", tiny_olmoe(initializer_range=0.3), {}, float32, {"norm_topk_prob": True}
    yield "olmoe, normalised, GQA", tiny_olmoe(norm_topk_prob=True, num_key_value_heads=2, initializer_range=0.3), {}, float32, {"norm_topk_prob": False}
    yield "olmoe, fused experts, bf16", tiny_olmoe(initializer_range=0.3), {"save_original_format": False}, bfloat16, {"norm_topk_prob": True}
    yield "olmoe, shards, bf16", tiny_olmoe(initializer_range=0.3), {"max_shard_size": "20KB"}, bfloat16, {"num_experts_per_tok": 1}


def evenkeel_eval(folder, prefix):
    return json.loads(evenkeel("eval", folder, "--data", f"x={prefix}", "--json", "--sequence-length", LENGTH, "--batch-size", 3,
                               "--threads", 2, "--device", "cpu"))["data"]["x"]


def compare_all(check, work):
    documents = markov_documents(LENGTH * 10 + 12, seed=7)  # 10 whole windows and one of 11 targets
    tokens = np.concatenate(documents)
    write_pair(work / "markov", documents)
    for number, (name, model, options, dtype, control) in enumerate(cases()):
        folder = save(model.to(dtype), work / str(number), **options)
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        expected, error = mean_cross_entropy(loaded, tokens)
        result = evenkeel_eval(folder, work / "markov")
        difference = abs(result["loss"] - expected)
        check(f"{name}: loss", difference <= TOLERANCE, f"{result['loss']:.7f}, transformers {expected:.7f}, difference {difference:.1e} (need {TOLERANCE:g})")
        check(f"{name}: standard error", math.isclose(result["loss_se"], error, rel_tol=1e-3), f"{result['loss_se']:.6f}, transformers {error:.6f}")
        holds = result["tokens"] == len(tokens) - 1 and math.isclose(result["perplexity"], math.exp(result["loss"]), rel_tol=1e-9)
        check(f"{name}: tokens and perplexity", holds, f"{result['tokens']}, {result['perplexity']:.4f}")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **control}))
        moved = abs(evenkeel_eval(folder, work / "markov")["loss"] - expected)
        check(f"{name}: control {control}", moved > CONTROL, f"moves the loss by {moved:.1e}")


def main():
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="evenkeel_parity_") as work:
        compare_all(check, pathlib.Path(work))
    check.finish()


if __name__ == "__main__":
    main()

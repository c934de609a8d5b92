"""What the parity tests share: tiny transformers models on disk, Megatron pairs, running evenkeel, printed checks."""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, OlmoeConfig, OlmoeForCausalLM

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(2)

EVENKEEL = os.environ.get("EVENKEEL", "build/evenkeel")
VOCABULARY = 96


class Checks:
    """One printed line a check; the process exits 1 when one failed."""

    def __init__(self):
        self.n_failed = 0

    def __call__(self, name, holds, shown=""):
        self.n_failed += not holds
        print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' if shown else ''}{shown}", flush=True)

    def finish(self):
        print(f"{self.n_failed} failed" if self.n_failed else "all checks passed")
        sys.exit(1 if self.n_failed else 0)


def compare_golden_models(golden, compare_model):
    """compare_model(check, name, folder) of each model of a golden file, in a folder of its own."""
    check = Checks()
    for name in golden["inputs"]:
        with tempfile.TemporaryDirectory(prefix="evenkeel_parity_") as work:
            compare_model(check, name, pathlib.Path(work))
    check.finish()


def evenkeel(*arguments):
    """stdout of a command; its error output is shown when it fails."""
    done = subprocess.run([EVENKEEL, *map(str, arguments)], capture_output=True, text=True, timeout=100)
    if done.returncode != 0:
        raise SystemExit(f"evenkeel {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def write_pair(prefix, documents):
    """PREFIX.bin and PREFIX.idx of u16 tokens: Megatron's format."""
    lengths = np.array([len(document) for document in documents], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64) * 2]).astype(np.int64)
    prefix = pathlib.Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate(documents).astype("<u2").tofile(f"{prefix}.bin")
    with open(f"{prefix}.idx", "wb") as out:
        out.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, len(documents), len(documents) + 1))
        out.write(lengths.tobytes() + starts.tobytes() + np.arange(len(documents) + 1, dtype=np.int64).tobytes())


def markov_documents(n_tokens, seed):
    """Documents of a chain in which each of 24 tokens has a likely successor: quick to learn, never certain."""
    random = np.random.default_rng(seed)
    symbols = random.permutation(VOCABULARY - 1)[:24] + 1
    successor = random.permutation(24)
    tokens = np.empty(n_tokens, dtype=np.int64)
    state = 0
    for i in range(n_tokens):
        state = successor[state] if random.random() < 0.8 else int(random.integers(24))
        tokens[i] = symbols[state]
    tokens[199::200] = 0  # the end of a document
    return np.split(tokens, range(200, n_tokens, 200))


def spread(model, seed):
    """Norm weights and routers away from their plain start, so that a swap of any two would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
            elif name.endswith("mlp.gate.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def tiny_olmoe(seed=1, norm_topk_prob=False, **changes):
    torch.manual_seed(seed)
    keys = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, num_experts=8, num_experts_per_tok=2, norm_topk_prob=norm_topk_prob,
                max_position_embeddings=64, router_aux_loss_coef=0.01, output_router_logits=True, initializer_range=0.1,
                pad_token_id=None, eos_token_id=0)
    return spread(OlmoeForCausalLM(OlmoeConfig(**{**keys, **changes})), seed)


def tiny_llama(seed=1, **changes):
    torch.manual_seed(seed)
    keys = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.1, bos_token_id=None, eos_token_id=0)
    return spread(LlamaForCausalLM(LlamaConfig(**{**keys, **changes})), seed)


def save(model, folder, **options):
    model.save_pretrained(folder, **options)
    return folder


def read_json_lines(path):
    return [json.loads(line) for line in open(path)]

#!/usr/bin/env python3
"""Three steps, a SIGKILL, three more steps: the bytes of six steps, for every kind of attention and what it may have, and for the experts of released models.

resume_test.py interrupts every router at many places; here each form of attention is interrupted at one, the first write after the
checkpoint of step 3.

  EVENKEEL            the binary (build/evenkeel)
  EVENKEEL_CRASH_SHIM the shim (build/libcrash_shim.so)
"""
import os
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks  # noqa: E402
from resume_test import Trial, first_write_after_save, kill_at_write  # noqa: E402

# name -> keys of [model]
ATTENTIONS = {
    "grouped": "n_kv_heads = 1\nqk_norm = true",
    "grouped, window, sinks, biases, clip": 'n_kv_heads = 1\nqk_norm = "per_head"\nattention = {kind = "grouped", window = 5, window_layers = [1], sinks = true, qkv_bias = true, out_bias = true, clip = 2.0, scale = 0.5}',
    "latent": 'head_dim = 12\nattention = {kind = "latent", kv_rank = 6, rope_dim = 4}\nrope_pairs = "interleaved"',
    "latent, of queries too, biases, yarn": 'head_dim = 12\nattention = {kind = "latent", kv_rank = 6, q_rank = 5, rope_dim = 4, value_dim = 6, bias = true}\nrope_scaling = {kind = "yarn", factor = 4.0, original_length = 8, mscale = 1.0, mscale_all_dim = 1.0}',
    "grouped, experts of gpt-oss": 'activation = "swiglu_clamped"\nactivation_limit = 0.5\nexpert_bias = true\nrouter_bias = true\nattention = {kind = "grouped", sinks = true, qkv_bias = true}',
    "grouped, experts of OpenMoE": 'head_dim = 12\nactivation = "swiglu_double"\nd_extra = 16\ncapacity = {rule = "colossalai"}\nattention = {kind = "grouped", scale = 1.0}',
}
RECIPE = """[model]
vocab_size = {vocab_size}
d_model = 16
n_layers = 2
n_heads = 2
n_experts = 4
top_k = 2
d_expert = 16
{attention}
[model.router]
kind = "loss_free"
rate = 0.01
[train]
batch_size = 4
micro_batch_size = 2
sequence_length = 16
seed = 3
checkpoint_every = "3 steps"
[[phase]]
name = "english"
steps = 6
data = [{{name = "en", path = "{data}"}}]
schedule = {{kind = "cosine", lr_max = 1e-2, lr_min = 1e-3, warmup = 0.2}}
"""


def interrupted(folder, name, problems):
    text = RECIPE.format(vocab_size=toy.VOCAB_SIZE, attention=ATTENTIONS[name], data=folder / "en")
    trial = Trial(folder, re.sub(r"\W+", "-", name), text, n_steps=6)
    problems += trial.train_whole()
    if not problems:
        problems += kill_at_write(trial, first_write_after_save(trial, 1))


class Column:
    """A `check_*` function for each form, for checks.run_checks."""


def kinds_are_all_here(folder, problems):
    """The kinds that `evenkeel keys` lists are those of the table."""
    keys = toy.evenkeel("keys", "model.attention.kind")
    listed = set(re.search(r"which kind: ([\w, ]+)", keys.out)[1].split(", "))
    problems.equal({name.split(",")[0] for name in ATTENTIONS}, listed, "kinds of attention")


def main():
    for path in (toy.BINARY, toy.SHIM):
        if not os.path.exists(path):
            sys.exit(f"resume_attention_test: got no {path}; need it built")
    column = Column()
    column.check_every_kind_is_here = kinds_are_all_here
    for name in ATTENTIONS:
        setattr(column, f"check_{name}", lambda folder, problems, name=name: interrupted(folder, name, problems))
    with tempfile.TemporaryDirectory(prefix="evenkeel-resume-attention-") as root:
        folder = pathlib.Path(os.path.realpath(root))
        toy.write_dataset(folder / "en", toy.made_documents(1))
        return run_checks("resume_attention_test", [[(column, folder)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

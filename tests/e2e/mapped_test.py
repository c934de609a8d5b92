#!/usr/bin/env python3
"""Weights that stay in their file (--mapped) give the bytes of weights in memory: eval, trace and analyze of a checkpoint in bf16, which
was trained here, exported so and imported again. And a model whose weights as fp32 are more than a process may hold is evaluated all the
same: it gets RLIMIT_DATA, which files that are mapped do not count for, below them.

  EVENKEEL  the binary (build/evenkeel)
"""
import functools
import json
import pathlib
import resource
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import toy  # noqa: E402
import torch  # noqa: E402
from checks import run_in_folder  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

CPU = ("--threads", 1, "--device", "cpu")


class Place:
    def __init__(self, folder):
        self.folder = folder
        for name, seed in (("en", 1), ("de", 2)):
            toy.write_dataset(folder / name, toy.made_documents(seed))

    def run(self, *arguments, **how):
        done = toy.evenkeel(*arguments, **how)
        if done.rc != 0:
            raise RuntimeError(f"{arguments[0]}: {done.rc}: {done.err[-1000:]}")
        return done

    @functools.cache
    def checkpoint(self):
        (self.folder / "recipe.toml").write_text(toy.recipe_text(self.folder))
        self.run("train", self.folder / "recipe.toml", "--out", self.folder / "run", *CPU)
        self.run("export", self.folder / "run", "--dtype", "bf16", "--out", self.folder / "released")
        self.run("import", self.folder / "released", "--out", self.folder / "checkpoint")
        return self.folder / "checkpoint"


def both_ways(place, command, *options):
    """The bytes of what a command writes, without and with --mapped."""
    out = []
    for flags in ((), ("--mapped",)):
        path = place.folder / f"{command}{len(flags)}"
        place.run(command, place.checkpoint(), *options, *flags, "--out", path, *CPU)
        out.append(path)
    return out


def check_a_trace_has_the_same_bytes(place, problems):
    one, other = both_ways(place, "trace", "--data", place.folder / "en", "--name", "en", "--logits", "--router-logits")
    problems.need(one.read_bytes() == other.read_bytes(), "the traces differ")


def check_every_table_of_an_analysis_is_the_same(place, problems):
    one, other = (json.loads((path / "results.json").read_text()) for path in both_ways(place, "analyze", "--data", f"en={place.folder / 'en'}", "--data", f"de={place.folder / 'de'}"))
    problems.equal(sorted(one["tables"]), sorted(other["tables"]), "tables")
    for name in one["tables"]:
        problems.need(one["tables"][name]["rows"] == other["tables"][name]["rows"], f"{name}: other rows")


def check_an_evaluation_has_the_same_figures(place, problems):
    one, other = (place.run("eval", place.checkpoint(), "--data", f"en={place.folder / 'en'}", *flags, *CPU).out for flags in ((), ("--mapped",)))
    problems.equal(one, other, "what is printed")


def check_a_folder_is_refused_by_a_word(place, problems):
    place.checkpoint()
    done = toy.evenkeel("eval", place.folder / "released", "--data", f"en={place.folder / 'en'}", "--mapped", *CPU)
    problems.need(done.rc == 2 and "--mapped" in done.err and "import" in done.err, f"exit code {done.rc}: {done.err[-300:]}")


def check_a_model_is_evaluated_in_less_memory_than_its_weights_take(place, problems):
    """264 million parameters of experts: 1.06 GB as fp32, in a process that may hold 0.8 GB of its own."""
    H, INNER, EXPERTS, LAYERS, limit = 512, 1024, 42, 4, 800 << 20
    tensors, generator = {}, torch.Generator().manual_seed(1)

    def add(name, *shape):
        tensors[name] = (torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) / shape[-1] ** 0.5).bfloat16()

    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        add(name, toy.VOCAB_SIZE, H)
    add("model.norm.weight", H)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            add(f"{at}{name}.weight", H)
        for name in "qkvo":
            add(f"{at}self_attn.{name}_proj.weight", H, H)
        add(at + "block_sparse_moe.gate.weight", EXPERTS, H)
        for expert in range(EXPERTS):
            for name, shape in (("w1", (INNER, H)), ("w3", (INNER, H)), ("w2", (H, INNER))):
                add(f"{at}block_sparse_moe.experts.{expert}.{name}.weight", *shape)
    folder = place.folder / "large"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    n_bytes = 4 * sum(value.numel() for value in tensors.values())
    tensors.clear()
    (folder / "config.json").write_text(json.dumps({"model_type": "mixtral", "vocab_size": toy.VOCAB_SIZE, "hidden_size": H, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 8,
                                                    "num_key_value_heads": 8, "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "max_position_embeddings": 64, "rope_theta": 10000.0, "torch_dtype": "bfloat16"}))

    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    problems.need(n_bytes > limit, f"{n_bytes} bytes are no more than {limit}")
    place.run("import", folder, "--out", place.folder / "large-checkpoint", preexec_fn=limited)
    arguments = ("eval", place.folder / "large-checkpoint", "--data", f"en={place.folder / 'en'}", "--max-tokens", 512, *CPU)
    whole = place.run(*arguments)
    problems.need(toy.evenkeel(*arguments, preexec_fn=limited).rc != 0, "the limit does not bind: the weights fit as fp32")
    problems.equal(place.run(*arguments, "--mapped", preexec_fn=limited).out, whole.out, "what is printed")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

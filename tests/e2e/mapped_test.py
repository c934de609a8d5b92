#!/usr/bin/env python3
"""Weights that stay in their files (--mapped) give the bytes of weights in memory: eval, trace and analyze of a checkpoint in bf16, of the folder
that it came from in two shards, of one whose experts are stacked, and of a gpt_oss in MXFP4, with one window a batch and with four; the batches
of a set are one group, in which a layer sees all of them before the next. And a model whose weights are more than a process may hold is evaluated
all the same: it gets RLIMIT_DATA, which files that are mapped do not count for, below the size of its file.

  EVENKEEL  the binary (build/evenkeel)
"""
import functools
import json
import pathlib
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import hostile_packed_cases as packed  # noqa: E402
import toy  # noqa: E402
import torch  # noqa: E402
from checks import run_in_folder  # noqa: E402
from hostile_folders_cases import V as PACKED_VOCABULARY  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

CPU = ("--threads", 1, "--device", "cpu")
# A process begins with the peak of the one that starts it, and this one has had large tensors.
PEAK_OF = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


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


def code_and_peak(*arguments):
    """Its exit code, and its peak in bytes."""
    done = subprocess.run([sys.executable, "-c", PEAK_OF, toy.BINARY, *map(str, arguments)], env=toy.environment(), capture_output=True, check=True)
    code, kilobytes = map(int, done.stdout.split())
    return code, 1024 * kilobytes


def write_index(folder, shards):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {name: file for file, tensors in shards.items() for name in tensors}}))


def both_ways(place, command, model, *options):
    """What a command writes, without and with --mapped, and what it says with it."""
    out, said = [], ""
    for flags in ((), ("--mapped",)):
        path = place.folder / f"{command}{len(flags)}"
        said = place.run(command, model, *options, *flags, "--out", path, *CPU).err
        out.append(path)
    return *out, said


def need_the_same(place, problems, model, data="en", batch_size=4):
    """eval, trace and analyze."""
    at, batch = place.folder / data, ("--batch-size", batch_size)
    one, other = (place.run("eval", model, "--data", f"en={at}", *flags, *batch, "--json", *CPU).out for flags in ((), ("--mapped",)))
    problems.equal(one, other, "what eval prints")
    one, other, said = both_ways(place, "trace", model, "--data", at, "--name", "en", "--logits", "--router-logits", *batch)
    problems.need(one.read_bytes() == other.read_bytes(), "the traces differ")
    problems.need("stay in their files" in said, f"not said: {said[-300:]!r}")
    problems.need("batches through the layers" in said, "no group of several batches")
    one, other, _ = both_ways(place, "analyze", model, "--data", f"en={at}", *batch)
    one, other = (json.loads((path / "results.json").read_text())["tables"] for path in (one, other))
    problems.equal(sorted(one), sorted(other), "tables")
    for name in one:
        problems.need(one[name]["rows"] == other[name]["rows"], f"{name}: other rows")


def check_a_checkpoint_gives_the_same(place, problems):
    for batch_size in (1, 4):
        need_the_same(place, problems, place.checkpoint(), batch_size=batch_size)


def check_a_reference_that_stays_in_its_files_gives_the_same(place, problems):
    run = place.checkpoint().parent / "run"
    one, other, _ = both_ways(place, "analyze", run, "--data", f"en={place.folder / 'en'}", "--data", f"de={place.folder / 'de'}", "--reference", place.checkpoint(), "--batch-size", 2)
    one, other = (json.loads((path / "results.json").read_text())["tables"] for path in (one, other))
    for name in one:
        problems.need(one[name]["rows"] == other[name]["rows"], f"{name}: other rows")
    problems.need(one["saturation"]["rows"], "no rows of saturation")


def check_random_routers_draw_the_same_in_training(place, problems):
    """The batch has its number whatever the group."""
    (place.folder / "random.toml").write_text(toy.recipe_text(place.folder, "random"))
    place.run("train", place.folder / "random.toml", "--out", place.folder / "random", *CPU)
    one, other, _ = both_ways(place, "trace", place.folder / "random", "--data", place.folder / "en", "--name", "en", "--mode", "train", "--batch-size", 2)
    drawn = one.read_bytes()
    problems.need(drawn == other.read_bytes(), "the traces differ")
    evaluated, _, _ = both_ways(place, "trace", place.folder / "random", "--data", place.folder / "en", "--name", "en", "--batch-size", 2)
    problems.need(drawn != evaluated.read_bytes(), "training and evaluation draw the same")


def check_a_folder_of_shards_gives_the_same(place, problems):
    place.checkpoint()
    tensors = load_file(place.folder / "released" / "model.safetensors")
    folder = place.folder / "sharded"
    folder.mkdir()
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    write_index(folder, shards)
    (folder / "config.json").write_bytes((place.folder / "released" / "config.json").read_bytes())
    for batch_size in (1, 4):
        need_the_same(place, problems, folder, batch_size=batch_size)


def check_a_folder_of_stacked_experts_gives_the_same(place, problems):
    place.checkpoint()
    tensors = load_file(place.folder / "released" / "model.safetensors")
    for layer in range(2):
        at = f"model.layers.{layer}.mlp.experts."
        of = lambda name: [tensors.pop(f"{at}{e}.{name}_proj.weight") for e in range(4)]  # noqa: B023, E731
        gate, up, down = of("gate"), of("up"), of("down")
        tensors[at + "gate_up_proj"] = torch.stack([torch.cat(pair) for pair in zip(gate, up)])
        tensors[at + "down_proj"] = torch.stack(down)
    folder = place.folder / "stacked"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes((place.folder / "released" / "config.json").read_bytes())
    need_the_same(place, problems, folder)


def check_experts_in_4_bits_give_the_same(place, problems):
    folder = place.folder / "packed"
    folder.mkdir()
    for name, content in packed.folder_of(packed.GPT_OSS, packed.gpt_oss_tensors()).items():
        (folder / name).write_bytes(content)
    toy.write_dataset(place.folder / "few", [[1 + id % (PACKED_VOCABULARY - 1) for id in ids] for ids in toy.made_documents(3)])
    for batch_size in (1, 4):
        need_the_same(place, problems, folder, "few", batch_size)


def check_a_model_is_evaluated_in_less_memory_than_its_weights_take(place, problems):
    """264 million parameters of experts, a file of 0.53 GB and 1.06 GB as fp32, in a process that may hold 0.4 GB of its own."""
    H, INNER, EXPERTS, LAYERS, limit = 512, 1024, 42, 4, 400 << 20
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

    file_bytes = (folder / "model.safetensors").stat().st_size
    problems.need(file_bytes > limit, f"{file_bytes} bytes are no more than {limit}")
    place.run("import", folder, "--out", place.folder / "large-checkpoint", preexec_fn=limited)
    options = ("--data", f"en={place.folder / 'en'}", "--max-tokens", 512, "--batch-size", 2, *CPU)
    whole = place.run("eval", folder, *options)
    for model in (folder, place.folder / "large-checkpoint"):
        code, peak = code_and_peak("eval", model, *options, "--mapped")
        problems.need(code == 0 and peak < file_bytes, f"{model.name}: exit code {code}, a peak of {peak} bytes beside a file of {file_bytes}")
        within = place.run("eval", model, *options, preexec_fn=limited)  # without --mapped: the limit is known
        problems.equal(within.out, whole.out, "what is printed")
        problems.need("stay in their files" in within.err, f"{model.name}: the weights were taken into memory: {within.err[-300:]!r}")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

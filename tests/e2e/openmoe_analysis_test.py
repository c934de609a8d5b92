#!/usr/bin/env python3
"""A tiny OpenMoE folder through every analysis, drops by position among them, and twenty steps from it. What is dropped is counted anew
from the experts that a trace gives, by the rule of the port: first choices in order, then second ones, an expert's room by its factor.

  EVENKEEL  the binary (build/evenkeel)
"""
import functools
import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import numpy as np  # noqa: E402
import toy  # noqa: E402
import torch  # noqa: E402
from checks import read_lines, rows_of, run_in_folder, steps_of  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

H, INNER, HEADS, HEAD, EXPERTS, LAYERS, LENGTH, STEPS = 16, 12, 3, 8, 4, 4, 32, 20
CONFIG = {"model_type": "llama", "architectures": ["OpenMoeForCausalLM"], "auto_map": {"AutoModelForCausalLM": "modeling_openmoe.OpenMoeForCausalLM"}, "vocab_size": toy.VOCAB_SIZE, "hidden_size": H, "intermediate_size": INNER,
          "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HEAD, "moe_layer_interval": 2, "num_experts": EXPERTS, "topk": 2, "capacity_factor_train": 1.25, "capacity_factor_eval": 0.75,
          "min_capacity": 4, "drop_tks": True, "aux_loss_factor": 0.01, "router_z_loss_factor": 0.0001, "gated": True, "hidden_act": "swiglu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": LENGTH,
          "tie_word_embeddings": False, "bos_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "torch_dtype": "float32"}
RECIPE = """
[model]
from = "{model}"
[train]
batch_size = 4
sequence_length = {length}
[[phase]]
name = "one"
steps = {steps}
data = [{{name = "x", path = "{data}"}}]
schedule = {{kind = "constant", lr_max = 1e-2}}
"""


def make_folder(folder):
    generator, tensors = torch.Generator().manual_seed(3), {}

    def add(name, *shape, scale=1.0):
        value = torch.randn(shape, generator=generator) * scale / shape[-1] ** 0.5
        tensors[name] = 1 + 0.2 * value if len(shape) == 1 else value

    def double(place):
        add(f"{place}.gate_proj.weight", 2 * INNER, H)
        add(f"{place}.up_proj.weight", INNER, H)
        add(f"{place}.down_proj.weight", H, INNER)

    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        add(name, toy.VOCAB_SIZE, H)
    add("model.norm.weight", H)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        add(at + "input_layernorm.weight", H)
        add(at + "post_attention_layernorm.weight", H)
        for name in "qkv":
            add(f"{at}self_attn.{name}_proj.weight", HEADS * HEAD, H)
        add(at + "self_attn.o_proj.weight", H, HEADS * HEAD)
        if layer % 2 == 0:
            double(at + "mlp")
            continue
        add(at + "mlp.gate_weight", EXPERTS, H, scale=2.0)
        add(at + "mlp.experts.wi_gate", EXPERTS, H, 2 * INNER)
        add(at + "mlp.experts.wi_up", EXPERTS, H, INNER)
        add(at + "mlp.experts.wo", EXPERTS, INNER, H)
        add(at + "pre_extra_mlp_layernorm.weight", H)
        double(at + "extra_mlp")
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "modeling_openmoe.py").write_text("# the code of the class\n")


class Place:
    def __init__(self, folder):
        self.folder, self.model = folder, folder / "released"
        make_folder(self.model)
        for name, seed in (("data", 1), ("other", 2)):
            toy.write_dataset(folder / name, toy.made_documents(seed))

    def run(self, *arguments):
        done = toy.evenkeel(*arguments)
        if done.rc != 0:
            raise RuntimeError(done.err)
        return done

    @functools.cache
    def results(self):
        self.run("analyze", self.model, "--data", f"x={self.folder / 'data'}", "--data", f"y={self.folder / 'other'}", "--out", self.folder / "analysis")
        return json.loads((self.folder / "analysis" / "results.json").read_text())

    @functools.cache
    def trace(self):
        self.run("trace", self.model, "--data", self.folder / "data", "--name", "x", "--out", self.folder / "trace.safetensors")
        return load_file(self.folder / "trace.safetensors")

    @functools.cache
    def trained(self):
        (self.folder / "recipe.toml").write_text(RECIPE.format(model=self.model, length=LENGTH, steps=STEPS, data=self.folder / "data"))
        self.run("train", self.folder / "recipe.toml", "--out", self.folder / "run")
        return self.folder / "run"


def dropped_of(experts):
    """[S, k] of one sequence."""
    n, k = experts.shape
    room = int(k * CONFIG["capacity_factor_eval"] * n / EXPERTS)
    room = max(room + room % 2, CONFIG["min_capacity"])
    queue = np.eye(EXPERTS, dtype=int)[experts.T.reshape(-1)]
    places = ((queue.cumsum(0) - 1) * queue).sum(1).reshape(k, n).T
    return places >= room


def check_the_drops_are_those_of_the_rule(place, problems):
    trace, n = place.trace(), 0
    _, rows = rows_of(place.results(), "drops")
    for layer in (1, 3):
        experts, dropped = (trace[f"layers.{layer}.{what}"].numpy() for what in ("expert_ids", "dropped"))
        is_padding = trace["is_padding"].numpy()
        need = np.stack([dropped_of(row) for row in experts[~is_padding.any(1)]])
        problems.need((dropped[~is_padding.any(1)] == need).all(), f"layer {layer}: other drops in {int((dropped[~is_padding.any(1)] != need).sum())} places")
        n += int(need.sum())
        problems.need(any(row["layer"] == layer for row in rows), f"layer {layer}: no row in drops")
    problems.need(n > 100, f"{n} drops, too few to say something")


def check_every_analysis_has_rows_or_says_why_not(place, problems):
    results = place.results()
    empty = [name for name, table in results["tables"].items() if not table["rows"]]
    problems.equal(empty, [], "tables without rows")
    for table in ("load", "drops", "drop_by_position", "coactivation", "token_specialization"):
        problems.need(table in results["tables"], f"no table {table}; notes {results['notes']}")


def check_it_trains_and_goes_back_as_it_came(place, problems):
    steps = steps_of(place.trained())
    problems.equal(len(steps), STEPS, "steps")
    lines = [line for line in read_lines(place.trained() / "metrics.jsonl") if "loss_terms" in line]
    problems.need(lines[-1]["loss"] < lines[0]["loss"] - 0.1, f"loss from {lines[0]['loss']} to {lines[-1]['loss']}")
    place.run("export", place.trained(), "--out", place.folder / "exported")
    for name in ("config.json", "modeling_openmoe.py"):
        problems.equal((place.folder / "exported" / name).read_bytes(), (place.model / name).read_bytes(), name)
    before, after = (load_file(folder / "model.safetensors") for folder in (place.model, place.folder / "exported"))
    problems.equal({name: value.shape for name, value in after.items()}, {name: value.shape for name, value in before.items()}, "tensors")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

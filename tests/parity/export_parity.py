"""`evenkeel import` and `evenkeel export`: what went in comes out, and transformers computes what evenkeel does.

    EVENKEEL=build/evenkeel python tests/parity/export_parity.py [WORD...]

1. Every draw of family_models.py, imported and exported: the same tensors byte for byte under the same names, experts stacked
   where they were, and equal logits in transformers. After a step of training the experts stand one by one, as on the hub.
2. evenkeel's own presets and features, trained for a step and exported: transformers' logits are those of `evenkeel trace`,
   and so are those of the folder imported again.
3. What no class can hold is refused by name.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
from family_models import LENGTH, SETTINGS, draws, load, save_draw
from fixtures import EVENKEEL, VOCABULARY, Checks, write_pair
from safetensors.torch import load_file

BATCH = 4
SAME = 2e-6        # transformers on the same tensors: only how its config is written may differ
TOLERANCE = 1e-4   # evenkeel against transformers: the contract; fp32 sums in another order
REIMPORTED = 2e-5  # evenkeel against itself: a detour may permute or double weights
CPU = ("--threads", "1", "--device", "cpu")


def run(*arguments):
    """(exit code, stderr) of a command."""
    done = subprocess.run([EVENKEEL, *map(str, arguments)], capture_output=True, text=True, timeout=100)
    return done.returncode, done.stderr


class Failed(Exception):
    """A command that should have worked."""


def must_run(*arguments):
    code, err = run(*arguments)
    if code != 0:
        raise Failed(f"{arguments[0]}: exit code {code}: {(err.strip().splitlines() or [''])[-1]}")


def input_ids(seed):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, VOCABULARY, (BATCH, LENGTH)))


def transformers_logits(folder, ids):
    """Of weights that are copied first: torch sums in another order where a tensor lies at another address within a mapped file."""
    model = load(folder).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        return model(input_ids=ids).logits


def evenkeel_logits(model, ids, work):
    (work / "tokens.json").write_text(json.dumps(ids.tolist()))
    must_run("trace", model, "--tokens", work / "tokens.json", "--logits", "--out", work / "trace.safetensors", *CPU)
    return load_file(work / "trace.safetensors")["logits"]


def all_tensors(folder):
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def difference_of(ours, theirs):
    """A sentence on the first difference of two sets of tensors; empty where they are the same bytes."""
    if ours.keys() != theirs.keys():
        return f"names: {sorted(ours.keys() ^ theirs.keys())[:6]}"
    for name, tensor in theirs.items():
        if ours[name].dtype != tensor.dtype or ours[name].shape != tensor.shape:
            return f"{name}: {ours[name].dtype} {tuple(ours[name].shape)}; need {tensor.dtype} {tuple(tensor.shape)}"
        if not torch.equal(ours[name].view(torch.uint8), tensor.view(torch.uint8)):
            return f"{name}: other values, by up to {(ours[name].double() - tensor.double()).abs().max():.1e}"
    return ""


def there_and_back(check, family, number, draw, work):
    """1. of one draw."""
    folder, exported = save_draw(family, number, draw, work / "model"), work / "exported"
    must_run("import", folder, "--out", work / "checkpoint")
    must_run("export", work / "checkpoint", "--out", exported)
    model_type = json.loads((exported / "config.json").read_text())["model_type"]
    problem = difference_of(all_tensors(exported), all_tensors(folder))
    ids = input_ids(number)
    moved = (transformers_logits(exported, ids) - transformers_logits(folder, ids)).abs().max().item()
    check(f"{family} {number}, rope {draw['rope']}, {draw['storage']}", model_type == family and not problem and moved <= SAME, f"as {model_type}, logits {moved:.0e}, {problem or 'the same bytes'}")


def one_by_one_after_training(check, work):
    """What was trained is no copy of the folder any more: it has the layout that every version of transformers reads."""
    folder = save_draw("mixtral", 0, {**draws("mixtral")[0], "storage": "fp32 fused"}, work / "model")
    must_run("export", trained(f'from = "{folder}"', work), "--out", work / "exported")
    names = {True: list(all_tensors(folder)), False: list(all_tensors(work / "exported"))}
    holds = all(any("experts.gate_up_proj" in name for name in names[stacked]) == stacked and any("experts.0.w1.weight" in name for name in names[stacked]) != stacked for stacked in names)
    check("a run from stacked experts is exported one by one", holds, f"{len(names[True])} tensors, then {len(names[False])}")


# ---- 2. evenkeel's own models ----

SMALL = "vocab_size = 96\nd_model = 32\nn_layers = 3\nn_heads = 4\nd_ff = 48\n"
MOE = SMALL + "n_experts = 6\ntop_k = 2\nd_expert = 12\n"
PAPER = "vocab_size = 96\nd_model = 64\nn_layers = 2\nn_heads = 4\nd_ff = 48\n"  # the published shapes are too large to train here; their features stay
LATENT = "head_dim = 12\nattention = {kind = \"latent\", kv_rank = 16, rope_dim = 4, value_dim = 8}\nrope_pairs = \"interleaved\"\n"
# name, keys of [model], the model_type that it is exported as (or several that would do)
OWN = [
    ("tiny/dense", 'preset = "tiny/dense"', "llama"),
    ("tiny/switch", 'preset = "tiny/switch"', "qwen2_moe"),
    ("tiny/granular", 'preset = "tiny/granular"', "granitemoeshared qwen2_moe"),
    ("paper/dense-570m, small", 'preset = "paper/dense-570m"\n' + PAPER, "llama"),
    ("paper/switch-2b, small", 'preset = "paper/switch-2b"\nd_expert = 40\n' + PAPER, "qwen2_moe"),
    ("paper/granular-2b, small", 'preset = "paper/granular-2b"\nd_expert = 12\n' + PAPER, "granitemoeshared qwen2_moe"),
    ("olmoe-1b-7b, small", 'preset = "olmoe-1b-7b"\nd_expert = 12\nn_experts = 8\ntop_k = 3\n' + PAPER, "olmoe"),
    ("mixtral-8x7b, small", 'preset = "mixtral-8x7b"\nn_kv_heads = 2\nd_expert = 12\n' + PAPER, "mixtral"),
    ("deepseek-moe-16b, small", 'preset = "deepseek-moe-16b"\nd_expert = 12\nn_experts = 8\ntop_k = 3\nmoe_layers = [1]\n' + PAPER, "qwen2_moe"),
    ("deepseek-v2-lite, small", 'preset = "deepseek-v2-lite"\nd_expert = 12\nn_experts = 8\ntop_k = 3\nmoe_layers = [1]\n' + PAPER + LATENT, "deepseek_v2"),
    ("deepseek-v3, small", 'preset = "deepseek-v3"\nd_expert = 12\nn_experts = 16\ntop_k = 4\nmoe_layers = [1]\n' + PAPER + LATENT.replace("kv_rank", "q_rank = 10, kv_rank"), "deepseek_v3"),
    ("qwen1.5-moe-a2.7b, small", 'preset = "qwen1.5-moe-a2.7b"\nd_expert = 12\nd_shared = 20\nn_experts = 8\ntop_k = 3\n' + PAPER, "qwen2_moe"),
    ("qwen3-30b-a3b, small", 'preset = "qwen3-30b-a3b"\nd_expert = 12\nn_kv_heads = 2\nhead_dim = 24\nn_experts = 8\ntop_k = 3\n' + PAPER, "qwen3_moe"),
    ("gpt-oss-20b, small", 'preset = "gpt-oss-20b"\nd_expert = 12\nn_kv_heads = 2\nhead_dim = 16\nn_experts = 8\ntop_k = 3\nattention = {kind = "grouped", qkv_bias = true, out_bias = true, window = 5, window_layers = [0], sinks = true}\n' + PAPER, "gpt_oss"),
    ("Sinkhorn, one expert", MOE.replace("top_k = 2", "top_k = 1") + '[model.router]\nkind = "sinkhorn"', "qwen2_moe glm4_moe"),
    ("Sinkhorn, two experts", MOE + '[model.router]\nkind = "sinkhorn"', "qwen2_moe glm4_moe"),
    ("Sinkhorn, two experts, normalised", MOE + '[model.router]\nkind = "sinkhorn"\nrenormalize = true', "mixtral qwen2_moe granitemoe glm4_moe"),
    ("softmax over the chosen", MOE + '[model.router]\nscore = "softmax_post"', "mixtral qwen2_moe granitemoe olmoe"),
    ("jitter and z-loss, of training alone", MOE + 'router = {jitter = 0.01, renormalize = true}\nbalance = {loss = "switch", coefficient = 0.01, z_coefficient = 0.001}', "mixtral qwen2_moe"),
    ("sigmoid", MOE + '[model.router]\nscore = "sigmoid"\nrenormalize = true', "glm4_moe"),
    ("sigmoid, a bias that balances, groups, scaling", MOE + 'n_shared_experts = 1\nrouter = {kind = "loss_free", rate = 0.2, n_groups = 3, groups_per_token = 2, renormalize = true, scaling = 2.5}', "glm4_moe"),
    ("sigmoid, rotary fraction", MOE + 'rotary_fraction = 0.5\nn_shared_experts = 2\nrouter = {kind = "loss_free", rate = 0.1}', "glm4_moe"),
    ("QK-norm by head, every second layer", MOE + 'qk_norm = "per_head"\nmoe_layers = "every 2"\n[model.router]\nrenormalize = true', "qwen3_moe"),
    ("QK-norm by head, a list of layers, narrow heads", MOE + 'qk_norm = "per_head"\nmoe_layers = [0, 2]\nhead_dim = 16\nn_kv_heads = 2', "qwen3_moe"),
    ("QK-norm of the whole, tied", MOE + "qk_norm = true\ntie_embeddings = true", "olmoe"),
    ("norms behind the branches", MOE + 'qk_norm = true\nnorm_placement = "after"', "flex_olmo"),
    ("norms behind the branches, dense", SMALL + 'qk_norm = true\nnorm_placement = "after"', "olmo2"),
    ("multipliers", MOE + 'embedding_multiplier = 3.0\nresidual_multiplier = 0.4\nlogits_scaling = 2.0\nrouter = {score = "softmax_post"}\nattention = {scale = 0.3}', "granitemoe granitemoeshared"),
    ("shared experts behind a gate", MOE + "n_shared_experts = 1\nd_shared = 20\nshared_gate = true\nattention = {qkv_bias = true}", "qwen2_moe"),
    ("two shared experts, raw weights", MOE + "n_shared_experts = 2", "qwen2_moe"),
    ("interleaved pairs", SMALL + 'rope_pairs = "interleaved"\nn_kv_heads = 2', "llama"),
    ("interleaved pairs of a part, biases", SMALL + 'rope_pairs = "interleaved"\nrotary_fraction = 0.5\nffn_bias = true\nattention = {qkv_bias = true, out_bias = true}', "llama"),
    ("GEGLU of tanh, windows", MOE + 'activation = "geglu_tanh"\nattention = {window = 7}\nrouter = {renormalize = true}', "mixtral qwen2_moe qwen3_moe"),
    ("a scaled rotation", SMALL + 'rope_scaling = {kind = "yarn", factor = 4.0, original_length = 16}', "llama"),
    ("latent attention, softmax", MOE + "n_shared_experts = 1\nmoe_layers = [1, 2]\n" + LATENT, "deepseek_v2"),
    ("latent attention, sigmoid, bias", MOE + LATENT.replace("kv_rank", "q_rank = 10, kv_rank") + 'n_shared_experts = 1\nrouter = {kind = "loss_free", rate = 0.2, n_groups = 3, groups_per_token = 1, renormalize = true}', "deepseek_v3"),
]
# name, keys of [model], a word of the refusal
IMPOSSIBLE = [
    ("expert choice", MOE + '[model.router]\nkind = "expert_choice"', "expert_choice"),
    ("BASE", MOE.replace("top_k = 2", "top_k = 1") + '[model.router]\nkind = "base"', "base"),
    ("hash", MOE.replace("top_k = 2", "top_k = 1") + '[model.router]\nkind = "hash"', "hash"),
    ("random experts", MOE + '[model.router]\nkind = "random"', "random"),
    ("quantile", MOE + '[model.router]\nkind = "quantile"', "quantile"),
    ("sqrtsoftplus", MOE + '[model.router]\nscore = "sqrtsoftplus"', "sqrtsoftplus"),
    ("Sinkhorn at evaluation", MOE + '[model.router]\nkind = "sinkhorn"\nat_eval = true', "at_eval"),
    ("a bias on a softmax", MOE + 'router = {kind = "loss_free", score = "softmax_pre", renormalize = true}', "model.router."),
    ("the Euclidean norm of the weights", MOE + "router = {renormalize = true, norm_p = 2.0}", "norm_p"),
    ("drops at evaluation", MOE + 'capacity = {rule = "switch", factor_eval = 0.5}', "capacity"),
    ("jitter at evaluation", MOE + "router = {jitter = 0.1, jitter_at_eval = true}", "jitter"),
]
RECIPE = """
[model]
{model}
[train]
batch_size = {batch}
sequence_length = {length}
[[phase]]
name = "one"
steps = 1
data = [{{name = "x", path = "{data}"}}]
schedule = {{kind = "constant", lr_max = 0.15}}
"""


def trained(model, work):
    """A run of one step, so large a one that no weight, norm or bias is as it began and every part counts in the logits."""
    write_pair(work / "data", [input_ids(99).reshape(-1).numpy(), np.array([1])])
    (work / "recipe.toml").write_text(RECIPE.format(model=model, batch=BATCH, length=LENGTH, data=work / "data"))
    must_run("train", work / "recipe.toml", "--out", work / "run", *CPU)
    return work / "run"


def own_model(check, name, model, families, work):
    """2. of one model."""
    made, ids = trained(model, work), input_ids(5)
    must_run("export", made, "--out", work / "exported")
    must_run("import", work / "exported", "--out", work / "again")
    ours, again = (evenkeel_logits(which, ids, work) for which in (made, work / "again"))
    family = json.loads((work / "exported" / "config.json").read_text())["model_type"]
    theirs = transformers_logits(work / "exported", ids)
    away, back = (ours - theirs).abs().max().item(), (ours - again).abs().max().item()
    check(name, family in families.split() and away <= TOLERANCE and back <= REIMPORTED, f"{family}, transformers' logits {away:.0e} (need {TOLERANCE:g}), imported again {back:.0e} (need {REIMPORTED:g})")


def refused(check, name, model, word, work):
    """3. of one model."""
    made = trained(model, work)
    code, err = run("export", made, "--out", work / "exported")
    lines = err.strip().splitlines()
    holds = code == 2 and len(lines) >= 1 and lines[-1].startswith("evenkeel: error: ") and word in lines[-1] and not (work / "exported").exists()
    check(f"{name} is refused", holds, f"exit code {code}: {lines[-1][:200] if lines else ''}")


def every_preset_is_here(check):
    """OWN has each of the presets that `evenkeel keys` lists, but OpenMoE's: no class of transformers has them (openmoe_parity.py)."""
    listed = json.loads(subprocess.run([EVENKEEL, "keys", "model.preset", "--json"], capture_output=True, text=True, check=True).stdout)
    presets = {name for name in listed["keys"][0]["meaning"].split(": ")[-1].split(", ") if not name.startswith("openmoe-")}
    used = {match for _, model, _ in OWN for match in re.findall(r'preset = "([^"]+)"', model)}
    check("every preset is here", presets and presets <= used, f"{sorted(presets)}, of them not here: {sorted(presets - used)}")


def main():
    check, words = Checks(), sys.argv[1:]
    if not words:
        every_preset_is_here(check)
    jobs = [(f"{family} {number}", there_and_back, (family, number, draw)) for family in SETTINGS for number, draw in enumerate(draws(family))]
    jobs += [("stacked experts, after training", one_by_one_after_training, ())]
    jobs += [(name, own_model, (name, model, families)) for name, model, families in OWN]
    jobs += [(name, refused, (name, model, word)) for name, model, word in IMPOSSIBLE]
    for name, function, arguments in jobs:
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory(prefix="evenkeel_export_") as work:
            try:
                function(check, *arguments, pathlib.Path(work))
            except Exception as error:  # what breaks is a failed check
                lines = str(error).strip().splitlines() or [""]
                check(name, False, f"{type(error).__name__}: {lines[0][:300]} {lines[-1][:300]}\n       {arguments}")
    check.finish()


if __name__ == "__main__":
    main()

"""DeepSeek's first version, which is no class of transformers: evenkeel against tests/golden/deepseek_v1.json.

    EVENKEEL=build/evenkeel python tests/parity/deepseek_v1_parity.py

The golden file comes of scripts/golden/deepseek_v1.py. Where qwen2_moe can hold the same function (a shared expert behind a
gate of zero, sigmoid(0) = 1/2, with its output doubled), transformers computes it too, from a folder made here and from what
`evenkeel export` writes; loss and every gradient of a step are those of its autograd, in fp32 and from two files of bf16. Where it
cannot (a bias on the output of attention), an export is refused by name.
"""

import json
import pathlib
import subprocess

import torch
from families_parity import Comparison, write_tokens
from family_models import Watch, load
from fixtures import EVENKEEL, compare_golden_models, evenkeel
from safetensors.torch import load_file, save_file
from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

GOLDEN = json.loads((pathlib.Path(__file__).resolve().parents[1] / "golden" / "deepseek_v1.json").read_text())
TOLERANCE = GOLDEN["atol"] + 5 * GOLDEN["rtol"]  # of logits of up to 5
CPU = ("--threads", 1, "--device", "cpu")


def golden_tensors(name):
    return {key: torch.tensor(tensor["values"]).reshape(tensor["shape"]) for key, tensor in GOLDEN["inputs"][name]["tensors"].items()}


def write_folder(folder, config, tensors):
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def as_qwen2_moe(config, tensors):
    """The same function in transformers' own class; the model of no biases."""
    shared = config["n_shared_experts"] * config["moe_intermediate_size"]
    dense = [layer for layer in range(config["num_hidden_layers"]) if f"model.layers.{layer}.mlp.gate.weight" not in tensors]
    keys = {key: config[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "moe_intermediate_size", "num_attention_heads",
                                         "num_key_value_heads", "num_experts_per_tok", "norm_topk_prob", "rms_norm_eps", "max_position_embeddings", "rope_theta")}
    model = Qwen2MoeForCausalLM(Qwen2MoeConfig(**keys, num_experts=config["n_routed_experts"], shared_expert_intermediate_size=shared, mlp_only_layers=dense, qkv_bias=False))
    state = {}
    for name, value in tensors.items():
        if ".experts." not in name:
            name = name.replace("shared_experts", "shared_expert")
            state[name] = 2 * value if name.endswith("shared_expert.down_proj.weight") else value
    for layer in set(range(config["num_hidden_layers"])) - set(dense):
        at = f"model.layers.{layer}.mlp."
        expert = [{name: tensors[f"{at}experts.{e}.{name}_proj.weight"] for name in ("gate", "up", "down")} for e in range(config["n_routed_experts"])]
        state[at + "experts.gate_up_proj"] = torch.stack([torch.cat([parts["gate"], parts["up"]]) for parts in expert])
        state[at + "experts.down_proj"] = torch.stack([parts["down"] for parts in expert])
        state[at + "shared_expert_gate.weight"] = torch.zeros(1, config["hidden_size"])
    model.load_state_dict(state)
    model.set_experts_implementation("eager")
    return model.eval()


def compare_transformers(check, name, model):
    """Logits and experts of one of transformers' models."""
    ids = torch.tensor(GOLDEN["inputs"][name]["input_ids"])
    with Watch(model) as routings, torch.no_grad():
        logits = model(input_ids=ids).logits
    wanted = torch.tensor(GOLDEN["outputs"][name]["logits"])
    difference = (logits - wanted).abs().max().item()
    check(f"{name}, transformers' qwen2_moe: logits", difference <= TOLERANCE, f"{difference:.1e} (need {TOLERANCE:.1e})")
    experts = [[sequence[layer]["experts"] for sequence in GOLDEN["outputs"][name]["routing"]] for layer in range(len(routings))]
    check(f"{name}, transformers' qwen2_moe: experts", [routing.experts.view(*ids.shape, -1).tolist() for routing in routings] == experts)


def compare_evenkeel(check, name, what, model, work):
    """The trace of what `model` names: logits, experts, weights."""
    out = work / "trace.safetensors"
    (work / "tokens.json").write_text(json.dumps(GOLDEN["inputs"][name]["input_ids"]))
    evenkeel("trace", model, "--tokens", work / "tokens.json", "--logits", "--out", out, *CPU)
    trace, golden = load_file(out), GOLDEN["outputs"][name]
    difference = (trace["logits"] - torch.tensor(golden["logits"])).abs().max().item()
    check(f"{name}, {what}: logits", difference <= TOLERANCE, f"{difference:.1e} (need {TOLERANCE:.1e})")
    layers = [layer["layer"] for layer in golden["routing"][0]]
    check(f"{name}, {what}: layers with experts", sorted(int(key.split(".")[1]) for key in trace if key.endswith("expert_ids")) == layers, str(layers))
    for at, layer in enumerate(layers):
        experts, weights = ([sequence[at][key] for sequence in golden["routing"]] for key in ("experts", "weights"))
        check(f"{name}, {what}: experts of layer {layer}", trace[f"layers.{layer}.expert_ids"].tolist() == experts)
        difference = (trace[f"layers.{layer}.weights"] - torch.tensor(weights)).abs().max().item()
        check(f"{name}, {what}: weights of layer {layer}", difference <= TOLERANCE, f"{difference:.1e}")


def control(check, name, folder, work, change):
    """One setting changed must be seen."""
    path, out = folder / "config.json", work / "trace.safetensors"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), **change}))
    evenkeel("trace", folder, "--tokens", work / "tokens.json", "--logits", "--out", out, *CPU)
    path.write_text(text)
    moved = (load_file(out)["logits"] - torch.tensor(GOLDEN["outputs"][name]["logits"])).abs().max().item()
    check(f"{name}: control {change}", moved > 10 * TOLERANCE, f"moves the logits by {moved:.1e}")


def in_two_files(folder, config, tensors):
    folder.mkdir()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({key: tensors[key] for key in part}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {key: file for file, part in parts.items() for key in part}}))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def compare_step(check, name, storage, folder, work):
    """Experts, weights, logits, loss and every gradient of a folder against autograd of the same function in qwen2_moe."""
    config, work = GOLDEN["inputs"][name]["config"], work / f"{name}-{storage}-step"
    work.mkdir()
    tensors = {key: value.float() for path in sorted(folder.glob("*.safetensors")) for key, value in load_file(path).items()}
    comparison = Comparison(work, folder, write_tokens(work, 1, config["vocab_size"]), as_qwen2_moe(config, tensors))
    # its output projection is twice this one's, and the gate is no part of the model
    comparison.gradients = {key: 2 * value if key.endswith("shared.down.weight") else value for key, value in comparison.gradients.items() if not key.endswith("shared.gate.weight")}
    comparison.compare()
    check(f"{name}, {storage}: loss and gradients", not comparison.problems, ", ".join(comparison.shown) + "".join(f"\n       {problem}" for problem in comparison.problems))


def refused_export(check, name, folder, work):
    """Nothing of transformers has biases of attention's output beside these experts."""
    checkpoint, out = work / f"{name}-checkpoint", work / f"{name}-exported"
    evenkeel("import", folder, "--out", checkpoint)
    compare_evenkeel(check, name, "imported", checkpoint, work)
    done = subprocess.run([EVENKEEL, "export", checkpoint, "--out", out], capture_output=True, text=True, timeout=100)
    line = (done.stderr.strip().splitlines() or [""])[-1]
    holds = done.returncode == 2 and line.startswith("evenkeel: error: ") and "no Hugging Face class can express" in line and not out.exists()
    check(f"{name}: export is refused", holds, f"exit code {done.returncode}: {line}")


def compare_model(check, name, work):
    config, tensors = GOLDEN["inputs"][name]["config"], golden_tensors(name)
    folder = write_folder(work / name, config, tensors)
    compare_evenkeel(check, name, "its folder", folder, work)
    for change in ({"norm_topk_prob": not config["norm_topk_prob"]}, {"rms_norm_eps": 0.1}, {"rope_theta": 1e4}):
        control(check, name, folder, work, change)
    if config["attention_bias"]:
        return refused_export(check, name, folder, work)
    compare_step(check, name, "fp32", folder, work)
    compare_step(check, name, "bf16 in two files", in_two_files(work / f"{name}-bf16", config, {key: value.bfloat16() for key, value in tensors.items()}), work)
    qwen = as_qwen2_moe(config, tensors)
    compare_transformers(check, name, qwen)
    qwen.save_pretrained(work / f"{name}-qwen")
    compare_evenkeel(check, name, "as qwen2_moe", work / f"{name}-qwen", work)
    evenkeel("import", folder, "--out", work / f"{name}-checkpoint")
    compare_evenkeel(check, name, "imported", work / f"{name}-checkpoint", work)
    evenkeel("export", work / f"{name}-checkpoint", "--out", work / f"{name}-exported")
    exported = json.loads((work / f"{name}-exported" / "config.json").read_text())
    check(f"{name}: exported as qwen2_moe", exported["model_type"] == "qwen2_moe", exported["model_type"])
    compare_transformers(check, name, load(work / f"{name}-exported").eval())
    compare_evenkeel(check, name, "exported", work / f"{name}-exported", work)
    with_its_code(check, name, config, tensors, work)


def with_its_code(check, name, config, tensors, work):
    """A folder that brings the code of its class along comes out as it went in."""
    folder, out = work / f"{name}-code", work / f"{name}-code-exported"
    write_folder(folder, {**config, "auto_map": {"AutoModelForCausalLM": "modeling_deepseek.DeepseekForCausalLM"}}, tensors)
    (folder / "modeling_deepseek.py").write_text("# the code of the class\n")
    evenkeel("import", folder, "--out", work / f"{name}-code-checkpoint")
    evenkeel("export", work / f"{name}-code-checkpoint", "--out", out)
    ours, theirs = load_file(out / "model.safetensors"), load_file(folder / "model.safetensors")
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in theirs)
    exported = json.loads((out / "config.json").read_text())
    check(f"{name}: with its code: the same tensors", same, f"{len(ours)} of {len(theirs)}")
    check(f"{name}: with its code: the same class", exported["model_type"] == "deepseek" and "auto_map" in exported and (out / "modeling_deepseek.py").exists(), exported["model_type"])


if __name__ == "__main__":
    compare_golden_models(GOLDEN, compare_model)

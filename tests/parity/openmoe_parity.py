"""OpenMoE, which is no class of transformers: evenkeel against tests/golden/openmoe.json, and its gradients against autograd.

    EVENKEEL=build/evenkeel python tests/parity/openmoe_parity.py

The golden file comes of scripts/golden/openmoe.py. Its port to PyTorch counts the capacity of an expert over its whole batch; so
do its figures, whose batches are of one sequence. Gradients: the same model once more in fp64 tensors, held against the golden
logits first; the step that evenkeel takes has a micro-batch for each sequence and no balance loss.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
import families_parity
from families_parity import GRADIENT_TOLERANCE, LOSS_TOLERANCE
from fixtures import compare_golden_models, evenkeel, read_json_lines, write_pair
from safetensors.torch import load_file, save_file

GOLDEN = json.loads((pathlib.Path(__file__).resolve().parents[1] / "golden" / "openmoe.json").read_text())
TOLERANCE = GOLDEN["atol"] + 5 * GOLDEN["rtol"]  # of logits of up to 5
CPU = ("--threads", 1, "--device", "cpu")

RECIPE = families_parity.RECIPE.replace("[train]", "[train]\nmicro_batch_size = 1").replace("{balance}", "[model.balance]")


def golden_tensors(name):
    return {key: torch.tensor(tensor["values"]).reshape(tensor["shape"]) for key, tensor in GOLDEN["inputs"][name]["tensors"].items()}


def write_folder(folder, config, tensors):
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_openmoe.py").write_text("# the code of the class\n")
    return folder


# ---- the model in tensors ----


def key_of(config, name):
    return config[f"router_{name}"] if f"router_{name}" in config else config[name]


def norm(tensors, name, x, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * tensors[name + ".weight"]


def rotated(x):
    """x [S, heads, D]"""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[0], dtype=x.dtype)[:, None] * 1e4 ** (-torch.arange(half, dtype=x.dtype) / half)
    cosine, sine = angles.cos()[:, None], angles.sin()[:, None]
    return torch.cat([x[..., :half] * cosine - x[..., half:] * sine, x[..., half:] * cosine + x[..., :half] * sine], -1)


def attention(config, tensors, at, x):
    q, k, v = (F.linear(x, tensors[f"{at}.{name}_proj.weight"]).unflatten(-1, (config["num_attention_heads"], -1)) for name in "qkv")
    scores = torch.einsum("shd,thd->hst", rotated(q), rotated(k)).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), float("-inf"))
    return F.linear(torch.einsum("hst,thd->shd", scores.softmax(-1), v).flatten(1), tensors[f"{at}.o_proj.weight"])


def gated(gate, up):
    first, second = gate.chunk(2, -1)
    return first * F.silu(second) * up


def feed_forward(tensors, at, x):
    return F.linear(gated(F.linear(x, tensors[f"{at}.gate_proj.weight"]), F.linear(x, tensors[f"{at}.up_proj.weight"])), tensors[f"{at}.down_proj.weight"])


def mixture(config, tensors, at, x, factor):
    k, E = key_of(config, "topk"), config["num_experts"]
    scores = F.linear(x, tensors[f"{at}.gate_weight"]).softmax(-1)
    weights, experts = scores.topk(k, -1)
    room = int(k * factor * len(x) / E)
    room = max(room + room % 2, key_of(config, "min_capacity"))
    queue = F.one_hot(experts.T.reshape(-1), E)  # first choices by position, then second ones
    places = ((queue.cumsum(0) - 1) * queue).sum(-1).view(k, -1).T
    out = torch.zeros_like(x)
    for e in range(E):
        hidden = gated(x @ tensors[f"{at}.experts.wi_gate"][e], x @ tensors[f"{at}.experts.wi_up"][e]) @ tensors[f"{at}.experts.wo"][e]
        out = out + hidden * (weights * ((experts == e) & (places < room))).sum(-1, keepdim=True)
    return out


def forward(config, tensors, ids, factor):
    eps, x = config["rms_norm_eps"], tensors["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        x = x + attention(config, tensors, at + "self_attn", norm(tensors, at + "input_layernorm", x, eps))
        inner = norm(tensors, at + "post_attention_layernorm", x, eps)
        if (layer + 1) % config["moe_layer_interval"]:
            x = x + feed_forward(tensors, at + "mlp", inner)
        else:
            x = x + mixture(config, tensors, at + "mlp", inner, factor)
            x = x + feed_forward(tensors, at + "extra_mlp", norm(tensors, at + "pre_extra_mlp_layernorm", x, eps))
    return F.linear(norm(tensors, "model.norm", x, eps), tensors["lm_head.weight"])


def evenkeel_names(config, tensors):
    """Tensors of the files -> the same under evenkeel's names (docs/formats.md)."""
    out = {"embedding.weight": tensors["model.embed_tokens.weight"], "final_norm.weight": tensors["model.norm.weight"], "head.weight": tensors["lm_head.weight"]}
    for layer in range(config["num_hidden_layers"]):
        have = {name.removeprefix(f"model.layers.{layer}."): value for name, value in tensors.items() if name.startswith(f"model.layers.{layer}.")}

        def put(name, *parts, dim=0):
            if all(part in have for part in parts):
                values = [have.pop(part) for part in parts]
                out[f"layers.{layer}.{name}"] = torch.cat([value.transpose(1, 2) if value.ndim == 3 else value for value in values], dim)

        put("attention_norm.weight", "input_layernorm.weight")
        put("attention.qkv.weight", *(f"self_attn.{name}_proj.weight" for name in "qkv"))
        put("attention.out.weight", "self_attn.o_proj.weight")
        put("ffn_norm.weight", "post_attention_layernorm.weight")
        put("router.weight", "mlp.gate_weight")
        put("experts.gate_up", "mlp.experts.wi_gate", "mlp.experts.wi_up", dim=1)
        put("experts.down", "mlp.experts.wo")
        put("extra_norm.weight", "pre_extra_mlp_layernorm.weight")
        for ours, theirs in (("ffn", "mlp"), ("extra", "extra_mlp")):
            put(f"{ours}.gate_up.weight", f"{theirs}.gate_proj.weight", f"{theirs}.up_proj.weight")
            put(f"{ours}.down.weight", f"{theirs}.down_proj.weight")
        assert not have, f"tensors without a name: {sorted(have)}"
    return out


# ---- comparisons ----


def trace(folder, work, *options):
    evenkeel("trace", folder, "--tokens", work / "tokens.json", "--logits", *options, "--out", work / "trace.safetensors", *CPU)
    return load_file(work / "trace.safetensors")


def compare_trace(check, name, what, folder, work):
    golden = GOLDEN["outputs"][name]
    out = trace(folder, work)
    difference = (out["logits"] - torch.tensor(golden["logits"])).abs().max().item()
    check(f"{name}, {what}: logits", difference <= TOLERANCE, f"{difference:.1e} (need {TOLERANCE:.1e})")
    for mode, routing in (("evaluation", golden["routing"]), ("training", golden["routing_train"])):
        if mode == "training":
            out = trace(folder, work, "--mode", "train", "--batch-size", 1)
        n_dropped = 0
        for at, layer in enumerate(entry["layer"] for entry in routing[0]):
            experts, weights, dropped = (torch.tensor([sequence[at][key] for sequence in routing]) for key in ("experts", "weights", "dropped"))
            n_dropped += int(dropped.sum())
            same = torch.equal(out[f"layers.{layer}.expert_ids"].long(), experts) and torch.equal(out[f"layers.{layer}.dropped"], dropped)
            difference = (out[f"layers.{layer}.weights"] - weights)[~dropped].abs().max().item()
            check(f"{name}, {what}: {mode}, layer {layer}: experts, drops and weights", same and difference <= TOLERANCE, f"weights {difference:.1e}")
        layers = sorted(int(key.split(".")[1]) for key in out if key.endswith("expert_ids"))
        check(f"{name}, {what}: {mode}: layers with experts", layers == [entry["layer"] for entry in routing[0]], f"{layers}, {n_dropped} assignments dropped")


def control(check, name, folder, work, change):
    """One setting changed must be seen."""
    path = folder / "config.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), **change}))
    moved = (trace(folder, work)["logits"] - torch.tensor(GOLDEN["outputs"][name]["logits"])).abs().max().item()
    path.write_text(text)
    check(f"{name}: control {change}", moved > 10 * TOLERANCE, f"moves the logits by {moved:.1e}")


def compare_gradients(check, name, folder, work):
    config, ids = GOLDEN["inputs"][name]["config"], torch.tensor(GOLDEN["inputs"][name]["input_ids"])
    tensors = {key: value.double().requires_grad_(True) for key, value in golden_tensors(name).items()}
    factors = [key_of(config, f"capacity_factor_{mode}") for mode in ("eval", "train")]
    evaluated = torch.stack([forward(config, tensors, row, factors[0]) for row in ids])
    difference = (evaluated - torch.tensor(GOLDEN["outputs"][name]["logits"], dtype=torch.double)).abs().max().item()
    check(f"{name}: the reference in tensors has the golden logits", difference < 1e-9, f"{difference:.1e}")
    rows = torch.cat([ids.reshape(-1), ids[:1, 0]])  # one document whose windows are the sequences
    targets = rows[1:].view(ids.shape)
    loss = torch.stack([F.cross_entropy(forward(config, tensors, row, factors[1]), target) for row, target in zip(ids, targets)]).mean()
    loss.backward()
    need = evenkeel_names(config, {key: value.grad for key, value in tensors.items()})
    write_pair(work / "data", [rows.numpy().astype(np.int64)])
    (work / "recipe.toml").write_text(RECIPE.format(model=folder, batch=len(ids), length=ids.shape[1], data=work / "data"))
    evenkeel("train", work / "recipe.toml", "--out", work / "run", *CPU)
    line = next(line for line in read_json_lines(work / "run" / "metrics.jsonl") if "loss_terms" in line)
    check(f"{name}: loss of a step", abs(line["loss"] - loss.item()) <= LOSS_TOLERANCE, f"{line['loss']:.6f}; need {loss.item():.6f}")
    moments = load_file(work / "run/checkpoints/step-00000001/optimizer.safetensors")
    ours = {key.removeprefix("first."): value for key, value in moments.items() if key.startswith("first.")}
    worst = max((ours[key] - value).abs().max().item() / max(value.abs().max().item(), 1e-4) for key, value in need.items() if key in ours)
    check(f"{name}: gradients of {len(need)} parameters", ours.keys() == need.keys() and worst <= GRADIENT_TOLERANCE, f"{worst:.0e} of the largest (need {GRADIENT_TOLERANCE:g})")


def there_and_back(check, name, folder, work):
    """A folder that brings the code of its class along comes out as it went in."""
    checkpoint, out = work / "checkpoint", work / "exported"
    evenkeel("import", folder, "--out", checkpoint)
    compare_trace(check, name, "imported", checkpoint, work)
    evenkeel("export", checkpoint, "--out", out)
    ours, theirs = load_file(out / "model.safetensors"), load_file(folder / "model.safetensors")
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in theirs)
    check(f"{name}: exported: the same tensors", same, f"{len(ours)} of {len(theirs)}")
    files = all((out / file).read_bytes() == (folder / file).read_bytes() for file in ("config.json", "modeling_openmoe.py"))
    check(f"{name}: exported: config.json and code as they came", files)
    compare_trace(check, name, "exported", out, work)


def compare_model(check, name, work):
    config = GOLDEN["inputs"][name]["config"]
    folder = write_folder(work / name, config, golden_tensors(name))
    (work / "tokens.json").write_text(json.dumps(GOLDEN["inputs"][name]["input_ids"]))
    compare_trace(check, name, "its folder", folder, work)
    spelling = "router_" if "router_topk" in config else ""
    for change in ({f"{spelling}topk": 1}, {"rms_norm_eps": 0.1}, {f"{spelling}capacity_factor_eval": 0.2, f"{spelling}min_capacity": 1}):
        control(check, name, folder, work, change)
    compare_gradients(check, name, folder, work)
    there_and_back(check, name, folder, work)


if __name__ == "__main__":
    compare_golden_models(GOLDEN, compare_model)

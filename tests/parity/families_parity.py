"""evenkeel reads every Hugging Face family as transformers does: logits, experts, their weights, loss, every gradient.

    EVENKEEL=build/evenkeel python tests/parity/families_parity.py [FAMILY...] [--table]

The models are those of family_models.py. Of each draw: the trace of a few sequences against a forward pass; one training
step against autograd (with betas = [0, …] the first moment is the gradient); and controls, settings of config.json changed
one at a time, which must be seen: other logits, or a refusal. Everything in fp32, from files of fp32 and bf16.
--table prints which values of which settings were met, which keys of config.json are constant and why, and what each control did.
Every key that `transformers` writes has to be one of the two.
"""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from family_models import LENGTH, SETTINGS, Watch, constants, draws, evenkeel_names, load, save_draw
from fixtures import EVENKEEL, VOCABULARY, Checks, read_json_lines, write_pair
from safetensors.torch import load_file

BATCH = 4
LOGIT_TOLERANCE = 1e-4   # the contract; fp32 logits of up to 30 after three layers in another order of sums
WEIGHT_TOLERANCE = 2e-5  # of routing weights, which are at most routed_scaling_factor: relative to it
LOSS_TOLERANCE = 2e-5    # fp32 means of about 5 in another order
# Of a gradient's largest element. Gradients of a parameter are sums of 96 tokens' in another order, through three layers.
GRADIENT_TOLERANCE = 2e-4
MARGIN = 1e-5            # experts are compared where the decision is wider than this
CONTROL = 10 * LOGIT_TOLERANCE

RECIPE = """
[model]
from = "{model}"
{balance}
[train]
batch_size = {batch}
sequence_length = {length}
[optimizer]
betas = [0.0, 0.999]
clip_norm = 0
[[phase]]
name = "one"
steps = 1
data = [{{name = "x", path = "{data}"}}]
shuffle = false
schedule = {{kind = "constant", lr_max = 1e-3}}
"""


def run(*arguments):
    """None, or the last line of stderr of a command that failed."""
    done = subprocess.run([EVENKEEL, *map(str, arguments), "--threads", "1", "--device", "cpu"], capture_output=True, text=True, timeout=100)
    return None if done.returncode == 0 else f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['nothing on stderr'])[-1]}"


def trace(folder, work):
    """(tensors, None) of a trace, or (None, the error)."""
    out = work / "trace.safetensors"
    error = run("trace", folder, "--tokens", work / "tokens.json", "--logits", "--router-logits" if has_experts(folder) else "--logits", "--out", out)
    return (None, error) if error else (load_file(out), None)


def has_experts(folder):
    config = json.loads((folder / "config.json").read_text())
    return any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts"))


def reference(model, tokens):
    """Logits, routings, loss and gradients under evenkeel's names."""
    model.train()
    with Watch(model) as routings:
        logits = model(input_ids=tokens[:, :-1]).logits
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].reshape(-1))
    loss.backward()
    gradients = {name: parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    return logits.detach(), routings, loss.item(), evenkeel_names(gradients, model.config.num_hidden_layers)


class Comparison:
    """A folder against transformers' model of it; problems are sentences."""

    def __init__(self, work, folder, tokens, model, scaling=1.0):
        self.work, self.folder, self.tokens, self.problems, self.shown = work, folder, tokens, [], []
        self.scaling = scaling  # of the routing weights
        self.logits, self.routings, self.loss, self.gradients = reference(model, tokens)
        self.n_close = 0  # decisions that are closer than MARGIN

    def need(self, holds, text):
        if not holds:
            self.problems.append(text)

    def compare(self):
        """Trace and step; False where there is no trace."""
        out, error = trace(self.folder, self.work)
        if error:
            self.problems.append(f"trace: {error}")
            return False
        self.compare_trace(out)
        self.compare_step()
        return True

    def compare_trace(self, out):
        difference = (out["logits"] - self.logits).abs()
        # what follows a close decision of an earlier layer or token may differ; such sequences are not compared
        clear = torch.ones(BATCH, dtype=torch.bool)
        for routing in self.routings:
            clear &= (routing.margin.view(BATCH, LENGTH) > MARGIN).all(1)
        self.need(clear.float().mean() > 0.5, f"{clear.sum()} of {BATCH} sequences clear")
        self.need(difference[clear].max() <= LOGIT_TOLERANCE, f"logits differ by {difference[clear].max():.1e} (need {LOGIT_TOLERANCE:g})")
        self.shown.append(f"logits {difference[clear].max():.0e}")
        layers = sorted(int(name.split(".")[1]) for name in out if name.endswith(".expert_ids"))
        self.need(layers == [routing.layer for routing in self.routings], f"layers with experts: {layers}; need {[routing.layer for routing in self.routings]}")
        for routing in self.routings:
            if routing.layer in layers:
                self.compare_routing(out, routing, clear)

    def compare_routing(self, out, routing, clear_sequences):
        name = f"layers.{routing.layer}"
        experts, weights, logits = (out[f"{name}.{what}"].flatten(0, 1) for what in ("expert_ids", "weights", "router_logits"))
        clear = routing.margin > MARGIN
        self.n_close += int((~clear).sum())
        clear &= clear_sequences.repeat_interleave(LENGTH)
        same = experts.sort(-1).values.long() == routing.experts.sort(-1).values
        self.need(same[clear].all(), f"{name}: other experts at {int((~same.all(-1) & clear).sum())} of {int(clear.sum())} tokens")
        # The order of the slots is that of the scores; two equal ones may stand either way.
        moved = (experts.long() != routing.experts).any(-1) & clear & same.all(-1)
        self.need(moved.float().mean() <= 0.02, f"{name}: experts are not best first at {int(moved.sum())} tokens")
        ours, theirs = weights.gather(1, experts.long().argsort(-1)), routing.weights.gather(1, routing.experts.argsort(-1))
        scale = max(1.0, self.scaling)
        for what, difference, need in (("weights", (ours - theirs).abs()[clear].max() / scale, WEIGHT_TOLERANCE), ("router logits", (logits - routing.logits).abs()[clear].max(), LOGIT_TOLERANCE)):
            self.need(difference <= need, f"{name}: {what} differ by {difference:.1e} (need {need:g})")
        self.need(not out[f"{name}.dropped"].any(), f"{name}: dropped")

    def compare_step(self):
        recipe, result = self.work / "recipe.toml", self.work / "run"
        write_pair(self.work / "data", [self.stream()])
        recipe.write_text(RECIPE.format(model=self.folder, data=self.work / "data", batch=BATCH, length=LENGTH, balance="[model.balance]" if self.routings else ""))
        error = run("train", recipe, "--out", result)
        if error:
            return self.problems.append(f"train: {error}")
        line = next(line for line in read_json_lines(result / "metrics.jsonl") if "loss_terms" in line)
        self.need(abs(line["loss"] - self.loss) <= LOSS_TOLERANCE, f"loss {line['loss']:.6f}; need {self.loss:.6f}")
        moments = load_file(result / "checkpoints/step-00000001/optimizer.safetensors")
        self.compare_gradients({name.removeprefix("first."): value for name, value in moments.items() if name.startswith("first.")})

    def stream(self):
        """The tokens as one document whose windows are the sequences."""
        return np.append(self.tokens[:, :-1].reshape(-1), self.tokens[-1, -1])

    def compare_gradients(self, ours):
        self.need(ours.keys() == self.gradients.keys(), f"parameters: {sorted(ours.keys() ^ self.gradients.keys())}")
        worst = 0.0
        # The weight of one expert, divided by itself, is 1: a gradient by it is what its cancelling leaves in `transformers`, and 0 in evenkeel.
        alone = [routing.layer for routing in self.routings if routing.weights.shape[1] == 1 and np.ptp(routing.weights.numpy()) < 1e-6]
        still = {f"layers.{layer}.router.{part}" for layer in alone for part in ("weight", "bias")} & ours.keys() & self.gradients.keys()
        for name in sorted(still):
            self.need(ours[name].abs().max() == 0 and self.gradients[name].abs().max() < 1e-5, f"gradient of {name}: {ours[name].abs().max():.1e} and {self.gradients[name].abs().max():.1e}; need 0")
        for name in sorted((ours.keys() & self.gradients.keys()) - still):
            theirs = self.gradients[name]
            if ours[name].shape != theirs.shape:
                self.problems.append(f"gradient of {name}: shape {tuple(ours[name].shape)}; need {tuple(theirs.shape)}")
                continue
            difference = ((ours[name] - theirs).abs().max() / theirs.abs().max()).item()  # no draw has one of nothing but zeros
            worst = max(worst, difference)
            self.need(difference <= GRADIENT_TOLERANCE, f"gradient of {name} differs by {difference:.1e} of its largest (need {GRADIENT_TOLERANCE:g})")
        self.shown.append(f"gradients {worst:.0e} of {len(ours)}")


# ---- controls: name -> a change of config.json, or nothing where it would change nothing ----


def scaled(key, factor, needed=lambda config: True):
    return lambda config: {key: config[key] * factor} if config.get(key) is not None and needed(config) else None


def flipped(key, needed=lambda config: True):
    return lambda config: {key: not config[key]} if key in config and needed(config) else None


def other_rope(config):
    if config.get("sliding_window") == 1:
        return None  # who sees itself alone is not turned
    name = "rope_parameters" if config.get("rope_parameters") else "rope_scaling"
    rope = config.get(name) or {}
    for key, factor in (("attention_factor", 1.2), ("factor", 1.7), ("rope_theta", 0.3)):
        if rope.get(key) is not None and not (key == "factor" and rope.get("rope_type") in ("dynamic", "longrope")):
            return {name: {**rope, key: rope[key] * factor}}
    return {"rope_theta": config["rope_theta"] * 0.3} if "rope_theta" in config else None


def other_fraction(config):
    rope = config.get("rope_parameters") or config
    if "partial_rotary_factor" not in rope or rope.get("rope_type", "default") != "default" or (config.get("rope_scaling") or {}):
        return None
    new = {"partial_rotary_factor": 0.5 if rope["partial_rotary_factor"] != 0.5 else 0.25}
    return new if rope is config else {"rope_parameters": {**rope, **new}}


def other_count(config):
    k = config.get("num_experts_per_tok")
    return {"num_experts_per_tok": k - 1} if k and k > 1 and config.get("topk_group") in (None, config.get("n_group")) else None


def other_groups(config):
    groups = config.get("n_group") or 1
    if groups == 1 or config.get("topk_method") == "greedy":
        return None
    others = (n for n in range(1, groups) if n != config["topk_group"] and n * config["n_routed_experts"] // groups >= config["num_experts_per_tok"])
    return next(({"topk_group": n} for n in others), None)


def other_window(config):
    has_window = config.get("sliding_window") and config.get("use_sliding_window", True) and "sliding_attention" in (config.get("layer_types") or ["sliding_attention"])
    return {"sliding_window": config["sliding_window"] + 3} if has_window else None


def other_layer_types(config):
    """Of a class that obeys the list, and of those that give all layers the window, whatever the list says."""
    types = config.get("layer_types")
    if not types or not other_window(config) or config["model_type"] not in ("gpt_oss", "mixtral", "qwen3_moe"):
        return None
    other = types[::-1] if config["model_type"] == "gpt_oss" else ["full_attention"] * len(types)
    return {"layer_types": other} if other != types else None


def several(config):
    return config.get("num_experts_per_tok", 1) > 1


# What few families have first, so that each is met.
CONTROLS = {
    "partial_rotary_factor": other_fraction,
    "num_experts_per_tok": other_count,
    # the class of v2 ignores it, and flex_olmo's norm behind the experts takes their scale out again
    "norm_topk_prob": flipped("norm_topk_prob", lambda config: several(config) and config["model_type"] not in ("deepseek_v2", "flex_olmo")),
    "topk_group": other_groups,
    "topk_method": lambda config: {"topk_method": "greedy"} if config.get("topk_method") == "group_limited_greedy" else None,
    "routed_scaling_factor": scaled("routed_scaling_factor", 1.5),
    "rope_interleave": flipped("rope_interleave"),
    "clip_qkv": lambda config: {"clip_qkv": 0.3} if "clip_qkv" in config else None,
    "layer_types": other_layer_types,
    "sliding_window": other_window,
    "attention_bias": flipped("attention_bias"),
    "qkv_bias": flipped("qkv_bias"),
    "mlp_bias": flipped("mlp_bias", lambda config: config["model_type"] == "llama"),
    "swiglu_alpha": scaled("swiglu_alpha", 1.5),
    "swiglu_limit": lambda config: {"swiglu_limit": 0.1} if "swiglu_limit" in config else None,
    "use_qk_norm": flipped("use_qk_norm"),
    "embedding_multiplier": scaled("embedding_multiplier", 1.5),
    "attention_multiplier": scaled("attention_multiplier", 1.5),
    "residual_multiplier": scaled("residual_multiplier", 1.5),
    "logits_scaling": scaled("logits_scaling", 1.5),
    "first_k_dense_replace": lambda config: {"first_k_dense_replace": config["first_k_dense_replace"] + 1} if "first_k_dense_replace" in config else None,
    "mlp_only_layers": lambda config: {"mlp_only_layers": [0] if 0 not in config["mlp_only_layers"] else []} if config.get("decoder_sparse_step") == 1 else None,
    "rms_norm_eps": lambda config: {"rms_norm_eps": 0.3},
    "hidden_act": lambda config: {"hidden_act": "gelu" if config["hidden_act"] == "silu" else "silu"},
    "rope": other_rope,
    "tie_word_embeddings": flipped("tie_word_embeddings", lambda config: config["tie_word_embeddings"]),
}
CONTROLS_A_DRAW = 2


def controls_of(config, hits):
    """The applicable controls that were used least so far."""
    possible = [(hits[config["model_type"], name], name, change) for name, control in CONTROLS.items() if (change := control(config))]
    return [(name, change) for _, name, change in sorted(possible, key=lambda entry: entry[0])[:CONTROLS_A_DRAW]]


# Control -> what a refusal may name in place of its key: tensors that are then missing or left over.
TENSORS = {"attention_bias": ".bias'", "qkv_bias": ".bias'", "mlp_bias": ".bias'", "use_qk_norm": "_norm.weight'", "first_k_dense_replace": ".mlp.", "mlp_only_layers": ".mlp.",
           "tie_word_embeddings": "lm_head.weight'"}


def control_problem(comparison, name, change):
    """What a changed setting did, and whether it was seen."""
    path = comparison.folder / "config.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), **change}))
    out, error = trace(comparison.folder, comparison.work)
    path.write_text(text)
    if error:
        words = [*change, *(word for word in [TENSORS.get(name)] if word)]
        return f"refused: {error}", error.startswith("exit code 2: evenkeel: error: ") and any(word in error for word in words)
    moved = (out["logits"] - comparison.logits).abs().max().item()
    return f"moves the logits by {moved:.0e}", moved > CONTROL


# ---- all draws ----


class Tally:
    def __init__(self):
        self.values = collections.defaultdict(collections.Counter)  # (family, setting) -> value -> draws
        self.controls = collections.Counter()                       # (family, control) -> times seen
        self.keys = collections.defaultdict(set)                    # family -> keys of its config.json
        self.n_close = self.n_decisions = 0

    def add(self, family, draw, config):
        self.keys[family] |= config.keys()
        for key, value in draw.items():
            self.values[family, key][json.dumps(value)] += 1

    def drawn(self, family):
        return {key for name, key in self.values if name == family}

    def print_table(self):
        print("family | setting | values x draws")
        for (family, key), counts in sorted(self.values.items()):
            print(f"{family} | {key} | {', '.join(f'{value} x{n}' for value, n in sorted(counts.items()))}")
        print("family | constant | why")
        for family, keys in sorted(self.keys.items()):
            for key in sorted(keys - self.drawn(family)):
                print(f"{family} | {key} | {constants(family).get(key)}")
        print("family | control | times seen")
        for (family, name), n in sorted(self.controls.items()):
            print(f"{family} | {name} | {n}")


def write_tokens(work, seed, vocabulary=VOCABULARY):
    """Sequences [BATCH, LENGTH + 1], each of which begins with the last token of the one before; as tokens.json without their last."""
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(1, vocabulary, BATCH * LENGTH + 1))
    tokens = torch.stack([tokens[start:start + LENGTH + 1] for start in range(0, BATCH * LENGTH, LENGTH)])
    (work / "tokens.json").write_text(json.dumps(tokens[:, :-1].tolist()))
    return tokens


def compare_draw(check, tally, family, number, draw, work):
    folder, tokens = save_draw(family, number, draw, work / "model"), write_tokens(work, number)
    comparison = Comparison(work, folder, tokens, load(folder), draw.get("routed_scaling_factor", 1.0))
    if comparison.compare():
        for name, change in controls_of(json.loads((folder / "config.json").read_text()), tally.controls):
            did, seen = control_problem(comparison, name, change)
            comparison.need(seen, f"control {change}: {did}")
            tally.controls[family, name] += seen
    tally.add(family, draw, json.loads((folder / "config.json").read_text()))
    tally.n_close += comparison.n_close
    tally.n_decisions += len(comparison.routings) * BATCH * LENGTH
    if comparison.problems:
        comparison.problems.insert(0, f"settings {draw}")
    check(f"{family} {number}, rope {draw['rope']}, {draw['storage']}", not comparison.problems, ", ".join(comparison.shown) + "".join(f"\n       {problem}" for problem in comparison.problems))


def main():
    words = [word for word in sys.argv[1:] if word in SETTINGS]
    check, tally = Checks(), Tally()
    for family in words or SETTINGS:
        for number, draw in enumerate(draws(family)):
            with tempfile.TemporaryDirectory(prefix="evenkeel_families_") as work:
                compare_draw(check, tally, family, number, draw, pathlib.Path(work))
        unexplained = sorted(tally.keys[family] - tally.drawn(family) - constants(family).keys())
        check(f"{family}: every key is drawn, or constant for a reason", not unexplained, f"{len(tally.keys[family])} keys{', neither: ' if unexplained else ''}{unexplained or ''}")
        unused = [name for name in tally.controls if name[0] == family and tally.controls[name] == 0]
        check(f"{family}: controls", not unused, f"{sum(n for name, n in tally.controls.items() if name[0] == family)} seen{', never: ' if unused else ''}{unused or ''}")
    if "--table" in sys.argv:
        tally.print_table()
    print(f"{len(tally.values)} settings of {len(words or SETTINGS)} families, {sum(map(len, tally.values.values()))} values; {tally.n_close} of {tally.n_decisions} routing decisions closer than {MARGIN:g}")
    check.finish()


if __name__ == "__main__":
    main()

"""evenkeel trains as transformers' classes with torch.optim.AdamW do: the same weights, batches and 20 steps.

    EVENKEEL=build/evenkeel python tests/parity/train_parity.py

transformers 5.0 to about 5.5 gave probabilities for router_logits, so that its balance loss took the softmax twice.
Here the loss is our own fp32 form of the published formula, E * sum f P, on logits; a line says whether the
installed version agrees with it.
"""

import pathlib
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

from family_models import evenkeel_names
from fixtures import Checks, evenkeel, markov_documents, read_json_lines, save, tiny_llama, tiny_olmoe, write_pair

BATCH, LENGTH, STEPS, RATE = 8, 32, 20, 2e-3
LOSS_TOLERANCE = 1e-4      # the contract
NORM_TOLERANCE = 1e-3      # relative, the contract
# Adam divides by the root of the second moment: where a gradient is close to rounding noise, two correct programs
# differ by a fraction of the rate in each step. transformers in fp32 against itself in fp64 differs by up to 5.5e-5 in
# an element and by 2.6e-7 in the root mean square; the doubled coefficient by 2.5e-2 and 1.1e-3.
WEIGHT_TOLERANCE = 2e-4      # any element, after 20 steps
WEIGHT_RMS_TOLERANCE = 3e-6  # over all elements

RECIPE = """
[model]
from = "{model}"
{balance}
[train]
batch_size = {batch}
micro_batch_size = {micro}
sequence_length = {length}
[optimizer]
kind = "adamw"
betas = [0.9, 0.95]
eps = 1e-8
weight_decay = 0.1
decay = "matrices"
clip_norm = 1.0
[[phase]]
name = "parity"
steps = {steps}
data = [{{name = "markov", path = "{data}"}}]
shuffle = false
schedule = {{kind = "constant", lr_max = {rate}}}
"""


def balance_loss(router_logits, n_experts, top_k):
    """E * sum_e f_e P_e over the logits of all layers: f = assignments per token, P = mean probability."""
    logits = torch.cat([layer.reshape(-1, n_experts) for layer in router_logits]).float()
    if torch.allclose(logits.sum(1), torch.ones(len(logits))) and logits.min() >= 0:
        logits = logits.log()  # probabilities: a version with the defect; softmax(log p) = p
    probabilities = logits.softmax(1)
    chosen = F.one_hot(probabilities.topk(top_k, 1).indices, n_experts).sum(1).float().mean(0)
    return n_experts * (chosen * probabilities.mean(0)).sum()


def olmoe_balance(out, config):
    return balance_loss(out.router_logits, config.num_experts, config.num_experts_per_tok)


def train_in_torch(model, tokens, coefficient, balance=None):
    """Per step: loss, cross-entropy, balance loss (None without one), gradient norm. The model is trained in place.

    balance(output of the model, its config) -> the balance loss, without its coefficient.
    """
    model.train()
    groups = [[p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]]
    optimizer = torch.optim.AdamW([{"params": groups[0], "weight_decay": 0.1}, {"params": groups[1], "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.95), eps=1e-8)
    steps = []
    for step in range(STEPS):
        starts = (step * BATCH + np.arange(BATCH)) * LENGTH
        window = torch.from_numpy(np.stack([tokens[s:s + LENGTH + 1] for s in starts]))
        out = model(input_ids=window[:, :-1], **({"output_router_logits": True} if balance else {}))
        cross_entropy = F.cross_entropy(out.logits.reshape(-1, out.logits.shape[-1]), window[:, 1:].reshape(-1))
        balanced = balance(out, model.config) if balance else None
        loss = cross_entropy + coefficient * balanced if balance else cross_entropy
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps.append({"loss": loss.item(), "cross_entropy": cross_entropy.item(), "grad_norm": norm.item(),
                      "balance": balanced.item() if balance else None})
    return steps


def weights_of(model):
    """The parameters of a transformers model under evenkeel's names."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return evenkeel_names(parameters, model.config.num_hidden_layers)


def train_in_evenkeel(work, name, folder, data, coefficient, micro=BATCH, router=""):
    """The step lines of metrics.jsonl and the weights after the last step. `router`: keys of [model.router]."""
    balance = "" if coefficient is None else f'[model.balance]\nloss = "hf"\ncoefficient = {coefficient}\n'
    if router:
        balance += f"[model.router]\n{router}\n"
    recipe = work / f"{name}.toml"
    recipe.write_text(RECIPE.format(model=folder, balance=balance, batch=BATCH, micro=micro, length=LENGTH, steps=STEPS,
                                    data=data, rate=RATE))
    evenkeel("train", recipe, "--out", work / "runs" / name, "--threads", 2, "--device", "cpu")
    lines = [line for line in read_json_lines(work / "runs" / name / "metrics.jsonl") if "loss" in line]
    return lines, load_file(work / "runs" / name / "checkpoints" / f"step-{STEPS:08d}" / "model.safetensors")


def largest(pairs):
    return max(abs(a - b) for a, b in pairs)


def weight_difference(ours, theirs):
    """Largest difference, its tensor, and the root mean square over all elements."""
    largest_of = {name: (ours[name] - theirs[name]).abs().max().item() for name in theirs}
    worst = max(largest_of, key=largest_of.get)
    squares = sum(((ours[name] - theirs[name]).double() ** 2).sum().item() for name in theirs)
    return largest_of[worst], worst, (squares / sum(value.numel() for value in theirs.values())) ** 0.5


def compare(check, name, lines, weights, steps, model):
    theirs = weights_of(model)
    check(f"{name}: every step is logged", [line["step"] for line in lines] == list(range(1, STEPS + 1)), f"{len(lines)} lines")
    difference = largest((a["loss"], b["loss"]) for a, b in zip(lines, steps))
    check(f"{name}: loss", difference <= LOSS_TOLERANCE, f"largest difference {difference:.2e} (need {LOSS_TOLERANCE:g})")
    difference = largest((a["loss_terms"]["cross_entropy"], b["cross_entropy"]) for a, b in zip(lines, steps))
    check(f"{name}: cross-entropy", difference <= LOSS_TOLERANCE, f"{difference:.2e}")
    fall = lines[0]["loss"] - lines[-1]["loss"]
    check(f"{name}: loss falls by 0.5", fall >= 0.5, f"{lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}")
    difference = max(abs(a["grad_norm"] / b["grad_norm"] - 1) for a, b in zip(lines, steps))
    check(f"{name}: gradient norm", difference <= NORM_TOLERANCE, f"largest relative difference {difference:.2e} (need {NORM_TOLERANCE:g})")
    check(f"{name}: names of the weights", set(weights) == set(theirs), str(set(weights) ^ set(theirs) or len(theirs)))
    peak, worst, rms = weight_difference(weights, theirs)
    check(f"{name}: weights after {STEPS} steps", peak <= WEIGHT_TOLERANCE and rms <= WEIGHT_RMS_TOLERANCE,
          f"largest difference {peak:.2e} in {worst} (need {WEIGHT_TOLERANCE:g}), rms {rms:.2e} (need {WEIGHT_RMS_TOLERANCE:g})")


def compare_balance(check, name, lines, steps):
    difference = largest((a["loss_terms"]["balance"], b["balance"]) for a, b in zip(lines, steps))
    check(f"{name}: balance loss", difference <= LOSS_TOLERANCE, f"{difference:.2e}")


def check_transformers(check, model, tokens):
    """States what the installed version's own balance loss is."""
    with torch.no_grad():
        out = model(input_ids=torch.from_numpy(tokens[:256]).reshape(8, 32), output_router_logits=True)
    ours = balance_loss(out.router_logits, model.config.num_experts, model.config.num_experts_per_tok).item()
    is_logits = any(layer.min() < 0 for layer in out.router_logits)
    agrees = abs(out.aux_loss.item() - ours) < 1e-5
    check(f"transformers {transformers.__version__}: balance loss", agrees == is_logits,
          f"router_logits are {'logits' if is_logits else 'probabilities'}; its aux_loss {out.aux_loss.item():.6f}, "
          f"the formula {ours:.6f}: {'correct' if agrees else 'softmax taken twice, the formula is used instead'}")


def compare_all(check, work):
    documents = markov_documents(BATCH * LENGTH * STEPS + 1000, seed=5)
    tokens = np.concatenate(documents)
    write_pair(work / "markov", documents)
    check_transformers(check, tiny_olmoe(), tokens)

    # The first takes the coefficient, 0.01, from config.json; the second states it in the recipe.
    for name, normalised, stated, options in (("olmoe", False, None, {}), ("olmoe-norm-fused", True, 0.01, {"save_original_format": False})):
        model = tiny_olmoe(norm_topk_prob=normalised)
        folder = save(model, work / name, **options)
        steps = train_in_torch(model, tokens, 0.01, olmoe_balance)
        lines, weights = train_in_evenkeel(work, name, folder, work / "markov", coefficient=stated)
        compare(check, name, lines, weights, steps, model)
        compare_balance(check, name, lines, steps)
        doubled, doubled_weights = train_in_evenkeel(work, f"{name}-control", folder, work / "markov", coefficient=0.02)
        loss = largest((a["loss"], b["loss"]) for a, b in zip(doubled, steps))
        peak, _, rms = weight_difference(doubled_weights, weights_of(model))
        check(f"{name}: control, coefficient doubled, is told apart", loss > LOSS_TOLERANCE and rms > WEIGHT_RMS_TOLERANCE,
              f"loss differs by {loss:.2e}, weights by {peak:.2e} (rms {rms:.2e})")

    model = tiny_olmoe()
    folder = save(model, work / "olmoe-ce")
    steps = train_in_torch(model, tokens, 0.0, olmoe_balance)
    lines, weights = train_in_evenkeel(work, "olmoe-ce-micro-2", folder, work / "markov", coefficient=0.0, micro=2)
    compare(check, "olmoe, cross-entropy only, micro-batches of 2", lines, weights, steps, model)

    model = tiny_llama()
    folder = save(model, work / "llama")
    steps = train_in_torch(model, tokens, 0.0)
    for micro in (BATCH, 2):
        lines, weights = train_in_evenkeel(work, f"llama-micro-{micro}", folder, work / "markov", coefficient=None, micro=micro)
        compare(check, f"llama, micro-batches of {micro}", lines, weights, steps, model)


def main():
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="evenkeel_parity_") as work:
        compare_all(check, pathlib.Path(work))
    check.finish()


if __name__ == "__main__":
    main()

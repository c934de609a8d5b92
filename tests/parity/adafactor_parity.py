"""Adafactor and the z-loss of the logits: evenkeel's as transformers and torch compute them.

    EVENKEEL=build/evenkeel python tests/parity/adafactor_parity.py

transformers.optimization.Adafactor is T5X's where this says so: the decay 1 - t^-0.8 of update t from 1, eps inside of the squares,
clipping, the size of a parameter, the first moment of updates with their rates. It differs in three points, which are left out or worked
around here: it factors every matrix (T5X: those with both sides of 128 or more; min_factored = 1 says the same), it multiplies weight decay
by the rate (T5X does not), and it sees a stack of experts as one parameter (here each published matrix is a parameter of its own).
"""

import pathlib
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from transformers.optimization import Adafactor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "golden"))
import adafactor as reference  # noqa: E402  plain Python in fp64
from fixtures import Checks, evenkeel, markov_documents, read_json_lines, save, tiny_olmoe, write_pair  # noqa: E402
from train_parity import BATCH, LENGTH, STEPS, compare, largest, weight_difference, weights_of  # noqa: E402

RATE, Z = 1e-2, 0.01  # the rate is relative to the size of each matrix
LOSS_TOLERANCE = 1e-4

RECIPE = """
[model]
from = "{model}"
balance = {{loss = []}}
[train]
batch_size = {batch}
sequence_length = {length}
logit_z_coefficient = {z}
[optimizer]
kind = "adafactor"
min_factored = 1
momentum = {momentum}
clip_norm = 1.0
[[phase]]
name = "parity"
steps = {steps}
data = [{{name = "markov", path = "{data}"}}]
shuffle = false
schedule = {{kind = "constant", lr_max = {rate}}}
"""


def made_adafactor(parameters, rate, momentum, scale=True):
    return Adafactor(parameters, lr=rate, eps=(1e-30, 1e-3), clip_threshold=1.0, decay_rate=-0.8, beta1=momentum or None, weight_decay=0.0,
                     scale_parameter=scale, relative_step=False, warmup_init=False)


# ---- the golden files' reference against transformers, no program ----


def compare_reference(check):
    """A matrix of 130 x 129 and a vector, four updates in fp64, gradients of changing size."""
    generator = torch.Generator().manual_seed(3)
    for momentum in (0.0, 0.9):
        for scale in (True, False):
            for shape in ((130, 129), (40,)):
                value = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.02
                parameter = torch.nn.Parameter(value.clone())
                optimizer = made_adafactor([parameter], RATE, momentum, scale)
                rows = value.tolist() if len(shape) == 2 else [value.tolist()]
                options = {**reference.DEFAULTS, "min_factored": 128, "momentum": momentum, "scale_parameter": scale}
                state = reference.Adafactor(len(rows), len(rows[0]), len(shape) == 1, options)
                for step in range(4):
                    gradient = torch.randn(shape, generator=generator, dtype=torch.float64) * 10.0 ** (step % 2)
                    parameter.grad = gradient
                    optimizer.step()
                    rows = state.step(rows, gradient.tolist() if len(shape) == 2 else [gradient.tolist()], RATE)
                difference = (parameter.detach() - torch.tensor(rows, dtype=torch.float64).reshape(shape)).abs().max().item()
                check(f"reference, {list(shape)}, momentum {momentum:g}, {'relative' if scale else 'absolute'} rates", difference <= 1e-14,
                      f"largest difference {difference:.1e}")


# ---- the program ----


def published(name, tensor):
    """The published matrices of a parameter of transformers' modules, as views: each expert's gate, up and down."""
    if tensor.ndim < 3:
        return [tensor]
    return [part for expert in tensor for part in (expert.chunk(2) if name.endswith("gate_up_proj") else [expert])]


def train_in_torch(model, tokens, momentum, is_apart=True):
    """Per step: loss, cross-entropy, z-loss, gradient norm. is_apart = False: as transformers alone would, stacks as one parameter."""
    model.train()
    named = list(model.named_parameters())
    views = [view for name, parameter in named for view in (published(name, parameter.data) if is_apart else [parameter.data])]
    own = [torch.nn.Parameter(view.clone()) for view in views]
    optimizer = made_adafactor(own, RATE, momentum)
    steps = []
    for step in range(STEPS):
        starts = (step * BATCH + np.arange(BATCH)) * LENGTH
        window = torch.from_numpy(np.stack([tokens[s:s + LENGTH + 1] for s in starts]))
        logits = model(input_ids=window[:, :-1]).logits
        cross_entropy = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), window[:, 1:].reshape(-1))
        z = logits.logsumexp(-1).square().mean()
        loss = cross_entropy + Z * z
        model.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        gradients = [view for name, parameter in named for view in (published(name, parameter.grad) if is_apart else [parameter.grad])]
        for parameter, gradient in zip(own, gradients):
            parameter.grad = gradient.clone()
        optimizer.step()
        for view, parameter in zip(views, own):
            view.copy_(parameter.data)
        steps.append({"loss": loss.item(), "cross_entropy": cross_entropy.item(), "logit_z": z.item(), "grad_norm": norm.item()})
    return steps


def train_in_evenkeel(work, name, folder, data, momentum):
    recipe = work / f"{name}.toml"
    recipe.write_text(RECIPE.format(model=folder, batch=BATCH, length=LENGTH, z=Z, momentum=momentum, steps=STEPS, data=data, rate=RATE))
    evenkeel("train", recipe, "--out", work / "runs" / name, "--threads", 2, "--device", "cpu")
    lines = [line for line in read_json_lines(work / "runs" / name / "metrics.jsonl") if "loss" in line]
    return lines, load_file(work / "runs" / name / "checkpoints" / f"step-{STEPS:08d}" / "model.safetensors")


def compare_program(check, work):
    documents = markov_documents(BATCH * LENGTH * STEPS + 1000, seed=5)
    tokens = np.concatenate(documents)
    write_pair(work / "markov", documents)
    for momentum in (0.0, 0.9):
        name = f"adafactor, momentum {momentum:g}"
        model, stacked = tiny_olmoe(output_router_logits=False), tiny_olmoe(output_router_logits=False)
        folder = save(model, work / f"model-{momentum:g}")
        steps = train_in_torch(model, tokens, momentum)
        lines, weights = train_in_evenkeel(work, f"run-{momentum:g}", folder, work / "markov", momentum)
        compare(check, name, lines, weights, steps, model)
        difference = largest((a["loss_terms"]["logit_z"] / b["logit_z"], 1.0) for a, b in zip(lines, steps))
        check(f"{name}: z-loss of the logits", difference <= LOSS_TOLERANCE, f"largest relative difference {difference:.2e}")
        train_in_torch(stacked, tokens, momentum, is_apart=False)
        peak, worst, _ = weight_difference(weights, weights_of(stacked))
        check(f"{name}: experts are parameters of their own", peak > 1e-3, f"as stacks they would differ by {peak:.2e} in {worst}")


def main():
    check = Checks()
    print(f"transformers {transformers.__version__}")
    compare_reference(check)
    with tempfile.TemporaryDirectory(prefix="evenkeel_parity_") as work:
        compare_program(check, pathlib.Path(work))
    check.finish()


if __name__ == "__main__":
    main()

"""Ten AdamW steps of the tiny granular MoE: losses, gradient norms and the final parameters' sums.

Writes ten_losses.json.
"""

import math

import decoder
from record import Source, write
from sinkhorn import selection_margin
from tiny_models import GRANULAR, random_batch

OPTIMIZER = {"kind": "adamw", "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "decay": "matrices",
             "clip_norm": 1.0}


def clip(gradients, clip_norm):
    """torch's rule. Returns the norm before clipping."""
    norm = math.sqrt(math.fsum(g * g for gradient in gradients.values() for g in gradient))
    scale = min(1.0, clip_norm / (norm + 1e-6))
    for gradient in gradients.values():
        gradient[:] = [g * scale for g in gradient]
    return norm


def adamw(parameters, gradients, state, step, lr, optimizer):
    """Decay first, then the bias-corrected update; eps is added to the corrected root."""
    beta1, beta2 = optimizer["betas"]
    for name, tensor in parameters.items():
        decay = optimizer["weight_decay"] if len(tensor["shape"]) >= 2 else 0.0
        m, v = state.setdefault(name, ([0.0] * len(tensor["values"]), [0.0] * len(tensor["values"])))
        for i, g in enumerate(gradients[name]):
            m[i] = beta1 * m[i] + (1.0 - beta1) * g
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g
            m_hat, v_hat = m[i] / (1.0 - beta1**step), v[i] / (1.0 - beta2**step)
            tensor["values"][i] *= 1.0 - lr * decay
            tensor["values"][i] -= lr * m_hat / (math.sqrt(v_hat) + optimizer["eps"])


def train(config, parameters, batches, lr, optimizer):
    history, state = [], {}
    for step, batch in enumerate(batches, start=1):
        result, gradients = decoder.with_gradients(config, parameters, *batch)
        margin = min(selection_margin(r["router_logits"], config["top_k"]) for r in result["routing"])
        if margin < 4e-3:
            raise SystemExit(f"ten_losses: selection margin {margin} at step {step}; choose another seed")
        norm = clip(gradients, optimizer["clip_norm"])
        adamw(parameters, gradients, state, step, lr, optimizer)
        history.append({"loss": result["loss"], "cross_entropy": result["cross_entropy"],
                        "balance": result["balance"], "z": result["z"], "grad_norm": norm})
    return history


def main():
    seed, lr = 20250307, 1e-2
    source = Source(seed)
    parameters = decoder.random_parameters(GRANULAR, source)
    initial = {name: {"shape": t["shape"], "values": list(t["values"])} for name, t in parameters.items()}
    two = [random_batch(source, GRANULAR) for _ in range(2)]
    batches = two * 5  # two batches in turn: the loss falls, and the last norms are below the clip
    history = train(GRANULAR, parameters, batches, lr, OPTIMIZER)
    norms = [h["grad_norm"] for h in history]
    if not (min(norms) < 0.9 < 1.1 < max(norms)):
        raise SystemExit(f"ten_losses: clipping acts on all or none of the steps: {norms}; choose another seed")
    write(
        "ten_losses.json", "reference",
        f"scripts/golden/ten_losses.py: fp64 forward, autodiff and AdamW; random.Random({seed})",
        {"config": GRANULAR, "optimizer": OPTIMIZER, "lr": lr,
         "batches": [{"input_ids": inputs, "target_ids": targets} for inputs, targets in batches],
         "parameters": initial},
        {**{key: [h[key] for h in history] for key in history[0]},
         "final_parameters": {name: {"sum": math.fsum(t["values"]), "sum_of_squares": math.fsum(v * v for v in t["values"])}
                              for name, t in parameters.items()}},
        1e-5, 1e-5,
        "Constant learning rate, two batches in turn, gradients clipped to norm 1 (scale clip / (norm + 1e-6) when below 1), decoupled decay "
        "of tensors with two or more dims. Values of a step are from before its update; grad_norm is before clipping. "
        "Tolerances: an fp32 run of the same steps differs by 1e-6 in losses and norms and by 2e-5 in sums of about 100.")


if __name__ == "__main__":
    main()

"""Balance losses agree with the functions of the libraries that they are named after: value and gradient.

    python tests/parity/balance_parity.py

transformers is always compared. megatron-core, OLMo-core and DeepSpeed are where they can be imported (PYTHONPATH may lead to
them; none is needed for a run of the tests), and a line says which are not. The libraries' values go to a file that the
unit test BalanceParity reads: EVENKEEL_TEST_MOE names its binary (default build/test_moe).
"""

import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch

from fixtures import Checks

B, S, E, LAYERS = 4, 8, 8, 3
RTOL, ATOL = 2e-5, 2e-6  # the libraries count in fp32: sums of 96 terms of size 1


def random_layers(seed, n_layers=LAYERS):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(B * S, E, generator=generator) * 1.5 * 1024).round() / 1024 for _ in range(n_layers)]


class Comparisons:
    """What the unit test reads: for each comparison the case, the term and what the library gives."""

    def __init__(self):
        self.checks = []

    def add(self, name, term, k, micro_batches, loss, score="softmax", choices=None, is_padding=None):
        """loss: layers' logits of every micro-batch so far -> scalar. choices: the experts of each token, where not plain."""
        values, gradient = [], None
        for i in range(len(micro_batches)):
            leaves = [[layer.clone().requires_grad_(True) for layer in layers] for layers in micro_batches[:i + 1]]
            value = loss(leaves)
            values.append(value.item())
            gradient = [layer.tolist() for layer in torch.autograd.grad(value, leaves[-1])]

        def written(layer):
            ids = choices(layer) if choices else layer.topk(k, 1).indices
            return {"logits": layer.tolist(), "token_ids": [t for t in range(B * S) for _ in range(k)], "expert_ids": ids.reshape(-1).tolist(),
                    "dropped": [False] * (B * S * k)}

        padding = [False] * (B * S) if is_padding is None else is_padding.reshape(-1).tolist()
        batches = [{"is_padding": padding, "layers": [written(layer) for layer in layers]} for layers in micro_batches]
        case = {"name": name, "top_k": k, "score": score, "n_sequences": B, "micro_batches": batches}
        self.checks.append({"term": term, "case": case, "need": {"values": values, "gradient": gradient}})


def summed(loss_of_layer):
    return lambda batches: sum(loss_of_layer(layer) for layer in batches[-1])


def add_transformers(add):
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func
    from transformers.models.switch_transformers.modeling_switch_transformers import load_balancing_loss_func as switch_loss

    mask = torch.ones(B, S)
    mask[1, 5:], mask[3, 2:] = 0, 0
    for k in (1, 2, 3):
        layers = random_layers(k)
        add(f"transformers hf k={k}", {"loss": "hf"}, k, [layers], lambda b, k=k: load_balancing_loss_func(tuple(b[-1]), E, k))
        add(f"transformers hf k={k} with a mask", {"loss": "hf"}, k, [layers],
            lambda b, k=k: load_balancing_loss_func(tuple(b[-1]), E, k, mask), is_padding=mask == 0)

        def by_rows(layer, k=k):
            probs = layer.softmax(1).view(B, S, E)
            return switch_loss(probs, probs.topk(k, 2).indices)
        add(f"transformers switch_transformers k={k}", {"loss": "flaxformer", "group_size": S, "reduce": "sum"}, k, [layers], summed(by_rows))


def add_megatron(add):
    from megatron.core.transformer.moe.moe_utils import compute_routing_scores_for_aux_loss, switch_load_balancing_loss_func

    for score in ("softmax", "sigmoid"):
        for k in (1, 2):
            def scores_and_counts(layer, k=k, score=score):
                routing_map, scores = compute_routing_scores_for_aux_loss(layer, k, score)
                return scores, routing_map

            def aux(layer, k=k, of=scores_and_counts):
                scores, chosen = of(layer)
                return switch_load_balancing_loss_func(scores, chosen.sum(0), B * S, k, E, 1.0)

            def by_sequence(layer, k=k, of=scores_and_counts):  # [S, B * E], as the router reshapes its sequence-first tokens
                scores, chosen = (x.view(B, S, E).transpose(0, 1).reshape(S, B * E) for x in of(layer))
                return switch_load_balancing_loss_func(scores, chosen.sum(0), S, k, E, 1.0) / B

            def running(batches, k=k, of=scores_and_counts):  # counts so far / micro-batches so far
                total = 0
                for index, layer in enumerate(batches[-1]):
                    counts = sum(of(batch[index])[1].sum(0) for batch in batches) / len(batches)
                    total = total + switch_load_balancing_loss_func(of(layer)[0], counts, B * S, k, E, 1.0)
                return total

            batches = [random_layers(10 * k + i) for i in range(3)]
            add(f"megatron-core aux_loss {score} k={k}", {"loss": "megatron"}, k, batches[:1], summed(aux), score)
            add(f"megatron-core seq_aux_loss {score} k={k}", {"loss": "megatron_sequence"}, k, batches[:1], summed(by_sequence), score)
            add(f"megatron-core global_aux_loss {score} k={k}", {"loss": "megatron_global"}, k, batches, running, score)


def add_olmo_core(add):
    root = pathlib.Path(importlib.util.find_spec("olmo_core").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("olmo_core_moe_loss", root / "nn" / "moe" / "loss.py")  # without the package's other needs
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bias = torch.linspace(-0.4, 0.4, E)
    for score in ("softmax", "sigmoid"):
        for k in (1, 2):
            def chosen(layer, k=k):
                return (layer + bias).topk(k, 1).indices

            for name, granularity in (("olmo", "local_batch"), ("olmo_instance", "instance")):
                def loss(layer, k=k, score=score, chosen=chosen, granularity=granularity):
                    scores = layer.softmax(1)
                    if score == "sigmoid":  # as its router does
                        scores = layer.sigmoid() + 1e-7
                        scores = scores / scores.sum(1, keepdim=True)
                    counts = torch.nn.functional.one_hot(chosen(layer.detach()), E).view(B, S * k, E).sum(1)
                    return module.load_balancing_loss(
                        num_experts=E, top_k=k, expert_scores=scores.view(B, S, E), batch_size_per_expert=counts.sum(0),
                        batched_batch_size_per_expert=counts, granularity=module.MoELoadBalancingLossGranularity(granularity))
                add(f"OLMo-core {granularity} {score} k={k}", {"loss": name}, k, [random_layers(20 + k)], summed(loss), score, chosen)


def add_deepspeed(add):
    from deepspeed.moe.sharded_moe import top1gating, top2gating, topkgating

    layers = random_layers(30)
    add("DeepSpeed top1gating", {"loss": "deepspeed"}, 1, [layers], summed(lambda l: top1gating(l, 1.0, 4, use_rts=False)[0]))
    add("DeepSpeed top2gating", {"loss": "deepspeed"}, 2, [layers], summed(lambda l: top2gating(l, 1.0, 4, top2_2nd_expert_sampling=False)[0]))
    for k in (2, 3):
        add(f"DeepSpeed topkgating k={k}", {"loss": "deepspeed_topk"}, k, [layers], summed(lambda l, k=k: topkgating(l, k, 1.0, 4)[0]))


def run_unit_test(folder, checks):
    """Whether the unit test accepts the checks, and what it printed."""
    path = folder / "parity.json"
    path.write_text(json.dumps({"checks": checks, "rtol": RTOL, "atol": ATOL}))
    done = subprocess.run([os.environ.get("EVENKEEL_TEST_MOE", "build/test_moe"), "--gtest_filter=BalanceParity.*"], capture_output=True, text=True,
                          timeout=300, env={**os.environ, "EVENKEEL_BALANCE_PARITY": str(path)})
    return done.returncode == 0 and "SKIPPED" not in done.stdout, done.stdout + done.stderr


def main():
    check, comparisons = Checks(), Comparisons()
    for name, library, add in (("transformers", "transformers", add_transformers), ("megatron-core", "megatron.core", add_megatron),
                               ("OLMo-core", "olmo_core", add_olmo_core), ("DeepSpeed", "deepspeed", add_deepspeed)):
        try:
            importlib.import_module(library)
        except ImportError as error:
            print(f"     {name} is not compared: {error}")
            continue
        add(comparisons.add)
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        for one in comparisons.checks:
            holds, printed = run_unit_test(folder, [one])
            check(one["case"]["name"], holds, f"{one['term']['loss']} {one['need']['values'][-1]:.6f}" if holds else printed[-1500:])
        wrong = json.loads(json.dumps(comparisons.checks[0]))
        wrong["need"]["values"][-1] *= 1.0001
        check("a value that is off by 1e-4 is refused", not run_unit_test(folder, [wrong])[0])
        wrong = json.loads(json.dumps(comparisons.checks[0]))
        wrong["need"]["gradient"][0][0][0] += 1e-4
        check("a gradient that is off by 1e-4 is refused", not run_unit_test(folder, [wrong])[0])
    check.finish()


if __name__ == "__main__":
    sys.exit(main())

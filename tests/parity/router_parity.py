"""Routers choose and weigh as transformers' own modules do, and pass the same gradient to the router's matrix.

    EVENKEEL=build/evenkeel python tests/parity/router_parity.py

The modules' inputs and outputs go to a JSON file that RouterOracle of build/test_moe runs our routers on.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import torch

from fixtures import EVENKEEL, Checks
from transformers.models.deepseek_v2 import configuration_deepseek_v2, modeling_deepseek_v2
from transformers.models.deepseek_v3 import configuration_deepseek_v3, modeling_deepseek_v3
from transformers.models.deepseek_v4 import configuration_deepseek_v4, modeling_deepseek_v4
from transformers.models.glm4_moe import configuration_glm4_moe, modeling_glm4_moe
from transformers.models.gpt_oss import configuration_gpt_oss, modeling_gpt_oss
from transformers.models.granitemoe import configuration_granitemoe, modeling_granitemoe
from transformers.models.mixtral import configuration_mixtral, modeling_mixtral
from transformers.models.olmoe import configuration_olmoe, modeling_olmoe
from transformers.models.qwen2_moe import configuration_qwen2_moe, modeling_qwen2_moe
from transformers.models.qwen3_moe import configuration_qwen3_moe, modeling_qwen3_moe

HIDDEN, TOKENS = 48, 200


def modules():
    """Name, module, our kind, our keys, {our state: the module's buffer}."""
    for norm in (False, True):
        keys = f"renormalize = {str(norm).lower()}"
        config = configuration_olmoe.OlmoeConfig(hidden_size=HIDDEN, num_experts=64, num_experts_per_tok=8, norm_topk_prob=norm)
        yield f"olmoe, norm {norm}", modeling_olmoe.OlmoeTopKRouter(config), "top_k", keys, {}
        config = configuration_qwen2_moe.Qwen2MoeConfig(hidden_size=HIDDEN, num_experts=60, num_experts_per_tok=4, norm_topk_prob=norm)
        yield f"qwen2_moe, norm {norm}", modeling_qwen2_moe.Qwen2MoeTopKRouter(config), "top_k", keys, {}
        config = configuration_qwen3_moe.Qwen3MoeConfig(hidden_size=HIDDEN, num_experts=128, num_experts_per_tok=8, norm_topk_prob=norm)
        yield f"qwen3_moe, norm {norm}", modeling_qwen3_moe.Qwen3MoeTopKRouter(config), "top_k", keys, {}
    config = configuration_mixtral.MixtralConfig(hidden_size=HIDDEN, num_local_experts=8, num_experts_per_tok=2)
    yield "mixtral", modeling_mixtral.MixtralTopKRouter(config), "top_k", "renormalize = true", {}
    config = configuration_gpt_oss.GptOssConfig(hidden_size=HIDDEN, num_local_experts=32, num_experts_per_tok=4)
    yield "gpt_oss, no bias", modeling_gpt_oss.GptOssTopKRouter(config), "top_k", 'score = "softmax_post"', {}
    config = configuration_granitemoe.GraniteMoeConfig(hidden_size=HIDDEN, num_local_experts=40, num_experts_per_tok=8)
    yield "granitemoe", modeling_granitemoe.GraniteMoeTopKRouter(config), "top_k", 'score = "softmax_post"', {}
    for method, groups in (("greedy", ""), ("group_limited_greedy", '\nn_groups = 8\ngroups_per_token = 3\ngroup_score = "max"\ngroup_mask = "zero"')):
        config = configuration_deepseek_v2.DeepseekV2Config(hidden_size=HIDDEN, num_attention_heads=4, n_routed_experts=64, num_experts_per_tok=6, topk_method=method, n_group=8,
                                                            topk_group=3, routed_scaling_factor=16.0)
        yield f"deepseek_v2, {method}", modeling_deepseek_v2.DeepseekV2TopkRouter(config), "top_k", "scaling = 16.0" + groups, {}
    config = configuration_deepseek_v4.DeepseekV4Config(hidden_size=HIDDEN, num_attention_heads=4)
    keys = f'score = "sqrtsoftplus"\nrenormalize = true\nscaling = {config.routed_scaling_factor}'
    yield "deepseek_v4", modeling_deepseek_v4.DeepseekV4TopKRouter(config), "loss_free", keys, {"bias": "e_score_correction_bias"}
    for norm in (False, True):
        for name, config_of, module_of in (("deepseek_v3", configuration_deepseek_v3.DeepseekV3Config, modeling_deepseek_v3.DeepseekV3TopkRouter),
                                           ("glm4_moe", configuration_glm4_moe.Glm4MoeConfig, modeling_glm4_moe.Glm4MoeTopkRouter)):
            config = config_of(hidden_size=HIDDEN, num_attention_heads=4, n_routed_experts=64, num_experts_per_tok=8, n_group=8, topk_group=4, norm_topk_prob=norm,
                               routed_scaling_factor=2.5)
            keys = f"renormalize = {str(norm).lower()}\nscaling = 2.5\nn_groups = 8\ngroups_per_token = 4"
            yield f"{name}, norm {norm}", module_of(config), "loss_free", keys, {"bias": "e_score_correction_bias"}


def call(module, hidden):
    """Weights [T, E], 0 where not selected, with their graph."""
    outputs = module(hidden)
    weights, ids = outputs[-2], outputs[-1]
    return torch.zeros(len(hidden), len(module.weight)).scatter(1, ids, weights)


def make_case(name, module, kind, keys, state):
    generator = torch.Generator().manual_seed(len(name) * 1000 + sum(map(ord, name)))
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    with torch.no_grad():
        module.weight.copy_(draw(*module.weight.shape) * 0.2)
        if hasattr(module, "bias"):
            module.bias.zero_()
        for buffer in state.values():
            getattr(module, buffer).copy_(draw(len(module.weight)) * 0.1)
    hidden = draw(TOKENS, HIDDEN)
    # A token whose choice turns on the last digits is left out: it says nothing.
    with torch.no_grad():
        chosen = call(module, hidden).ne(0)
        is_decided = torch.ones(TOKENS, dtype=torch.bool)
        for _ in range(4):
            is_decided &= call(module, hidden + draw(TOKENS, HIDDEN) * 1e-6).ne(0).eq(chosen).all(1)
    hidden = hidden[is_decided]
    coefficients = draw(len(hidden), len(module.weight))
    weights = call(module, hidden)
    gradient, = torch.autograd.grad((weights * coefficients).sum(), [module.weight])
    return {"name": name, "kind": kind, "keys": keys, "top_k": int(weights.ne(0).sum(1).max()), "hidden": hidden.tolist(), "weight": module.weight.tolist(),
            "state": {key: getattr(module, buffer).tolist() for key, buffer in state.items()}, "weights": weights.tolist(),
            "coefficients": coefficients.tolist(), "gradient": gradient.tolist()}


def run_oracle(cases, folder):
    path = folder / "cases.json"
    path.write_text(json.dumps({"cases": cases}))
    binary = pathlib.Path(EVENKEEL).resolve().parent / "test_moe"
    done = subprocess.run([binary, "--gtest_brief=1", "--gtest_filter=RouterOracle.*"], env={**os.environ, "EVENKEEL_ROUTER_ORACLE": str(path)},
                          capture_output=True, text=True, timeout=300)
    return done.returncode == 0 and "1 test" in done.stdout and "SKIPPED" not in done.stdout, done.stdout[-1500:]


def main():
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="evenkeel_router_parity_") as folder:
        folder = pathlib.Path(folder)
        for parts in modules():
            case = make_case(*parts)
            holds, shown = run_oracle([case], folder)
            check(f"{case['name']}: {case['kind']}", holds, f"{len(case['hidden'])} tokens, {len(case['weight'])} experts, top {case['top_k']}" if holds else shown)
            # The test must be able to fail.
            keys = "\n".join(line for line in case["keys"].split("\n") if not line.startswith("scaling"))
            scaling = next((float(line.split("=")[1]) for line in case["keys"].split("\n") if line.startswith("scaling")), 1.0)
            seen, _ = run_oracle([{**case, "keys": f"{keys}\nscaling = {scaling * 1.001}"}], folder)
            check(f"{case['name']}: control, another scaling", not seen)
        biased = next(parts for parts in modules() if parts[0] == "deepseek_v3, norm True")
        case = make_case(*biased)
        without, _ = run_oracle([{**case, "state": {}}], folder)
        check("deepseek_v3: control, no bias", not without)
        ungrouped, _ = run_oracle([{**case, "keys": "renormalize = true\nscaling = 2.5"}], folder)
        check("deepseek_v3: control, no groups", not ungrouped)
    check.finish()


if __name__ == "__main__":
    main()

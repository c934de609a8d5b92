"""evenkeel trains Mixtral, Qwen3-MoE and DeepSeek-V3 as transformers' classes with torch.optim.AdamW do, twenty steps.

    EVENKEEL=build/evenkeel python tests/parity/train_families_parity.py

As train_parity.py, with the balance loss of the class itself: config.json's router_aux_loss_coef times its aux_loss. The class
of DeepSeek-V3 has none, and leaves the bias of its routers as it is.
"""

import pathlib
import tempfile

import numpy as np
import torch
import train_parity
from fixtures import VOCABULARY, Checks, markov_documents, save, spread, write_pair
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

COMMON = dict(vocab_size=VOCABULARY, hidden_size=32, num_attention_heads=4, max_position_embeddings=64, initializer_range=0.1, pad_token_id=None, bos_token_id=None, eos_token_id=0)


def mixtral():
    return MixtralForCausalLM(MixtralConfig(**COMMON, num_hidden_layers=2, intermediate_size=24, num_key_value_heads=2, num_local_experts=6, num_experts_per_tok=2, sliding_window=9, router_aux_loss_coef=0.02))


def qwen3_moe():
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**COMMON, num_hidden_layers=3, intermediate_size=40, moe_intermediate_size=12, num_key_value_heads=2, head_dim=16, num_experts=8, num_experts_per_tok=3,
                                              norm_topk_prob=True, mlp_only_layers=[0], attention_bias=True, router_aux_loss_coef=0.01))


def deepseek_v3():
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**COMMON, num_hidden_layers=3, intermediate_size=40, moe_intermediate_size=12, num_key_value_heads=4, q_lora_rank=12, kv_lora_rank=16, qk_nope_head_dim=8,
                                                   qk_rope_head_dim=4, v_head_dim=8, n_routed_experts=8, num_experts_per_tok=2, n_group=4, topk_group=2, n_shared_experts=1, first_k_dense_replace=1))
    for layer in model.model.layers[1:]:
        layer.mlp.gate.e_score_correction_bias.copy_(torch.randn(8) * 0.05)
    return model


# The class leaves the bias as it is; evenkeel moves it unless it is told not to.
STILL = 'kind = "loss_free"\nrate = 0\nn_groups = 4\ngroups_per_token = 2\nrenormalize = true\nscaling = 2.5'


def class_balance(out, config):
    """The class's own, on the logits of all its layers with experts."""
    return out.aux_loss


def compare_family(check, name, make, balance, router, tokens, work):
    torch.manual_seed(3)
    model = spread(make(), seed=3)
    model.set_experts_implementation("eager")
    folder = save(model, work / name)
    coefficient = getattr(model.config, "router_aux_loss_coef", 0.0) if balance else 0.0
    steps = train_parity.train_in_torch(model, tokens, coefficient, balance)
    lines, weights = train_parity.train_in_evenkeel(work, name, folder, work / "markov", coefficient=None, router=router)
    train_parity.compare(check, name, lines, weights, steps, model)
    if balance:
        train_parity.compare_balance(check, name, lines, steps)
        control, what = {"coefficient": 2 * coefficient}, "coefficient doubled"
    else:
        control, what = {"coefficient": None, "micro": 2}, "micro-batches of 2"
    lines, weights = train_parity.train_in_evenkeel(work, f"{name}-control", folder, work / "markov", router=router, **control)
    if not balance:
        return train_parity.compare(check, f"{name}, {what}", lines, weights, steps, model)
    loss = train_parity.largest((a["loss"], b["loss"]) for a, b in zip(lines, steps))
    _, _, rms = train_parity.weight_difference(weights, train_parity.weights_of(model))
    check(f"{name}: control, {what}, is told apart", loss > train_parity.LOSS_TOLERANCE and rms > train_parity.WEIGHT_RMS_TOLERANCE, f"loss differs by {loss:.1e}, weights by {rms:.1e} rms")


def main():
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="evenkeel_parity_") as folder:
        work = pathlib.Path(folder)
        documents = markov_documents(train_parity.BATCH * train_parity.LENGTH * train_parity.STEPS + 1000, seed=5)
        write_pair(work / "markov", documents)
        for name, make, balance, router in (("mixtral", mixtral, class_balance, ""), ("qwen3_moe", qwen3_moe, class_balance, ""), ("deepseek_v3", deepseek_v3, None, STILL)):
            compare_family(check, name, make, balance, router, np.concatenate(documents), work)
    check.finish()


if __name__ == "__main__":
    main()

"""Tiny models of every Hugging Face family that evenkeel reads, drawn by seed over the settings of their config.json.

Each family lists the values of its settings (SETTINGS). It has as many draws as its longest list, and each list is dealt
out over the draws in an order of its own: every value is met, each time beside others.
"""

import collections
import json
import random

import torch
import transformers
from fixtures import VOCABULARY

LENGTH = 24  # of a sequence; longer than `original_max_position_embeddings` below, so that what depends on it shows


def rope(kind, dims):
    """rope_parameters of a kind; `dims` are the rotated features of a head."""
    plain = {"rope_type": "default", "rope_theta": 1e4}
    pairs = dims // 2
    kinds = {
        "default": plain,
        "absent": plain,  # taken out of config.json again: the class's own theta
        "theta": {**plain, "rope_theta": 500.0},
        "linear": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0},
        "dynamic": {"rope_type": "dynamic", "rope_theta": 1000.0, "factor": 2.0},
        "dynamic within": {"rope_type": "dynamic", "rope_theta": 1000.0, "factor": 2.0},
        "llama3": {"rope_type": "llama3", "rope_theta": 1000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
        "yarn": {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16},
        "yarn of lengths": {"rope_type": "yarn", "rope_theta": 1000.0, "factor": None, "original_max_position_embeddings": 16},  # 64 / 16
        "yarn mscale": {"rope_type": "yarn", "rope_theta": 100.0, "factor": 8.0, "original_max_position_embeddings": 16, "mscale": 0.7, "mscale_all_dim": 1.3, "beta_fast": 4.0, "beta_slow": 0.25, "truncate": False},
        "yarn mscale equal": {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 1.0, "mscale_all_dim": 1.0, "beta_fast": 2.0, "beta_slow": 0.125},
        "yarn attention": {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16, "attention_factor": 1.4, "beta_fast": 2.0, "beta_slow": 0.125},
        "longrope short": {"rope_type": "longrope", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 32},
        "longrope long": {"rope_type": "longrope", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16},
        "longrope attention": {"rope_type": "longrope", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16, "attention_factor": 1.3},
    }
    out = dict(kinds[kind])
    if out["rope_type"] == "longrope":
        out["short_factor"] = [1.0 + 0.2 * i for i in range(pairs)]
        out["long_factor"] = [1.5 + 1.7 * i for i in range(pairs)]
    return out


def many(key, *values):
    return [{key: value} for value in values]


def together(keys, *rows):
    names = keys.split()
    return [dict(zip(names, row)) for row in rows]


HEADS = together("num_attention_heads num_key_value_heads", (4, 2), (4, 4), (2, 1), (4, 1))
EXPERTS = [(8, 2), (6, 3), (4, 1), (8, 4)]
# `rope`, `storage`, `config_form` are no keys of config.json: how it is made, and how the folder is saved.
COMMON = {
    "hidden": many("hidden_size", 32, 48),
    "layers": many("num_hidden_layers", 2, 3),
    "eps": many("rms_norm_eps", 1e-5, 1e-6, 1e-3),
    "tied": many("tie_word_embeddings", False, True),
    "act": many("hidden_act", "silu", "gelu", "gelu_pytorch_tanh"),
    "storage": many("storage", "fp32", "bf16", "fp32 fused", "bf16 fused shards"),
    "form": many("config_form", "5", "4"),
    "rope": many("rope", "default", "absent", "linear", "yarn"),
}
V3_ROUTER = {
    "experts": together("n_routed_experts num_experts_per_tok n_group topk_group", (8, 2, 4, 2), (8, 3, 1, 1), (6, 2, 3, 1), (12, 4, 3, 2), (8, 1, 4, 2)),
    "n_shared": many("n_shared_experts", 1, 2, 0),
    "norm": many("norm_topk_prob", True, False),
    "scale": many("routed_scaling_factor", 1.0, 2.5, 0.5),
    "dense": many("first_k_dense_replace", 0, 1, 2),
    "widths": together("intermediate_size moe_intermediate_size", (40, 12), (48, 20)),
    "bias": many("attention_bias", False, True),
}
LATENT = {
    "heads": together("num_attention_heads num_key_value_heads", (4, 4), (2, 2)),
    "latent": together("qk_nope_head_dim qk_rope_head_dim v_head_dim kv_lora_rank", (8, 4, 6, 16), (6, 8, 8, 12), (4, 4, 12, 20)),
    "q_lora": many("q_lora_rank", None, 12),
    "rope": many("rope", "default", "yarn", "yarn mscale", "theta"),
}
AUX = many("router_aux_loss_coef", 0.001, 0.0, 0.02)  # read, written again; its gradient is for train_families_parity.py
WINDOW_LAYERS = many("max_window_layers", 28, 1, 0)  # counts for nothing beside layer_types, or without a window
TYPES = many("layer_types", None, "written")  # of classes that have no such key: it may only say what they do
SPARSE = together("decoder_sparse_step mlp_only_layers", (1, []), (2, []), (1, [0]), (1, [0, 1]))
GRANITE = {
    "heads": HEADS, "aux": AUX,
    "experts": together("num_local_experts num_experts_per_tok", *EXPERTS),
    "bias": many("attention_bias", False, True),
    "width": many("intermediate_size", 24, 16),
    "embedding": many("embedding_multiplier", 1.0, 3.0, 0.5),
    "attention": many("attention_multiplier", 1.0, 0.2, 0.5),
    "residual": many("residual_multiplier", 1.0, 0.3, 1.5),
    "logits": many("logits_scaling", 1.0, 4.0, 0.5),
    "rope": many("rope", "default", "theta", "longrope long", "yarn"),
}

SETTINGS = {
    "llama": {
        "heads": HEADS, "head_dim": many("head_dim", None, 16, 8), "width": many("intermediate_size", 48, 40),
        "attention_bias": many("attention_bias", False, True), "mlp_bias": many("mlp_bias", False, True),
        "rope": many("rope", "default", "absent", "theta", "linear", "dynamic", "dynamic within", "llama3", "yarn", "yarn of lengths", "yarn mscale", "yarn attention", "longrope short", "longrope long", "longrope attention"),
    },
    "olmo2": {"heads": HEADS, "head_dim": many("head_dim", None, 16), "width": many("intermediate_size", 48, 40), "bias": many("attention_bias", False, True), "rope": many("rope", "default", "theta", "llama3", "yarn")},
    "olmoe": {
        "heads": HEADS, "aux": AUX, "experts": together("num_experts num_experts_per_tok", *EXPERTS), "width": many("intermediate_size", 24, 16),
        "bias": many("attention_bias", False, True), "clip": many("clip_qkv", None, 0.6, 1.5), "norm": many("norm_topk_prob", False, True),
        "rope": many("rope", "default", "absent", "dynamic", "yarn attention"),
    },
    "mixtral": {
        "heads": HEADS, "aux": AUX, "experts": together("num_local_experts num_experts_per_tok", *EXPERTS), "width": many("intermediate_size", 24, 16),
        "head_dim": many("head_dim", None, 16), "window": many("sliding_window", None, 5, 1), "types": TYPES, "rope": many("rope", "default", "absent", "theta", "yarn"),
    },
    "deepseek_v2": {
        **LATENT, "hub": [{}, {"scoring_func": "softmax", "aux_loss_alpha": 0.001, "seq_aux": True, "moe_layer_freq": 1, "ep_size": 1, "pretraining_tp": 1}], "n_shared": many("n_shared_experts", 1, 2), "scale": V3_ROUTER["scale"], "dense": V3_ROUTER["dense"], "widths": V3_ROUTER["widths"], "bias": V3_ROUTER["bias"],
        "experts": together("n_routed_experts num_experts_per_tok topk_method n_group topk_group", (8, 2, "greedy", None, None), (8, 3, "group_limited_greedy", 4, 2), (6, 1, "greedy", 1, 1), (6, 2, "group_limited_greedy", 3, 1)),
    },
    "deepseek_v3": {
        **LATENT, **V3_ROUTER, "hub": [{}, {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "aux_loss_alpha": 0.001, "seq_aux": False, "moe_layer_freq": 1, "ep_size": 1, "num_nextn_predict_layers": 0}],
        "interleave": many("rope_interleave", True, False), "rope": many("rope", "default", "yarn mscale", "yarn mscale equal", "linear"),
    },
    "qwen2_moe": {
        "heads": HEADS, "aux": AUX, "window_layers": WINDOW_LAYERS, "experts": together("num_experts num_experts_per_tok", *EXPERTS), "norm": many("norm_topk_prob", False, True), "bias": many("qkv_bias", True, False),
        "widths": together("intermediate_size moe_intermediate_size shared_expert_intermediate_size", (40, 12, 20), (48, 20, 16)), "sparse": SPARSE, "head_dim": many("head_dim", None, 16),
        "window": together("use_sliding_window sliding_window", (False, 4096), (True, 5)), "rope": many("rope", "default", "absent", "llama3", "longrope long"),
    },
    "qwen3_moe": {
        "heads": HEADS, "aux": AUX, "window_layers": WINDOW_LAYERS, "experts": together("num_experts num_experts_per_tok", *EXPERTS), "norm": many("norm_topk_prob", False, True), "bias": many("attention_bias", False, True),
        "widths": together("intermediate_size moe_intermediate_size", (40, 12), (48, 20)), "sparse": SPARSE, "head_dim": many("head_dim", None, 16),
        "window": together("use_sliding_window sliding_window", (False, 4096), (True, 5)), "types": TYPES, "rope": many("rope", "default", "theta", "dynamic", "yarn"),
    },
    "granitemoe": GRANITE,
    "granitemoeshared": {**GRANITE, "shared": many("shared_intermediate_size", 20, 32, 0)},
    "glm4_moe": {
        **V3_ROUTER, "heads": HEADS, "head_dim": many("head_dim", 8, 16), "qk_norm": many("use_qk_norm", False, True),
        "rope": many("rope", "default", "theta", "yarn", "linear"), "partial": many("partial_rotary_factor", 0.5, 1.0, 0.25),
    },
    "flex_olmo": {
        "heads": HEADS, "aux": AUX, "head_dim": many("head_dim", None, 16), "experts": together("num_experts num_experts_per_tok", *EXPERTS), "width": many("intermediate_size", 24, 16),
        "bias": many("attention_bias", False, True), "norm": many("norm_topk_prob", False, True), "rope": many("rope", "default", "absent", "llama3", "yarn"),
    },
    "gpt_oss": {
        "heads": HEADS, "aux": AUX, "experts": together("num_local_experts num_experts_per_tok", *EXPERTS), "width": many("intermediate_size", 24, 32), "head_dim": many("head_dim", 8, 16),
        "bias": many("attention_bias", True, False), "window": many("sliding_window", 5, 1), "windows": many("layer_types", "every other", "the last", "none"), "act": [{"hidden_act": "silu"}],
        "clamp": together("swiglu_alpha swiglu_limit", (1.702, 7.0), (1.0, 0.5)), "rope": many("rope", "absent", "default", "theta", "yarn mscale"),
    },
}


# Keys of config.json that no draw varies, and why.
CONSTANT = {
    "vocab_size": "sizes the embedding and the head, and nothing else",
    "max_position_embeddings": "64, and 16 where the rotation depends on it (dynamic); evenkeel's default length of an evaluation",
    "rope_parameters": "the setting `rope`", "rope_scaling": "the setting `rope`", "rope_theta": "the setting `rope`",
    "layer_types": "follows from the window", "qk_head_dim": "the sum of two drawn widths", "dtype": "the setting `storage`", "torch_dtype": "the setting `storage`",
    "attention_dropout": "0: acts in training alone, evenkeel warns", "router_jitter_noise": "0: noise of training, whose draws two programs do not share",
    "num_nextn_predict_layers": "no such layer; one stands in family_files_parity.py", "pretraining_tp": "1: the same up to rounding",
    "output_router_logits": "adds the balance loss to the class's; train_families_parity.py",
    **dict.fromkeys(("architectures", "model_type", "transformers_version"), "say what the folder is"),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id", "use_cache"), "of generation alone"), "initializer_range": "of a new model alone",
    **dict.fromkeys(("output_attentions", "output_hidden_states", "return_dict", "chunk_size_feed_forward", "id2label", "label2id", "is_encoder_decoder", "problem_type"), "no part of the model"),
}
CONSTANT_OF = {
    "deepseek_v2": {"norm_topk_prob": "false: true is refused, since codes disagree", "mlp_bias": "false: evenkeel has nothing else", "head_dim": "qk_rope_head_dim, by another name"},
    "deepseek_v3": {"head_dim": "qk_rope_head_dim, by another name"},
    "qwen3_moe": {"num_local_experts": "num_experts, by another name"},
}


def constants(family):
    return {**CONSTANT, **CONSTANT_OF.get(family, {})}


def draws(family):
    """The settings of each draw of a family, in order."""
    lists = {**COMMON, **SETTINGS[family]}
    n = max(map(len, lists.values()))
    out = [{} for _ in range(n)]
    for name, values in lists.items():
        dealt = (values * n)[:n]
        random.Random(f"{family} {name}").shuffle(dealt)
        for draw, value in zip(out, dealt):
            draw.update(value)
    return [with_possible(family, draw) for draw in out]


def with_possible(family, draw):
    """A draw without what the classes themselves cannot do."""
    if family == "mixtral" and draw["head_dim"] is None and draw["rope"].startswith("yarn"):
        draw["head_dim"] = 8  # the class takes null for a number there
    if draw.get("first_k_dense_replace") == 2 or draw.get("mlp_only_layers") == [0, 1]:
        draw["num_hidden_layers"] = 3  # one with experts
    if draw.get("head_dim", 0) is None and family in ("qwen2_moe", "qwen3_moe", "olmo2", "flex_olmo"):
        del draw["head_dim"]  # no field of theirs: absent, or a number
    types = draw.pop("layer_types", None)
    if types is not None:
        layers = range(draw["num_hidden_layers"])
        has_window = draw.get("use_sliding_window", draw["sliding_window"] is not None)
        windowed = {"written": layers if has_window else [], "every other": layers[::2], "the last": layers[-1:], "none": []}[types]
        draw["layer_types"] = ["sliding_attention" if layer in windowed else "full_attention" for layer in layers]
    if draw.get("use_sliding_window") and family == "qwen2_moe":
        draw["layer_types"] = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(draw["num_hidden_layers"])]
    if "partial_rotary_factor" in draw and draw["rope"] != "default":
        draw["partial_rotary_factor"] = 1.0 if draw["rope"] in ("yarn", "linear") else draw["partial_rotary_factor"]
    return draw


def rotated_dims(family, draw):
    if "qk_rope_head_dim" in draw:
        return draw["qk_rope_head_dim"]
    return draw.get("head_dim") or draw["hidden_size"] // draw["num_attention_heads"]


def config_of(family, draw):
    keys = {key: value for key, value in draw.items() if key not in ("rope", "storage", "config_form")}
    keys["rope_parameters"] = rope(draw["rope"], rotated_dims(family, draw))
    if "partial_rotary_factor" in keys:
        keys["rope_parameters"]["partial_rotary_factor"] = keys.pop("partial_rotary_factor")
    keys["max_position_embeddings"] = 16 if draw["rope"] == "dynamic" else 64
    common = dict(vocab_size=VOCABULARY, pad_token_id=None, bos_token_id=None, eos_token_id=0)
    return transformers.CONFIG_MAPPING[family](**common, **keys)


def randomise(model, seed):
    """Every parameter away from its plain start: norms are not 1, biases not 0, experts differ, routers decide clearly."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, deviation, mean=0.0):
        tensor.copy_(mean + deviation * torch.randn(tensor.shape, generator=generator))

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.numel() == 0:
                continue
            if name.endswith("norm.weight"):
                normal(parameter, 0.2, mean=1.0)
            elif parameter.ndim == 1:
                normal(parameter, 0.3)
            elif "embed_tokens" in name:
                normal(parameter, 0.5)
            else:
                normal(parameter, (1.5 if name.endswith("gate.weight") or "router" in name else 1.2) / parameter.shape[-1] ** 0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                normal(buffer, 0.3)
    return model


def older_form(config):
    """config.json as transformers 4 wrote it: rope_theta and rope_scaling, torch_dtype, num_experts."""
    parameters = dict(config.pop("rope_parameters", None) or {})
    theta, fraction = parameters.pop("rope_theta", None), parameters.pop("partial_rotary_factor", None)
    if theta is not None:
        config["rope_theta"] = theta
    if fraction is not None:
        config["partial_rotary_factor"] = fraction
    if parameters.get("rope_type", "default") != "default":
        config["rope_scaling"] = parameters
    config["torch_dtype"] = config.pop("dtype", "float32")
    if config["model_type"] == "qwen3_moe":
        config["num_experts"] = config.pop("num_local_experts")
    return config


def save_draw(family, number, draw, folder):
    """Makes and saves the model of a draw; the folder."""
    model = transformers.AutoModelForCausalLM.from_config(config_of(family, draw), dtype=torch.float32)
    randomise(model, seed=number + 1000 * sorted(SETTINGS).index(family))
    words = draw["storage"].split()
    options = {"save_original_format": "fused" not in words, **({"max_shard_size": "30KB"} if "shards" in words else {})}
    if "bf16" in words:  # loaded so, since some classes keep some tensors in fp32
        model.save_pretrained(folder / "fp32")
        model = load(folder / "fp32", torch.bfloat16)
    model.save_pretrained(folder, **options)
    config = json.loads((folder / "config.json").read_text())
    if draw["rope"] == "absent":
        config.pop("rope_parameters")
    if draw["config_form"] == "4":
        config = older_form(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def load(folder, dtype=torch.float32):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager", experts_implementation="eager")


# ---- what a model does ----


def is_router(module):
    return type(module).__name__.lower().endswith("topkrouter")


def choice_scores(module, logits):
    """What a router's experts are chosen by [T, E], and the least distance [T] of a decision within it from another one."""
    n_groups = getattr(module, "num_group", None) or 1
    bias = getattr(module, "e_score_correction_bias", None)
    if bias is not None:
        scores = logits.sigmoid() + bias
    elif hasattr(module, "topk_method"):
        scores = logits.softmax(-1)
        n_groups = n_groups if module.topk_method == "group_limited_greedy" else 1
    else:
        scores = logits
    margin = torch.full(scores.shape[:1], float("inf"), dtype=scores.dtype)
    if n_groups > 1:
        by_group = scores.unflatten(1, (n_groups, -1))
        judged = by_group.topk(2, -1).values.sum(-1) if bias is not None else by_group.amax(-1)
        ranked = judged.sort(-1, descending=True)
        if module.topk_group < n_groups:
            margin = ranked.values[:, module.topk_group - 1] - ranked.values[:, module.topk_group]
        kept = torch.zeros_like(judged).scatter(1, ranked.indices[:, :module.topk_group], 1.0).bool()
        scores = by_group.masked_fill(~kept.unsqueeze(-1), float("-inf")).flatten(1)
    if module.top_k < scores.shape[1]:
        ranked = scores.sort(-1, descending=True).values
        margin = torch.minimum(margin, ranked[:, module.top_k - 1] - ranked[:, module.top_k])
    return scores, margin


Routing = collections.namedtuple("Routing", "layer logits weights experts margin")  # experts best first, weights in their order


class Watch:
    """Collects the routing of each layer while a model runs."""

    def __init__(self, model):
        self.routings, self.hooks = [], []
        for layer, block in enumerate(model.model.layers):
            for module in filter(is_router, block.modules()):
                self.hooks.append(module.register_forward_hook(lambda module, _, out, layer=layer: self.add(layer, module, *out)))

    def add(self, layer, module, logits, weights, experts):
        scores, margin = choice_scores(module, logits.detach().double())
        order = scores.gather(1, experts).argsort(-1, descending=True)
        expected = scores.topk(module.top_k, -1).indices
        clear = margin > 1e-5
        assert (experts.sort(-1).values == expected.sort(-1).values)[clear].all(), "choice_scores is not the class's rule"
        self.routings.append(Routing(layer, logits.detach(), weights.detach().gather(1, order), experts.gather(1, order), margin))

    def __enter__(self):
        return self.routings

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def evenkeel_names(tensors, n_layers):
    """Tensors under the names of transformers' modules (the fused ones) -> the same under evenkeel's (docs/formats.md)."""
    out = {"embedding.weight": tensors["model.embed_tokens.weight"], "final_norm.weight": tensors["model.norm.weight"]}
    if "lm_head.weight" in tensors:
        out["head.weight"] = tensors["lm_head.weight"]
    for layer in range(n_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        have = {name.removeprefix(theirs): value for name, value in tensors.items() if name.startswith(theirs)}

        if "mlp.experts.gate_up_proj_bias" in have:  # gpt_oss: [in, out], and gate and up take turns
            for name in ("mlp.experts.gate_up_proj", "mlp.experts.down_proj"):
                have[name] = have[name].transpose(1, 2)
            for name in ("mlp.experts.gate_up_proj", "mlp.experts.gate_up_proj_bias"):
                have[name] = torch.cat([have[name][:, 0::2], have[name][:, 1::2]], 1)

        def put(name, *parts):
            if all(part in have for part in parts):
                out[ours + name] = torch.cat([have.pop(part) for part in parts])

        after = "post_feedforward_layernorm.weight" in have  # norms behind the branches
        put("attention_norm.weight", "post_attention_layernorm.weight" if after else "input_layernorm.weight")
        put("ffn_norm.weight", "post_feedforward_layernorm.weight" if after else "post_attention_layernorm.weight")
        is_latent = "self_attn.kv_b_proj.weight" in have
        for kind in ("weight", "bias"):
            put(f"attention.qkv.{kind}", *(f"self_attn.{x}_proj.{kind}" for x in "qkv"))
            put(f"attention.out.{kind}", f"self_attn.o_proj.{kind}")
            put(f"attention.q_a.{kind}", f"self_attn.q_a_proj.{kind}")
            put(f"attention.kv_a.{kind}", f"self_attn.kv_a_proj_with_mqa.{kind}")
            put(f"ffn.gate_up.{kind}", f"mlp.gate_proj.{kind}", f"mlp.up_proj.{kind}")
            put(f"ffn.down.{kind}", f"mlp.down_proj.{kind}")
        put("attention.sinks", "self_attn.sinks")
        put("attention.q.weight", "self_attn.q_proj.weight")
        put("attention.q_b.weight", "self_attn.q_b_proj.weight")
        put("attention.kv_b.weight", "self_attn.kv_b_proj.weight")
        put("attention.q_norm.weight", "self_attn.q_a_layernorm.weight" if is_latent else "self_attn.q_norm.weight")
        put("attention.kv_norm.weight", "self_attn.kv_a_layernorm.weight")
        put("attention.k_norm.weight", "self_attn.k_norm.weight")
        for part in ("mlp", "block_sparse_moe"):
            put("router.weight", f"{part}.gate.weight")
            put("router.weight", f"{part}.router.weight")
            put("router.bias", f"{part}.router.bias")
            put("experts.gate_up", f"{part}.experts.gate_up_proj")
            put("experts.down", f"{part}.experts.down_proj")
            put("experts.gate_up_bias", f"{part}.experts.gate_up_proj_bias")
            put("experts.down_bias", f"{part}.experts.down_proj_bias")
        for part in ("mlp.shared_expert", "mlp.shared_experts"):
            put("shared.gate_up.weight", f"{part}.gate_proj.weight", f"{part}.up_proj.weight")
            put("shared.down.weight", f"{part}.down_proj.weight")
        put("shared.gate.weight", "mlp.shared_expert_gate.weight")
        put("shared.gate_up.weight", "shared_mlp.input_linear.weight")
        put("shared.down.weight", "shared_mlp.output_linear.weight")
        assert not have, f"parameters without a name: {sorted(have)}"
    return {name: value for name, value in out.items() if value.numel() > 0}

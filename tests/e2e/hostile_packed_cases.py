"""More folders of hostile_folders_test.py: experts in MXFP4 (gpt_oss), matrices in fp8 (deepseek_v3), OpenMoE. Standard library only."""
import json
import math
import random
import struct

from hostile_folders_cases import COMMON, EXPERTS, H, HUGE, LAYERS, V, config_of, deep, gated, joined, shapes_of, split, zeros_after

WIDE = 32  # of hidden states and experts: one block
LAYER = "model.layers.0."
WIDTHS = {"F32": 4, "BF16": 2, "U8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I8": 1}

# ---- tensors: name -> (dtype, shape, bytes) ----


def floats(shape, seed=1):
    draw = random.Random(seed)
    return "F32", shape, struct.pack(f"<{math.prod(shape)}f", *(draw.gauss(0, 0.3) for _ in range(math.prod(shape))))


def codes(dtype, shape, low=0, high=120, seed=1):
    draw = random.Random(seed)
    return dtype, shape, bytes(draw.randrange(low, high) for _ in range(math.prod(shape) * WIDTHS[dtype]))


def file_of(tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return joined(header, data)


def folder_of(config, tensors):
    return {"config.json": json.dumps(config).encode(), "model.safetensors": file_of(tensors)}


# ---- good folders ----

GPT_OSS = {**COMMON, "model_type": "gpt_oss", "hidden_size": WIDE, "intermediate_size": WIDE, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": EXPERTS,
           "num_experts_per_tok": 2, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"], "attention_bias": True, "swiglu_limit": 7.0,
           "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}


def gpt_oss_tensors():
    out = {"model.embed_tokens.weight": floats([V, WIDE])}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        out.update({f"{at}{name}_layernorm.weight": floats([WIDE]) for name in ("input", "post_attention")})
        for name, rows in (("q", 32), ("k", 16), ("v", 16), ("o", WIDE)):
            out.update({f"{at}self_attn.{name}_proj.weight": floats([rows, WIDE]), f"{at}self_attn.{name}_proj.bias": floats([rows])})
        out.update({at + "self_attn.sinks": floats([4]), at + "mlp.router.weight": floats([EXPERTS, WIDE]), at + "mlp.router.bias": floats([EXPERTS])})
        for name, rows in (("gate_up_proj", 2 * WIDE), ("down_proj", WIDE)):
            out.update({f"{at}mlp.experts.{name}_blocks": codes("U8", [EXPERTS, rows, 1, 16], 0, 256), f"{at}mlp.experts.{name}_scales": codes("U8", [EXPERTS, rows, 1], 118, 128),
                        f"{at}mlp.experts.{name}_bias": floats([EXPERTS, rows])})
    return {**out, "model.norm.weight": floats([WIDE]), "lm_head.weight": floats([V, WIDE])}


DEEPSEEK = {**config_of("deepseek_v3"), "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}}


def deepseek_tensors():
    out = {}
    for name, shape in shapes_of("deepseek_v3").items():
        is_packed = "_proj" in name and len(shape) == 2
        out[name] = codes("F8_E4M3", shape) if is_packed else floats(shape)
        if is_packed:
            out[name + "_scale_inv"] = ("F32", [1, 1], struct.pack("<f", 0.01))
    return out


OPENMOE = {**COMMON, "model_type": "llama", "architectures": ["OpenMoeForCausalLM"], "intermediate_size": 4, "hidden_act": "swiglu", "moe_layer_interval": 2, "num_experts": EXPERTS, "router_topk": 2,
           "router_capacity_factor_train": 1.25, "router_capacity_factor_eval": 2.0, "router_min_capacity": 4, "router_drop_tks": True, "router_aux_loss_factor": 0.01, "router_z_loss_factor": 0.0001, "mlp_gated": True}


def openmoe_tensors():
    def double(place):
        return {**{name: floats(shape) for name, shape in gated(place, 4).items()}, f"{place}.gate_proj.weight": floats([8, H])}

    out = {"model.embed_tokens.weight": floats([V, H])}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        out.update({**{f"{at}{name}_layernorm.weight": floats([H]) for name in ("input", "post_attention")}, **{f"{at}self_attn.{name}_proj.weight": floats([H, H]) for name in "qkvo"}})
        if layer % 2 == 0:
            out.update(double(at + "mlp"))
            continue
        out.update({at + "mlp.gate_weight": floats([EXPERTS, H]), at + "mlp.experts.wi_gate": floats([EXPERTS, H, 8]), at + "mlp.experts.wi_up": floats([EXPERTS, H, 4]), at + "mlp.experts.wo": floats([EXPERTS, 4, H]),
                    at + "pre_extra_mlp_layernorm.weight": floats([H]), **double(at + "extra_mlp")})
    return {**out, "model.norm.weight": floats([H]), "lm_head.weight": floats([V, H])}


MAKERS = {"mxfp4": (GPT_OSS, gpt_oss_tensors), "fp8": (DEEPSEEK, deepseek_tensors), "openmoe": (OPENMOE, openmoe_tensors)}
GOOD = {name: folder_of(config, tensors()) for name, (config, tensors) in MAKERS.items()}


# ---- changes ----


def of(name, config=None, **tensors):
    """Keys of config.json and tensors, ... for what is missing. A tensor is (dtype, shape, bytes), or a function of the good one."""
    good_config, make = MAKERS[name]
    keys, out = {**good_config, **(config or {})}, make()
    for key, value in tensors.items():
        if value is ...:
            del out[key]
        else:
            out[key] = value(out[key]) if callable(value) else value
    return folder_of({key: value for key, value in keys.items() if value is not ...}, out)


def with_byte(place, value):
    return lambda tensor: (*tensor[:2], tensor[2][:place] + bytes([value]) + tensor[2][place + 1:])


def quantization(name, **keys):
    return {"quantization_config": {**MAKERS[name][0]["quantization_config"], **keys}}


def with_length(name, length):
    content = GOOD[name]["model.safetensors"]
    return {**GOOD[name], "model.safetensors": content[:length]}


def mxfp4_cases():
    blocks, scales = (f"{LAYER}mlp.experts.down_proj_{half}" for half in ("blocks", "scales"))
    gate_blocks = f"{LAYER}mlp.experts.gate_up_proj_blocks"
    yield "missing", "scales without blocks", of("mxfp4", **{blocks: ...})
    yield "missing", "blocks without scales", of("mxfp4", **{scales: ...})
    yield "missing", "no sinks", of("mxfp4", **{LAYER + "self_attn.sinks": ...})
    yield "missing", "biases of experts left out", of("mxfp4", **{LAYER + "mlp.experts.down_proj_bias": ...})
    yield "truncated", "half of the file", with_length("mxfp4", len(GOOD["mxfp4"]["model.safetensors"]) // 2)
    yield "truncated", "blocks of 15 bytes", of("mxfp4", **{blocks: codes("U8", [EXPERTS, WIDE, 1, 15])})
    yield "truncated", "one scale too few", of("mxfp4", **{scales: codes("U8", [EXPERTS, WIDE - 1, 1])})
    yield "wrong type", "blocks of I8", of("mxfp4", **{blocks: codes("I8", [EXPERTS, WIDE, 1, 16])})
    yield "wrong type", "scales of F32", of("mxfp4", **{scales: floats([EXPERTS, WIDE, 1])})
    yield "wrong type", "a method that nobody has", of("mxfp4", quantization("mxfp4", quant_method="mxfp3"))
    yield "wrong type", "a configuration that is a list", of("mxfp4", {"quantization_config": ["mxfp4"]})
    yield "out of range", "a scale of 255", of("mxfp4", **{scales: with_byte(7, 255)})
    yield "out of range", "values beyond bf16", of("mxfp4", **{scales: codes("U8", [EXPERTS, WIDE, 1], 254, 255), blocks: codes("U8", [EXPERTS, WIDE, 1, 16], 0x77, 0x78)})
    yield "out of range", "a limit of 0", of("mxfp4", {"swiglu_limit": 0})
    yield "huge", "blocks of 2^40 columns", of("mxfp4", **{blocks: ("U8", [EXPERTS, 1 << 40, 1, 16], b"")})
    yield "huge", "a limit of 10^400", of("mxfp4", {"swiglu_limit": HUGE})
    yield "huge", "1 GB of zeros behind the tensors", {**GOOD["mxfp4"], "model.safetensors": zeros_after(GOOD["mxfp4"]["model.safetensors"], 1_000_000_000)}
    yield "cyclic", "blocks beside what they decode to", of("mxfp4", **{f"{LAYER}mlp.experts.down_proj": floats([EXPERTS, WIDE, WIDE])})
    yield "cyclic", "blocks of blocks", of("mxfp4", **{blocks: ..., scales: ..., blocks + "_blocks": codes("U8", [EXPERTS, WIDE, 1, 16]), blocks + "_scales": codes("U8", [EXPERTS, WIDE, 1])})
    yield "swapped", "blocks and scales", of("mxfp4", **{blocks: codes("U8", [EXPERTS, WIDE, 1]), scales: codes("U8", [EXPERTS, WIDE, 1, 16])})
    yield "swapped", "the two projections", of("mxfp4", **{blocks: codes("U8", [EXPERTS, 2 * WIDE, 1, 16]), gate_blocks: codes("U8", [EXPERTS, WIDE, 1, 16])})
    yield "swapped", "the original's names", of("mxfp4", **{blocks: ..., scales: ..., "block.0.mlp.mlp2_weight.blocks": codes("U8", [EXPERTS, WIDE, 1, 16]), "block.0.mlp.mlp2_weight.scales": codes("U8", [EXPERTS, WIDE, 1])})


def fp8_cases():
    weight = LAYER + "self_attn.o_proj.weight"  # [8, 8]
    scale = weight + "_scale_inv"
    yield "missing", "no scales", of("fp8", **{scale: ...})
    yield "missing", "scales alone", of("fp8", **{weight: ...})
    yield "truncated", "half of the file", with_length("fp8", len(GOOD["fp8"]["model.safetensors"]) // 2)
    yield "truncated", "scales of no elements", of("fp8", **{scale: ("F32", [1, 0], b"")})
    yield "wrong type", "scales of BF16", of("fp8", **{scale: codes("BF16", [1, 1])})
    yield "wrong type", "scales beside F32", of("fp8", **{weight: floats([H, H])})
    yield "wrong type", "a norm in fp8", of("fp8", **{"model.norm.weight": codes("F8_E4M3", [H])})
    yield "wrong type", "E5M2", of("fp8", quantization("fp8", fmt="e5m2"))
    yield "wrong type", "two values a byte", of("fp8", **{weight: codes("I8", [H, H // 2])})
    yield "out of range", "a weight that is no number", of("fp8", **{weight: with_byte(5, 0x7F)})
    yield "out of range", "a negative one", of("fp8", **{weight: with_byte(63, 0xFF)})
    yield "out of range", "a scale that is no number", of("fp8", **{scale: ("F32", [1, 1], struct.pack("<f", math.nan))})
    yield "out of range", "an infinite scale", of("fp8", **{scale: ("F32", [1, 1], struct.pack("<f", math.inf))})
    yield "out of range", "E8M0 of 255", of("fp8", **{scale: ("F8_E8M0", [1, 1], b"\xff")})
    yield "huge", "values beyond bf16", of("fp8", **{scale: ("F32", [1, 1], struct.pack("<f", 3e38))})
    yield "huge", "a grid of 2^30 scales", of("fp8", **{scale: ("F32", [1 << 15, 1 << 15], b"")})
    yield "huge", "blocks of 2^62", of("fp8", quantization("fp8", weight_block_size=[1 << 62, 128]))
    yield "cyclic", "scales of scales", of("fp8", **{scale: codes("F8_E4M3", [1, 1]), scale + "_scale_inv": ("F32", [1, 1], struct.pack("<f", 1))})
    yield "cyclic", "brackets in the configuration", {**GOOD["fp8"], "config.json": deep(GOOD["fp8"]["config.json"][:-1] + b', "quantization_config": ')}
    yield "swapped", "weight and scales", of("fp8", **{weight: ("F32", [1, 1], struct.pack("<f", 1)), scale: codes("F8_E4M3", [H, H])})
    yield "swapped", "a block of columns for one of rows", of("fp8", **{scale: ("F32", [1, 2], struct.pack("<2f", 1, 1))})
    yield "swapped", "blocks of 64", of("fp8", quantization("fp8", weight_block_size=[64, 64]))
    yield "swapped", "another method's configuration", of("fp8", {"quantization_config": {"quant_method": "gptq", "bits": 4}})


def openmoe_cases():
    moe = "model.layers.1."
    yield "missing", "no router", of("openmoe", **{moe + "mlp.gate_weight": ...})
    yield "missing", "the extra network's norm", of("openmoe", **{moe + "pre_extra_mlp_layernorm.weight": ...})
    yield "missing", "an experts' matrix", of("openmoe", **{moe + "mlp.experts.wi_up": ...})
    yield "missing", "no number of experts", of("openmoe", {"num_experts": ...})
    yield "truncated", "half of the file", with_length("openmoe", len(GOOD["openmoe"]["model.safetensors"]) // 2)
    yield "truncated", "a gate of single width", of("openmoe", **{moe + "mlp.experts.wi_gate": floats([EXPERTS, H, 4])})
    yield "wrong type", "an interval in words", of("openmoe", {"moe_layer_interval": "every second"})
    yield "wrong type", "a list of factors", of("openmoe", {"router_capacity_factor_eval": [2.0]})
    yield "wrong type", "drops that are a number", of("openmoe", {"router_drop_tks": 1})
    yield "out of range", "an interval of 0", of("openmoe", {"moe_layer_interval": 0})
    yield "out of range", "an interval beyond the layers", of("openmoe", {"moe_layer_interval": 3})
    yield "out of range", "more choices than experts", of("openmoe", {"router_topk": EXPERTS + 1})
    yield "out of range", "a factor of -1", of("openmoe", {"router_capacity_factor_eval": -1})
    yield "out of range", "another base of the rotation", of("openmoe", {"rope_theta": 500.0})
    yield "huge", "a factor of 10^400", of("openmoe", {"router_capacity_factor_train": HUGE})
    yield "huge", "a minimum of 2^62", of("openmoe", {"router_min_capacity": 1 << 62})
    yield "huge", "2^24 experts", of("openmoe", {"num_experts": 1 << 24})
    yield "cyclic", "both spellings, which disagree", of("openmoe", {"topk": 1})
    yield "cyclic", "brackets as an interval", {**GOOD["openmoe"], "config.json": deep(GOOD["openmoe"]["config.json"][:-1] + b', "moe_layer_interval": ')}
    yield "swapped", "rows and columns of the experts", of("openmoe", **{moe + "mlp.experts.wi_gate": floats([EXPERTS, 8, 4]), moe + "mlp.experts.wi_up": floats([EXPERTS, 4, H])})
    yield "swapped", "the layers", of("openmoe", {"moe_layer_interval": 1})
    yield "swapped", "llama's class", of("openmoe", {"architectures": ["LlamaForCausalLM"]})
    yield "swapped", "llama's activation", of("openmoe", {"hidden_act": "silu"})


PACKED_CASES = {"mxfp4": mxfp4_cases, "fp8": fp8_cases, "openmoe": openmoe_cases}

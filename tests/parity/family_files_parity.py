"""Forms in which a model's files are found, beyond what one version of transformers writes: evenkeel reads them as the same model.

    EVENKEEL=build/evenkeel python tests/parity/family_files_parity.py

Each form is made from a small model of family_models.py by a change of its tensors or config.json. What transformers makes of
the changed folder (heads that are tied), or of the unchanged one (keys of older versions, buffers, layouts that stand side by
side), is what `evenkeel trace` has to give. Where versions of transformers disagree, a refusal will do.
"""

import json
import pathlib
import tempfile

import torch
from families_parity import BATCH, LENGTH, LOGIT_TOLERANCE, trace
from family_models import draws, load, save_draw
from fixtures import VOCABULARY, Checks
from safetensors.torch import load_file, save_file

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def renamed_count(old, new):
    def change(tensors, config):
        config[new] = config.pop(old)
    return change


def head_as_embedding(tensors, config):
    config["tie_word_embeddings"] = True
    tensors[HEAD] = tensors[EMBEDDING].clone()


def other_head(tensors, config):
    config["tie_word_embeddings"] = True  # two tensors that differ: not tied


def head_alone(tensors, config):
    config["tie_word_embeddings"] = True
    del tensors[EMBEDDING]


def old_buffers(tensors, config):
    for layer in range(config["num_hidden_layers"]):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.rand(4)


def one_layer_fused(tensors, config):
    """The last layer fused, the others an expert at a time."""
    at = f"model.layers.{config['num_hidden_layers'] - 1}.mlp.experts."
    n = len({name.split(".")[5] for name in tensors if name.startswith(at)})
    parts = {name: [tensors.pop(f"{at}{e}.{name}_proj.weight") for e in range(n)] for name in ("gate", "up", "down")}
    tensors[at + "gate_up_proj"] = torch.stack([torch.cat(pair) for pair in zip(parts["gate"], parts["up"])])
    tensors[at + "down_proj"] = torch.stack(parts["down"])


def some_in_half_precision(tensors, config):
    """Types by tensor: matrices rounded to bf16 or fp16, norms as they are."""
    for number, name in enumerate(sorted(tensors)):
        if tensors[name].ndim > 1:
            tensors[name] = tensors[name].to((torch.bfloat16, torch.float16, torch.float32)[number % 3])


def null_keys(tensors, config):
    """What an older version left out or wrote as null."""
    for key in ("head_dim", "rope_scaling", "sliding_window", "quantization_config", "pad_token_id", "clip_qkv"):
        config.setdefault(key, None)
    config.pop("architectures")


def prediction_layer(tensors, config):
    """DeepSeek-V3's layer that predicts a second token, behind the last one; the class drops it."""
    n = config["num_hidden_layers"]
    config["num_nextn_predict_layers"] = 1
    for name in [name for name in tensors if name.startswith(f"model.layers.{n - 1}.")]:
        tensors[name.replace(f"layers.{n - 1}.", f"layers.{n}.")] = tensors[name].clone()
    H = config["hidden_size"]
    for name, shape in (("embed_tokens.weight", (VOCABULARY, H)), ("enorm.weight", (H,)), ("hnorm.weight", (H,)), ("eh_proj.weight", (H, 2 * H)), ("shared_head.norm.weight", (H,)), ("shared_head.head.weight", (VOCABULARY, H))):
        tensors[f"model.layers.{n}.{name}"] = torch.rand(shape)


def as_mxfp4(tensors, config):
    """The experts of gpt-oss as the hub has them. `tensors` become what transformers' own decoder makes of the blocks."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    generator, packed = torch.Generator().manual_seed(5), {}
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, columns, rows = tensors[name].shape
        blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(121, 126, (experts, rows, columns // 32), generator=generator, dtype=torch.uint8)
        tensors[name] = convert_moe_packed_tensors(blocks, scales).float().contiguous()
        packed.update({name: None, f"{name}_blocks": blocks, f"{name}_scales": scales})
    return packed, {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}


def as_fp8(tensors, config):
    """DeepSeek-V3's matrices in fp8; `tensors` become what fp8_cast_bf16.py makes of them, one scale for each 128 x 128."""
    packed = {}
    for name in [name for name in tensors if "_proj" in name and name.endswith(".weight")]:
        rows, columns = tensors[name].shape
        scales = torch.zeros(-(-rows // 128), -(-columns // 128))
        stored = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
        for row in range(scales.shape[0]):
            for column in range(scales.shape[1]):
                block = (slice(128 * row, 128 * row + 128), slice(128 * column, 128 * column + 128))
                scales[row, column] = tensors[name][block].abs().max() / 448
                stored[block] = (tensors[name][block] / scales[row, column]).to(torch.float8_e4m3fn)
                tensors[name][block] = (stored[block].float() * scales[row, column]).bfloat16().float()
        packed.update({name: stored, f"{name}_scale_inv": scales})
    return packed, {"quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}}


def one_expert(tensors, config):
    config.update({"num_experts_per_tok": 1, **({"norm_topk_prob": True} if "norm_topk_prob" in config else {})})


# name, family, what packs its weights, other settings
PACKED = [
    ("experts in MXFP4", "gpt_oss", as_mxfp4, {"hidden_size": 32, "intermediate_size": 32}),
    ("matrices in fp8", "deepseek_v3", as_fp8, {"hidden_size": 144, "intermediate_size": 136, "moe_intermediate_size": 20}),
]
# May be refused by a word: transformers 4 takes the embedding, 5 both.
MAY_REFUSE = {"tied, the head differs from the embedding": HEAD}
# name, family, change, whether transformers reads the changed folder too (else the unchanged one is the reference)
FORMS = [
    ("tied, the head is a copy of the embedding", "llama", head_as_embedding, True),
    ("tied, the head differs from the embedding", "llama", other_head, True),
    ("tied, the head alone", "llama", head_alone, True),
    ("buffers of rotation", "llama", old_buffers, False),
    ("null and absent keys", "llama", null_keys, False),
    ("types by tensor", "qwen2_moe", some_in_half_precision, True),
    ("num_local_experts", "olmoe", renamed_count("num_experts", "num_local_experts"), False),
    ("num_experts", "mixtral", renamed_count("num_local_experts", "num_experts"), False),
    ("num_experts", "granitemoe", renamed_count("num_local_experts", "num_experts"), False),
    ("num_local_experts", "deepseek_v3", renamed_count("n_routed_experts", "num_local_experts"), False),
    ("num_local_experts", "qwen2_moe", renamed_count("num_experts", "num_local_experts"), False),
    ("one layer fused", "olmoe", one_layer_fused, True),
    ("one layer fused", "deepseek_v2", one_layer_fused, True),
    ("one expert, its weight divided by itself", "mixtral", one_expert, True),
    ("one expert, its weight divided by itself", "olmoe", one_expert, True),
    ("one expert, its weight divided by itself", "glm4_moe", one_expert, True),
    ("one expert, its weight divided by itself", "deepseek_v3", one_expert, True),
    ("one expert, its weight divided by itself", "granitemoe", one_expert, True),
    ("a layer that predicts a second token", "deepseek_v3", prediction_layer, False),
]


def plain_draw(family, **settings):
    """An untied draw of full attention in fp32, the heads of llama as wide as the rest."""
    draw = draws(family)[0]
    draw.update(storage="fp32", config_form="5", tie_word_embeddings=False, rope="default", **settings)
    return draw


def logits_of(folder, ids):
    with torch.no_grad():
        return load(folder).eval()(input_ids=ids).logits


def compare_form(check, name, family, change, both, work):
    folder = save_draw(family, 0, plain_draw(family), work / "model")
    ids = torch.randint(1, VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    (work / "tokens.json").write_text(json.dumps(ids.tolist()))
    before = logits_of(folder, ids)
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    change(tensors, config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    wanted = logits_of(folder, ids) if both else before
    out, error = trace(folder, work)
    difference = float("inf") if error else (out["logits"] - wanted).abs().max().item()
    if error and name in MAY_REFUSE:
        return check(f"{family}: {name}, is refused", error.startswith("exit code 2: evenkeel: error: ") and MAY_REFUSE[name] in error, error)
    check(f"{family}: {name}", difference <= LOGIT_TOLERANCE, error or f"logits {difference:.0e}, {(wanted - before).abs().max():.0e} from the unchanged folder's")


def compare_packed(check, name, family, pack, settings, work):
    """Weights in 4 or 8 bits are those that they decode to; transformers computes with these."""
    folder = save_draw(family, 0, plain_draw(family, **settings), work / "model")
    ids = torch.randint(1, VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    (work / "tokens.json").write_text(json.dumps(ids.tolist()))
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    before = logits_of(folder, ids)
    packed, keys = pack(tensors, config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    wanted = logits_of(folder, ids)
    stored = {key: value for key, value in {**tensors, **packed}.items() if value is not None}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config, **keys}))
    out, error = trace(folder, work)
    difference = float("inf") if error else (out["logits"] - wanted).abs().max().item()
    check(f"{family}: {name}", difference <= LOGIT_TOLERANCE and len(packed) > 0, error or f"logits {difference:.0e}, {(wanted - before).abs().max():.0e} from the unchanged folder's")


def main():
    check = Checks()
    for name, family, pack, settings in PACKED:
        with tempfile.TemporaryDirectory(prefix="evenkeel_files_") as work:
            compare_packed(check, name, family, pack, settings, pathlib.Path(work))
    for name, family, change, both in FORMS:
        with tempfile.TemporaryDirectory(prefix="evenkeel_files_") as work:
            compare_form(check, name, family, change, both, pathlib.Path(work))
    check.finish()


if __name__ == "__main__":
    main()

"""How many parameters a model has: `evenkeel plan` against transformers' classes on the meta device, where no tensor has any data.

    EVENKEEL=build/evenkeel python tests/parity/counts_parity.py

1. The presets of released models, against the configurations of their releases.
2. Random configurations of every family, of sizes at which a wrong width, layer or bias cannot hide.

The biases of balancing routers are no parameters: transformers has them as buffers, evenkeel as the state of a router.
"""

import json
import pathlib
import random
import subprocess
import tempfile

import torch
import transformers
from family_models import SETTINGS, config_of, draws
from fixtures import EVENKEEL, Checks, evenkeel, write_pair

DRAWS = 20
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "original_max_position_embeddings": 4096}
# Preset -> (the class, what the release's config.json says of sizes).
RELEASED = {
    "olmoe-1b-7b": ("olmoe", {"vocab_size": 50304, "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 1024,
                              "num_experts": 64, "num_experts_per_tok": 8}),
    "mixtral-8x7b": ("mixtral", {"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
                                 "num_local_experts": 8, "num_experts_per_tok": 2}),
    # No class of transformers is DeepSeek's first version. qwen2_moe without biases is the same but for the gate of its shared expert.
    "deepseek-moe-16b": ("qwen2_moe", {"vocab_size": 102400, "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 10944,
                                       "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 2816, "num_experts": 64, "num_experts_per_tok": 6, "mlp_only_layers": [0], "qkv_bias": False}),
    "deepseek-v2-lite": ("deepseek_v2", {"vocab_size": 102400, "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 10944,
                                         "moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "q_lora_rank": None,
                                         "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "rope_parameters": YARN}),
    "deepseek-v3": ("deepseek_v3", {"vocab_size": 129280, "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "intermediate_size": 18432,
                                    "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "q_lora_rank": 1536,
                                    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "rope_parameters": YARN}),
    "qwen1.5-moe-a2.7b": ("qwen2_moe", {"vocab_size": 151936, "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 5632,
                                        "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts": 60, "num_experts_per_tok": 4}),
    "qwen3-30b-a3b": ("qwen3_moe", {"vocab_size": 151936, "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144,
                                    "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8}),
    "gpt-oss-20b": ("gpt_oss", {"vocab_size": 201088, "hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880,
                                "num_local_experts": 32, "num_experts_per_tok": 4}),
}
# No class of transformers; presets_test.cpp has their counts.
NO_CLASS = {"openmoe-base", "openmoe-8b", "openmoe-34b"}
GATES = {"deepseek-moe-16b": 2048 * 27}  # which the class has beyond the model: hidden_size, of each layer with experts

RECIPE = """
[model]
preset = "{preset}"
[train]
batch_size = 1
sequence_length = 16
[[phase]]
name = "one"
steps = 1
data = [{{name = "x", path = "{data}"}}]
schedule = {{kind = "constant", lr_max = 1e-3}}
"""


def released_presets():
    """Those that `evenkeel keys` lists, but for the small ones and a paper's."""
    listed = json.loads(subprocess.run([EVENKEEL, "keys", "model.preset", "--json"], capture_output=True, text=True, check=True).stdout)
    return {name for name in listed["keys"][0]["meaning"].split(": ")[-1].split(", ") if not name.startswith(("tiny/", "paper/"))}


def count(config):
    """Parameters of the class; a tied head once."""
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def planned(what):
    return json.loads(evenkeel("plan", what, "--json", *(["--no-measure"] if str(what).endswith(".toml") else [])))["parameters"]["total"]


def compare_preset(check, preset, work):
    family, keys = RELEASED[preset]
    (work / "recipe.toml").write_text(RECIPE.format(preset=preset, data=work / "data"))
    ours = planned(work / "recipe.toml")
    theirs = count(transformers.CONFIG_MAPPING[family](**keys, tie_word_embeddings=False)) - GATES.get(preset, 0)
    check(preset, ours == theirs, f"{ours} as {theirs} of {family}")


# Sizes -> the values that take their place, beside the settings of a draw.
LARGER = {
    "hidden_size": (256, 384, 1024, 1536), "num_hidden_layers": (3, 4, 7), "intermediate_size": (96, 640, 1111), "moe_intermediate_size": (72, 200, 513), "shared_expert_intermediate_size": (96, 333, 768),
    "shared_intermediate_size": (96, 333, 768), "kv_lora_rank": (64, 96, 200), "qk_nope_head_dim": (32, 48, 128), "qk_rope_head_dim": (16, 32, 64), "v_head_dim": (32, 64, 100),
}


def larger(draw, number):
    """A draw of larger sizes, those that it has; what is 0 or null stays so."""
    source, out = random.Random(f"larger {number}"), dict(draw)
    for key, values in LARGER.items():
        if out.get(key):
            out[key] = source.choice(values)
    if out.get("head_dim"):
        out["head_dim"] = source.choice((32, 64, 80))
    if out.get("q_lora_rank"):
        out["q_lora_rank"] = source.choice((96, 160))
    for heads, kv_heads in ((16, 4), (8, 8), (32, 8)):  # of latent attention both are one number
        if source.random() < 0.5:
            out.update(num_attention_heads=heads, num_key_value_heads=heads if "kv_lora_rank" in out else kv_heads)
    if "layer_types" in out:
        out["layer_types"] = [out["layer_types"][layer % len(out["layer_types"])] for layer in range(out["num_hidden_layers"])]
    return out


def compare_draws(check, family, work):
    dealt, wrong, counts = draws(family), [], []
    for number in range(DRAWS):
        draw = larger(dealt[number % len(dealt)], number)
        config = config_of(family, draw)
        config.vocab_size = random.Random(f"vocabulary {number}").choice((1000, 4099, 32000))
        folder = work / f"{family}-{number}"
        folder.mkdir()
        config.save_pretrained(folder)
        ours, theirs = planned(folder), count(config)
        counts.append(theirs)
        if ours != theirs:
            wrong.append(f"{ours}, need {theirs}: {draw}")
    check(f"{family}: {DRAWS} random configurations", not wrong, f"{min(counts)} .. {max(counts)} parameters" + "".join(f"\n       {line}" for line in wrong))


def main():
    check = Checks()
    presets = released_presets() - NO_CLASS
    check("every preset of a released model is here", presets == set(RELEASED), f"not here {sorted(presets - set(RELEASED))}, not a preset {sorted(set(RELEASED) - presets)}")
    with tempfile.TemporaryDirectory(prefix="evenkeel_counts_") as work:
        work = pathlib.Path(work)
        write_pair(work / "data", [[1] * 40])
        for preset in RELEASED:
            compare_preset(check, preset, work)
        for family in SETTINGS:
            compare_draws(check, family, work)
    check.finish()


if __name__ == "__main__":
    main()

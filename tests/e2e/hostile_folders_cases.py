"""The folders of hostile_folders_test.py: good ones of several families, and what is changed in them. Standard library only."""
import json
import os
import random
import struct

from hostile_files_test import in_pieces, zeros_after

H, V, HEADS, HEAD, EXPERTS, INNER, LAYERS = 8, 16, 2, 4, 4, 4, 2
HUGE = 10**400  # no number of 64 bits, and no double

# ---- good folders: file name -> bytes (or a function that writes the path) ----


def joined(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def split(content):
    size = struct.unpack_from("<Q", content)[0]
    return json.loads(content[8:8 + size]), content[8 + size:]


def safetensors(shapes, seed=1):
    draw, header, data = random.Random(seed), {"__metadata__": {"format": "pt"}}, b""
    for name, shape in shapes.items():
        size = 1
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * size]}
        data += struct.pack(f"<{size}f", *(draw.gauss(0, 0.3) for _ in range(size)))
    return joined(header, data)


def gated(place, width):
    return {f"{place}.gate_proj.weight": [width, H], f"{place}.up_proj.weight": [width, H], f"{place}.down_proj.weight": [H, width]}


def attention(at, config):
    if "kv_lora_rank" in config:
        nope, rope, value, rank = (config[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
        return {at + "q_proj.weight": [HEADS * (nope + rope), H], at + "kv_a_proj_with_mqa.weight": [rank + rope, H], at + "kv_a_layernorm.weight": [rank],
                at + "kv_b_proj.weight": [HEADS * (nope + value), rank], at + "o_proj.weight": [H, HEADS * value]}
    out = {f"{at}{name}_proj.weight": [H, H] for name in "qkvo"}
    if config["model_type"] == "olmoe":
        out |= {at + "q_norm.weight": [H], at + "k_norm.weight": [H]}
    if config["model_type"] == "qwen3_moe":
        out |= {at + "q_norm.weight": [HEAD], at + "k_norm.weight": [HEAD]}
    if config["model_type"] == "qwen2_moe":
        out |= {f"{at}{name}_proj.bias": [H] for name in "qkv"}
    return out


def feed_forward(at, config):
    family = config["model_type"]
    if family == "llama":
        return gated(at + "mlp", 12)
    if family == "granitemoe":
        moe = at + "block_sparse_moe."
        return {moe + "router.layer.weight": [EXPERTS, H], moe + "input_linear.weight": [EXPERTS, 2 * INNER, H], moe + "output_linear.weight": [EXPERTS, H, INNER]}
    if family == "mixtral":
        moe = at + "block_sparse_moe."
        names = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
        out = {moe + "gate.weight": [EXPERTS, H]}
        for expert in range(EXPERTS):
            for name, shape in gated(f"{moe}experts.{expert}", INNER).items():
                out[name.replace(name.split(".")[-2], names[name.split(".")[-2]])] = shape
        return out
    out = {at + "mlp.gate.weight": [EXPERTS, H]}
    for expert in range(EXPERTS):
        out |= gated(f"{at}mlp.experts.{expert}", INNER)
    if family == "deepseek_v3":
        out |= {at + "mlp.gate.e_score_correction_bias": [EXPERTS], **gated(at + "mlp.shared_experts", INNER)}
    if family == "qwen2_moe":
        out |= {**gated(at + "mlp.shared_expert", 6), at + "mlp.shared_expert_gate.weight": [1, H]}
    return out


COMMON = {"vocab_size": V, "hidden_size": H, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "hidden_act": "silu",
          "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "float32"}
CONFIGS = {
    "llama": {"intermediate_size": 12, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}},
    "olmoe": {"intermediate_size": INNER, "num_experts": EXPERTS, "num_experts_per_tok": 2, "norm_topk_prob": False, "clip_qkv": 4.0},
    "mixtral": {"intermediate_size": INNER, "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "sliding_window": 8},
    "qwen2_moe": {"intermediate_size": 12, "moe_intermediate_size": INNER, "shared_expert_intermediate_size": 6, "num_experts": EXPERTS, "num_experts_per_tok": 2, "norm_topk_prob": False,
                  "decoder_sparse_step": 1, "mlp_only_layers": []},
    "qwen3_moe": {"intermediate_size": 12, "moe_intermediate_size": INNER, "num_experts": EXPERTS, "num_experts_per_tok": 2, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []},
    "granitemoe": {"intermediate_size": INNER, "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "embedding_multiplier": 2.0, "attention_multiplier": 0.5, "residual_multiplier": 0.3, "logits_scaling": 4.0},
    "deepseek_v3": {"intermediate_size": 12, "moe_intermediate_size": INNER, "n_routed_experts": EXPERTS, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "norm_topk_prob": True,
                    "routed_scaling_factor": 2.5, "first_k_dense_replace": 0, "q_lora_rank": None, "kv_lora_rank": 6, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 4, "rope_interleave": True},
}


def config_of(family):
    return {"model_type": family, **COMMON, **CONFIGS[family]}


def shapes_of(family):
    config, out = config_of(family), {"model.embed_tokens.weight": [V, H]}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        out |= {at + "input_layernorm.weight": [H], **attention(at + "self_attn.", config), at + "post_attention_layernorm.weight": [H], **feed_forward(at, config)}
    return {**out, "model.norm.weight": [H], "lm_head.weight": [V, H]}


def single(family):
    return {"config.json": json.dumps(config_of(family)).encode(), "model.safetensors": safetensors(shapes_of(family))}


def sharded(family="mixtral"):
    names = list(shapes_of(family).items())
    parts = [dict(names[:len(names) // 2]), dict(names[len(names) // 2:])]
    files = {f"model-{i}.safetensors": safetensors(part, i) for i, part in enumerate(parts, 1)}
    weight_map = {name: f"model-{i}.safetensors" for i, part in enumerate(parts, 1) for name in part}
    return {"config.json": json.dumps(config_of(family)).encode(), "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": weight_map}).encode(), **files}


# ---- changes of a folder ----

Q = "model.layers.0.self_attn.q_proj.weight"  # [8, 8]
NORM = "model.norm.weight"                    # [8]
EMBEDDING = "model.embed_tokens.weight"       # [16, 8]


def of_file(change, family="llama"):
    """A single-file folder whose header and data are change(header, data) -> (header, data)."""
    folder = single(family)
    folder["model.safetensors"] = joined(*change(*split(folder["model.safetensors"])))
    return folder


def of_entry(name, family="llama", **values):
    def change(header, data):
        entry = header[name]
        for key, value in values.items():
            if value is None:
                del entry[key]
            else:
                entry[key] = value
        return header, data
    return of_file(change, family)


def of_config(family, **values):
    """Keys of config.json, ... for one that is missing."""
    folder, config = single(family), config_of(family)
    for key, value in values.items():
        config.pop(key) if value is ... else config.update({key: value})
    folder["config.json"] = json.dumps(config).encode()
    return folder


def of_index(change):
    folder = sharded()
    index = json.loads(folder["model.safetensors.index.json"])
    folder["model.safetensors.index.json"] = json.dumps(change(index)).encode()
    return folder


def mapped(**places):
    """A tensor of weight_map elsewhere; names of tensors with their dots as they are."""
    return lambda index: {**index, "weight_map": {**index["weight_map"], **places}}


def without(folder, *names):
    return {name: content for name, content in folder.items() if name not in names}


def link(target):
    return lambda path: os.symlink(target, path)


def raw_length(length, keep=None):
    """The length that the first eight bytes promise, in place of the header's."""
    folder = single("llama")
    content = folder["model.safetensors"]
    folder["model.safetensors"] = (struct.pack("<Q", length) + content[8:])[:keep]
    return folder


def header_text(text):
    return {**single("llama"), "model.safetensors": joined(text, b"")}


def renamed(header, data, *pairs):
    for old, new in pairs:
        header["..." + new] = header.pop(old)
    return {name.removeprefix("..."): entry for name, entry in header.items()}, data


def added(family, name):
    """A folder with one tensor more."""
    return {**single(family), "model.safetensors": safetensors({**shapes_of(family), name: [H]})}


def swapped_entries(key, one, other):
    def change(header, data):
        header[one][key], header[other][key] = header[other][key], header[one][key]
        return header, data
    return of_file(change)


def doubled(header):
    """The text of a header with a name twice."""
    text = json.dumps(header)
    entry = json.dumps(header[NORM])
    return (text[:-1] + f', "{NORM}": {entry}}}').encode()


def deep(place, times=200_000):
    """A document nested so often."""
    return in_pieces((place, 1), (b"[" * 1000, times // 1000))


def end_of(header):
    return max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")


def header_cases():
    good = single("llama")["model.safetensors"]
    size = struct.unpack_from("<Q", good)[0]
    yield "missing", "no file of tensors", without(single("llama"), "model.safetensors")
    yield "missing", "an empty file", {**single("llama"), "model.safetensors": b""}
    yield "missing", "no name of a tensor", of_file(lambda header, data: renamed(header, data, (Q, "")))
    yield "missing", "a header without tensors", header_text(b"{}")
    yield "missing", "a norm left out", of_file(lambda header, data: ({name: entry for name, entry in header.items() if name != NORM}, data))
    yield "missing", "an expert left out", of_file(lambda header, data: ({name: entry for name, entry in header.items() if ".experts.3." not in name}, data), "olmoe")
    yield "missing", "a router left out", of_file(lambda header, data: ({name: entry for name, entry in header.items() if "mlp.gate." not in name}, data), "qwen3_moe")
    yield "truncated", "seven bytes", {**single("llama"), "model.safetensors": good[:7]}
    yield "truncated", "the length alone", {**single("llama"), "model.safetensors": good[:8]}
    yield "truncated", "half of the header", {**single("llama"), "model.safetensors": good[:8 + size // 2]}
    yield "truncated", "the header's last bracket", raw_length(size - 1)
    yield "truncated", "a file that ends with the header", {**single("llama"), "model.safetensors": good[:8 + size]}
    yield "wrong type", "a list", header_text(b"[]")
    yield "wrong type", "a number", header_text(b"7")
    yield "wrong type", "bytes that are no UTF-8", header_text(b'{"\xff\xfe": 1}')
    yield "wrong type", "a tensor that is a number", of_file(lambda header, data: ({**header, Q: 3}, data))
    yield "wrong type", "metadata that is a list", of_file(lambda header, data: ({**header, "__metadata__": []}, data))
    yield "wrong type", "metadata of numbers", of_file(lambda header, data: ({**header, "__metadata__": {"format": 1}}, data))
    yield "wrong type", "a pickle", {**single("llama"), "model.safetensors": b"\x80\x02}q\x00(X\x05\x00\x00\x00helloq\x01K\x01u." * 20}
    yield "wrong type", "a folder in place of the file", {**single("llama"), "model.safetensors": lambda path: path.mkdir()}
    yield "wrong type", "a pipe in place of the file", {**single("llama"), "model.safetensors": os.mkfifo}
    yield "out of range", "a length of 0", raw_length(0)
    yield "out of range", "a length that ends before the header does", raw_length(size // 2)
    yield "out of range", "a length one beyond the file", raw_length(len(good) - 7)
    yield "out of range", "a key that no tensor has", of_entry(Q, strides=[8, 1])
    yield "huge", "a length of 2^63", raw_length(1 << 63)
    yield "huge", "a length of 2^64 - 1", raw_length((1 << 64) - 1)
    yield "huge", "a header of 1 GB of zeros", {**single("llama"), "model.safetensors": zeros_after(struct.pack("<Q", 1_000_000_000), 1_000_000_000)}
    yield "huge", "a header of 90 MB of spaces", {**single("llama"), "model.safetensors": in_pieces((struct.pack("<Q", 90_000_000), 1), (b" " * 1_000_000, 90))}
    yield "huge", "a name of 20 MB", {**single("llama"), "model.safetensors": in_pieces((struct.pack("<Q", 20_000_006) + b'{"', 1), (b"a" * 1_000_000, 20), (b'":1}', 1))}
    yield "huge", "500,000 empty tensors", {**single("llama"), "model.safetensors": many_tensors(500_000)}
    yield "cyclic", "a link to itself", {**single("llama"), "model.safetensors": link("model.safetensors")}
    yield "cyclic", "a header of brackets", {**single("llama"), "model.safetensors": deep(struct.pack("<Q", 200_000))}
    yield "cyclic", "a name twice", of_file(lambda header, data: (doubled(header), data))
    yield "swapped", "names of two tensors", of_file(lambda header, data: renamed(header, data, (Q, EMBEDDING), (EMBEDDING, Q)))
    yield "swapped", "gate for down projection", of_file(lambda header, data: renamed(header, data, ("model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.down_proj.weight"), ("model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.gate_proj.weight")))
    yield "swapped", "another family's tensors", {**single("olmoe"), "config.json": single("llama")["config.json"]}
    yield "swapped", "a layer beyond the last", of_file(lambda header, data: renamed(header, data, (Q, Q.replace("0", "2"))))
    yield "swapped", "a layer beyond the last that predicts a second token", added("deepseek_v3", f"model.layers.{LAYERS + 1}.input_layernorm.weight")
    yield "swapped", "a name that only begins with such a layer's number", added("deepseek_v3", f"model.layers.{LAYERS}junk.weight")


def many_tensors(n):
    entries = [b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(n)]
    size = sum(map(len, entries)) + n + 1

    def write(path):
        with open(path, "wb") as out:
            out.write(struct.pack("<Q", size) + b"{" + b",".join(entries) + b"}")
    return write


def offset_cases():
    def q(**values):
        return of_entry(Q, **values)

    begin, end = split(single("llama")["model.safetensors"])[0][Q]["data_offsets"]
    yield "missing", "no offsets", q(data_offsets=None)
    yield "missing", "no shape", q(shape=None)
    yield "missing", "one offset", q(data_offsets=[begin])
    yield "missing", "offsets of nothing", q(data_offsets=[])
    yield "truncated", "data that end one byte early", of_file(lambda header, data: (header, data[:-1]))
    yield "truncated", "half of the data", of_file(lambda header, data: (header, data[:len(data) // 2]))
    yield "truncated", "an end four bytes early", q(data_offsets=[begin, end - 4])
    yield "truncated", "a shape one row short", q(shape=[7, 8])
    yield "wrong type", "offsets of texts", q(data_offsets=[str(begin), str(end)])
    yield "wrong type", "offsets of fractions", q(data_offsets=[begin + 0.5, end + 0.5])
    yield "wrong type", "an object of offsets", q(data_offsets={"begin": begin, "end": end})
    yield "wrong type", "a shape of texts", q(shape=["8", "8"])
    yield "wrong type", "a shape that is a number", q(shape=64)
    yield "wrong type", "a shape with null", q(shape=[8, "null"])
    yield "out of range", "an end beyond the file", q(data_offsets=[begin, end + (1 << 20)])
    yield "out of range", "a begin below 0", q(data_offsets=[-256, 0])
    yield "out of range", "a negative dimension", q(shape=[-8, -8])
    yield "out of range", "a dimension of 0", q(shape=[0, 8])
    yield "out of range", "bytes that no tensor has", of_file(lambda header, data: (header, data + b"1234"))
    yield "out of range", "three offsets", q(data_offsets=[begin, end, end])
    yield "huge", "an end of 2^63", q(data_offsets=[begin, 1 << 63])
    yield "huge", "an end of 10^400", q(data_offsets=[begin, HUGE])
    yield "huge", "dimensions whose product wraps to 64", q(shape=[(1 << 32) + 8, 1 << 32])
    yield "huge", "a dimension of 10^400", q(shape=[HUGE, 8])
    yield "huge", "a hundred thousand dimensions of 1", q(shape=[8, 8] + [1] * 100_000)
    yield "huge", "a terabyte that is not there", huge_embedding(1 << 40)
    yield "huge", "10 GB of sparse file", sparse_embedding()
    yield "cyclic", "two tensors in one place", of_file(lambda header, data: ({**header, Q: header[Q.replace("q_proj", "k_proj")]}, data))
    yield "cyclic", "a tensor that begins inside another", q(data_offsets=[begin - 32, end - 32])
    yield "cyclic", "one tensor over all data", of_file(lambda header, data: ({**header, Q: {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": [0, len(data)]}}, data))
    yield "swapped", "begin and end", q(data_offsets=[end, begin])
    yield "swapped", "places of two tensors of other sizes", swapped_entries("data_offsets", Q, EMBEDDING)
    yield "swapped", "shapes of two tensors", swapped_entries("shape", Q, EMBEDDING)
    yield "swapped", "rows and columns", of_entry(EMBEDDING, shape=[H, V])


def huge_embedding(n_bytes):
    def change(header, data):
        end = end_of(header)
        header[EMBEDDING] = {"dtype": "F32", "shape": [n_bytes // 32, 8], "data_offsets": [end, end + n_bytes]}
        return header, data
    return {**of_file(change), "config.json": of_config("llama", vocab_size=n_bytes // 32)["config.json"]}


def sparse_embedding():
    """A file whose size is what its header says, all holes, for a model of another size."""
    shapes = {**shapes_of("llama"), EMBEDDING: [10_000_000_000 // 32, 8]}
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return {**single("llama"), "model.safetensors": zeros_after(joined(header, b""), at)}


def index_cases():
    name = "model.safetensors.index.json"
    good = sharded()
    text = good[name]
    yield "missing", "no index", without(sharded(), name)
    yield "missing", "no weight_map", of_index(lambda index: {"metadata": {}})
    yield "missing", "a shard that is not there", without(sharded(), "model-2.safetensors")
    yield "missing", "a tensor that no shard has", of_index(mapped(**{"model.layers.9.mlp.gate.weight": "model-1.safetensors"}))
    yield "missing", "a tensor that the index leaves out", of_index(lambda index: {"weight_map": {key: value for key, value in index["weight_map"].items() if key != NORM}})
    yield "truncated", "half of the index", {**good, name: text[:len(text) // 2]}
    yield "truncated", "an empty index", {**good, name: b""}
    yield "truncated", "a shard cut", {**good, "model-2.safetensors": good["model-2.safetensors"][:-3]}
    yield "truncated", "an empty weight_map", of_index(lambda index: {"weight_map": {}})
    yield "wrong type", "a list", of_index(lambda index: [index])
    yield "wrong type", "a weight_map that is a list", of_index(lambda index: {"weight_map": list(index["weight_map"])})
    yield "wrong type", "a file that is a number", of_index(mapped(**{NORM: 2}))
    yield "wrong type", "a file that is null", of_index(mapped(**{NORM: None}))
    yield "wrong type", "a shard that is a folder", {**good, "model-2.safetensors": lambda path: path.mkdir()}
    yield "wrong type", "a shard that is a pipe", {**good, "model-2.safetensors": os.mkfifo}
    yield "wrong type", "an index that is a folder", {**good, name: lambda path: path.mkdir()}
    for what, file in (("a file outside of the folder", "../model-2.safetensors"), ("an absolute path", "/etc/passwd"), ("the folder itself", "."), ("a file without a name", ""),
                       ("a name with a zero byte", "model-2\0.safetensors"), ("a device", "/dev/zero")):
        yield "out of range", what, of_index(mapped(**{NORM: file}))
    yield "huge", "a name of 5 MB", of_index(mapped(**{NORM: "a" * 5_000_000}))
    yield "huge", "an index of 1 GB", {**good, name: zeros_after(b"{", 1_000_000_000)}
    yield "huge", "300,000 tensors", of_index(mapped(**{f"t{i}": "model-1.safetensors" for i in range(300_000)}))
    yield "huge", "100,000 shards", of_index(mapped(**{f"t{i}": f"model-{i}.safetensors" for i in range(3, 100_003)}))
    yield "cyclic", "the index as its own shard", of_index(mapped(**{NORM: name}))
    yield "cyclic", "an index that links to itself", {**good, name: link(name)}
    yield "cyclic", "shards that link to each other", {**good, "model-1.safetensors": link("model-2.safetensors"), "model-2.safetensors": link("model-1.safetensors")}
    yield "cyclic", "brackets", {**good, name: deep(b'{"weight_map": ')}
    yield "cyclic", "a tensor in both shards", {**good, "model-2.safetensors": both_shards(good)}
    yield "swapped", "the shards of two tensors", of_index(lambda index: mapped(**{NORM: index["weight_map"][EMBEDDING], EMBEDDING: index["weight_map"][NORM]})(index))
    yield "swapped", "the shards' contents", {**good, "model-1.safetensors": good["model-2.safetensors"], "model-2.safetensors": good["model-1.safetensors"]}
    yield "swapped", "the index of another model", {**single("llama"), name: text, "model.safetensors": b""}


def both_shards(folder):
    header, data = split(folder["model-2.safetensors"])
    return joined({**header, EMBEDDING: {"dtype": "F32", "shape": [V, H], "data_offsets": [len(data), len(data) + 4 * V * H]}}, data + bytes(4 * V * H))


def config_cases():
    text = single("llama")["config.json"]
    yield "missing", "no config.json", without(single("llama"), "config.json")
    for key in ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        yield "missing", f"no {key}", of_config("llama", **{key: ...})
    yield "missing", "no number of experts", of_config("olmoe", num_experts=...)
    yield "missing", "no factor of llama3", of_config("llama", rope_scaling={"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16})
    yield "truncated", "half of config.json", {**single("llama"), "config.json": text[:len(text) // 2]}
    yield "truncated", "an empty config.json", {**single("llama"), "config.json": b""}
    yield "truncated", "the last bracket", {**single("llama"), "config.json": text[:-1]}
    for family, key, value in (("llama", "hidden_size", "8"), ("llama", "num_hidden_layers", [2]), ("llama", "rope_theta", {}), ("llama", "rope_scaling", [1, 2]), ("llama", "tie_word_embeddings", "no"),
                               ("llama", "hidden_act", 3), ("llama", "model_type", ["llama"]), ("llama", "rms_norm_eps", None), ("llama", "architectures", "LlamaForCausalLM"), ("llama", "torch_dtype", 32),
                               ("olmoe", "clip_qkv", "4"), ("mixtral", "sliding_window", "all"), ("qwen3_moe", "mlp_only_layers", {"0": True}), ("qwen2_moe", "decoder_sparse_step", 1.5),
                               ("granitemoe", "attention_multiplier", "x"), ("deepseek_v3", "kv_lora_rank", True), ("deepseek_v3", "norm_topk_prob", 1)):
        yield "wrong type", f"{family}: {key} = {json.dumps(value)}", of_config(family, **{key: value})
    for family, key, value in (("llama", "vocab_size", 0), ("llama", "num_key_value_heads", 3), ("llama", "num_attention_heads", -2), ("llama", "rms_norm_eps", -1e-5), ("llama", "rope_theta", 0), ("llama", "head_dim", 3),
                               ("llama", "max_position_embeddings", -1), ("olmoe", "num_experts_per_tok", 5), ("olmoe", "num_experts_per_tok", 0), ("olmoe", "clip_qkv", -1.0), ("mixtral", "sliding_window", -8),
                               ("qwen2_moe", "decoder_sparse_step", 0), ("qwen3_moe", "mlp_only_layers", [7]), ("granitemoe", "logits_scaling", 0), ("deepseek_v3", "topk_group", 3), ("deepseek_v3", "n_group", 3),
                               ("deepseek_v3", "first_k_dense_replace", -1), ("deepseek_v3", "qk_rope_head_dim", 3), ("deepseek_v3", "n_shared_experts", -1), ("deepseek_v3", "routed_scaling_factor", -2.5)):
        yield "out of range", f"{family}: {key} = {json.dumps(value)}", of_config(family, **{key: value})
    for family, key, value in (("llama", "num_hidden_layers", 1 << 24), ("llama", "num_hidden_layers", 1 << 40), ("llama", "vocab_size", HUGE), ("llama", "hidden_size", (1 << 24) - 8), ("llama", "num_attention_heads", 1 << 23),
                               ("llama", "rope_theta", HUGE), ("llama", "intermediate_size", 1 << 62), ("olmoe", "num_experts", 1 << 24), ("mixtral", "sliding_window", HUGE), ("mixtral", "num_local_experts", 1 << 20),
                               ("qwen3_moe", "num_hidden_layers", 5_000_000), ("qwen2_moe", "mlp_only_layers", list(range(1_000_000))), ("granitemoe", "num_local_experts", 1 << 24), ("granitemoe", "embedding_multiplier", HUGE),
                               ("deepseek_v3", "n_shared_experts", 1 << 24), ("deepseek_v3", "n_routed_experts", 1 << 24), ("deepseek_v3", "kv_lora_rank", 1 << 24)):
        shown = f"{value:g}" if isinstance(value, int) and value < 1 << 63 else "10^400" if value == HUGE else "a million layers"
        yield "huge", f"{family}: {key} = {shown}", of_config(family, **{key: value})
    yield "huge", "qwen3_moe: a million times the first of 10,000 layers dense", of_config("qwen3_moe", num_hidden_layers=10_000, mlp_only_layers=[0] * 1_000_000)
    yield "huge", "qwen3_moe: 5 million layers, the first dense", of_config("qwen3_moe", num_hidden_layers=5_000_000, mlp_only_layers=[0])
    yield "huge", "deepseek_v3: 5 million layers, the first dense", of_config("deepseek_v3", num_hidden_layers=5_000_000, first_k_dense_replace=1)
    yield "huge", "a text of 20 MB", {**single("llama"), "config.json": in_pieces((text[:-1] + b', "note": "', 1), (b"a" * 1_000_000, 20), (b'"}', 1))}
    yield "huge", "1 GB of zeros", {**single("llama"), "config.json": zeros_after(text, 1_000_000_000)}
    yield "cyclic", "a link to itself", {**single("llama"), "config.json": link("config.json")}
    yield "cyclic", "brackets", {**single("llama"), "config.json": deep(text[:-1] + b', "note": ')}
    yield "cyclic", "objects within objects", {**single("llama"), "config.json": in_pieces((text[:-1] + b', "rope_parameters": ', 1), (b'{"a":' * 1000, 100))}
    yield "cyclic", "a key twice", {**single("llama"), "config.json": text[:-1] + b', "hidden_size": 16}'}
    yield "swapped", "hidden_size and vocab_size", of_config("llama", hidden_size=V, vocab_size=H)
    yield "swapped", "widths of dense and expert", of_config("olmoe", intermediate_size=EXPERTS * 2, num_experts=INNER // 2)
    yield "swapped", "low and high of llama3", of_config("llama", rope_scaling={**CONFIGS["llama"]["rope_scaling"], "low_freq_factor": 4.0, "high_freq_factor": 1.0})
    yield "swapped", "the family: llama says mixtral", of_config("llama", model_type="mixtral")
    yield "swapped", "the family: olmoe says qwen3_moe", of_config("olmoe", model_type="qwen3_moe")
    yield "swapped", "the class", of_config("llama", architectures=["MixtralForCausalLM"])
    yield "swapped", "a family that nobody has", of_config("llama", model_type="\x1b[31mllama")
    yield "swapped", "a quantised file's configuration", of_config("llama", quantization_config={"quant_method": "gptq", "bits": 4})


def dtype_cases():
    yield "missing", "no dtype", of_entry(Q, dtype=None)
    yield "missing", "an empty dtype", of_entry(Q, dtype="")
    yield "truncated", "F3", of_entry(Q, dtype="F3")
    yield "truncated", "F16 for the data of F32", of_entry(Q, dtype="F16")
    yield "truncated", "BF16 for all", of_file(lambda header, data: ({name: {**entry, "dtype": "BF16"} if "dtype" in entry else entry for name, entry in header.items()}, data))
    yield "wrong type", "a number", of_entry(Q, dtype=32)
    yield "wrong type", "a list", of_entry(Q, dtype=["F32"])
    yield "wrong type", "an object", of_entry(Q, dtype={"F32": 1})
    yield "wrong type", "a boolean", of_entry(Q, dtype=True)
    for dtype in ("I32", "U32"):
        yield "out of range", f"{dtype} in place of F32", of_entry(Q, dtype=dtype)
    for dtype, width in (("F64", 8), ("I64", 8), ("I8", 1), ("BOOL", 1), ("F8_E4M3", 1), ("U8", 1)):
        yield "out of range", f"a matrix of {dtype}", of_file(lambda header, data, dtype=dtype, width=width: retyped(header, data, dtype, width))
    yield "huge", "a name of 5 MB", of_entry(Q, dtype="F" * 5_000_000)
    yield "huge", "F32 with a terminal's colours", of_entry(Q, dtype="\x1b[2J" * 1000)
    yield "cyclic", "the name of another tensor", of_entry(Q, dtype=EMBEDDING)
    yield "cyclic", "its own name", of_entry(Q, dtype=Q)
    yield "swapped", "lower case", of_entry(Q, dtype="f32")
    yield "swapped", "numpy's name", of_entry(Q, dtype="float32")
    yield "swapped", "F64 for the data of F32", of_entry(Q, dtype="F64")


def retyped(header, data, dtype, width):
    """Q of another type, whose data have its size."""
    end = end_of(header)
    begin, old_end = header[Q]["data_offsets"]
    moved = old_end - begin
    for name, entry in header.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= old_end:
            entry["data_offsets"] = [at - moved for at in entry["data_offsets"]]
    header[Q] = {"dtype": dtype, "shape": [8, 8], "data_offsets": [end - moved, end - moved + 64 * width]}
    return header, data[:begin] + data[old_end:] + bytes(64 * width)


CASES = {"header": header_cases, "offsets": offset_cases, "index": index_cases, "config": config_cases, "dtype": dtype_cases}
FAULTS = ("missing", "truncated", "wrong type", "out of range", "huge", "cyclic", "swapped")

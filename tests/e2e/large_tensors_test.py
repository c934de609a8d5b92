#!/usr/bin/env python3
"""Import and export hold one tensor in memory and little beside it.

A folder of a tiny Mixtral whose embedding is 300 MB, with a tied head that is a copy of it and stacked experts of 134 MB. The peak of
`import`, `export` and `export --dtype bf16` above what `evenkeel --version` takes (the libraries alone) is that of the largest tensor as it is
written, and at most SLACK more. What comes out is what went in, byte for byte. So is the peak of `import` of 1.6 GB in shards, whose files are holes.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import functools
import hashlib
import json
import math
import random
import struct
import sys

sys.dont_write_bytecode = True
from checks import run_in_folder  # noqa: E402
from hostile_files_test import last_line, measured  # noqa: E402

H, V, EXPERTS, INNER = 2048, 36_608, 8, 1024
EMBEDDING = 4 * V * H
SLACK = 150e6  # a few blocks of 16 MiB in two types, threads, what the allocator keeps (measured: 126 MB); less than another copy of the embedding
MOST_WAIT = 300
SPARSE_LAYERS = 8
LAYER = "model.layers.0."
CONFIG = {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": V, "hidden_size": H, "intermediate_size": INNER, "num_hidden_layers": 1, "num_attention_heads": 2,
          "num_key_value_heads": 1, "head_dim": 8, "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 64,
          "tie_word_embeddings": True, "torch_dtype": "float32"}
SHAPES = {"model.embed_tokens.weight": [V, H], "lm_head.weight": [V, H], "model.norm.weight": [H], LAYER + "input_layernorm.weight": [H], LAYER + "post_attention_layernorm.weight": [H],
          LAYER + "self_attn.q_proj.weight": [16, H], LAYER + "self_attn.k_proj.weight": [8, H], LAYER + "self_attn.v_proj.weight": [8, H], LAYER + "self_attn.o_proj.weight": [H, 16],
          LAYER + "mlp.gate.weight": [EXPERTS, H], LAYER + "mlp.experts.gate_up_proj": [EXPERTS, 2 * INNER, H], LAYER + "mlp.experts.down_proj": [EXPERTS, H, INNER]}
# Numbers that no block is a multiple of, over and over: the test's own memory stays small, since a child begins with the peak of its parent.
PATTERN = struct.pack("<250001f", *(random.Random(1).gauss(0, 0.3) for _ in range(250_001)))


def n_bytes(shape):
    return 4 * math.prod(shape)


def header_of(shapes):
    """The head of a file, and how many bytes of data follow."""
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + n_bytes(shape)]}
        end += n_bytes(shape)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text, end


def write_model(folder):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with open(folder / "model.safetensors", "wb") as out:
        out.write(header_of(SHAPES)[0])
        for shape in SHAPES.values():
            left = n_bytes(shape)
            while left > 0:
                out.write(PATTERN[:left])
                left -= len(PATTERN)


def write_sparse_shards(folder):
    """SPARSE_LAYERS of the layer, each in a file that takes no place on the disk; how many bytes they read as."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 64, "num_hidden_layers": SPARSE_LAYERS, "tie_word_embeddings": False}))
    shards = {f"layer-{layer}.safetensors": {name.replace(".0.", f".{layer}.", 1): shape for name, shape in SHAPES.items() if name.startswith(LAYER)} for layer in range(SPARSE_LAYERS)}
    shards["ends.safetensors"] = {name: [64, H][-len(shape):] for name, shape in SHAPES.items() if not name.startswith(LAYER)}
    total = 0
    for file, shapes in shards.items():
        head, size = header_of(shapes)
        with open(folder / file, "wb") as out:
            out.write(head)
            out.truncate(len(head) + size)
        total += size
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {name: file for file, shapes in shards.items() for name in shapes}}))
    return total


def digests_of(folder):
    """Name -> (dtype, shape, hash of the data) of a folder of one file."""
    out = {}
    with open(folder / "model.safetensors", "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(8 + size + begin)
            hashed = hashlib.sha256()
            for at in range(begin, end, 1 << 20):
                hashed.update(file.read(min(1 << 20, end - at)))
            out[name] = (entry["dtype"], tuple(entry["shape"]), hashed.hexdigest())
    return out


class Place:
    def __init__(self, folder):
        self.folder = folder
        self.base = measured("--version")[3]
        write_model(folder / "model")

    def bytes_of(self, *arguments):
        """Above the libraries."""
        code, lines, _, peak = measured(*arguments, most_wait=MOST_WAIT)
        if code != 0:
            raise RuntimeError(f"{arguments[0]}: exit code {code}: {last_line(lines)[:300]!r}")
        return peak - self.base

    @functools.cached_property
    def bytes_of_import(self):
        return self.bytes_of("import", self.folder / "model", "--out", self.folder / "checkpoint")

    def bytes_of_export(self, *options):
        assert self.bytes_of_import > 0
        return self.bytes_of("export", self.folder / "checkpoint", "--out", self.folder / "exported", *options)


def need_one_tensor(problems, got, largest):
    problems.need(got <= largest + SLACK, f"{got / 1e6:.0f} MB above the libraries; need at most {(largest + SLACK) / 1e6:.0f}")


def check_import_holds_one_tensor(place, problems):
    need_one_tensor(problems, place.bytes_of_import, EMBEDDING)


def check_export_holds_one_tensor_and_gives_the_same_bytes(place, problems):
    need_one_tensor(problems, place.bytes_of_export(), EMBEDDING)
    problems.equal(digests_of(place.folder / "exported"), digests_of(place.folder / "model"), "tensors")


def check_export_in_another_type_holds_one_tensor(place, problems):
    need_one_tensor(problems, place.bytes_of_export("--dtype", "bf16"), EMBEDDING / 2)
    problems.equal({dtype for dtype, _, _ in digests_of(place.folder / "exported").values()}, {"BF16"}, "types")


def check_import_of_many_shards_holds_one_tensor(place, problems):
    largest = n_bytes(SHAPES[LAYER + "mlp.experts.gate_up_proj"])
    problems.need(write_sparse_shards(place.folder / "sparse") > 4 * (largest + SLACK), "the files are no more than what is allowed")
    need_one_tensor(problems, place.bytes_of("import", place.folder / "sparse", "--out", place.folder / "zeros"), largest)


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

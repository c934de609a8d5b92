#!/usr/bin/env python3
"""A model larger than memory: what `eval`, `trace`, `analyze` and `import` take of it. Standard library only.

    python3 bench/larger_than_memory.py [--commands eval,trace,analyze,import] [--limit GiB] [--layers 16] [--tokens 4096] [--batch-size 2]
                                        [--threads 2] [--cold] [--folder DIR] [--binary build/evenkeel]

Makes a Hugging Face folder of OLMoE-1B-7B's shape in bf16 (6.9 billion parameters, 13.8 GB, in shards of a layer), whose numbers are one small random
block over and over, and runs the commands on it with --mapped. --limit is RLIMIT_DATA: memory of the process's own, for which pages of mapped files do not
count; without it the machine is the limit. --cold has the kernel forget the files first. A row has the seconds of the whole command, tokens a second by these,
the peak of the resident memory, pages of files included, and how far that is above `evenkeel --version`, also in layers (their stored bytes) and experts (as fp32).
--layers N makes a model of N layers. import writes as many bytes again as the folder has. --sparse makes the files of holes, which take no place on the disk and
read as zeros: for import alone, whose output does take its place; --layers 47 is 40 GB.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

V, H, HEADS, EXPERTS, K, INNER = 50304, 2048, 16, 64, 8, 1024
BF16, FP32 = 2, 4
LAYER_BYTES = BF16 * (4 * H * H + 4 * H + EXPERTS * H + EXPERTS * 3 * H * INNER)
EXPERT_BYTES = FP32 * 3 * H * INNER
BLOCK = 1 << 20  # random bytes that a file is made of
SEQUENCE = 2048


def config_of(layers):
    return {"model_type": "olmoe", "architectures": ["OlmoeForCausalLM"], "vocab_size": V, "hidden_size": H, "intermediate_size": INNER, "num_hidden_layers": layers, "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS, "num_experts": EXPERTS, "num_experts_per_tok": K, "norm_topk_prob": False, "clip_qkv": None, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 4096, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}


def shards_of(layers):
    """File name -> tensor name -> shape."""
    out = {"ends.safetensors": {"model.embed_tokens.weight": [V, H], "lm_head.weight": [V, H], "model.norm.weight": [H]}}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        tensors = {f"{at}{name}_layernorm.weight": [H] for name in ("input", "post_attention")}
        tensors.update({f"{at}self_attn.{name}_norm.weight": [H] for name in "qk"})
        tensors.update({f"{at}self_attn.{name}_proj.weight": [H, H] for name in "qkvo"})
        tensors[at + "mlp.gate.weight"] = [EXPERTS, H]
        for expert in range(EXPERTS):
            for name, shape in (("gate", [INNER, H]), ("up", [INNER, H]), ("down", [H, INNER])):
                tensors[f"{at}mlp.experts.{expert}.{name}_proj.weight"] = shape
        out[f"layer-{layer:02}.safetensors"] = tensors
    return out


def random_block():
    """bf16 numbers of a Gauss curve that keeps the streams of such a model finite."""
    draw = random.Random(1)
    some = [struct.pack("<f", draw.gauss(0, 0.02))[2:] for _ in range(BLOCK // BF16 // 16)]
    return b"".join(draw.choice(some) for _ in range(BLOCK // BF16))


def write_shard(path, tensors, block):
    """`block` over and over; None: a hole."""
    header, end = {}, 0
    for name, shape in tensors.items():
        n_bytes = BF16
        for size in shape:
            n_bytes *= size
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + n_bytes]}
        end += n_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if block is None:
            return file.truncate(8 + len(text) + end)
        for begin in range(0, end, BLOCK):
            file.write(block[:min(BLOCK, end - begin)])


def write_model(folder, layers, is_sparse):
    folder.mkdir(parents=True)
    block = None if is_sparse else random_block()
    weight_map = {}
    for file, tensors in shards_of(layers).items():
        write_shard(folder / file, tensors, block)
        weight_map.update(dict.fromkeys(tensors, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config_of(layers)))


def write_data(prefix, n_tokens):
    """A .bin/.idx pair (docs/formats.md) of one document of random tokens."""
    draw = random.Random(2)
    pathlib.Path(f"{prefix}.bin").write_bytes(struct.pack(f"<{n_tokens}H", *(draw.randrange(V) for _ in range(n_tokens))))
    pathlib.Path(f"{prefix}.idx").write_bytes(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, 1, 2) + struct.pack("<i", n_tokens) + struct.pack("<q", 0) + struct.pack("<2q", 0, 1))


def forget_pages(folder):
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(binary, arguments, limit=0):
    """(seconds, peak in bytes) of a command that must succeed."""
    def limited():
        if limit > 0:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    begin = time.monotonic()
    process = subprocess.Popen([binary, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limited)
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {err.decode('utf-8', 'replace')[-1000:]}")
    return time.monotonic() - begin, usage.ru_maxrss * 1024


def arguments_of(command, options, model, folder):
    if command == "import":
        return "import", model, "--out", folder / "checkpoint"
    run = ("--max-tokens", options.tokens, "--sequence-length", min(SEQUENCE, options.tokens), "--batch-size", options.batch_size, "--threads", options.threads, "--device", "cpu", "--mapped")
    data = folder / "data" if command == "trace" else f"a={folder / 'data'}"
    out = {"eval": (), "trace": ("--out", folder / "trace.safetensors"), "analyze": ("--out", folder / "analysis")}[command]
    return command, model, "--data", data, *out, *run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/evenkeel")
    parser.add_argument("--commands", default="eval,trace,analyze")
    for name, value in (("--layers", 16), ("--tokens", 4096), ("--batch-size", 2), ("--threads", 2)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--limit", type=float, default=0, help="GiB of RLIMIT_DATA; 0 = none")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    if options.sparse and options.commands != "import":
        sys.exit("--sparse: got other commands than import; need --commands import: zeros are no model")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="larger-than-memory-", dir=options.folder))
    try:
        model = folder / "model"
        write_model(model, options.layers, options.sparse)
        write_data(folder / "data", options.tokens + 1)
        n_bytes = sum(path.stat().st_size for path in model.glob("*.safetensors"))
        _, base = measured(options.binary, ["--version"])
        print(f"{n_bytes / 1e9:.1f} GB in bf16, {options.layers} layers of {LAYER_BYTES / 1e6:.0f} MB, experts of {EXPERT_BYTES / 1e6:.0f} MB as fp32; {options.tokens} tokens, "
              f"{options.batch_size} windows a batch, {options.threads} threads; {f'RLIMIT_DATA {options.limit:g} GiB' if options.limit else 'no limit'}; `evenkeel --version` takes {base / 1e6:.0f} MB\n")
        print("| command | seconds | tokens/s | peak | above the start | in layers | in experts |\n|---|---|---|---|---|---|---|")
        for command in options.commands.split(","):
            if options.cold:
                forget_pages(model)
            seconds, peak = measured(options.binary, arguments_of(command, options, model, folder), int(options.limit * (1 << 30)))
            above = peak - base
            rate = "" if command == "import" else f"{options.tokens / seconds:.0f}"
            print(f"| {command} | {seconds:.1f} | {rate} | {peak / 1e9:.2f} GB | {above / 1e9:.2f} GB | {above / LAYER_BYTES:.2f} | {above / EXPERT_BYTES:.1f} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

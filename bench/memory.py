#!/usr/bin/env python3
"""Estimated and measured memory: the table of docs/cpt.md, "What a run takes", from six runs that each peak at 2 GiB or more.

    python3 bench/memory.py [--binary build/evenkeel] [--only WORDS] [--threads 2] [--folder DIR]

For each run `plan --json` says what it will need, `train` does two or three steps of it, and its results.json says what it had (VmHWM). Prints
the table as Markdown; exit status 1 when an estimate is more than 15 % off or a peak is below 2 GiB. Needs 5 GB of memory, 4 GB of disk and
about five minutes. Standard library only.
"""
import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

LIMIT = 0.15
LEAST_BYTES = 2 << 30

MODEL = """[model]
vocab_size = {V}
d_model = {H}
n_layers = {L}
n_heads = {heads}
d_ff = {ff}
{experts}
[train]
batch_size = {B}
micro_batch_size = {micro}
sequence_length = {S}
{train}
[[phase]]
name = "one"
steps = {steps}
data = [{{name = "a", path = "a"}}]
schedule = {{kind = "constant", lr_max = 1e-3}}
{eval}
{more}
"""
SECOND_PHASE = """[[phase]]
name = "two"
steps = 1
data = [{name = "a", path = "a"}]
schedule = {kind = "constant", lr_max = 1e-3}
"""


def experts(E, K, I, shared=0, router='kind = "top_k"', balance='loss = "switch"\ncoefficient = 0.01\nz_coefficient = 0.001'):
    return f"n_experts = {E}\ntop_k = {K}\nd_expert = {I}\nn_shared_experts = {shared}\n[model.router]\n{router}\n[model.balance]\n{balance}"


def recipe(**keys):
    defaults = {"V": 4096, "heads": 4, "ff": 0, "experts": "", "train": "", "steps": 2, "eval": "", "more": ""}
    values = {**defaults, **keys}
    values.setdefault("micro", values["B"])
    return MODEL.format(**values)


RUNS = {
    "dense": recipe(H=256, L=24, ff=680, B=8, S=512),
    "MoE": recipe(H=256, L=12, experts=experts(16, 4, 256, shared=1), B=8, S=512),
    "documents separated": recipe(H=128, L=22, ff=344, B=4, S=2048, train="separate_documents = true"),
    "accumulation": recipe(H=256, L=24, ff=680, V=32000, B=12, micro=6, S=512),
    "Sinkhorn over the step": recipe(H=128, L=2, V=1024, B=256, micro=8, S=512,
                                     experts=experts(32, 8, 64, router='kind = "sinkhorn"\nscope = "step"', balance="loss = []")),
    "saturation": recipe(H=640, L=2, V=1024, B=2, S=256, steps=1, experts=experts(64, 2, 512),
                         eval='eval = {data = [{name = "a", path = "a"}], max_tokens = 2048}', more=SECOND_PHASE),
}


def write_data(prefix, n_tokens=20000, vocabulary=1000):
    """A .bin/.idx pair (docs/formats.md) of documents of 50 random tokens."""
    draw = random.Random(1)
    n = n_tokens // 50
    tokens = [draw.randrange(vocabulary) for _ in range(50 * n)]
    pathlib.Path(f"{prefix}.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, n, n + 1) + struct.pack(f"<{n}i", *[50] * n)
    index += struct.pack(f"<{n}q", *range(0, 100 * n, 100)) + struct.pack(f"<{n + 1}q", *range(n + 1))
    pathlib.Path(f"{prefix}.idx").write_bytes(index)


def measure(binary, folder, name, text, threads):
    """(estimate as `plan` gives it, peak in bytes)"""
    path, run = folder / "recipe.toml", folder / "run"
    path.write_text(text)
    plan = subprocess.run([binary, "plan", path, "--no-measure", "--json"], check=True, capture_output=True, text=True).stdout
    subprocess.run([binary, "train", path, "--out", run, "--threads", str(threads), "--device", "cpu", "--no-tensorboard"], check=True, capture_output=True)
    peak = json.loads((run / "results.json").read_text())["machine"]["peak_rss_bytes"]
    subprocess.run(["rm", "-r", run], check=True)
    return json.loads(plan)["memory"], peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/evenkeel")
    parser.add_argument("--only", default="", help="runs whose name has this")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the runs lie (default: a temporary folder)")
    given = parser.parse_args()
    binary = str(pathlib.Path(given.binary).resolve())
    wrong = []
    print("| run | estimated | measured | estimate / measured | the peak is at |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="evenkeel-memory-", dir=given.folder) as root:
        folder = pathlib.Path(root)
        write_data(folder / "a")
        for name, text in RUNS.items():
            if given.only not in name:
                continue
            memory, peak = measure(binary, folder, name, text, given.threads)
            estimate = memory["total_bytes"]
            if abs(estimate / peak - 1) > LIMIT or peak < LEAST_BYTES:
                wrong.append(name)
            print(f"| {name} | {estimate / 2**30:.2f} GiB | {peak / 2**30:.2f} GiB | {estimate / peak:.2f} | {memory['moment']} |", flush=True)
    if wrong:
        sys.exit(f"memory: got {', '.join(wrong)} more than {LIMIT:.0%} off or below 2 GiB; need all within")


if __name__ == "__main__":
    main()

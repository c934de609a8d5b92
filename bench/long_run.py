#!/usr/bin/env python3
"""The peak memory of what reads a long run: runs of 10^4 and of 10^5 steps must need the same, within 50 MB.

    bench/long_run.py [--steps 10000 100000] [--limit MB]

A tiny model of 58 layers of 256 experts is trained for a step. Then its metrics are written as the trainer writes them for N steps
(bench_long_run), its checkpoint is made that of step N, and two commands run under a limit of their data segment (RLIMIT_DATA):
`train --resume`, which goes on for one step and writes results.json, csv/ and report.html, and `report`. Needs about 3 GB of disk.
"""

import argparse
import hashlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY, WRITER = ROOT / "build" / "evenkeel", ROOT / "build" / "bench_long_run"
RECIPE = """[model]
vocab_size = 300
d_model = 8
n_layers = 58
n_heads = 1
d_ff = 0
n_experts = 256
top_k = 8
d_expert = 1
balance = {{loss = []}}
[train]
batch_size = 1
sequence_length = 8
checkpoint_every = "1000000 steps"
[[phase]]
name = "one"
steps = {steps}
data = [{{name = "a", path = "a"}}]
schedule = {{kind = "constant", lr_max = 1e-3}}
"""


def run(command, limit=None):
    """Returns (seconds, peak RSS in MB) of a command that must succeed."""
    def set_limit():
        if limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit << 20, limit << 20))
    begin = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], preexec_fn=set_limit, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"long_run: got status {status} of {' '.join(map(str, command))}; need success\n{errors[-2000:]}")
    return time.monotonic() - begin, usage.ru_maxrss / 1024


def edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value, indent=1))


def make_run(folder, n_steps):
    """A run that stands at step n_steps of n_steps + 1."""
    text = folder / "a.txt"
    text.write_text("\n\n".join(f"document {i} of a text that nobody reads" for i in range(n_steps // 4 + 100)))
    subprocess.run([BINARY, "tokenizer", "train", text, "--vocab-size", "300", "--out", folder / "tokenizer.model"], check=True, capture_output=True)
    subprocess.run([BINARY, "prepare", text, "--tokenizer", folder / "tokenizer.model", "--out", folder / "a"], check=True, capture_output=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(steps=n_steps + 1))
    out = folder / "run"
    subprocess.run([BINARY, "train", recipe, "--out", out, "--device", "cpu", "--max-hours", "1e-9"], check=True, capture_output=True)
    old, new = out / "checkpoints" / "step-00000001", out / "checkpoints" / f"step-{n_steps:08d}"
    old.rename(new)

    def moved(state):
        state["step"] = state["phase_step"] = n_steps
        state["tokens"] = 8 * n_steps
        state["phases"][0]["draws"] = n_steps
        state["loader"]["cursors"] = {content: n_steps for content in state["loader"]["cursors"]}
        for part in state["loader"]["mixture"]:
            part["count"] = n_steps
    edit_json(new / "state.json", moved)

    def listed(manifest):
        for entry in manifest["files"]:
            content = (new / entry["name"]).read_bytes()
            entry["bytes"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    edit_json(new / "manifest.json", listed)
    seconds, _ = run([WRITER, out, n_steps, n_steps // 100])
    return recipe, out, seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--limit", type=int, default=1500, help="RLIMIT_DATA in MB")
    options = parser.parse_args()
    peaks = {}
    for n_steps in options.steps:
        with tempfile.TemporaryDirectory() as name:
            recipe, out, write_seconds = make_run(pathlib.Path(name), n_steps)
            size = sum((out / file).stat().st_size for file in ("metrics.jsonl", "load.columns")) / 1e9
            resume = run([BINARY, "train", recipe, "--out", out, "--device", "cpu", "--resume"], options.limit)
            report = run([BINARY, "report", out, "--out", out.parent / "page.html"], options.limit)
            page = (out.parent / "page.html").stat().st_size / 1e6
            for what, (seconds, peak) in (("train --resume", resume), ("report", report)):
                peaks.setdefault(what, []).append(peak)
                print(f"{n_steps:>8} steps, {size:.2f} GB of metrics: {what:<15} peak {peak:6.0f} MB, {seconds:6.1f} s", flush=True)
            print(f"{n_steps:>8} steps: written in {write_seconds:.1f} s, page of {page:.1f} MB", flush=True)
    n_wide = sum(max(values) - min(values) > 50 for values in peaks.values())
    print(f"{len(peaks) - n_wide} passed, {n_wide} failed: peaks within 50 MB of each other under RLIMIT_DATA = {options.limit} MB")
    return 1 if n_wide else 0


if __name__ == "__main__":
    sys.exit(main())

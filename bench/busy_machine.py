"""What a busy process beside it costs a training, by how OpenMP's threads wait: the figures of docs/architecture.md.

    python bench/busy_machine.py [--binary build/evenkeel] [--recipe RECIPE.toml] [--pairs 15] [--busy-pairs 5] [--steps 20] [--threads 2]
                                 [--against GOMP_SPINCOUNT=300000] [--default NAME=VALUE] [--busy-processes 1]

Each pair runs `evenkeel bench` twice, one after the other in turns of order: with the program's own setting (or that of --default), and
with another (default: GNU OpenMP's, 300,000 turns). Prints one JSON document: medians of tokens per second, quiet and beside busy
processes, `quiet_ratio` (own / other, median of the pairs, and its 95 % interval by order statistics), and `busy_fraction`, each
setting's busy median over its quiet one. Run it on a machine that is quiet otherwise; `load_average` tells.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

RECIPE = """
[model]
preset = "tiny/granular"
vocab_size = 4096
[train]
batch_size = 16
sequence_length = 128
"""
WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def rate(options, recipe, setting):
    env = {name: value for name, value in os.environ.items() if name not in WAIT_SETTINGS}
    if setting:
        name, value = setting.split("=", 1)
        env[name] = value
    done = subprocess.run([options.binary, "bench", recipe, "--steps", str(options.steps), "--threads", str(options.threads), "--device", "cpu", "--json"],
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"busy_machine: {options.binary}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)["tokens_per_second"]


def pairs(options, recipe, n):
    """n pairs of (own, other) rates; every second pair begins with the other."""
    out = []
    for i in range(n):
        order = ("default", "against") if i % 2 == 0 else ("against", "default")
        rates = {which: rate(options, recipe, getattr(options, which)) for which in order}
        out.append((rates["default"], rates["against"]))
        print(f"busy_machine: pair {i + 1} of {n}: {out[-1][0]:.0f} and {out[-1][1]:.0f} tokens/s", file=sys.stderr)
    return out


def median_interval(values):
    """Median and the narrowest pair of order statistics that holds the true median with at least 95 %."""
    ordered, n, k, tail = sorted(values), len(values), 0, 0.0
    while k < n // 2 and 2 * (tail + math.comb(n, k) / 2**n) <= 0.05:
        tail += math.comb(n, k) / 2**n
        k += 1
    # Between the k-th and the (n + 1 - k)-th value: with fewer than 6 there is none, and the whole range stands here.
    k = max(k, 1)
    return {"median": statistics.median(ordered), "low": ordered[k - 1], "high": ordered[n - k]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/evenkeel")
    parser.add_argument("--recipe")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--busy-pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--default", default="")
    parser.add_argument("--against", default="GOMP_SPINCOUNT=300000")
    parser.add_argument("--busy-processes", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = options.recipe
        if recipe is None:
            recipe = str(pathlib.Path(folder) / "recipe.toml")
            pathlib.Path(recipe).write_text(RECIPE)
        out = {"default": options.default or "the program's own", "against": options.against, "load_average": os.getloadavg()[0]}
        quiet = pairs(options, recipe, options.pairs)
        busy_processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy_processes)]
        try:
            busy = pairs(options, recipe, options.busy_pairs)
        finally:
            for process in busy_processes:
                process.kill()
                process.wait()
    for name, runs in (("quiet", quiet), ("busy", busy)):
        if runs:
            out[f"{name}_tokens_per_second"] = {"default": statistics.median(a for a, _ in runs), "against": statistics.median(b for _, b in runs), "pairs": runs}
    if quiet:
        out["quiet_ratio"] = median_interval([a / b for a, b in quiet])
    if quiet and busy:
        out["busy_fraction"] = {which: out["busy_tokens_per_second"][which] / out["quiet_tokens_per_second"][which] for which in ("default", "against")}
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()

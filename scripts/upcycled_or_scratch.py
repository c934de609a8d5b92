#!/usr/bin/env python3
"""Prints the losses of models of experts that were upcycled or trained from scratch, and how much their experts go by token ids.

usage: upcycled_or_scratch.py STUDY_DIR UPCYCLED_DIR --data DATA_DIR [--binary build/evenkeel]

STUDY_DIR: the study recipes/tiny/upcycled-or-scratch.toml. UPCYCLED_DIR: runs of recipes/tiny/upcycled.toml, NAME-seedN for copy, drop and
granular. `evenkeel analyze` and `evenkeel eval` of the last checkpoints are kept in UPCYCLED_DIR/analysis, each made once. A figure is a
mean over seeds with its sample standard deviation. When a sign shows stands in the table's third column, stated before the first run.

Specialization is the standard deviation of an id's shares over experts, divided by what a router reaches that always sends an id to the
same experts, sqrt((E - k)/k)/E: so models with other numbers of experts compare. Standard library only.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from published_signs import rows  # noqa: E402
from with_error import with_error  # noqa: E402

TOKENS = 65536  # of each held-out set
SETS = ("text", "code")
EXPERTS = {"copy": (8, 2), "drop": (8, 2), "granular": (16, 4), "scratch": (8, 2), "scratch-granular": (16, 4)}  # E, k
UPCYCLED = ("copy", "drop", "granular")
WEAK = 0.5  # an upcycled model's specialization is weak that has at most so much of that of its twin from scratch
TWIN = {"copy": "scratch", "drop": "scratch", "granular": "scratch-granular"}


class Models:
    def __init__(self, given):
        self.given = given
        self.results = json.loads((given.study / "results.json").read_text())
        self.seeds = sorted({arm["seed"] for arm in self.results["arms"]})

    def run(self, name, seed):
        if name in UPCYCLED:
            return self.given.upcycled / f"{name}-seed{seed}"
        return self.given.study / "arms" / next(arm["name"] for arm in self.results["arms"] if (arm["group"], arm["seed"]) == (name, seed))

    def call(self, *words):
        done = subprocess.run([self.given.binary, *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: {(done.stderr.strip().splitlines() or [done.returncode])[-1]}")
        return done.stdout

    def data(self):
        return [word for name in SETS for word in ("--data", f"{name}={self.given.data}/{name}-heldout")] + ["--max-tokens", TOKENS]

    def analysis(self, name, seed):
        out = self.given.upcycled / "analysis" / f"{name}-seed{seed}"
        if not (out / "report.html").exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            self.call("analyze", self.run(name, seed), "--analyses", "load", "--analyses", "token_specialization", *self.data(), "--out", out)
        return json.loads((out / "results.json").read_text())

    def loss(self, name, seed, data):
        out = self.given.upcycled / "analysis" / f"{name}-seed{seed}-losses.json"
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            printed = self.call("eval", self.run(name, seed), *self.data(), "--json")
            temporary = out.with_name(out.name + ".tmp")
            temporary.write_text(printed)
            temporary.replace(out)
        return json.loads(out.read_text())["data"][data]["loss"]

    def specialization(self, name, seed, data):
        n_experts, top_k = EXPERTS[name]
        ceiling = math.sqrt((n_experts - top_k) / top_k) / n_experts
        found = [row["std"] for row in rows(self.analysis(name, seed), "token_specialization", domain=data)]
        if not found or None in found:
            raise RuntimeError(f"{name}, seed {seed}: got no id of {data} that occurs often enough; need a longer held-out set")
        return statistics.fmean(found) / ceiling

    def own_load(self, name, seed, data):
        """The largest share of a layer's load over uniform, mean of the layers: 1 is an even load."""
        return EXPERTS[name][0] * statistics.fmean(row["max_share"] for row in rows(self.analysis(name, seed), "load", domain=data))

    def over_seeds(self, of):
        values = [of(seed) for seed in self.seeds]
        return with_error(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


def print_models(models):
    print("| model | " + " | ".join(f"loss on {data}" for data in SETS) + " | " + " | ".join(f"specialization by id on {data}, of 1" for data in SETS) + " | largest share ÷ uniform, text |")
    print("|" + "---|" * (2 + 2 * len(SETS)))
    for name in ("dense", *EXPERTS):
        cells = [models.over_seeds(lambda seed, data=data: models.loss(name, seed, data)) for data in SETS]
        if name == "dense":
            cells += ["–"] * (len(SETS) + 1)
        else:
            cells += [models.over_seeds(lambda seed, data=data: models.specialization(name, seed, data)) for data in SETS]
            cells.append(models.over_seeds(lambda seed: models.own_load(name, seed, "text")))
        print(f"| `{name}` | " + " | ".join(cells) + " |")


def print_signs(models):
    print("\n| sign | published | shows when | here, mean ± spread | shows in |\n|---|---|---|---|---|")

    def add(sign, published, bound, figures, holds):
        shown = "; ".join(f"{key} {models.over_seeds(of)}" for key, of in figures.items())
        verdict = sum(holds({key: of(seed) for key, of in figures.items()}) for seed in models.seeds)
        print(f"| {sign} | {published} | {bound} | {shown} | {verdict} of {len(models.seeds)} seeds |")

    def of(measure, name):
        return lambda seed: measure(name, seed, "text")
    for name in UPCYCLED:
        twin = TWIN[name]
        add(f"experts go by ids less when they were upcycled: `{name}`", "weak in Mixtral, strong in DeepSeekMoE (2402.01739 v2)", f"at most {WEAK:g} × `{twin}`",
            {each: of(models.specialization, each) for each in (name, twin)}, lambda one, name=name, twin=twin: one[name] <= WEAK * one[twin])
    for name in UPCYCLED:
        twin = TWIN[name]
        add(f"for the same FLOPs upcycling ends lower: loss of `{name}` on text", "from scratch passes after a quarter of the dense model's budget (2409.02060: 2.311, 2.320)", f"below `{twin}`",
            {each: of(models.loss, each) for each in (name, twin)}, lambda one, name=name, twin=twin: one[name] < one[twin])
    add("drawing a half anew pays", "ratio 0.5 is best (2502.19261)", "`drop` below `copy`", {each: of(models.loss, each) for each in ("drop", "copy")}, lambda one: one["drop"] < one["copy"])
    add("drawing a half anew makes experts differ", "2502.19261", "specialization of `drop` above `copy`", {each: of(models.specialization, each) for each in ("drop", "copy")}, lambda one: one["drop"] > one["copy"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=pathlib.Path)
    parser.add_argument("upcycled", type=pathlib.Path)
    parser.add_argument("--data", required=True, help="folder of text-heldout and code-heldout")
    parser.add_argument("--binary", default="build/evenkeel")
    given = parser.parse_args()
    for path in (given.study, given.upcycled):
        need = path / "results.json" if path == given.study else path / "copy-seed1" / "results.json"
        if not need.is_file():
            print(f"upcycled_or_scratch: {path}: got no {need.relative_to(path)} there; need finished runs", file=sys.stderr)
            return 2
    models = Models(given)
    try:
        print(f"Seeds: {', '.join(map(str, models.seeds))}; {TOKENS:,} tokens of each held-out set.\n")
        print_models(models)
        print_signs(models)
    except RuntimeError as error:
        print(f"upcycled_or_scratch: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

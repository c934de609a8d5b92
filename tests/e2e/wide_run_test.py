#!/usr/bin/env python3
"""A run with more than 2,048 routed experts in all layers, whose loads stand in load.columns beside metrics.jsonl: killed and resumed to the
same bytes, inspected, verified and shown; and what is damaged in it is found.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import base64
import gzip
import json
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import read_lines, run_in_folder  # noqa: E402

CPU = ("--threads", "1", "--device", "cpu")
N_LAYERS, N_EXPERTS, N_STEPS = 2, 1100, 12
N_RECORDS = N_STEPS + 2 * 2  # two evaluations of two sets
RECIPE = f"""[model]
vocab_size = {toy.VOCAB_SIZE}
d_model = 4
n_layers = {N_LAYERS}
n_heads = 1
n_experts = {N_EXPERTS}
top_k = 2
d_expert = 1
balance = {{loss = "switch", coefficient = 0.01}}
[train]
batch_size = 4
sequence_length = 16
checkpoint_every = "3 steps"
[[phase]]
name = "english"
steps = {N_STEPS}
data = [{{name = "en", path = "en"}}]
schedule = {{kind = "constant", lr_max = 1e-2}}
eval = {{every = "6 steps", data = [{{name = "en", path = "en"}}, {{name = "de", path = "de"}}]}}
"""


class Place:
    """The recipe, and its run that was left alone."""

    def __init__(self, folder):
        self.folder = folder
        for seed, name in enumerate(("en", "de")):
            toy.write_dataset(folder / name, toy.made_documents(seed + 1, n_documents=20))
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(RECIPE)
        self.whole = folder / "whole"
        result = self.train(self.whole)
        if result.rc != 0:
            raise RuntimeError(result.err)

    def train(self, run, *options):
        return toy.evenkeel("train", self.recipe, "--out", run, *CPU, *options)

    def copy(self, name):
        return shutil.copytree(self.whole, self.folder / name)


def check_its_loads_stand_beside_its_lines(place, problems):
    lines = read_lines(place.whole / "metrics.jsonl")
    problems.equal(sum("load" in layer for line in lines for layer in line.get("routing", [])), 0, "loads in the lines")
    problems.equal([len(line["routing"]) for line in lines if "routing" in line], [N_LAYERS] * N_STEPS, "layers of each step")
    problems.need((place.whole / "load.columns").read_bytes().startswith(b"EVKLOAD1"), "load.columns has no mark")


def check_killed_on_its_way_it_ends_in_the_same_bytes(place, problems):
    for n_steps in (2, 7):  # before the first checkpoint, and behind the second
        run = place.folder / f"killed-{n_steps}"
        process = subprocess.Popen([toy.BINARY, "train", place.recipe, "--out", run, *CPU], env=toy.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        metrics = run / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b'"loss_terms"') >= n_steps):
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
        problems.ran(place.train(run, "--resume"))
        problems.need((run / "load.columns").read_bytes() == (place.whole / "load.columns").read_bytes(), f"load.columns differs after a kill at step {n_steps}")
        problems.equal(toy.metrics_without_clock(run), toy.metrics_without_clock(place.whole), f"metrics.jsonl after a kill at step {n_steps}")
        for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
            ours, theirs = (toy.checkpoints(folder)[-1] / name for folder in (run, place.whole))
            problems.need(ours.read_bytes() == theirs.read_bytes(), f"{name} differs after a kill at step {n_steps}")
        problems.equal(toy.leftovers(run), [], "left behind")
        problems.ran(toy.evenkeel("verify", run))


def check_inspect_says_what_it_holds(place, problems):
    path = place.whole / "load.columns"
    result = toy.evenkeel("inspect", path)
    if problems.ran(result):
        size = f"{path.stat().st_size / 1024:.1f} KiB"
        problems.equal(result.out, f"loads of a run's routing: {N_RECORDS} records of steps 1 to {N_STEPS}, {N_LAYERS} layers of {N_EXPERTS} experts, {size}\n  held out en\n  held out de\n", "inspect load.columns")
    result = toy.evenkeel("inspect", place.whole)
    if problems.ran(result):
        problems.need(f"phase english: steps 1 to {N_STEPS}" in result.out, f"inspect of the run: {result.out[:300]!r}")
    torn = place.folder / "load.columns"
    torn.write_bytes(path.read_bytes()[:-5])
    result = toy.evenkeel("inspect", torn)
    if problems.ran(result):
        problems.need(f"{N_RECORDS - 1} records" in result.out and " of a record that is not whole" in result.out, result.out)


def check_report_shows_its_loads(place, problems):
    page = place.folder / "page.html"
    if not problems.ran(toy.evenkeel("report", place.whole, "--out", page)):
        return
    packed = re.search(r'id="evenkeel-data">([^<]*)<', page.read_text())[1]
    phase = json.loads(gzip.decompress(base64.b64decode(packed)))["runs"]["whole"]["phases"][0]
    problems.equal([layer["layer"] for layer in phase["layers"]], list(range(N_LAYERS)), "layers of the page")
    problems.need(all(layer["load"] is not None for layer in phase["layers"]), "no loads in the page")
    problems.need(page.read_bytes() == (place.whole / "report.html").read_bytes(), "the page is not the one that train wrote")


def check_verify_finds_what_is_damaged(place, problems):
    problems.ran(toy.evenkeel("verify", place.whole))
    loads = (place.whole / "load.columns").read_bytes()

    def refused(name, *says):
        result = toy.evenkeel("verify", place.folder / name)
        problems.ran(result, 2)
        for text in says:
            problems.need(text in result.err, f"{name}: {text!r} is not in {result.err.strip()!r}")

    extra = place.copy("extra")
    (extra / "load.columns").write_bytes(loads + loads[:200])
    refused("extra", "load.columns: got", "the end of the loads of its last line")
    torn = place.copy("torn")
    (torn / "load.columns").write_bytes(loads[:-5])
    refused("torn", "load.columns: got", "the end of the loads of its last line")
    other = place.copy("other")
    flipped = bytearray(loads)
    flipped[60] ^= 1  # in the compressed counts of the first record
    (other / "load.columns").write_bytes(bytes(flipped))
    refused("other", "load.columns, step 1: got")
    gone = place.copy("gone")
    (gone / "load.columns").unlink()
    refused("gone", "load.columns: got no such file")
    dead = place.copy("dead")
    lines = (dead / "metrics.jsonl").read_text()
    first = re.search(r'"dead":(\d+)', lines)
    (dead / "metrics.jsonl").write_text(lines.replace(first[0], f'"dead":{int(first[1]) + 1}', 1))
    refused("dead", "metrics.jsonl, line 1: got", "as 'dead' of layer 0", "as its 'load' gives")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

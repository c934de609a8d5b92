#!/usr/bin/env python3
"""Every objective trains, is stopped and resumed to the bytes of a run that was not, goes over into another one, and refuses what it cannot be.

  EVENKEEL            the binary (build/evenkeel)
  EVENKEEL_CRASH_SHIM the shim (build/libcrash_shim.so)
"""
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks  # noqa: E402
from resume_test import Trial, first_write_after_save, kill_at_write  # noqa: E402

VOCAB_SIZE = toy.VOCAB_SIZE + 32  # ids above those of the text: sentinels
S = 24

# name -> objective of the first phase; the second is causal and replays it
OBJECTIVES = {
    "causal": '{kind = "causal"}',
    "prefix_lm": '{kind = "prefix_lm"}',
    "prefix_lm, the prefix seen as a whole": '{kind = "prefix_lm", prefix_attention = true}',
    "span_corruption": '{kind = "span_corruption", mean_span = 2, density = 0.4}',
    "ul2": '{kind = "ul2", prompts = {R = [64], X = [65], S = [66]}}',
    "ul2, the inputs seen as a whole": '{kind = "ul2", mixture = "ul2", prefix_attention = true, inputs = 14, targets = 10}',
    "conversation": '{kind = "conversation"}',
}
RECIPE = """[model]
vocab_size = {vocab_size}
d_model = 16
n_layers = 2
n_heads = 2
n_experts = 4
top_k = 2
d_expert = 16
balance = {{loss = "switch", coefficient = 0.01, z_coefficient = 0.001}}
[train]
batch_size = 4
micro_batch_size = 2
sequence_length = {S}
seed = 3
checkpoint_every = "3 steps"
[[phase]]
name = "first"
steps = 5
data = [{{name = "en", path = "{data}/en"}}, {{name = "talk", path = "{data}/talk", weight = 0.5, objective = {{kind = "conversation"}}}}]
schedule = {{kind = "cosine", lr_max = 1e-2, lr_min = 1e-3, warmup = 0.2}}
objective = {objective}
[[phase]]
name = "second"
steps = 6
data = [{{name = "en", path = "{data}/{second}"}}]
schedule = {{kind = "constant", lr_max = 5e-3}}
replay = {{fraction = 0.5, from = "first", mode = "{mode}"}}
"""
N_STEPS = 11


def write_talk(prefix, documents):
    """A pair as `prepare --messages` makes it: of each document the second half is scored."""
    toy.write_dataset(prefix, documents)
    scored = b"".join(bytes([0] * (len(ids) - len(ids) // 2) + [1] * (len(ids) // 2)) for ids in documents)
    pathlib.Path(f"{prefix}.scored").write_bytes(scored)
    described = {"format": "evenkeel.data.v1", "tokens": len(scored), "bytes": len(scored), "scored": {"sha256": hashlib.sha256(scored).hexdigest()}}
    pathlib.Path(f"{prefix}.json").write_text(json.dumps(described))


def recipe_text(folder, name, mode="fresh"):
    kind = OBJECTIVES[name]
    text = RECIPE.format(vocab_size=VOCAB_SIZE, S=S, data=folder, objective=kind, mode=mode, second="en")
    return text.replace('name = "en", path = "' + f"{folder}/en" + '"}, {', 'name = "en", path = "' + f"{folder}/talk2" + '"}, {') if name == "conversation" else text


def interrupted(folder, name, problems):
    for mode in ("fresh", "seen"):
        trial = Trial(folder, re.sub(r"\W+", "-", name) + "-" + mode, recipe_text(folder, name, mode), n_steps=N_STEPS)
        problems += trial.train_whole()
        if problems:
            return
        problems += kill_at_write(trial, first_write_after_save(trial, 1))
        lines = [line for line in toy.metrics_without_clock(trial.whole) if "sources" in line]
        counts = {}
        for line in lines[5:]:
            for source, count in line["sources"].items():
                counts[source] = counts.get(source, 0) + count
        problems.equal(counts, {"en": 12, "replay/en": 8, "replay/talk": 4}, f"{mode}: sequences of the second phase")


# what is wrong -> (a pattern of the recipe, what stands in its place, what the error says)
REFUSED = {
    "a sentinel that the model has not": ("span_corruption", r"objective = {kind = \"span", f'objective = {{first_sentinel = {VOCAB_SIZE}, kind = "span', "phase.objective.first_sentinel"),
    "sentinels below 0": ("span_corruption", r"objective = {kind = \"span", 'objective = {first_sentinel = 0, kind = "span', "phase.objective.first_sentinel"),
    "sentinels that are ids of the text": ("span_corruption", r"objective = {kind = \"span", 'objective = {first_sentinel = 40, kind = "span', "first_sentinel"),
    "lengths beyond a sequence": ("span_corruption", r"objective = {kind = \"span", 'objective = {inputs = 16, targets = 16, kind = "span', "phase.objective.targets"),
    "a prompt that the model has not": ("ul2", r"R = \[64\]", f"R = [{VOCAB_SIZE}]", "phase.objective.prompts.R"),
    "a density of 1": ("span_corruption", r"density = 0.4", "density = 1.0", "phase.objective.density"),
    "spans shorter than a token": ("span_corruption", r"mean_span = 2", "mean_span = 0.5", "phase.objective.mean_span"),
    "a mixture that there is not": ("ul2", r"prompts = ", 'mixture = "t5", prompts = ', "need one of: openmoe, ul2"),
    "a key of another kind": ("prefix_lm", r'kind = "prefix_lm"', 'kind = "prefix_lm", density = 0.5', "density"),
    "a set without answers": ("causal", r'objective = {kind = "causal"}', 'objective = {kind = "conversation"}', "prepare --messages"),
}


def refused(folder, name, problems):
    objective, pattern, replacement, needle = REFUSED[name]
    recipe = folder / (re.sub(r"\W+", "-", name) + ".toml")
    recipe.write_text(recipe_text(folder, objective))
    toy.changed_recipe(recipe, recipe, [(pattern, replacement)])
    run = recipe.with_suffix("")
    done = toy.evenkeel("train", recipe, "--out", run, "--device", "cpu")
    if problems.ran(done, 2):
        problems.need(needle in done.error_lines()[0], f"got {done.error_lines()[0]!r}; need {needle!r} in it")
        problems.need(str(recipe) in done.error_lines()[0] or "--messages" in needle, f"no place in {done.error_lines()[0]!r}")
    problems.need(not (run / "metrics.jsonl").exists(), "something was written")


class Column:
    """A `check_*` function for each case, for checks.run_checks."""


def kinds_are_all_here(folder, problems):
    """The kinds that `evenkeel keys` lists are those of the table."""
    keys = toy.evenkeel("keys", "phase.NAME.objective.kind")
    listed = set(re.search(r"which kind: ([\w, ]+)", keys.out)[1].split(", "))
    problems.equal({name.split(",")[0] for name in OBJECTIVES}, listed, "kinds of objectives")


def main():
    for path in (toy.BINARY, toy.SHIM):
        if not os.path.exists(path):
            sys.exit(f"objectives_test: got no {path}; need it built")
    column = Column()
    column.check_every_kind_is_here = kinds_are_all_here
    for name in OBJECTIVES:
        setattr(column, f"check_{name}", lambda folder, problems, name=name: interrupted(folder, name, problems))
    for name in REFUSED:
        setattr(column, f"check_refused: {name}", lambda folder, problems, name=name: refused(folder, name, problems))
    with tempfile.TemporaryDirectory(prefix="evenkeel-objectives-") as root:
        folder = pathlib.Path(os.path.realpath(root))
        toy.write_dataset(folder / "en", toy.made_documents(1))
        write_talk(folder / "talk", toy.made_documents(2))
        write_talk(folder / "talk2", toy.made_documents(3))
        return run_checks("objectives_test", [[(column, folder)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Sets and models of different tokenizers do not meet in one run, evaluation or analysis by accident: an error that names both, or, where it is asked for, a warning.

  EVENKEEL   the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import json
import os
import re
import shutil
import sys

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_in_folder  # noqa: E402

ALLOW = "--allow-mixed-tokenizers"
CPU = ("--threads", "1", "--device", "cpu")


class Place:
    """Two sets of one text: p by tok.model, q by other.model; run `first` on p, and `second`, which goes on with p and q."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "text.txt").write_text(toy.made_text(1))
        for size, name, prefix in ((300, "tok.model", "p"), (299, "other.model", "q")):
            self.works("tokenizer", "train", "--kind", "bpe", "--vocab-size", size, "--out", name, "text.txt")
            self.works("prepare", "--tokenizer", name, "--out", prefix, "text.txt")
        self.recipe = re.sub(r"vocab_size = \d+", "vocab_size = 300", toy.recipe_text("."))
        self.recipe = self.recipe.replace("steps = 5", "steps = 2").replace("steps = 6", "steps = 2").replace('path = "./en"', 'path = "p"').replace('path = "./de"', 'path = "p"')
        self.train("first", self.recipe)
        self.train("second", self.with_q(), ALLOW)
        self.works("trace", "first", "--data", "p", "--out", "p.safetensors")

    def run(self, *args):
        return toy.evenkeel(*args, cwd=self.folder)

    def works(self, *args):
        done = self.run(*args)
        if done.rc != 0:
            raise RuntimeError(f"{args}: {done.err}")
        return done

    def train(self, name, recipe, *more):
        (self.folder / f"{name}.toml").write_text(recipe)
        return self.works("train", f"{name}.toml", "--out", name, *CPU, *more)

    def with_q(self):
        return self.recipe.replace('name = "de", path = "p"', 'name = "de", path = "q"')


def refused(problems, done, *needles):
    problems.ran(done, 2)
    for needle in needles:
        problems.need(needle in done.err, f"{needle!r} in {done.err!r}")


def check_sets_of_one_recipe(place, problems):
    cases = {
        "a phase's data": place.with_q(),
        "a held-out set": place.recipe.replace('eval = {every = "4 steps", data = [{name = "en", path = "p"}]}', 'eval = {data = [{name = "en", path = "q"}]}'),
        "a replay": place.recipe.replace('from = "english", mode = "fresh"', 'data = [{name = "old", path = "q"}]'),
    }
    for what, recipe in cases.items():
        problems.need(recipe != place.recipe, f"{what}: the recipe was changed")
        (place.folder / "mixed.toml").write_text(recipe)
        (place.folder / "mixed-study.toml").write_text(recipe + '[study]\narms = [{name = "x"}, {name = "y", train = {seed = 2}}]\n')
        for command in (("train", "mixed.toml", "--out", "mixed"), ("study", "mixed-study.toml", "--out", "mixed"), ("plan", "mixed.toml", "--no-measure"), ("plan", "mixed-study.toml", "--no-measure")):
            refused(problems, place.run(*command), "phase.", "other.model", "tok.model", ALLOW, "train.allow_mixed_tokenizers = true")
            problems.need(not (place.folder / "mixed").exists(), f"{what}: {command[0]} wrote something")
    (place.folder / "mixed.toml").write_text(place.with_q().replace("[train]", "[train]\nallow_mixed_tokenizers = true"))
    for command in (("plan", "mixed.toml", "--no-measure"), ("train", "mixed.toml", "--out", "mixed", *CPU)):
        done = place.run(*command)
        problems.ran(done)
        problems.need("warning" in done.err and "other.model" in done.err, f"{command[0]}: {done.err}")
    log = (place.folder / "mixed" / "log.txt").read_text()
    problems.need(re.search(r"warning: phase.german.data.de \(.*/q\), made with other.model", log), f"log.txt: {log!r}")


def check_weights_of_another_run(place, problems):
    """What a run goes on from, in both ways, is of the sets that it was trained on."""
    on_q = place.recipe.replace('path = "p"', 'path = "q"')
    by_start = on_q.replace("steps = 2\n", 'steps = 2\nstart = {from = "first"}\n', 1)
    by_model = re.sub(r"\[model\]\n.*?\[train\]", '[model]\nfrom = "first"\n[train]', on_q, flags=re.DOTALL)
    for name, recipe, key in (("by-start", by_start, "phase.english.start.from"), ("by-model", by_model, "model.from")):
        (place.folder / f"{name}.toml").write_text(recipe)
        for command in (("plan", f"{name}.toml", "--no-measure"), ("train", f"{name}.toml", "--out", name, *CPU)):
            refused(problems, place.run(*command), f"{key} (", "first/checkpoints/step-00000004", "other.model", ALLOW)
        problems.need(not (place.folder / name).exists(), f"{name}: something was written")
        done = place.train(name, recipe, ALLOW)
        problems.need("warning" in done.err and key in done.err, done.err)
    state = json.loads((toy.checkpoints(place.folder / "by-start")[-1] / "state.json").read_text())
    names = {json.loads((place.folder / f"{prefix}.json").read_text())["tokenizer_sha256"] for prefix in "pq"}
    problems.equal({source["tokenizer_sha256"] for phase in state["phases"] for source in phase["sources"]}, names, "tokenizers in state.json")


def check_a_hugging_face_folder(place, problems):
    """Its tokenizer.model is what it was trained with."""
    toy.write_hf(place.folder / "hf", 5, vocab_size=300)
    shutil.copy(place.folder / "tok.model", place.folder / "hf" / "tokenizer.model")
    problems.ran(place.run("eval", "hf", "--data", "p=p", *CPU))
    refused(problems, place.run("eval", "hf", "--data", "q=q", *CPU), "--data q (q), made with other.model", "the model (hf)", ALLOW)


def check_a_model_and_sets(place, problems):
    for command in (("eval", "first", "--data", "q=q"), ("analyze", "first", "--data", "q=q", "--out", "analysis"), ("trace", "first", "--data", "q", "--out", "q.safetensors")):
        refused(problems, place.run(*command, *CPU), "--data", "other.model", "the model (first/checkpoints/step-00000004)", ALLOW)
        problems.need(command[0] == "eval" or not (place.folder / command[-1]).exists(), f"{command[0]} wrote something")
        done = place.run(*command, ALLOW, *CPU)
        problems.ran(done)
        problems.need("warning" in done.err and "other.model" in done.err, done.err)
    for command in (("eval", "second"), ("analyze", "second", "--out", "analysis-2")):
        both = (*command, "--data", "p=p", "--data", "q=q", *CPU)
        refused(problems, place.run(*both), "--data q", "--data p", ALLOW)
        problems.ran(place.run(*both, ALLOW))
    problems.ran(place.run("eval", "second", "--data", "q=q", *CPU))  # one of the two that it was trained with


def check_traces(place, problems):
    """After check_a_model_and_sets, which made that of q."""
    both = ("analyze", "--trace", "p=p.safetensors", "--trace", "q=q.safetensors", "--out", "analysis-3")
    refused(problems, place.run(*both), "q.safetensors: metadata tokenizer_sha256")
    done = place.run(*both, ALLOW)
    problems.ran(done)
    problems.need("warning: --trace q" in done.err, done.err)


def check_without_a_description_there_is_a_note(place, problems):
    os.remove(place.folder / "q.json")
    done = place.run("eval", "first", "--data", "p=p", "--data", "q=q", *CPU)
    problems.ran(done)
    problems.need("no description names the tokenizer of q" in done.err, done.err)


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

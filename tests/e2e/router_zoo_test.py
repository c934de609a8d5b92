#!/usr/bin/env python3
"""recipes/tiny/router-zoo.toml at toy size: every arm trains, and the comparison of the routers follows from the files of the arms.

  EVENKEEL  the binary (build/evenkeel)
"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import unittest

import toy
from checks import rows_of

RECIPE = toy.ROOT / "recipes" / "tiny" / "router-zoo.toml"
STEPS = (6, 4)  # of the two phases
# What docs/routers.md says: scope in training and evaluation, causality in both. Of the router and its drops together.
RULES = {
    "top-k-softmax": ("token", "token", True, True),
    "top-k-groups": ("token", "token", True, True),
    "loss-free-sigmoid": ("token", "token", True, True),
    "quantile": ("token", "token", True, True),
    "sinkhorn-log": ("micro-batch", "token", False, True),
    "expert-choice": ("micro-batch", "sequence", False, False),
    "base": ("micro-batch", "token", False, True),
    "hash-ids": ("token", "token", True, True),
    "random": ("micro-batch", "sequence", True, True),
    "uniform": ("micro-batch", "sequence", True, True),
    "drop-switch": ("micro-batch", "sequence", True, True),
    "drop-megatron-probs": ("micro-batch", "sequence", False, False),
    "drop-bpr": ("micro-batch", "sequence", False, False),
    "drop-openmoe": ("micro-batch", "sequence", False, False),
}


def toy_recipe(folder):
    """The recipe with toy data, few short steps and two seeds; everything else as it ships."""
    changes = [
        (r"seeds = \[1, 2, 3\]", "seeds = [1, 2]"),
        (r"batch_size = 16", "batch_size = 4"),
        (r"sequence_length = 128", "sequence_length = 32"),
        (r"steps = 128\n", f"steps = {STEPS[0]}\n"),
        (r"steps = 64\n", f"steps = {STEPS[1]}\n"),
        (r'every = "64 steps"', 'every = "3 steps"'),
        (r"\.\./\.\./runs/router-zoo-data/(en|de)(-heldout)?", rf"{folder}/\1"),
        (r'preset = "tiny/dense"', f'preset = "tiny/dense"\nvocab_size = {toy.VOCAB_SIZE}'),
    ]
    return toy.changed_recipe(RECIPE, folder / "zoo.toml", changes)


def table_of(study):
    return subprocess.run([sys.executable, toy.ROOT / "scripts" / "routers_table.py", study], capture_output=True, text=True)


class RouterZoo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        toy.write_dataset(cls.folder / "en", toy.made_documents(1))
        toy.write_dataset(cls.folder / "de", toy.made_documents(2))
        cls.recipe = toy_recipe(cls.folder)
        cls.study = cls.folder / "zoo"
        done = toy.evenkeel("study", cls.recipe, "--out", cls.study, "--device", "cpu", timeout=1500)
        if done.rc != 0:
            raise AssertionError(done.err)
        cls.results = json.loads((cls.study / "results.json").read_text())
        cls.lines = {}
        for arm in cls.results["arms"]:
            text = (cls.study / arm["run"] / "metrics.jsonl").read_text()
            cls.lines[arm["name"]] = [json.loads(line) for line in text.splitlines()]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_it_has_every_registered_router(self):
        arms = tomllib.loads(RECIPE.read_text())["study"]["arms"]
        self.assertEqual({arm["model"]["router"]["kind"] for arm in arms if "model" in arm}, set(toy.listed_routers()))

    def test_arms_are_matched_in_flops_and_in_an_even_load(self):
        flops = [arm["flops_per_token"] for arm in self.results["arms"]]
        self.assertLess(max(flops) / min(flops), 1.05)
        self.assertEqual({arm["lower_bound"] for arm in self.results["arms"] if arm["model"] != "dense"}, {0.125})

    def test_the_comparison_follows_from_the_metrics(self):
        table = {row["arm"]: row for row in rows_of(self.results, "routers")[1]}
        self.assertEqual(set(table), set(self.lines))
        for name, lines in self.lines.items():
            row = table[name]
            ends = {line["phase"]: line["eval"] for line in lines if "eval" in line}
            self.assertEqual(row["loss_before"], ends["english"]["en"]["loss"], name)
            self.assertEqual(row["loss_old"], ends["german"]["en"]["loss"], name)
            self.assertEqual(row["loss_new"], ends["german"]["de"]["loss"], name)
            self.assertAlmostEqual(row["forgetting"], row["loss_old"] - row["loss_before"], 12)
            if row["router"] is None:
                continue
            layers = ends["german"]["de"]["routing"]
            self.assertAlmostEqual(row["eval_mri_new"], math.fsum(layer["mri"] for layer in layers) / len(layers), 12, name)
            loads = [[layer["load"] for layer in ends["german"][data]["routing"]] for data in ("en", "de")]
            self.assertEqual(row["dead"], sum(a == b == 0 for old, new in zip(*loads) for a, b in zip(old, new)), name)
            dropped = [layer["dropped"] for line in lines if line["phase"] == "german" and "routing" in line for layer in line["routing"]]
            self.assertAlmostEqual(row["dropped"], math.fsum(dropped) / len(dropped), 12, name)
            self.assertEqual(row["dropped"] > 0, name.startswith("drop-"), name)

    def test_scope_and_causality_are_those_of_the_documentation(self):
        table = {row["arm"]: row for row in rows_of(self.results, "routers")[1]}
        for group, rule in RULES.items():
            row = table[f"{group}-seed1"]
            self.assertEqual((row["scope"], row["eval_scope"], row["causal"], row["eval_causal"]), rule, group)

    def test_seeds_are_summarised(self):
        summary = {row["group"]: row for row in rows_of(self.results, "routers_summary")[1]}
        values = [row["loss_new"] for row in rows_of(self.results, "routers")[1] if row["arm"].startswith("quantile-seed")]
        self.assertAlmostEqual(summary["quantile"]["loss_new_mean"], sum(values) / 2, 12)
        self.assertAlmostEqual(summary["quantile"]["loss_new_std"], abs(values[0] - values[1]) / math.sqrt(2), 12)

    def test_the_script_prints_a_row_for_each_group(self):
        done = table_of(self.study)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stdout.splitlines() if line.startswith("| `")]
        self.assertEqual(len(lines), len({arm["group"] for arm in self.results["arms"]}))
        ahead = [", **no** |" in line for line in lines]
        self.assertEqual(ahead, sorted(ahead), "rules that look ahead come last")
        summary = {row["group"]: row for row in rows_of(self.results, "routers_summary")[1]}
        row = next(line for line in lines if line.startswith("| `hash-ids`"))
        self.assertIn(f"{summary['hash-ids']['loss_new_mean']:.3f} ± {summary['hash-ids']['loss_new_std']:.3f}", row)

    def test_the_script_refuses_what_has_no_such_table(self):
        (self.folder / "other").mkdir(exist_ok=True)
        (self.folder / "other" / "results.json").write_text('{"arms": [], "tables": {}}')
        for folder in ("other", "absent"):
            done = table_of(self.folder / folder)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_the_study_can_go_on(self):
        done = toy.evenkeel("study", self.recipe, "--out", self.study, "--resume", "--device", "cpu")
        self.assertEqual(done.rc, 0, done.err)
        self.assertEqual(json.loads((self.study / "results.json").read_text())["tables"]["routers"], self.results["tables"]["routers"])


if __name__ == "__main__":
    unittest.main()

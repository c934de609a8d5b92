#!/usr/bin/env python3
"""recipes/tiny/published-signs.toml at toy size: the table of scripts/published_signs.py follows from the analyses of the arms.

  EVENKEEL  the binary (build/evenkeel)
"""
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

import toy
from checks import rows_of

RECIPE = toy.ROOT / "recipes" / "tiny" / "published-signs.toml"
SCRIPT = toy.ROOT / "scripts" / "published_signs.py"
LAYERS = 3


def toy_recipe(folder):
    """The recipe with toy data, few short steps and two seeds; everything else as it ships."""
    changes = [
        (r"seeds = \[1, 2, 3\]", "seeds = [1, 2]"),
        (r"batch_size = 16", "batch_size = 4"),
        (r"sequence_length = 128", "sequence_length = 32"),
        (r"steps = 128\n", "steps = 5\n"),
        (r"steps = 64\n", "steps = 3\n"),
        (r'every = "64 steps"', 'every = "5 steps"'),
        (r"max_tokens = 65536", "max_tokens = 1024"),
        (r"\.\./\.\./runs/demo-data/(en|de)(-heldout)?", rf"{folder}/\1\2"),
        (r"vocab_size = 4096", f"vocab_size = {toy.VOCAB_SIZE}"),
    ]
    return toy.changed_recipe(RECIPE, folder / "signs.toml", changes)


def cell_of(values, form):
    return f"{statistics.fmean(values):{form}} ± {statistics.stdev(values):{form}}"


class PublishedSigns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        for seed, name in enumerate(("en", "de", "en-heldout", "de-heldout")):
            toy.write_dataset(cls.folder / name, toy.made_documents(seed + 1, 350))  # ids that occur more than 128 times
        cls.study = cls.folder / "signs"
        done = toy.evenkeel("study", toy_recipe(cls.folder), "--out", cls.study, "--device", "cpu", timeout=1500)
        if done.rc != 0:
            raise AssertionError(done.err)
        cls.printed = cls.run_script()
        if cls.printed.returncode != 0:
            raise AssertionError(cls.printed.stderr)
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in cls.printed.stdout.splitlines() if line.startswith("| ")]
        cls.lines = lines[1:]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def run_script(cls, study=None):
        return subprocess.run([sys.executable, SCRIPT, study or cls.study, "--data", cls.folder, "--binary", toy.BINARY], capture_output=True, text=True)

    def analysis(self, group, when):
        return [json.loads((self.folder / "signs-analysis" / f"{group}-seed{seed}-{when}" / "results.json").read_text()) for seed in (1, 2)]

    def line(self, start, model):
        found = [line for line in self.lines if line[0].startswith(start) and line[2].startswith(model)]
        self.assertEqual(len(found), 1, f"{start}, {model}: {found}")
        return found[0]

    def test_every_sign_has_its_line(self):
        # three measures of two models; two models on two languages, twice; two of each drop rule
        self.assertEqual(len(self.lines), 3 * 2 + 2 * 2 + 2 * 2 + 3 * 2)
        for line in self.lines:
            self.assertRegex(line[4], r"^[0-2] of 2 seeds$")

    def test_choices_kept_are_those_of_the_analyses(self):
        results = self.analysis("granular-pb", "after")
        line = self.line("the first layer changes most: choices kept", "granular-pb")
        means = []
        for layer in range(LAYERS):
            values = [statistics.fmean(row["saturation"] for row in rows_of(one, "saturation", k=3, layer=layer)[1]) for one in results]
            self.assertIn(f"layer {layer} {cell_of(values, '.3f')}", line[3])
            means.append(values)
        self.assertEqual(line[4], f"{sum(means[0][seed] == min(layer[seed] for layer in means) for seed in range(2))} of 2 seeds")

    def test_replay_compares_the_same_data(self):
        kept = {suffix: [statistics.fmean(row["saturation"] for row in rows_of(one, "saturation", k=3, data="de")[1]) for one in self.analysis("granular-sb" + suffix, "after")] for suffix in ("", "-replay30")}
        line = self.line("0 % replay changes more than 30 %: choices kept on de", "granular-sb")
        self.assertIn(f"r 0 {cell_of(kept[''], '.3f')}; r 0.3 {cell_of(kept['-replay30'], '.3f')}", line[3])
        self.assertEqual(line[4], f"{sum(a < b for a, b in zip(*kept.values()))} of 2 seeds")

    def test_drops_are_weighted_by_tokens(self):
        values = {}
        for part, inside in (("first", lambda row: row["position_to"] <= 8), ("last", lambda row: row["position_from"] >= 24)):
            values[part] = []
            for one in self.analysis("drop-top-2", "before"):
                found = [row for row in rows_of(one, "drop_by_position", domain="de")[1] if inside(row)]
                values[part].append(sum(row["any_dropped"] * row["tokens"] for row in found) / sum(row["tokens"] for row in found))
        line = self.line("drops rise", "drop-top-2")
        for part in values:
            self.assertIn(f"de {part} quarter {cell_of(values[part], '.3f')}", line[3])
        self.assertEqual(line[4], f"{sum(a < b for a, b in zip(values['first'], values['last']))} of 2 seeds")

    def test_the_second_call_prints_the_same_without_new_analyses(self):
        before = {path: path.stat().st_mtime_ns for path in (self.folder / "signs-analysis").rglob("results.json")}
        self.assertEqual(len(before), 2 * (2 + 4 + 3))
        self.assertEqual(self.run_script().stdout, self.printed.stdout)
        self.assertEqual({path: path.stat().st_mtime_ns for path in before}, before)

    def test_it_refuses_what_is_no_study(self):
        done = self.run_script(self.folder)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1))


if __name__ == "__main__":
    unittest.main()

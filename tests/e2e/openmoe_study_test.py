#!/usr/bin/env python3
"""recipes/tiny/openmoe.toml at toy size: the table of scripts/openmoe_signs.py follows from the study and the analyses of its runs.

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
from checks import read_lines, rows_of, tensors_of

RECIPE = toy.ROOT / "recipes" / "tiny" / "openmoe.toml"
SCRIPT = toy.ROOT / "scripts" / "openmoe_signs.py"
LENGTH, STEPS, CHAT_STEPS, MOE_LAYERS = 64, (12, 6), 3, (1, 3)


def toy_recipe(folder):
    """The recipe with short steps and two seeds; everything else as it ships."""
    changes = [
        (r"seeds = \[1, 2, 3\]", "seeds = [1, 2]"),
        (r"batch_size = 16", "batch_size = 4"),
        (r"sequence_length = 256", f"sequence_length = {LENGTH}"),
        (r"group_size = 512", f"group_size = {2 * LENGTH}"),
        (r"steps = 234", f"steps = {STEPS[0]}"),
        (r"steps = 96", f"steps = {STEPS[1]}"),
        (r"steps = 32", f"steps = {CHAT_STEPS}"),
        (r'"78 steps"', '"4 steps"'),
        (r'"39 steps"', '"4 steps"'),
        (r'"6 steps"', '"1 steps"'),
        (r"max_tokens = 8192", "max_tokens = 512"),
        (r"\.\./\.\./runs/openmoe-data/", f"{folder}/"),
    ]
    return toy.changed_recipe(RECIPE, folder / "openmoe.toml", changes)


def make_data(folder):
    """text, code, other and dialogues of made words, each with a held-out part, by the program's own commands."""
    sources = {}
    for seed, name in enumerate(("text", "code", "other"), start=1):
        sources[name] = folder / f"{name}.txt"
        sources[name].write_text(toy.made_text(seed, 400))
    lines = toy.made_text(4, 200).split("\n\n")
    talks = [[{"role": "user", "content": a.strip()}, {"role": "assistant", "content": b.strip()}] for a, b in zip(lines[::2], lines[1::2])]
    sources["dialogues"] = folder / "dialogues.jsonl"
    sources["dialogues"].write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    tokenizer = folder / "tokenizer.model"
    commands = [["tokenizer", "train", "--kind", "unigram", "--vocab-size", "320", "--out", tokenizer, *(sources[name] for name in ("text", "code", "other"))]]
    for name, path in sources.items():
        options = ["--messages", "messages", "--template", "plain"] if name == "dialogues" else []
        commands.append(["prepare", "--tokenizer", tokenizer, "--out", folder / name, "--holdout", "0.4", *options, path])
    for command in commands:
        done = toy.evenkeel(*command)
        if done.rc != 0:
            raise AssertionError(done.err)


def numbers_of(values, format_of):
    return format_of(statistics.fmean(values), statistics.stdev(values))


class OpenmoeStudy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.path.insert(0, str(toy.ROOT / "scripts"))
        from with_error import with_error
        cls.with_error = staticmethod(with_error)
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        make_data(cls.folder)
        cls.study = cls.folder / "study"
        done = toy.evenkeel("study", toy_recipe(cls.folder), "--out", cls.study, "--device", "cpu", timeout=1500)
        if done.rc != 0:
            raise AssertionError(done.err)
        cls.printed = cls.run_script(cls.study)
        if cls.printed.returncode != 0:
            raise AssertionError(cls.printed.stderr)
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in cls.printed.stdout.splitlines() if line.startswith("| ")]
        cls.lines = lines[1:]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def run_script(cls, study):
        return subprocess.run([sys.executable, SCRIPT, study, "--data", cls.folder, "--binary", toy.BINARY], capture_output=True, text=True)

    def analysis(self, name):
        return [json.loads((self.folder / "study-analysis" / f"seed-{seed}" / name / "results.json").read_text()) for seed in (1, 2)]

    def line(self, start):
        found = [line for line in self.lines if line[0].startswith(start)]
        self.assertEqual(len(found), 1, f"{start}: {found}")
        return found[0]

    def test_every_sign_has_its_line(self):
        # objectives: two signs, five losses over time, two more; ids and positions: six; early routing: three; eight for each capacity
        self.assertEqual(len(self.lines), 9 + 6 + 3 + 3 * 8)
        for line in self.lines:
            self.assertRegex(line[4], r"^([0-2] of 2 seeds|reported)$")

    def test_losses_are_those_of_the_evaluations(self):
        for name, start in (("text-ul2", "loss over time: UL2 on text"), ("text", "loss over time: causal on text"), ("answers", "loss over time: answers")):
            ends = []
            for seed in (1, 2):
                metrics = read_lines(self.study / "arms" / f"openmoe-chat-seed{seed}" / "metrics.jsonl")
                ends.append(next(line["eval"][name]["loss"] for line in metrics if "eval" in line and line["step"] == STEPS[0]))
            self.assertIn(f"UL2's end {numbers_of(ends, self.with_error)}", self.line(start)[3])

    def test_the_ratio_is_that_of_the_analyses(self):
        ratios = []
        for results in self.analysis("ids-and-positions"):
            ids = rows_of(results, "token_specialization", domain="text")[1]
            positions = rows_of(results, "position_specialization", domain="text", group="all_but_first")[1]
            self.assertEqual([row["layer"] for row in ids], list(MOE_LAYERS))
            ratios.append(statistics.fmean(row["std"] for row in ids) / statistics.fmean(row["std"] for row in positions))
        line = self.line("experts go by token ids, not by positions: std of shares on text")
        self.assertIn(f"ratio {numbers_of(ratios, self.with_error)}", line[3])
        self.assertEqual(line[4], f"{sum(ratio >= 5 for ratio in ratios)} of 2 seeds")

    def test_the_weights_are_the_same_under_every_capacity(self):
        for group in ("openmoe", "openmoe-chat"):
            steps = sum(STEPS) + (CHAT_STEPS if group == "openmoe-chat" else 0)
            want = tensors_of(self.study / "arms" / f"{group}-seed1" / "checkpoints" / f"step-{steps:08d}" / "model.safetensors")
            for capacity in ("port", "tight", "off"):
                got = tensors_of(self.folder / "study-analysis" / "seed-1" / f"{group}-{capacity}" / "checkpoints" / "step-00000001" / "model.safetensors")
                self.assertEqual(got, want, f"{group}, {capacity}")

    def test_less_room_drops_more_and_none_drops_nothing(self):
        shares, room = {}, {"port": 16, "tight": 10, "even": 8}  # of 64 tokens and 16 experts
        for capacity in room:
            for results in self.analysis(f"openmoe-{capacity}-drops"):
                for row in rows_of(results, "drops")[1]:
                    shares.setdefault((row["domain"], row["layer"]), {}).setdefault(capacity, []).append(row["dropped"])
                    self.assertEqual(row["capacity_most"], room[capacity])
        for found in shares.values():
            for port, tight, even in zip(found["port"], found["tight"], found["even"]):
                self.assertLessEqual(port, tight)
                self.assertLessEqual(tight, even)

    def test_the_second_call_prints_the_same_without_new_analyses(self):
        before = {path: path.stat().st_mtime_ns for path in (self.folder / "study-analysis").rglob("results.json")}
        self.assertEqual(self.run_script(self.study).stdout, self.printed.stdout)
        self.assertEqual({path: path.stat().st_mtime_ns for path in before}, before)

    def test_it_refuses_what_is_no_study(self):
        done = self.run_script(self.folder)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1))


if __name__ == "__main__":
    unittest.main()

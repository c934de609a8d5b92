#!/usr/bin/env python3
"""Every recipe that ships passes `plan`, with the parameter counts that its head states.

`plan` of a study plans each arm for each seed.

  EVENKEEL  the binary (build/evenkeel)
"""
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("EVENKEEL", ROOT / "build" / "evenkeel"))
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))

# Total and active parameters (arXiv 2503.05029; derived from its table of sizes).
PAPER = {
    "dense-570m": (570_475_520, 570_475_520),
    "switch-2b": (2_023_998_464, 570_672_128),
    "switch-2b-sinkhorn": (2_023_998_464, 570_672_128),
    "granular-2b": (2_024_563_712, 571_237_376),
    "granular-2b-sinkhorn": (2_024_563_712, 571_237_376),
    "granular-2b-one-gpu": (2_024_563_712, 571_237_376),
}
PAPER_STEPS = 192_720 + 2 * 95_370
PAPER_TOKENS_A_STEP = 1024 * 2048
CONSTANT_RATE, LEAST_RATE = 1.65e-4, 3e-5


def plan(path, *options):
    """The exit code, standard output and standard error of `evenkeel plan`."""
    done = subprocess.run([BINARY, "plan", str(path), "--no-measure", *options], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def plan_json(path):
    code, out, error = plan(path, "--json")
    if code != 0:
        raise AssertionError(f"{path}: exit {code}: {error}")
    return json.loads(out)


def is_study(path):
    return "study" in tomllib.loads(path.read_text())


class Recipes(unittest.TestCase):
    def test_there_are_some(self):
        self.assertGreaterEqual(len(RECIPES), 13)

    def test_every_run_passes_plan(self):
        for path in RECIPES:
            if is_study(path):
                continue
            with self.subTest(path.name):
                planned = plan_json(path)
                self.assertGreater(planned["run"]["steps"], 0)
                self.assertGreater(planned["memory"]["total_bytes"], 4 * planned["parameters"]["total"])

    def test_every_study_plans_all_its_arms_flop_matched(self):
        studies = [path for path in RECIPES if is_study(path)]
        self.assertGreaterEqual(len(studies), 2)
        for path in studies:
            with self.subTest(path.name):
                study = tomllib.loads(path.read_text())["study"]
                planned = plan_json(path)["arms"]
                seeds = study.get("seeds", [1])
                suffixes = [f"-seed{seed}" for seed in seeds] if len(seeds) > 1 else [""]
                self.assertEqual(set(planned), {arm["name"] + suffix for arm in study["arms"] for suffix in suffixes})
                flops = [arm["flops_per_token"]["training"] for arm in planned.values()]
                self.assertLess(max(flops) / min(flops), 1.05)

    def test_paper_recipes_have_the_published_sizes(self):
        found = {path.stem for path in RECIPES if path.parent.name == "paper"}
        self.assertEqual(found, set(PAPER))
        for name, (total, active) in PAPER.items():
            with self.subTest(name):
                path = ROOT / "recipes" / "paper" / f"{name}.toml"
                planned = plan_json(path)
                self.assertEqual(planned["parameters"]["total"], total)
                self.assertEqual(planned["parameters"]["active"], active)
                self.assertEqual(planned["run"], {**planned["run"], "steps": PAPER_STEPS, "tokens": PAPER_STEPS * PAPER_TOKENS_A_STEP})
                self.assertIn(f"{total:,}", path.read_text())

    def test_paper_recipes_continue_from_the_end_of_the_constant_rate(self):
        for name in PAPER:
            with self.subTest(name):
                first, *rest = tomllib.loads((ROOT / "recipes" / "paper" / f"{name}.toml").read_text())["phase"]
                schedule, steps = first["schedule"], first["steps"]
                joint = sum(round(schedule[key] * steps) for key in ("warmup", "cooldown", "constant"))
                self.assertEqual([phase["start"]["step"] for phase in rest], [joint, joint])
                self.assertEqual([phase["replay"]["fraction"] for phase in rest], [0.4, 0.3])
                for phase in rest:
                    self.assertEqual((phase["schedule"]["lr_max"], phase["schedule"]["lr_constant"], phase["schedule"]["lr_min"]),
                                     (CONSTANT_RATE, CONSTANT_RATE, LEAST_RATE))


if __name__ == "__main__":
    unittest.main()

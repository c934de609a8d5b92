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
# Total parameters and those a token passes, and the tokens of the phases (arXiv 2402.01739; the totals are those of the released checkpoints).
OPENMOE = {
    "base": (799_663_104, 535_421_952, [131_072_000_000]),
    "8b": (11_855_046_656, 3_801_982_976, [817_889_280_000, 282_110_984_192]),
    "34b": (46_270_737_408, 10_031_950_848, [52_428_800_000, 157_286_400_000]),
}
# Their arms are not meant to have the same FLOPs a token.
OF_SEVERAL_COSTS = {"upcycled-or-scratch"}
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
        self.assertGreaterEqual(len(RECIPES), 19)

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
                if path.stem in OF_SEVERAL_COSTS:
                    continue
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

    def test_openmoe_recipes_have_the_released_sizes_and_the_published_stages(self):
        self.assertEqual({path.stem for path in RECIPES if path.parent.name == "openmoe"}, set(OPENMOE))
        for name, (total, active, tokens) in OPENMOE.items():
            with self.subTest(name):
                path = ROOT / "recipes" / "openmoe" / f"{name}.toml"
                planned, text = plan_json(path), path.read_text()
                self.assertEqual((planned["parameters"]["total"], planned["parameters"]["active"]), (total, active))
                self.assertEqual(planned["run"]["tokens"], sum(tokens))
                self.assertIn(f"{total:,} ({active:,} active)", text)
                recipe = tomllib.loads(text)
                tokens_a_step = recipe["train"]["batch_size"] * recipe["train"]["sequence_length"]
                self.assertEqual([phase["steps"] * tokens_a_step for phase in recipe["phase"]], tokens)
                self.assertEqual([phase.get("objective", {}).get("kind", "causal") for phase in recipe["phase"]], ["ul2", "causal"][: len(tokens)])
                for phase in recipe["phase"]:
                    self.assertAlmostEqual(sum(source["weight"] for source in phase["data"]), 100)

    def test_the_second_stage_goes_on_along_the_root_of_the_first(self):
        for path in [*(ROOT / "recipes" / "openmoe").glob("*.toml"), ROOT / "recipes" / "tiny" / "openmoe.toml"]:
            first, *rest = tomllib.loads(path.read_text())["phase"]
            held = int(first["schedule"]["warmup"].split()[0])
            for second in rest[:1]:
                with self.subTest(str(path)):
                    schedule, before, steps = second["schedule"], first["steps"], second["steps"]
                    rate = lambda n: first["schedule"]["lr_max"] * (held / n) ** 0.5
                    self.assertAlmostEqual(schedule["lr_max"] / rate(before), 1, 5)
                    self.assertAlmostEqual(schedule["lr_constant"] / rate(before + steps), 1, 5)
                    self.assertAlmostEqual(schedule["timescale"] / (steps / before), 1, 5)

    def test_the_small_openmoe_switches_where_the_8b_model_did(self):
        ul2, causal, _ = tomllib.loads((ROOT / "recipes" / "tiny" / "openmoe.toml").read_text())["phase"]
        self.assertAlmostEqual(ul2["steps"] / (ul2["steps"] + causal["steps"]), 780 / 1100, 3)
        code = [{source["name"]: source["weight"] for source in phase["data"]}["code"] for phase in (ul2, causal)]
        self.assertEqual(code, [52.25, 15])

    def test_upcycled_and_scratch_cost_the_same(self):
        planned = plan_json(ROOT / "recipes" / "tiny" / "upcycled-or-scratch.toml")["arms"]
        upcycled = plan_json(ROOT / "recipes" / "tiny" / "upcycled.toml")["run"]["training_flops"]
        flops = {name: arm["run"]["training_flops"] for name, arm in planned.items()}
        for name in ("scratch-seed1", "scratch-granular-seed1"):
            self.assertAlmostEqual(flops[name] / (flops["dense-seed1"] + upcycled), 1, delta=0.005)


if __name__ == "__main__":
    unittest.main()

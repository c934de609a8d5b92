#!/usr/bin/env python3
"""A released folder from analysis through continued training with replay back to `transformers`: the commands, the recipe and the script of
docs/models.md as they stand there, on a tiny Mixtral, a tiny DeepSeek-V3 and a tiny gpt-oss. Load and saturation are counted anew from the routers of
`transformers`, of the folder that went in and of the one that came out.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import functools
import json
import math
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import numpy as np  # noqa: E402
import toy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from checks import documents_of, read_lines, rows_of, run_in_folder, steps_of  # noqa: E402
from family_models import Watch, config_of, load, randomise  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

VOCABULARY = 320  # SentencePiece's byte pieces, and some more
COMMON = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "hidden_act": "silu", "rope": "default", "num_experts_per_tok": 2}
MODELS = {
    "mixtral": {**COMMON, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 8, "intermediate_size": 24},
    "deepseek_v3": {**COMMON, "num_key_value_heads": 4, "q_lora_rank": 12, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8,
                    "n_routed_experts": 8, "n_group": 4, "topk_group": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "intermediate_size": 40, "moe_intermediate_size": 12, "norm_topk_prob": True, "routed_scaling_factor": 2.5},
    "gpt_oss": {**COMMON, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 8, "intermediate_size": 24, "sliding_window": 9,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "swiglu_limit": 2.0},
}
FAMILIES = tuple(MODELS)
STEPS, BATCH, LENGTH = 50, 4, 32
# What the page's recipe says of a released model -> of a tiny one, which has to learn something in few steps.
SMALLER = {"batch_size = 64": f"batch_size = {BATCH}", "sequence_length = 2048": f"sequence_length = {LENGTH}", 'tokens = "200M tokens"': f"steps = {STEPS}", "lr_max = 1e-4": "lr_max = 1e-2", "lr_min = 1e-5": "lr_min = 1e-3"}
SETS = ("old", "new")
# Which tables an analysis gives.
TABLES = {
    "load": ("load", "domain_specialization", "domain_similarity"), "saturation": ("saturation",), "early_routing": ("early_routing",),
    "vocabulary_specialization": ("vocabulary_specialization",), "expert_tokens": ("expert_tokens", "expert_vocabulary"), "continual_vocabulary": ("continual_vocabulary",),
    "token_specialization": ("token_specialization", "token_id_specialization"), "position_specialization": ("position_specialization", "position_id_specialization"),
    "coactivation": ("coactivation", "coactivation_order"), "co_routing": ("co_routing",), "temporal_locality": ("temporal_locality",), "drops": ("drops", "drop_by_position"),
    "semantic_clusters": ("semantic_clusters", "semantic_coherence", "semantic_cluster_tokens"), "balance_losses": ("balance_losses",),
}
NEED_A_REFERENCE = ("saturation", "early_routing", "continual_vocabulary")


def walk_of_the_page():
    """(language, text) of each block of code under the heading of the walk."""
    page = (toy.ROOT / "docs" / "models.md").read_text()
    section = re.search(r"^## A walk\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Walk:
    """The folder in which a family's walk was gone."""

    def __init__(self, family, folder):
        self.family, self.folder = family, folder
        for name, seed in (("old", 1), ("new", 2)):
            (folder / f"{name}.txt").write_text(toy.made_text(seed, n_paragraphs=1200))
        self.make_model()
        (folder / "bin").mkdir()
        (folder / "bin" / "evenkeel").symlink_to(toy.BINARY)
        self.output = ""
        for language, text in walk_of_the_page():
            if language == "toml":
                (folder / "continue.toml").write_text(smaller(text))
            else:
                self.output += self.run(["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text])

    def make_model(self):
        models = self.folder / "models"
        config = config_of(self.family, MODELS[self.family])
        config.vocab_size = VOCABULARY
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        randomise(model, seed=7).save_pretrained(models / "released")
        made = toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", VOCABULARY, "--out", models / "released" / "tokenizer.model", self.folder / "old.txt", self.folder / "new.txt")
        if made.rc != 0:
            raise RuntimeError(made.err)

    def run(self, command):
        environment = toy.environment({"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"})
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=100)
        if done.returncode != 0:
            raise RuntimeError(f"{self.family}: {command[-1][:80]!r}: exit code {done.returncode}: {done.stderr[-1500:]}")
        return done.stdout

    def results(self, name):
        return json.loads((self.folder / "analysis" / name / "results.json").read_text())

    def ids(self, name):
        return np.array([token for document in documents_of(self.folder / "data" / f"{name}-heldout")[0] for token in document])

    @functools.cache
    def routings(self, name, which, length):
        """Layer -> (experts [T, k], best first; how many decisions are close) of a held-out set under `transformers`, window by window."""
        ids, model, out = torch.from_numpy(self.ids(name)).long(), load(self.folder / "models" / which).eval(), {}
        for start in range(0, len(ids) - 1, length):
            with torch.no_grad(), Watch(model) as routings:
                model(input_ids=ids[None, start:min(start + length, len(ids) - 1)])
            for routing in routings:
                out.setdefault(routing.layer, []).append((routing.experts.numpy(), int((routing.margin < 1e-5).sum())))
        return {layer: (np.concatenate([experts for experts, _ in parts]), sum(n for _, n in parts)) for layer, parts in out.items()}


def smaller(recipe):
    for old, new in SMALLER.items():
        assert recipe.count(old) == 1, f"docs/models.md: the recipe of the walk has {recipe.count(old)} times {old!r}; need it once"
        recipe = recipe.replace(old, new)
    return recipe


class Place:
    def __init__(self, folder):
        self.folder = folder

    @functools.cache
    def walk(self, family):
        (self.folder / family).mkdir()
        return Walk(family, self.folder / family)


def check_a_mixtral_goes_the_whole_walk(place, problems):
    went_the_walk(place.walk("mixtral"), problems)


def check_a_deepseek_goes_the_whole_walk(place, problems):
    went_the_walk(place.walk("deepseek_v3"), problems)


def check_a_gpt_oss_goes_the_whole_walk(place, problems):
    went_the_walk(place.walk("gpt_oss"), problems)


def went_the_walk(walk, problems):
    problems.need(walk.family in walk.output, f"inspect does not name the family: {walk.output[:300]!r}")
    steps = steps_of(walk.folder / "runs" / "continued")
    problems.equal(len(steps), STEPS, "steps")
    replayed = sum(step["sources"].get("replay/old", 0) for step in steps)
    problems.need(abs(replayed - STEPS * BATCH / 4) <= 1, f"replayed sequences: got {replayed}; need a quarter of {STEPS * BATCH}")
    evaluations = [line for line in read_lines(walk.folder / "runs" / "continued" / "metrics.jsonl") if "eval" in line]
    problems.need(evaluations[-1]["eval"]["new"]["loss"] < evaluations[0]["eval"]["new"]["loss"] - 0.5, "nothing was learned")
    config = json.loads((walk.folder / "models" / "continued" / "config.json").read_text())
    problems.equal(config["model_type"], walk.family, "the family that came out")
    problems.need((walk.folder / "models" / "continued" / "tokenizer.model").exists(), "no tokenizer came out")
    printed = re.search(r"^(\w+ForCausalLM) loss ([0-9.]+)$", walk.output, re.MULTILINE)
    if problems.need(printed is not None, f"the script of the page: {walk.output[-200:]!r}"):
        problems.equal(printed[1], config["architectures"][0], "the class that the script of the page loads")
        problems.close(float(printed[2]), loss_of_evenkeel(walk), 1e-5, "loss of the script of the page")  # fp32 sums in another order
    # transformers on what came out has the loss of the run's last evaluation
    model, total, n = load(walk.folder / "models" / "continued").eval(), 0.0, 0
    ids = torch.from_numpy(walk.ids("new")).long()
    for start in range(0, len(ids) - 1, LENGTH):
        window = ids[start:start + LENGTH + 1]
        with torch.no_grad():
            logits = model(input_ids=window[None, :-1]).logits[0]
        total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
        n += len(window) - 1
    problems.close(evaluations[-1]["eval"]["new"]["loss"], total / n, 1e-5, "loss on new text")  # fp32 sums in another order


def loss_of_evenkeel(walk):
    """Of the run that was exported, on the ids of the page's script."""
    ids, out = list(range(3, 35)), walk.folder / "trace.safetensors"
    (walk.folder / "ids.json").write_text(json.dumps([ids]))
    walk.run([toy.BINARY, "trace", "runs/continued", "--tokens", "ids.json", "--logits", "--out", str(out), "--threads", "1", "--device", "cpu"])
    return torch.nn.functional.cross_entropy(load_file(out)["logits"][0, :-1], torch.tensor(ids[1:])).item()


def check_every_analysis_has_rows_or_says_why_not(place, problems):
    for family in FAMILIES:
        walk = place.walk(family)
        for name in ("before", "after"):
            results = walk.results(name)
            problems.equal(set(results["options"]["analyses"]), set(TABLES), "analyses; this test lists the tables of each")
            for analysis, tables in TABLES.items():
                noted = [note for note in results["notes"] if note.startswith(f"{analysis}:")]
                if name == "before" and analysis in NEED_A_REFERENCE:
                    problems.need(any("reference" in note for note in noted), f"{family}, {name}: {analysis} does not say that it needs a reference")
                    continue
                for table in tables:
                    rows = results["tables"].get(table, {}).get("rows")
                    problems.need(rows, f"{family}, {name}: no rows in {table}; notes {noted}")
            empty = [table for table, entry in results["tables"].items() if not entry["rows"]]
            problems.equal(empty, [], f"{family}, {name}: tables without rows")
            problems.need(results["headlines"] and (walk.folder / "analysis" / name / "report.html").stat().st_size > 100_000, f"{family}, {name}: no headline or page")


ROUNDING = 1e-12  # of sums and logarithms of a few whole numbers in fp64


def most_differences(share):
    """By how much the measures of a layer's load may differ where this share of the tokens has a close decision, each of which may move all of its
    assignments: the counts then differ by at most 2 k a token, the shares by a total variation of at most `share`. None where no decision is close."""
    if share == 0:
        return dict.fromkeys(("mri", "max_share", "entropy", "cv"), ROUNDING)
    mixed = -share * math.log(share) - (1 - share) * math.log(1 - share)
    return {"mri": ROUNDING + share,  # an expert has at most one assignment of a token
            "max_share": ROUNDING + share,
            "entropy": ROUNDING + (share * math.log(7) + mixed) / math.log(8),  # Fannes' bound, of 8 experts
            "cv": ROUNDING + 4 * share}  # 8 / sqrt(8) of the distance of the shares, which is at most sqrt(2) of the variation


def check_the_load_is_that_of_transformers(place, problems):
    for family in FAMILIES:
        walk = place.walk(family)
        _, rows = rows_of(walk.results("before"), "load")
        length = walk.results("before")["options"]["sequence_length"]
        layers = sorted(walk.routings("old", "released", length))
        problems.equal(sorted((row["domain"], row["layer"]) for row in rows), sorted((name, layer) for name in SETS for layer in layers), f"{family}: rows")
        for row in rows:
            experts, n_close = walk.routings(row["domain"], "released", length)[row["layer"]]
            counts = np.bincount(experts.reshape(-1), minlength=8).astype(float)
            shares = counts / counts.sum()
            what, slack = f"{family}, {row['domain']}, layer {row['layer']}", n_close / len(experts)
            problems.equal(row["tokens"], len(experts), f"{what}: tokens")
            problems.need(slack < 0.01, f"{what}: {n_close} close decisions")
            wanted = {"mri": counts.max() / len(experts), "max_share": shares.max(), "entropy": -math.fsum(x * math.log(x) for x in shares if x > 0) / math.log(8), "cv": shares.std() * 8}
            for name, most in most_differences(slack).items():
                problems.close(row[name], wanted[name], most, f"{what}: {name}")


def check_the_saturation_is_that_of_transformers(place, problems):
    for family in FAMILIES:
        walk = place.walk(family)
        results = walk.results("after")
        _, rows = rows_of(results, "saturation")
        length = results["options"]["sequence_length"]
        problems.equal(length, LENGTH, f"{family}: length of the windows: that of the run")
        problems.equal(len(rows), len(SETS) * 2 * len(walk.routings("old", "released", length)), f"{family}: rows")
        for row in rows:
            (before, close_before), (after, close_after) = (walk.routings(row["data"], which, length)[row["layer"]] for which in ("released", "continued"))
            k, slack = row["k"], (close_before + close_after) / len(before)
            common = sum(len(set(a[:k]) & set(b[:k])) for a, b in zip(before.tolist(), after.tolist()))
            what = f"{family}, {row['data']}, layer {row['layer']}, k = {k}"
            problems.need(slack < 0.01, f"{what}: {close_before} and {close_after} close decisions")
            problems.close(row["saturation"], common / (k * len(before)), ROUNDING + slack, what)  # a close decision moves at most all k of a token
            problems.close(row["chance"], k / 8, ROUNDING, f"{what}: chance")
            problems.need(row["saturation"] < 1, f"{what}: the router has not moved")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

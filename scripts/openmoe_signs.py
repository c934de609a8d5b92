#!/usr/bin/env python3
"""Prints which signs of OpenMoE (arXiv 2402.01739, section 4) show in the study recipes/tiny/openmoe.toml.

usage: openmoe_signs.py STUDY_DIR --data DATA_DIR [--binary build/evenkeel]

Runs `evenkeel analyze` and `evenkeel eval` on every seed, before the conversations (arm openmoe) and after them (openmoe-chat); kept in
STUDY_DIR-analysis, each made once. A figure is a mean over seeds with its sample standard deviation. When a sign shows stands in BOUNDS and
in the table's third column, stated before the first run. Standard library only.

Drops are looked at under three capacities, and the loss on the same text stands beside each, with that capacity and without one:
  even    the model's own, the one of its training in JAX: room for 2 T/E, with k = 2 exactly an even load
  port    that of the PyTorch port that the paper's figure 12 was made with: 2 k T/E, twice an even load
  tight   the same rule with the factor of training: 1.25 k T/E
The weights are the same. A model gets another capacity by one step at a learning rate that rounds to no change at all.
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from published_signs import rows  # noqa: E402
from with_error import with_error  # noqa: E402

TOKENS = 65536       # of each held-out set, for ids and positions
DROP_TOKENS = 16384  # for drops, and the losses beside them
SETS = ("text", "code", "other", "dialogues")
WINDOW = 20          # steps on each side of the switch of objective
CAPACITIES = {"even": None, "port": '{rule = "colossalai"}', "tight": '{rule = "colossalai", factor_eval = 1.25}', "off": '{rule = "none"}'}
PROBE = """# {about}
[model]
from = "{model}"
capacity = {capacity}
[train]
batch_size = 1
sequence_length = {length}
[optimizer]
kind = "adamw"
weight_decay = 0.0
[[phase]]
name = "nothing"
steps = 1
data = [{{name = "text", path = "{data}/text"}}]
schedule = {{kind = "constant", lr_max = 1e-30}}
"""

# What has to hold for a sign to show in a seed. Stated before the first run of the study.
BOUNDS = {
    "ids over positions": 5.0,          # standard deviation by token id over that by position; published 0.085 / 0.009
    "first position": 3.0,              # of the first position over the others; published 0.121 / 0.009
    "domain": 2.0,                      # largest share over uniform, most of the domains in training; published 1.10 .. 1.57
    "early": 0.8,                       # overlap of ids' experts with the end's at a fifth of the tokens; published .877 and .897
    "at the switch": 0.9,               # the same just before the objective changes; published .924 and .952 at 600B of 1.1T
    "drops in domain": 0.02,            # share of tokens with a drop, port; published 0.1 .. 0.3 %
    "drops stay after conversations": 0.8,  # the last quarter's after / before; published 18.3 / 14.0 %
}


def mean(values):
    values = list(values)
    if not values or None in values:
        raise RuntimeError("got a figure that could not be made, since nothing occurs often enough; need longer held-out sets")
    return statistics.fmean(values)


class Seed:
    """The runs of one seed and what is made of them."""

    def __init__(self, study, seed, given):
        self.given, self.folder = given, pathlib.Path(f"{study}-analysis") / f"seed-{seed}"
        found = json.loads((study / "results.json").read_text())
        arms = {arm["group"]: arm for arm in found["arms"] if arm["seed"] == seed}
        self.runs = {group: study / "arms" / arm["name"] for group, arm in arms.items()}
        self.phases = {phase["name"]: phase["steps"] for phase in arms["openmoe-chat"]["phases"]}
        self.length = json.loads((self.runs["openmoe"] / "resolved.json").read_text())["train"]["sequence_length"]

    def run(self, *words, out=None):
        done = subprocess.run([self.given.binary, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
        if out is not None:
            temporary = out.with_name(out.name + ".tmp")
            temporary.write_text(done.stdout)
            temporary.replace(out)

    def data(self, names=SETS):
        return [word for name in names for word in ("--data", f"{name}={self.given.data}/{name}-heldout")]

    def checkpoint(self, group):
        names = ("ul2", "causal") if group == "openmoe" else ("ul2", "causal", "conversations")
        return self.runs[group] / "checkpoints" / f"step-{sum(self.phases[name] for name in names):08d}"

    def model(self, group, capacity):
        """The weights of a group's end under a capacity."""
        if CAPACITIES[capacity] is None:
            return self.checkpoint(group)
        run, recipe = self.folder / f"{group}-{capacity}", self.folder / f"{group}-{capacity}.toml"
        if not (run / "results.json").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            recipe.write_text(PROBE.format(about="The weights of a run under another capacity: scripts/openmoe_signs.py.", model=self.checkpoint(group).resolve(),
                                           capacity=CAPACITIES[capacity], length=self.length, data=pathlib.Path(self.given.data).resolve()))
            self.run("train", recipe, "--out", run, "--resume", "--no-tensorboard")
        return run

    def analysis(self, name, model, kinds, *options):
        out = self.folder / name
        if not (out / "report.html").exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            self.run("analyze", model, *[word for kind in kinds for word in ("--analyses", kind)], *options, "--out", out)
        return json.loads((out / "results.json").read_text())

    def end(self):
        return self.analysis("ids-and-positions", self.checkpoint("openmoe"), ("load", "token_specialization", "position_specialization"), *self.data(), "--max-tokens", TOKENS)

    def early(self):
        return self.analysis("early-routing", self.runs["openmoe"], ("early_routing",), "--over-run", *self.data(("text",)), "--max-tokens", TOKENS)

    def drops(self, group, capacity):
        return self.analysis(f"{group}-{capacity}-drops", self.model(group, capacity), ("drops",), *self.data(), "--max-tokens", DROP_TOKENS)

    def losses(self, group, capacity):
        out = self.folder / f"{group}-{capacity}-losses.json"
        if not out.exists():
            model = self.model(group, capacity)
            out.parent.mkdir(parents=True, exist_ok=True)
            self.run("eval", model, *self.data(), "--max-tokens", DROP_TOKENS, "--json", out=out)
        return {name: entry["loss"] for name, entry in json.loads(out.read_text())["data"].items()}

    def lines(self, group):
        return [json.loads(line) for line in (self.runs[group] / "metrics.jsonl").read_text().splitlines()]


class Table:
    def __init__(self, seeds):
        self.seeds = seeds
        self.lines = ["| sign | published | shows when | here, mean ± spread | shows in |", "|---|---|---|---|---|"]

    def add(self, sign, published, bound, of, holds, scale=1.0):
        """`of(seed)`: {figure: value}; `holds` of it: whether the sign shows there, None where it is only reported."""
        found = [of(seed) for seed in self.seeds]
        parts = []
        for key in found[0]:
            values = [one[key] * scale for one in found]
            parts.append(f"{key} {with_error(mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)}")
        verdict = "reported" if holds is None else f"{sum(map(holds, found))} of {len(found)} seeds"
        self.lines.append(f"| {sign} | {published} | {bound} | {'; '.join(parts)} | {verdict} |")


# ---- objectives ----

def evaluations(seed, group, name):
    """[(step, loss)] of a held-out set, the last of a step."""
    return sorted({line["step"]: line["eval"][name]["loss"] for line in seed.lines(group) if "eval" in line and name in line["eval"]}.items())


def loss_at(seed, name, step):
    return next(loss for at, loss in reversed(evaluations(seed, "openmoe-chat", name)) if at <= step)


def objectives(table):
    def switch(seed):
        terms = {name: [line["loss_terms"]["cross_entropy"] for line in seed.lines("openmoe") if line.get("phase") == name and "loss_terms" in line] for name in ("ul2", "causal")}
        return {"before": mean(terms["ul2"][-WINDOW:]), "behind": mean(terms["causal"][:WINDOW])}
    table.add("the training loss rises where UL2 ends", "token accuracy .557 → .509 (8B)", f"mean of {WINDOW} steps behind > before", switch, lambda one: one["behind"] > one["before"])

    def pace(seed):
        end, n = seed.phases["ul2"], seed.phases["causal"]
        third = end - end // 3
        last = (loss_at(seed, "text", third) - loss_at(seed, "text", end)) / (end - third)
        return {"UL2's last third": 1000 * last, "causal": 1000 * (loss_at(seed, "text", end) - loss_at(seed, "text", end + n)) / n}
    table.add("causal training goes on where UL2 slows down: causal loss on text, fall in 1,000 steps", "UL2 saturates at 350–390K of 390K steps", "faster behind the switch (more text there, too)", pace,
              lambda one: one["causal"] > one["UL2's last third"])

    def over_time(name):
        def of(seed):
            end = seed.phases["ul2"]
            steps = {"a third": end // 3, "two thirds": end - end // 3, "UL2's end": end, "causal's end": end + seed.phases["causal"], "conversations' end": sum(seed.phases.values())}
            return {at: loss_at(seed, name, step) for at, step in steps.items()}
        return of
    for name, words in (("text-ul2", "UL2 on text"), ("text", "causal on text"), ("code-ul2", "UL2 on code"), ("code", "causal on code"), ("answers", "answers in conversations")):
        table.add(f"loss over time: {words}", "–", "–", over_time(name), None)
    table.add("code is easier than text: causal loss at the end", "TheStack 1.27, C4 2.81 (Base)", "code < text", lambda seed: {name: over_time(name)(seed)["causal's end"] for name in ("text", "code")},
              lambda one: one["code"] < one["text"])
    table.add("conversations are learned: loss of answers", "–", "lower after than before", lambda seed: {at: over_time("answers")(seed)[at] for at in ("causal's end", "conversations' end")},
              lambda one: one["conversations' end"] < one["causal's end"])


# ---- ids, positions, domains ----

def specialization(seed, data):
    results = seed.end()
    of = lambda name, key, **where: mean([row[key] for row in rows(results, name, domain=data, **where)])
    out = {"by id": of("token_specialization", "std"), "by position": of("position_specialization", "std", group="all_but_first")}
    return {**out, "chance by position": of("position_specialization", "chance_std", group="all_but_first"), "ratio": out["by id"] / out["by position"]}


def id_overlap(seed, data):
    """Mean overlap of the experts of the ten most frequent ids, over pairs and layers."""
    shares = {}
    seed.end()
    with open(seed.folder / "ids-and-positions" / "csv" / "token_id_shares.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["domain"] == data:
                shares.setdefault(row["layer"], {}).setdefault(row["id"], {})[row["expert"]] = float(row["share [of assignments]"])
    overlaps = []
    for ids in shares.values():
        found = list(ids.values())
        for i, one in enumerate(found):
            for other in found[i + 1:]:
                overlaps.append(sum(min(one.get(expert, 0), other.get(expert, 0)) for expert in one.keys() | other.keys()))
    return mean(overlaps)


def overlaps(seed):
    results = seed.end()
    domains = [row["overlap"] for row in rows(results, "domain_similarity") if {row["domain_a"], row["domain_b"]} == {"text", "code"}]
    return {"ids": id_overlap(seed, "text"), "consecutive positions": mean([row["overlap"] for row in rows(results, "position_specialization", domain="text", group="consecutive")]), "text and code": mean(domains)}


def max_share(seed, data):
    found = rows(seed.end(), "load", domain=data)
    experts = len({row["expert"] for row in rows(seed.end(), "domain_specialization", domain=data)})
    return mean([row["max_share"] for row in found]) * experts


def first_position(seed):
    results = seed.end()
    std = {group: mean([row["std"] for row in rows(results, "position_specialization", domain="text", group=group)]) for group in ("first", "all_but_first")}
    return {"first": std["first"], "others": std["all_but_first"], "ratio": std["first"] / std["all_but_first"]}


def what_experts_go_by(table):
    bound = BOUNDS["ids over positions"]
    for data in ("text", "code"):
        table.add(f"experts go by token ids, not by positions: std of shares on {data}", "0.085 by id, 0.009 by position", f"ratio ≥ {bound:g}", lambda seed, data=data: specialization(seed, data), lambda one: one["ratio"] >= bound)
    table.add("the first position is an exception", "0.121, others 0.009", f"ratio ≥ {BOUNDS['first position']:g}", first_position, lambda one: one["ratio"] >= BOUNDS["first position"])
    table.add("overlap of the experts: ids least, domains most", "ids .274, consecutive positions .894, domains .961", "ids < positions and ids < domains", overlaps,
              lambda one: one["ids"] < min(one["consecutive positions"], one["text and code"]))
    table.add("domains have no experts of their own: largest share ÷ uniform", "1.10–1.57", f"≤ {BOUNDS['domain']:g} on both", lambda seed: {data: max_share(seed, data) for data in ("text", "code")}, lambda one: max(one.values()) <= BOUNDS["domain"])
    table.add("languages have more of them", "1.48–2.07", "other > text", lambda seed: {data: max_share(seed, data) for data in ("text", "other")}, lambda one: one["other"] > one["text"])


# ---- early routing ----

def early_overlaps(seed):
    """{step: (overlap, the level of both loads)}, means over ids and layers."""
    out = {}
    for row in rows(seed.early(), "early_routing"):
        out.setdefault(row["from_step"], []).append((row["overlap"], row["load_overlap"]))
    return {step: tuple(mean(column) for column in zip(*found)) for step, found in sorted(out.items())}


def early_routing(table):
    def first(seed):
        found = early_overlaps(seed)
        step = min(found)
        return {"overlap": found[step][0], "of independent choices at these loads": found[step][1], "at share of the tokens": step / (seed.phases["ul2"] + seed.phases["causal"])}
    table.add("ids have their experts early: overlap with the end's at the first checkpoint", "\"ed\" .877, \"an\" .897 at 200B of 1.1T", f"≥ {BOUNDS['early']:g}, and above independent choices", first,
              lambda one: one["overlap"] >= BOUNDS["early"] and one["overlap"] > one["of independent choices at these loads"])
    table.add("… and keep them through the switch: overlap at UL2's end", ".924, .952 at 600B", f"≥ {BOUNDS['at the switch']:g}", lambda seed: {"overlap": early_overlaps(seed)[seed.phases["ul2"]][0]},
              lambda one: one["overlap"] >= BOUNDS["at the switch"])
    table.add("… more and more: overlap by checkpoint", ".877 → .950, .897 → .958", "last > first", lambda seed: {f"step {step:g}": overlap for step, (overlap, _) in early_overlaps(seed).items()},
              lambda one: list(one.values())[-1] > list(one.values())[0])


# ---- drops ----

def quarters(results, data):
    found = rows(results, "drop_by_position", domain=data)
    end = max(row["position_to"] for row in found)
    share = lambda part: sum(row["any_dropped"] * row["tokens"] for row in part) / sum(row["tokens"] for row in part)
    return {"first": share([row for row in found if row["position_to"] <= end / 4]), "last": share([row for row in found if row["position_from"] >= end * 3 / 4]), "all": share(found)}


def rise(seed, group, capacity, data):
    found = quarters(seed.drops(group, capacity), data)
    return found["last"] - found["first"]


def drop_figures(seed, group, capacity, data):
    found = quarters(seed.drops(group, capacity), data)
    return {"first quarter": found["first"], "last quarter": found["last"], "all": found["all"], "loss with": seed.losses(group, capacity)[data], "loss without": seed.losses(group, "off")[data]}


def drops(table):
    bound = BOUNDS["drops in domain"]
    for capacity in ("port", "tight", "even"):
        words = f"({capacity})"
        for data, published in (("text", "0.2 → 0.3 %"), ("code", "1.0 → 1.6 %")):
            holds = (lambda one: one["all"] <= bound) if capacity == "port" else None
            table.add(f"hardly anything is dropped in domain {words}: {data}", published, f"all ≤ {bound:g}" if holds else "–", lambda seed, c=capacity, d=data: drop_figures(seed, "openmoe", c, d), holds)
        for data, published in (("other", "0.3 → 3.7 % (TED)"), ("dialogues", "0.5 → 14.0 % (MT-Bench)")):
            table.add(f"drops rise towards the end {words}: {data}", published, "last quarter > first", lambda seed, c=capacity, d=data: drop_figures(seed, "openmoe", c, d), lambda one: one["last quarter"] > one["first quarter"])
        of = lambda seed, c=capacity: {data: rise(seed, "openmoe", c, data) for data in SETS}
        table.add(f"… more than in domain {words}: last − first quarter", "TED 3.4, MT-Bench 13.5, RedPajama 0.1 points", "other > text and dialogues > text", of, lambda one: min(one["other"], one["dialogues"]) > one["text"])
        table.add(f"… most on conversations {words}", "MT-Bench above TED", "dialogues > other", lambda seed, c=capacity: {data: rise(seed, "openmoe", c, data) for data in ("other", "dialogues")},
                  lambda one: one["dialogues"] > one["other"])
        table.add(f"after training on conversations {words}: dialogues", "0.3 → 18.3 %", "last quarter > first", lambda seed, c=capacity: drop_figures(seed, "openmoe-chat", c, "dialogues"), lambda one: one["last quarter"] > one["first quarter"])
        stays = BOUNDS["drops stay after conversations"]
        table.add(f"… which does not cure them {words}: last quarter", "14.0 → 18.3 %", f"after ≥ {stays:g} × before",
                  lambda seed, c=capacity: {when: quarters(seed.drops(group, c), "dialogues")["last"] for when, group in (("before", "openmoe"), ("after", "openmoe-chat"))}, lambda one: 0 < one["before"] and one["after"] >= stays * one["before"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=pathlib.Path)
    parser.add_argument("--data", required=True, help="folder of text, and of text-heldout, code-heldout, other-heldout, dialogues-heldout")
    parser.add_argument("--binary", default="build/evenkeel")
    given = parser.parse_args()
    if not (given.study / "results.json").is_file():
        print(f"openmoe_signs: {given.study}: got no results.json there; need the folder of a finished study", file=sys.stderr)
        return 2
    numbers = sorted({arm["seed"] for arm in json.loads((given.study / "results.json").read_text())["arms"]})
    table = Table([Seed(given.study, seed, given) for seed in numbers])
    try:
        for find in (objectives, what_experts_go_by, early_routing, drops):
            find(table)
    except RuntimeError as error:
        print(f"openmoe_signs: {error}", file=sys.stderr)
        return 1
    print(f"Seeds: {', '.join(map(str, numbers))}; {TOKENS:,} tokens of each held-out set for ids and positions, {DROP_TOKENS:,} for drops and the losses beside them.\n")
    print("\n".join(table.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

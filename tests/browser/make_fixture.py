"""Synthetic studies and runs with the files and shapes of real ones; the figures are made up.

    python make_fixture.py OUT            a study at OUT/study, a seeded one, a run, a dense run
"""

import json
import math
import random
import statistics
import sys
from pathlib import Path

LAYERS = 3
TOKENS_PER_STEP = 2048
FIRST_STEPS, SECOND_STEPS = 128, 64
ARMS = [  # name, model, router, experts, top_k, replay of the second phase
    ("dense", "dense", None, 0, 0, 0.0),
    ("switch-pb", "switch", "top_k", 8, 1, 0.0),
    ("switch-sb", "switch", "sinkhorn", 8, 1, 0.0),
    ("granular-pb", "granular", "top_k", 31, 3, 0.0),
    ("granular-sb", "granular", "sinkhorn", 31, 3, 0.0),
    ("granular-pb-r0.4", "granular", "top_k", 31, 3, 0.4),
    ("granular-pb-control", "granular", "top_k", 31, 3, 1.0),
]
PARAMETERS = {"dense": 1690240, "switch": 4790144, "granular": 4802816}
ALARMS = {  # of an arm, by step
    "granular-pb": {131: [(0, "same_experts", "nearly all tokens have the same 3 of 31 experts"), (2, "same_experts", "nearly all tokens have the same 3 of 31 experts")],
                    140: [(1, "same_experts", "nearly all tokens have the same 3 of 31 experts")]},
    "switch-pb": {1: [(None, "no_balance", "the router 'top_k' has no balance loss; the load is expected to collapse onto few experts")]},
}
TABLES = {
    "forgetting": "arm phase data loss perplexity change loss_se change_se forgetting forgetting_se against",
    "shift_mri": "arm phase layer lower_bound before first peak peak_step steps_to_recover after",
    "eval_mri": "arm phase data layer mri entropy dead mri_se",
    "saturation": "arm layer k from to data saturation chance",
    "throughput": "arm tokens_per_second step_seconds ratio_to_dense",
    "tokens_to_loss": "arm data loss tokens reference short_by short_by_se beyond_noise",
    "warnings": "arm phase step layer kind what recovered n_arms data n_recovered",
}
UNITS = {"loss": "nats per token", "change": "nats per token", "tokens_per_second": "tokens/s", "step_seconds": "s", "tokens": "tokens",
         "mri": "share of tokens", "before": "share of tokens", "first": "share of tokens", "peak": "share of tokens", "after": "share of tokens"}


def learning_rate(step, steps):
    warmup = max(1, round(0.01 * steps))
    if step <= warmup:
        return 3e-3 * step / warmup
    return 3e-4 + (3e-3 - 3e-4) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def balance_figures(load, top_k):
    experts = len(load)
    entropy = -sum(share * math.log(share) for share in load if share > 0) / math.log(experts)
    return {"mri": max(load) * top_k, "entropy": entropy, "cv": statistics.pstdev(load) * experts, "dead": sum(share == 0 for share in load)}


def at_most(load, cap):
    """The load with no share above `cap`, since a token has an expert once; what is above goes to the other experts in proportion."""
    full = set()
    while max(load) > cap:
        full |= {i for i, share in enumerate(load) if share >= cap}
        scale = (1 - cap * len(full)) / sum(share for i, share in enumerate(load) if i not in full)
        load = [cap if i in full else share * scale for i, share in enumerate(load)]
    return load


class Arm:
    """One arm's made-up dynamics; every number comes from its own generator."""

    def __init__(self, name, spec, seed, group):
        _, self.model, self.router, self.experts, self.top_k, self.replay = spec
        self.name, self.seed, self.group = name, seed, group
        self.random = random.Random(f"{spec[0]}/{seed}")
        self.alarms = ALARMS.get(spec[0], {})
        self.taste = [[self.random.gauss(0, 1) for _ in range(self.experts)] for _ in range(LAYERS)]
        self.new_taste = [[self.random.gauss(0, 1) for _ in range(self.experts)] for _ in range(LAYERS)]
        self.offset = self.random.gauss(0, 0.03)
        self.capacity = {"rule": "switch", "factor_train": 1.25} if spec[0] == "granular-pb" else {"rule": "none"}
        self.speed = {"dense": 11500, "switch": 10600, "granular": 9700}[self.model] * (0.97 if self.router == "sinkhorn" else 1)

    def balance(self):
        penalty = self.router == "top_k"
        return {"loss": [{"loss": "switch", "coefficient": 0.01, "reduce": "sum", "counts": "plain"}] if penalty else [], "z_coefficient": 0.001 if penalty else 0.0, "z_reduce": "sum"}

    def spread(self, step):
        """Standard deviation of the log load: collapses early, settles, jumps at the shift."""
        settled = 0.34 if self.router == "sinkhorn" else 0.11
        early = 1.5 * math.exp(-step / 9) * min(1, step / 3)
        if step <= FIRST_STEPS:
            return settled + early
        since = step - FIRST_STEPS
        shock = {"sinkhorn": 0.10}.get(self.router, 0.62) * (1 - self.replay)
        rise = math.exp(-(((since - 9) / 11) ** 2)) + 0.4 * math.exp(-since / 25)
        return settled + shock * rise

    def load(self, step, layer, wobble):
        spread = self.spread(step) * (1 + 0.25 * layer)
        mix = 0 if step <= FIRST_STEPS else min(1, (step - FIRST_STEPS) / 20) * (1 - self.replay) * 0.6
        raw = [math.exp(spread * ((1 - mix) * a + mix * b) + self.random.gauss(0, wobble))
               for a, b in zip(self.taste[layer], self.new_taste[layer])]
        if step <= 5 and self.experts > 8:
            raw[self.random.randrange(self.experts)] = 0.0
        return at_most([value / sum(raw) for value in raw], 1 / self.top_k)

    def routing(self, step, wobble=0.05, keep_load=True):
        if self.experts == 0:
            return []
        entries = []
        for layer in range(LAYERS):
            load = self.load(step, layer, wobble)
            entries.append({"layer": layer, **balance_figures(load, self.top_k), "dropped": self.dropped(load), **({"load": load} if keep_load else {})})
        return entries

    def dropped(self, load):
        """What lies above the capacity, were it the even share times the factor."""
        if self.capacity["rule"] == "none":
            return 0.0
        return sum(max(0.0, share - 1.25 / self.experts) for share in load)

    def loss(self, step, data):
        better = {"dense": 0.0, "switch": 0.02, "granular": -0.06}[self.model]
        english = 5.05 + 3.3 * math.exp(-min(step, FIRST_STEPS) / 38) + better + self.offset
        german = 9.6 - 0.2 * math.exp(-step / 60) + better
        if step > FIRST_STEPS:
            since = step - FIRST_STEPS
            english += (2.75 * (1 - self.replay) ** 5 + 0.05) * (1 - math.exp(-since / 9)) - (0.08 * since / SECOND_STEPS if self.replay == 1 else 0)
            german -= (3.75 - 0.3 * self.replay) * (1 - math.exp(-since / 16)) * (0.03 if self.replay == 1 else 1)
        return english if data == "english" else german

    def metrics(self):
        lines = []
        for step in range(1, FIRST_STEPS + SECOND_STEPS + 1):
            first = step <= FIRST_STEPS
            phase, phase_step = ("english", step) if first else ("german", step - FIRST_STEPS)
            data = "english" if first or self.replay == 1 else "german"
            entropy = self.loss(step, data) * (1 - (0 if first else self.replay)) + self.loss(step, "english") * (0 if first else self.replay) + self.random.gauss(0, 0.05)
            seconds = TOKENS_PER_STEP / (self.speed * (1 + self.random.gauss(0, 0.02)))
            replayed = 0 if first else round(16 * self.replay)
            lines.append({
                "step": step, "phase": phase, "phase_step": phase_step, "tokens": step * TOKENS_PER_STEP, "loss": entropy + (0.06 if self.experts else 0),
                "loss_terms": {"cross_entropy": entropy}, "lr": learning_rate(phase_step, FIRST_STEPS if first else SECOND_STEPS), "grad_norm": 0.8,
                "tokens_per_second": TOKENS_PER_STEP / seconds, "seconds": seconds, "gemm_fraction": 0.41,
                "sources": {"english": 16} if first else {"german": 16 - replayed, "replay/english": replayed}, "routing": self.routing(step)})
            if step in self.alarms:
                lines[-1]["alarms"] = [{"layer": layer, "kind": kind, "text": text} for layer, kind, text in self.alarms[step]]
            if step % 16 == 0:
                lines.append({"step": step, "phase": phase, "tokens": step * TOKENS_PER_STEP, "eval": {name: self.evaluation(step, name) for name in ("english", "german")}})
            if self.experts and not first and phase_step % 32 == 0:
                lines.append({"step": step, "phase": phase, "saturation": {name: self.saturation(step) for name in ("english", "german")}})
        return lines

    def evaluation(self, step, data):
        loss = self.loss(step, data)
        routed_as = step if data == "english" or step > FIRST_STEPS else FIRST_STEPS + 6
        routing = self.routing(routed_as, wobble=0.02)
        return {"loss": loss, "loss_se": 0.021 if data == "english" else 0.034, "perplexity": math.exp(loss), "bits_per_byte": loss / 2.9, "tokens": 40960,
                **({"mri_se": 0.011} if self.experts else {}), "routing": routing}

    def saturation(self, step):
        since = (step - FIRST_STEPS) / SECOND_STEPS
        rows = []
        for k in sorted({1, self.top_k}):
            for layer in range(LAYERS):
                change = (0.42 - 0.22 * self.replay + (0.12 if layer == 1 else 0)) * since
                rows.append({"layer": layer, "k": k, "from": FIRST_STEPS, "to": step, "saturation": 1 - change + self.random.gauss(0, 0.01), "chance": k / self.experts})
        return rows

    def phases(self, metrics):
        spans = [("english", 1, FIRST_STEPS), ("german", FIRST_STEPS + 1, FIRST_STEPS + SECOND_STEPS)]
        return [{"name": name, "steps": last - first + 1, "tokens": (last - first + 1) * TOKENS_PER_STEP, "first_step": first, "last_step": last,
                 "replayed": self.replayed(metrics, first, last),
                 "seconds": sum(line["seconds"] for line in metrics if "routing" in line and first <= line["step"] <= last)} for name, first, last in spans]

    @staticmethod
    def replayed(metrics, first, last):
        drawn = [line["sources"] for line in metrics if "sources" in line and first <= line["step"] <= last]
        return sum(sources.get("replay/english", 0) for sources in drawn) / sum(sum(sources.values()) for sources in drawn)

    def resolved(self):
        schedule = {"kind": "cosine", "lr_max": 3e-3, "lr_min": 3e-4, "warmup": 0.01}
        second = {"name": "german", "steps": SECOND_STEPS, "data": [{"name": "english" if self.replay == 1 else "german", "path": "/data/de", "weight": 1.0}], "schedule": schedule}
        if 0 < self.replay < 1:
            second["replay"] = {"fraction": self.replay, "from": "english", "mode": "fresh"}
        return {"model": {"d_model": 128, "n_layers": LAYERS, "n_heads": 4, "vocab_size": 4096, "n_experts": self.experts, "top_k": self.top_k,
                          "n_shared_experts": 1 if self.model == "granular" else 0, "capacity": self.capacity, "balance": self.balance()},
                "train": {"batch_size": 16, "sequence_length": 128, "seed": self.seed},
                "phase": [{"name": "english", "steps": FIRST_STEPS, "data": [{"name": "english", "path": "/data/en", "weight": 1.0}], "schedule": schedule}, second]}

    def entry(self, run, metrics):
        steps = [line for line in metrics if "routing" in line]
        return {"name": self.name, "group": self.group, "run": run, "parameters": PARAMETERS[self.model], "active_parameters": 1690240 if self.model == "dense" else 1702528,
                "flops_per_token": 8060928, "seed": self.seed, "model": self.model, "router": self.router, "replay_fraction": self.replay,
                "lr_curve": [[line["step"], line["lr"]] for line in steps], "lower_bound": self.top_k / self.experts if self.experts else None,
                "old_data": "english", "new_data": self.resolved()["phase"][-1]["data"][0]["name"], "phases": self.phases(metrics)}

    def recipe(self):
        return (f"# {self.name}\n[model]\npreset = \"tiny/{self.model}\"\n\n[train]\nbatch_size = 16\nsequence_length = 128\nseed = {self.seed}\n\n"
                f"[[phase]]\nname = \"english\"\nsteps = {FIRST_STEPS}\n\n[[phase]]\nname = \"german\"\nsteps = {SECOND_STEPS}\n")


def arm_rows(arm, metrics):
    """The rows of every table that one arm's metrics give."""
    rows = {name: [] for name in TABLES}
    steps = {line["step"]: line for line in metrics if "routing" in line}
    evals = [line for line in metrics if "eval" in line]
    ends = {line["phase"]: line for line in evals if line["step"] in (FIRST_STEPS, FIRST_STEPS + SECOND_STEPS)}
    for phase, line in ends.items():
        for data, figures in line["eval"].items():
            before = ends["english"]["eval"][data]["loss"]
            change = [figures["loss"] - before, 0.012] if phase == "german" else [None, None]
            rows["forgetting"].append([arm.name, phase, data, figures["loss"], figures["perplexity"], change[0], figures["loss_se"], change[1],
                                       *change, "english" if phase == "german" else None])
            for entry in figures["routing"]:
                rows["eval_mri"].append([arm.name, phase, data, entry["layer"], entry["mri"], entry["entropy"], entry["dead"], None])
    for layer in [None, *range(LAYERS)] if arm.experts else []:
        def mri(step):
            return statistics.fmean(entry["mri"] for entry in steps[step]["routing"] if layer in (None, entry["layer"]))
        first = FIRST_STEPS + 1
        before = statistics.fmean(mri(step) for step in range(FIRST_STEPS - 49, FIRST_STEPS + 1))
        peak_step = max(range(first, first + 50), key=mri)
        recovered = next((step - FIRST_STEPS for step in range(peak_step + 1, FIRST_STEPS + SECOND_STEPS - 3)
                          if statistics.fmean(mri(step + i) for i in range(5)) <= 1.1 * before), None)
        after = statistics.fmean(mri(step) for step in range(FIRST_STEPS + SECOND_STEPS - 7, FIRST_STEPS + SECOND_STEPS + 1))
        rows["shift_mri"].append([arm.name, "german", layer, arm.top_k / arm.experts, before, mri(first), mri(peak_step), peak_step - FIRST_STEPS, recovered, after])
    for line in metrics:
        for data, entries in line.get("saturation", {}).items():
            rows["saturation"] += [[arm.name, e["layer"], e["k"], e["from"], e["to"], data, e["saturation"], e["chance"]] for e in entries]
        rows["warnings"] += [[arm.name, line["phase"], line["step"], found["layer"], found["kind"], found["text"], None, 1, None, None] for found in line.get("alarms", [])]
    rate = statistics.median(line["tokens_per_second"] for line in steps.values())
    rows["throughput"].append([arm.name, rate, TOKENS_PER_STEP / rate, None])
    return rows


def fill_against_dense(tables, arms):
    """What needs the dense arm of the same seed: speed ratios, tokens to its loss."""
    dense = {arm.seed: (arm, metrics) for arm, metrics in arms if arm.model == "dense"}
    rates = {row[0]: row[1] for row in tables["throughput"]}
    for (arm, metrics), row in zip(arms, tables["throughput"]):
        if arm.seed not in dense:
            continue
        row[3] = row[1] / rates[dense[arm.seed][0].name]
        target = next(line for line in dense[arm.seed][1] if "eval" in line and line["step"] == FIRST_STEPS)["eval"]["english"]["loss"]
        reached = next((line["tokens"] for line in metrics if "eval" in line and line["eval"]["english"]["loss"] <= target), None)
        short_by = min(line["eval"]["english"]["loss"] for line in metrics if "eval" in line) - target
        tables["tokens_to_loss"].append([arm.name, "english", target, reached, dense[arm.seed][0].group, short_by, 0.015, abs(short_by) > 0.03])
    by_group = {}
    for (arm, _), row in zip(arms, tables["tokens_to_loss"]):
        by_group.setdefault(arm.group, []).append(row)
    for rows in by_group.values():  # one verdict a group
        for row in rows:
            row[7] = abs(statistics.fmean(other[5] for other in rows)) > 0.03


def summary(columns, rows, groups):
    """Mean and sample standard deviation over the arms of a group, keyed by all but arm and figures."""
    keys = [i for i, name in enumerate(columns) if name in ("phase", "data", "layer", "k", "from", "to", "reference", "beyond_noise", "against")]
    figures = [i for i, name in enumerate(columns) if i not in keys and i > 0 and not name.endswith("_se")]
    gathered = {}
    for row in rows:
        gathered.setdefault((groups[row[0]], *[row[i] for i in keys]), []).append(row)
    out = []
    for key, members in gathered.items():
        line = list(key)
        for i in figures:
            values = [row[i] for row in members if row[i] is not None]
            line += [statistics.fmean(values) if values else None, statistics.stdev(values) if len(values) > 1 else None, len(values)]
        out.append(line + [len(members)])
    names = ["group", *[columns[i] for i in keys], *[f"{columns[i]}_{kind}" for i in figures for kind in ("mean", "std", "n")], "n"]
    return {"columns": [{"name": name, "unit": ""} for name in names], "rows": out, "chance": None, "tokens": None, "source": "evenkeel"}


def write_run(folder, arm, metrics):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    (folder / "resolved.json").write_text(json.dumps(arm.resolved()))
    (folder / "recipe.toml").write_text(arm.recipe())


def write_results(folder, arms, kind, title, headlines):
    tables = {name: [] for name in TABLES}
    for arm, metrics in arms:
        for name, rows in arm_rows(arm, metrics).items():
            tables[name] += rows
    fill_against_dense(tables, arms)
    if kind == "run":
        del tables["throughput"], tables["tokens_to_loss"]
    made = {}
    groups = {arm.name: arm.group for arm, _ in arms}
    for name, rows in tables.items():
        columns = TABLES[name].split()
        made[name] = {"columns": [{"name": column, "unit": UNITS.get(column, "")} for column in columns], "rows": rows, "chance": None,
                      "tokens": 40960 if name in ("forgetting", "eval_mri") else None, "source": "arXiv 2503.05029" if "mri" in name else "evenkeel"}
        if len(set(groups.values())) < len(groups) and name != "warnings":
            made[name + "_summary"] = summary(columns, rows, groups)
    entries = [arm.entry("." if kind == "run" else f"arms/{index}", metrics) for index, (arm, metrics) in enumerate(arms)]
    results = {"schema": "evenkeel.results.v1", "kind": kind, "title": title, "arms": entries, "headlines": headlines, "tables": made,
               "machine": {"threads": 2, "device": "cpu", "gemm_gflops": 118.4}, "recipe": "[study]\nbase = \"base.toml\"\n",
               "definitions": {"MRI": {"text": "Maximum routing imbalance: the largest share of a batch's tokens routed to one expert of a layer, before drops. Never below k/E.", "source": "arXiv 2503.05029"},
                               "saturation": {"text": "Share of a token's k experts that two checkpoints have in common, mean over tokens.", "source": "arXiv 2409.02060, section 5.1"},
                               "entropy": {"text": "Entropy of the load divided by ln E.", "source": "evenkeel"}}}
    if kind == "study":
        flops = [entry["flops_per_token"] for entry in entries]
        results["comparison"] = {"flops_per_token": {"least": min(flops), "most": max(flops), "tolerance": 0.05, "matched": max(flops) <= 1.05 * min(flops)}, "other_differences": []}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))


def make_study(folder, seeds=(1,), rename=None, specs=ARMS, title="Continued pre-training of small mixtures of experts on German"):
    folder = Path(folder)
    arms = []
    for spec in specs:
        for seed in seeds:
            group = (rename or {}).get(spec[0], spec[0])
            arm = Arm(group if len(seeds) == 1 else f"{group}-seed{seed}", spec, seed, group)
            arms.append((arm, arm.metrics()))
    for index, (arm, metrics) in enumerate(arms):
        write_run(folder / "arms" / str(index), arm, metrics)
    write_results(folder, arms, "study", title, [
        "Without replay every model forgets: English loss rises by 2.8 nats; with 40 % replay by 0.27.",
        "Penalty-balanced routers spike at the shift and recover within the phase; Sinkhorn routers hardly feel the first batch.",
        "MoE arms forget as much as the dense arm at this scale."])


def make_run(folder, spec, title):
    arm = Arm(spec[0], spec, 1, spec[0])
    metrics = arm.metrics()
    write_run(Path(folder), arm, metrics)
    write_results(Path(folder), [(arm, metrics)], "run", title, [f"English loss rose by 2.8 nats while {spec[0]} learned German."])


if __name__ == "__main__":
    out = Path(sys.argv[1])
    make_study(out / "study")
    make_study(out / "seeds", seeds=(1, 2, 3))
    make_run(out / "run", ARMS[3], "Granular mixture of experts, English then German")
    make_run(out / "dense", ARMS[0], "Dense model, English then German")

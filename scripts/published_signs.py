#!/usr/bin/env python3
"""Prints the table "Signs of the three papers" of docs/findings.md, from the study recipes/tiny/published-signs.toml.

usage: published_signs.py STUDY_DIR --data DATA_DIR [--binary build/evenkeel]

Runs `evenkeel analyze` on every arm, before the shift (the last English checkpoint) and after it (with the one before as reference), over
the held-out sets; kept in STUDY_DIR-analysis, made once. Each figure is a mean over seeds with its sample standard deviation; a sign shows
in a seed when its inequality holds there. Standard library only.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_effects  # noqa: E402

TOKENS = 65536  # of each held-out set
BEFORE = ("token_specialization", "position_specialization", "drops", "load")
AFTER = ("saturation", "continual_vocabulary", "coactivation")
GRANULAR = ("granular-pb", "granular-sb")
DROPS = ("drop-switch", "drop-top-2", "drop-openmoe")


def rows(results, table, **where):
    names = [column["name"] for column in results["tables"][table]["columns"]]
    return [row for row in (dict(zip(names, values)) for values in results["tables"][table]["rows"]) if all(row[k] == v for k, v in where.items())]


class Signs:
    def __init__(self, given):
        self.study, self.given = check_effects.Study(given.study), given
        self.folder = pathlib.Path(given.study)
        self.lines = ["| sign | published | model | here, mean ± spread | shows in |", "|---|---|---|---|---|"]

    def analysis(self, group, seed, when):
        """results.json of one arm, before or after the shift; made where it is missing."""
        arm = self.study.arm(group, seed)
        steps = [phase["steps"] for phase in arm["phases"]]
        checkpoints = [self.folder / "arms" / arm["name"] / "checkpoints" / f"step-{sum(steps[:n]):08d}" for n in (1, 2)]
        out = self.folder.parent / f"{self.folder.name}-analysis" / f"{arm['name']}-{when}"
        if not (out / "report.html").exists():
            model = [checkpoints[0]] if when == "before" else [checkpoints[1], "--reference", checkpoints[0]]
            kinds = [word for kind in (BEFORE if when == "before" else AFTER) for word in ("--analyses", kind)]
            data = [word for name in ("en", "de") for word in ("--data", f"{name}={self.given.data}/{name}-heldout")]
            command = [self.given.binary, "analyze", *model, *kinds, *data, "--max-tokens", TOKENS, "--out", out]
            out.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
        return json.loads((out / "results.json").read_text())

    def over_seeds(self, value):
        """[value(seed)] of all seeds."""
        return [value(seed) for seed in self.study.seeds]

    def add(self, sign, published, model, per_seed, shown, holds):
        """`per_seed`: a dictionary a seed; `shown`: its keys with a format; `holds`: of one of them, None when there is nothing to show."""
        parts = []
        for key, form in shown:
            values = [seed[key] for seed in per_seed]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            parts.append(f"{key} {statistics.fmean(values):{form}} ± {spread:{form}}")
        verdict = f"{sum(map(holds, per_seed))} of {len(per_seed)} seeds"
        self.lines.append(f"| {sign} | {published} | {model} | {'; '.join(parts)} | {verdict} |")


def by_layer(table_rows, key):
    """{layer: mean over the rows}"""
    layers = sorted({row["layer"] for row in table_rows if row["layer"] is not None})
    return {layer: statistics.fmean(row[key] for row in table_rows if row["layer"] == layer) for layer in layers}


def layers_shown(form):
    return lambda per_seed: [(key, form) for key in per_seed[0] if key.startswith("layer")]


def first_layers_change_most(signs):
    measures = (("choices kept (saturation, k = 3)", "saturation", "saturation", {"k": 3}, min),
                ("ids still at their expert (hit rate, k = 3, ids seen 10 times or more)", "continual_vocabulary", "hit_rate", {"k": 3, "minimum_count": 10}, min),
                ("co-activation change, mean of pairs", "coactivation_change_by_layer", "mean_absolute_change", {"mode": "all_pairs"}, max))
    for what, table, key, where, extreme in measures:
        for group in GRANULAR:
            def of(seed):
                found = by_layer(rows(signs.analysis(group, seed, "after"), table, **where), key)
                return {f"layer {layer}": value for layer, value in found.items()}
            per_seed = signs.over_seeds(of)
            signs.add(f"the first layer changes most: {what}", "2503.05029 (layers 0–2 of 24)", f"{group}, no replay", per_seed, layers_shown(".3f")(per_seed),
                      lambda seed, extreme=extreme: seed["layer 0"] == extreme(seed.values()))


def replay_changes_less(signs):
    for group in GRANULAR:
        for data in ("en", "de"):
            def of(seed):
                kept = {replay: statistics.fmean(row["saturation"] for row in rows(signs.analysis(group + suffix, seed, "after"), "saturation", k=3, data=data))
                        for replay, suffix in (("r 0", ""), ("r 0.3", "-replay30"))}
                return kept
            signs.add(f"0 % replay changes more than 30 %: choices kept on {data}", "2503.05029", group, signs.over_seeds(of), [("r 0", ".3f"), ("r 0.3", ".3f")],
                      lambda seed: seed["r 0"] < seed["r 0.3"])


def ids_more_than_positions(signs):
    for group in GRANULAR:
        for data in ("en", "de"):
            def of(seed):
                results = signs.analysis(group, seed, "before")
                mean = lambda table, key, **where: statistics.fmean(row[key] for row in rows(results, table, domain=data, **where))
                out = {"std by id": mean("token_specialization", "std"), "std by position": mean("position_specialization", "std", group="all_but_first"),
                       "chance by id": mean("token_specialization", "chance_std"), "chance by position": mean("position_specialization", "chance_std", group="all_but_first")}
                out["ratio"] = out["std by id"] / out["std by position"]
                return out
            signs.add(f"experts go by token ids, not by positions: ratio ≥ 5 on {data}", "2402.01739: 0.085 against 0.009", f"{group}, before the shift", signs.over_seeds(of),
                      [("std by id", ".4f"), ("chance by id", ".4f"), ("std by position", ".4f"), ("chance by position", ".4f"), ("ratio", ".1f")], lambda seed: seed["ratio"] >= 5)


def drops_rise_on_foreign_text(signs):
    for group in DROPS:
        def of(seed):
            results = signs.analysis(group, seed, "before")
            out = {}
            for data in ("en", "de"):
                found = rows(results, "drop_by_position", domain=data)
                end = max(row["position_to"] for row in found)
                for name, inside in (("first", lambda row: row["position_to"] <= end / 4), ("last", lambda row: row["position_from"] >= end * 3 / 4)):
                    part = [row for row in found if inside(row)]
                    out[f"{data} {name} quarter"] = sum(row["any_dropped"] * row["tokens"] for row in part) / sum(row["tokens"] for row in part)
            out["distance of the loads"] = statistics.fmean(row["load_distance"] for row in rows(results, "drops", domain="de"))
            return out
        shown = [("en first quarter", ".3f"), ("en last quarter", ".3f"), ("de first quarter", ".3f"), ("de last quarter", ".3f"), ("distance of the loads", ".2f")]
        per_seed = signs.over_seeds(of)
        signs.add("drops rise towards the end on text of another language", "2402.01739 (0.3 % → 3.7 % on TED, 0.2 → 0.3 % in domain)", f"{group}, before the shift", per_seed, shown,
                  lambda seed: seed["de last quarter"] > seed["de first quarter"])
        signs.add("… and more than in domain: rise on de above rise on en", "2402.01739", f"{group}, before the shift",
                  [{"rise on en": seed["en last quarter"] - seed["en first quarter"], "rise on de": seed["de last quarter"] - seed["de first quarter"]} for seed in per_seed],
                  [("rise on en", ".3f"), ("rise on de", ".3f")], lambda seed: seed["rise on de"] > seed["rise on en"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study")
    parser.add_argument("--data", required=True, help="folder of en-heldout and de-heldout")
    parser.add_argument("--binary", default="build/evenkeel")
    given = parser.parse_args()
    if not (pathlib.Path(given.study) / "results.json").is_file():
        print(f"published_signs: {given.study}: got no results.json there; need the folder of a finished study", file=sys.stderr)
        return 2
    signs = Signs(given)
    for find in (first_layers_change_most, replay_changes_less, ids_more_than_positions, drops_rise_on_foreign_text):
        find(signs)
    print(f"Seeds: {', '.join(str(seed) for seed in signs.study.seeds)}; {TOKENS:,} tokens of each held-out set.\n")
    print("\n".join(signs.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

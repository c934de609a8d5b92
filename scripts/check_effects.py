#!/usr/bin/env python3
"""Checks a study of the English-to-German kind against the effects that such models show.

usage: check_effects.py STUDY_DIR [--size S|M]

Reads results.json of a study whose arms are named dense, switch-pb, switch-sb, granular-pb, granular-sb
(replay 0), ...-replay40 and granular-pb-control; several seeds are taken one by one. Prints one line per
effect and seed, with the bound of the published or replicated figure; exit code 1 when a bound is missed.
"""
import argparse
import json
import pathlib
import statistics
import sys


class Study:
    def __init__(self, path):
        self.results = json.loads((pathlib.Path(path) / "results.json").read_text())
        self.arms = {(a["group"], a["seed"]): a for a in self.results["arms"]}
        self.seeds = sorted({a["seed"] for a in self.results["arms"]})

    def rows(self, table, arm, **where):
        t = self.results["tables"][table]
        names = [c["name"] for c in t["columns"]]
        for row in t["rows"]:
            r = dict(zip(names, row))
            if r["arm"] == arm["name"] and all(r[k] == v for k, v in where.items()):
                yield r

    def arm(self, group, seed):
        return self.arms.get((group, seed))


def mean(values):
    return statistics.fmean(values)


def effects(study, seed, size):
    """Yields (effect, value, bound text, holds or None when only reported)."""
    get = lambda group: study.arm(group, seed)
    old, new = "en", "de"
    first_phase, last_phase = "english", "german"

    def loss(arm, phase, data):
        return next(study.rows("forgetting", arm, phase=phase, data=data))["loss"]

    def forgetting(arm):
        return loss(arm, last_phase, old) - loss(arm, first_phase, old)

    def shift(arm):
        return next(study.rows("shift_mri", arm, phase=last_phase, layer=None))

    def eval_mri(arm, phase, data):
        return mean([r["mri"] for r in study.rows("eval_mri", arm, phase=phase, data=data)])

    def saturation(arm, k, data=old):
        return mean([r["saturation"] for r in study.rows("saturation", arm, k=k, data=data)])

    def ratio(arm, key):
        row = shift(arm)
        return row[key] / row["before"]

    models = ["dense", "switch-pb", "switch-sb", "granular-pb", "granular-sb"]
    for m in models:
        if get(m):
            f = forgetting(get(m))
            yield f"X1 {m} r0 old loss after - before", f, ">= 1.0", f >= 1.0
        if get(m + "-replay40"):
            f = forgetting(get(m + "-replay40"))
            yield f"X1 {m} r.4 old loss after - before", f, "<= 0.25", f <= 0.25
        if get(m):
            fall = loss(get(m), first_phase, new) - loss(get(m), last_phase, new)
            yield f"X2 {m} new loss falls by", fall, ">= 2.0", fall >= 2.0
    pb, sb, control, replay = get("granular-pb"), get("granular-sb"), get("granular-pb-control"), get("granular-pb-replay40")
    x3 = eval_mri(pb, first_phase, new) / eval_mri(pb, first_phase, old)
    yield "X3 granular-pb evaluation MRI new/old before CPT", x3, ">= 1.5", x3 >= 1.5
    first, peak, end = ratio(pb, "first"), ratio(pb, "peak"), ratio(pb, "after")
    large = size == "M"
    yield "X4 granular-pb first/before", first, ">= 1.5 (M)", first >= 1.5 if large else None
    yield "X4 granular-pb max/before", peak, ">= 3 (M)", peak >= 3 if large else None
    if control:
        cf, cp = ratio(control, "first"), ratio(control, "peak")
        yield "X4 max / control's max", peak / cp, ">= 1.8 (M)", peak / cp >= 1.8 if large else None
        yield "X4 control first/before", cf, "<= 1.15 (M)", cf <= 1.15 if large else None
    yield "X5 granular-pb end/before", end, "<= 1.25 (M)", end <= 1.25 if large else None
    sb_first = ratio(sb, "first")
    yield "X6 granular-sb first/before", sb_first, "0.7..1.4, below PB's", 0.7 <= sb_first <= 1.4 and sb_first < first
    flat = peak / ratio(sb, "peak")
    yield "X7 max PB / max SB", flat, ">= 2 (M), >= 1.4 (S)", flat >= (2 if large else 1.4)
    if replay:
        soft = peak / ratio(replay, "peak")
        yield "X8 max r0 / max r.4", soft, ">= 1.15 (M)", soft >= 1.15 if large else None
    x9 = eval_mri(sb, first_phase, old) / eval_mri(pb, first_phase, old)
    yield "X9 evaluation MRI on the old data SB/PB", x9, ">= 1.7", x9 >= 1.7
    for name, bound in (("granular-pb", 0.05), ("granular-sb", 0.10)):
        without, with_replay = get(name), get(name + "-replay40")
        if without and with_replay:
            gain = saturation(with_replay, 3) - saturation(without, 3)
            yield f"X10 {name} saturation r.4 - r0", gain, f">= {bound} (M)", gain >= bound if large else None
    yield "X11 granular-pb evaluation MRI on the old data before", eval_mri(pb, first_phase, old), "report", None
    yield "X11 granular-pb evaluation MRI on the old data after r0", eval_mri(pb, last_phase, old), "report", None
    for name, arm, checked in (("granular-pb", pb, True), ("granular-sb", sb, False)):
        rows = list(study.rows("eval_mri", arm, phase=last_phase))
        used = min(31 - r["dead"] for r in rows)
        yield f"X12 {name} experts in use at the end, fewest", used, ">= 28" if checked else "report", used >= 28 if checked else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study")
    parser.add_argument("--size", choices=["S", "M"], default="S")
    args = parser.parse_args()
    study = Study(args.study)
    missed = 0
    for seed in study.seeds:
        for effect, value, bound, holds in effects(study, seed, args.size):
            word = {True: "holds", False: "MISSED", None: "reported"}[holds]
            missed += holds is False
            print(f"seed {seed}  {effect:58s} {value:8.3f}   {bound:24s} {word}")
    print(f"{missed} bounds missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Prints the tables of docs/findings.md, as Markdown, from a study of the English-to-German kind.

usage: findings_table.py STUDY_DIR [--size S|M]

1. The effects X1-X12 of check_effects.py: mean and sample standard deviation over seeds, how many seeds
   keep the bound. 2. The held-out loss of each group of arms after each phase. Standard library only.
"""
import argparse
import collections
import math
import pathlib
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_effects  # noqa: E402


def shown(mean, deviation, n):
    """`mean ± deviation`; a single seed has no deviation, and a whole number of every seed no decimals."""
    if not math.isfinite(mean):
        return "–"
    if n > 1:
        return f"{mean} ± 0" if isinstance(mean, int) and deviation == 0 else with_error(mean, deviation)
    return str(mean) if isinstance(mean, int) else with_error(mean, None)


def spread(values):
    """Mean and sample standard deviation (n - 1); 0 for one value."""
    return values[0] if len(set(values)) == 1 else statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def gather_effects(study, size):
    """{effect: [(value, bound, holds)] one for each seed that has it}, in the order of check_effects.

    A seed that lacks an arm (a study under way) ends with the effects before it; said on stderr.
    """
    gathered = collections.OrderedDict()
    for seed in study.seeds:
        try:
            for effect, value, bound, holds in check_effects.effects(study, seed, size):
                gathered.setdefault(effect, []).append((value, bound, holds))
        except (StopIteration, RuntimeError, TypeError, KeyError) as error:
            print(f"findings_table: seed {seed}: got a study without a needed arm or figure ({error!r}); its later effects are left out", file=sys.stderr)
    # the order of the numbers, whichever seed came first
    return sorted(gathered.items(), key=lambda item: int(item[0].split()[0][1:]))


def effects_table(study, size):
    lines = ["| # | figure | bound | here | seeds that keep the bound |", "|---|---|---|---|---|"]
    for effect, rows in gather_effects(study, size):
        number, _, figure = effect.partition(" ")
        verdicts = [holds for _, _, holds in rows if holds is not None]
        kept = f"{sum(verdicts)} of {len(verdicts)}" if verdicts else "reported"
        lines.append(f"| {number} | {figure} | {rows[0][1]} | {shown(*spread([value for value, _, _ in rows]), len(rows))} | {kept} |")
    return lines


def loss_rows(study):
    """(group, phase, data, loss mean, deviation, change mean, deviation, n) from forgetting_summary, or from
    forgetting where the study has one seed and therefore no summary."""
    tables = study.results["tables"]
    name = "forgetting_summary" if "forgetting_summary" in tables else "forgetting"
    columns = [column["name"] for column in tables[name]["columns"]]
    groups = {arm["name"]: arm["group"] for arm in study.results["arms"]}
    for values in tables[name]["rows"]:
        row = dict(zip(columns, values))
        if name == "forgetting":
            yield groups[row["arm"]], row["phase"], row["data"], row["loss"], None, row["change"], None, 1
        else:
            yield row["group"], row["phase"], row["data"], row["loss_mean"], row["loss_std"], row["change_mean"], row["change_std"], row["n"]


def losses_table(study):
    lines = ["| arm | after phase | data | loss, nats a token | change since the first phase | seeds |", "|---|---|---|---|---|---|"]
    for group, phase, data, loss, loss_std, change, change_std, n in loss_rows(study):
        is_first = change is None or (change == 0 and not change_std)
        lines.append(f"| {group} | {phase} | {data} | {shown(loss, loss_std, n)} | {'' if is_first else shown(change, change_std, n)} | {n} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study")
    parser.add_argument("--size", choices=["S", "M"], default="M")
    args = parser.parse_args()
    if not (pathlib.Path(args.study) / "results.json").is_file():
        print(f"findings_table: {args.study}: got no results.json there; need the folder of a finished study", file=sys.stderr)
        return 2
    study = check_effects.Study(args.study)
    print(f"Seeds: {', '.join(str(seed) for seed in study.seeds)}; mean ± sample standard deviation over seeds.\n")
    print("\n".join(effects_table(study, args.size)) + "\n")
    print("\n".join(losses_table(study)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

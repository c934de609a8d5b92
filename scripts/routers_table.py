#!/usr/bin/env python3
"""Prints the tables of docs/routers.md, "The routers compared", as Markdown, from a study that has the table `routers`.

usage: routers_table.py STUDY_DIR

One row for each group of arms: the dense model, then by the loss on the new data what is causal at evaluation, then the rest; mean ± sample standard deviation over
seeds. Standard library only.
"""
import argparse
import json
import math
import pathlib
import sys

FIGURES = [  # column, head, digits
    ("loss_before", "{old}, before", 3), ("loss_old", "{old}, after", 3), ("loss_new", "{new}, after", 3),
    ("mri_before", "MRI before", 3), ("mri_peak", "peak", 3), ("steps_to_recover", "steps to recover", 0),
    ("eval_mri_old", "evaluation MRI {old}", 3), ("eval_mri_new", "{new}", 3), ("dropped", "dropped, %", 1), ("dead", "dead experts", 1),
]


def group_rows(results):
    """One dictionary a group: keys as they are, figures as (mean, deviation, seeds that have it, seeds)."""
    tables = results["tables"]
    if "routers" not in tables:
        raise KeyError("routers")
    groups = {arm["name"]: arm["group"] for arm in results["arms"]}
    name = "routers_summary" if "routers_summary" in tables else "routers"
    columns = [column["name"] for column in tables[name]["columns"]]
    arm_columns = [column["name"] for column in tables["routers"]["columns"]]
    members = {}
    for values in tables["routers"]["rows"]:
        members.setdefault(groups[values[0]], []).append(dict(zip(arm_columns, values)))
    out = []
    for values in tables[name]["rows"]:
        row = dict(zip(columns, values))
        row.setdefault("group", groups.get(row.get("arm")))
        arms = members[row["group"]]
        for figure, _, _ in FIGURES:
            mean, deviation = (row[figure + "_mean"], row[figure + "_std"]) if name == "routers_summary" else (row[figure], 0.0)
            row[figure] = mean, deviation, sum(arm[figure] is not None for arm in arms), len(arms)
        out.append(row)
    return out


def shown(figure, digits, factor=1.0):
    """`mean ± deviation`, and how many seeds have the figure where it is not all of them."""
    mean, deviation, n, n_seeds = figure
    if n == 0:
        return "–"
    return f"{mean * factor:.{digits}f}" + (f" ± {deviation * factor:.{digits}f}" if n > 1 else "") + (f" ({n} of {n_seeds})" if n < n_seeds else "")


def rule_of(row):
    if row["router"] is None:
        return "dense"
    return row["router"] + (f", drops: {row['capacity']}" if row["capacity"] != "none" else "")


def place_of(row):
    """The dense model, then what is causal at evaluation, then what looks ahead; each by the loss on the new data."""
    loss = row["loss_new"][0]
    return 0 if row["router"] is None else 1 if row["eval_causal"] else 2, math.inf if loss is None else loss


def markdown(results):
    rows = sorted(group_rows(results), key=place_of)
    heads = [head.format(old=rows[0]["old_data"], new=rows[0]["new_data"]) for _, head, _ in FIGURES]
    lines = ["| arm | rule | looks at: training, evaluation | causal: training, evaluation | " + " | ".join(heads) + " |", "|---" * (4 + len(heads)) + "|"]
    word = {True: "yes", False: "**no**"}
    for row in rows:
        is_dense = row["router"] is None
        cells = [f"`{row['group']}`", rule_of(row), "–" if is_dense else f"{row['scope']}, {row['eval_scope']}", "–" if is_dense else f"{word[row['causal']]}, {word[row['eval_causal']]}"]
        cells += [shown(row[figure], digits, 100.0 if figure == "dropped" else 1.0) for figure, _, digits in FIGURES]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study")
    path = pathlib.Path(parser.parse_args().study) / "results.json"
    if not path.is_file():
        print(f"routers_table: {path}: got no such file; need the results.json of a finished study", file=sys.stderr)
        return 2
    results = json.loads(path.read_text(encoding="utf-8"))
    try:
        lines = markdown(results)
    except KeyError:
        print(f"routers_table: {path}: got no table 'routers'; need a study of three or more routing rules", file=sys.stderr)
        return 2
    seeds = sorted({arm["seed"] for arm in results["arms"]})
    print(f"Losses in nats a token; seeds {', '.join(map(str, seeds))}" + ("; mean ± sample standard deviation." if len(seeds) > 1 else ".") + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

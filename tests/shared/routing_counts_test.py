#!/usr/bin/env python3
"""`analyze --counts` on the released routing counts of OLMoE-1B-7B gives the published figures of domain specialisation.

usage: routing_counts_test.py DATA   where DATA has routing/olmoe-1b-7b-expert-counts.json and -expert-token-counts-*.json.xz

- Every cell of the table of OLMoE (arXiv 2409.02060, section 5.4 and appendix): per domain and layer the three experts with the most
  tokens, how many experts have more than twice and less than half of the uniform share, the normalised entropy; the
  correlations of GitHub and arXiv, and the largest shares of first choices. Printed digits, half a unit of the last one.
- The same tables from the counts by token id, and token and vocabulary specialisation against a recount here.
"""
import json
import lzma
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

BINARY = os.environ.get("EVENKEEL", "build/evenkeel")
LAYERS = (0, 7, 15)
# domain: per layer (top experts with % of the tokens, experts above twice and below half of uniform, entropy)
PUBLISHED = {
    "github": [("E21 62.6, E40 30.3, E53 25.2", 3, 7, .961), ("E17 77.0, E2 75.6, E4 65.7", 7, 33, .851), ("E30 56.4, E8 56.2, E17 55.0", 9, 30, .853)],
    "arxiv": [("E0 97.7, E40 31.4, E54 23.4", 2, 7, .943), ("E17 78.5, E4 73.5, E2 55.3", 6, 27, .866), ("E17 93.7, E34 51.3, E30 48.3", 8, 27, .864)],
    "wikipedia": [("E11 77.2, E17 45.5, E3 37.7", 5, 10, .939), ("E27 84.8, E49 44.2, E31 43.8", 6, 21, .913), ("E36 58.1, E57 54.2, E0 53.4", 12, 37, .829)],
    "book": [("E28 45.4, E41 31.5, E58 31.3", 4, 7, .966), ("E28 50.7, E55 49.8, E3 42.5", 5, 18, .930), ("E45 36.6, E14 36.5, E7 33.1", 7, 23, .926)],
    "c4": [("E41 37.7, E9 19.0, E58 18.8", 1, 1, .990), ("E1 33.2, E18 26.8, E46 21.0", 2, 4, .982), ("E7 31.2, E21 27.0, E25 26.6", 3, 11, .968)],
}
CORRELATION = (.28, .89, .75)  # of the loads of GitHub and arXiv
FIRST = {"github": (13.0, 23.8, 21.7), "arxiv": (51.6, 18.5, 57.3), "wikipedia": (28.5, 51.9, 32.6), "book": (8.1, 10.9, 6.6), "c4": (7.6, 5.2, 5.9)}
TOKENS = 208896
checks = {"passed": 0, "failed": 0}


def check(what, holds, detail=""):
    checks["passed" if holds else "failed"] += 1
    print(("ok      " if holds else "FAILED  ") + what + ("" if holds else f"  {detail}"), flush=True)


def analyze(folder, *arguments):
    out = folder / "out"
    done = subprocess.run([BINARY, "analyze", *map(str, arguments), "--out", out], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"routing_counts_test: {done.stderr}")
    return json.loads((out / "results.json").read_text())


def rows_of(results, table):
    columns = [column["name"] for column in results["tables"][table]["columns"]]
    return [dict(zip(columns, row)) for row in results["tables"][table]["rows"]]


def check_published(folder, data):
    results = analyze(folder, "--counts", data / "olmoe-1b-7b-expert-counts.json")
    loads = {(row["domain"], row["layer"]): row for row in rows_of(results, "load")}
    shares = rows_of(results, "domain_specialization")
    check("five domains, three layers", len(loads) == 15 and len(shares) == 15 * 64)
    for domain, cells in PUBLISHED.items():
        for layer, (top, above, below, entropy), first in zip(LAYERS, cells, FIRST[domain]):
            row = loads[(domain, layer)]
            mine = sorted((share for share in shares if share["domain"] == domain and share["layer"] == layer), key=lambda share: -share["share_of_tokens"])
            got = ", ".join(f"E{share['expert']} {100 * share['share_of_tokens']:.1f}" for share in mine[:3])
            check(f"{domain}, layer {layer}: {top}", got == top, got)
            check(f"{domain}, layer {layer}: ({above}, {below}) {entropy}", (row["above_twice_uniform"], row["below_half_uniform"], round(row["entropy"], 3)) == (above, below, entropy),
                  (row["above_twice_uniform"], row["below_half_uniform"], row["entropy"]))
            check(f"{domain}, layer {layer}: first choices {first} %", round(100 * row["top1_max_share"], 1) == first, row["top1_max_share"])
            check(f"{domain}, layer {layer}: tokens, bound, chance", row["tokens"] == TOKENS and row["lower_bound"] == 0.125 and 0.125 < row["mri_chance"] < 0.128 and
                  row["mri_low"] is None and row["mri_high"] is None and abs(row["mri"] - mine[0]["share_of_tokens"]) < 1e-15, row)
    for layer, wanted in zip(LAYERS, CORRELATION):
        row = next(row for row in rows_of(results, "domain_similarity") if {row["domain_a"], row["domain_b"]} == {"github", "arxiv"} and row["layer"] == layer)
        check(f"GitHub and arXiv, layer {layer}: correlation {wanted}", round(row["correlation"], 2) == wanted, row["correlation"])
    check("chance of the share of tokens is 12.5 %", results["tables"]["domain_specialization"]["chance"] == 0.125)


def check_by_id(folder, data):
    paths = [data / f"olmoe-1b-7b-expert-token-counts-{name}.json.xz" for name in ("github", "wikipedia")]
    results = analyze(folder, "--counts", *paths)
    stds = {(row["domain"], row["layer"]): row for row in rows_of(results, "token_specialization")}
    means = {(row["layer"], row["minimum_count"]): row for row in rows_of(results, "vocabulary_specialization")}
    loads = {(row["domain"], row["layer"]): row for row in rows_of(results, "load")}
    pooled = [{} for _ in LAYERS]
    for path in paths:
        content = json.loads(lzma.open(path).read())
        domain = content["domain"]
        for i, (layer, experts) in enumerate(zip(content["layers"], content["layer_expert_token_counts"])):
            ids, load = {}, [0] * 64
            for expert, counts in experts.items():
                for token_id, count in counts.items():
                    ids.setdefault(token_id, [0] * 64)[int(expert)] += count
                    load[int(expert)] += count
            for token_id, counts in ids.items():
                pooled[i][token_id] = [a + b for a, b in zip(pooled[i].get(token_id, [0] * 64), counts)]
            check(f"{domain}, layer {layer}: mri by token id", abs(loads[(domain, layer)]["mri"] - max(load) / TOKENS) < 1e-15)
            kept = [counts for counts in ids.values() if sum(counts) > 128 * 8]
            std = statistics.fmean(math.sqrt(statistics.fmean((count / sum(counts) - 1 / 64) ** 2 for count in counts)) for counts in kept)
            baseline = statistics.fmean(math.sqrt((1 - 8 / 64) / (sum(counts) / 8 * 8 * 64)) for counts in kept)
            row = stds[(domain, layer)]
            check(f"{domain}, layer {layer}: std of {len(kept)} ids", row["ids"] == len(kept) and math.isclose(row["std"], std, rel_tol=1e-12) and math.isclose(row["baseline_std"], baseline, rel_tol=1e-12), (row, std, baseline))
            check(f"{domain}, layer {layer}: ids are far from uniform", row["std"] > 5 * row["baseline_std"], row)
    for i, layer in enumerate(LAYERS):
        for minimum in (1, 10):
            shares = [max(counts) / (sum(counts) // 8) for counts in pooled[i].values() if sum(counts) >= 8 * minimum]
            row = means[(layer, minimum)]
            check(f"layer {layer}: vocabulary specialisation of ids seen {minimum} times", row["ids"] == len(shares) and row["k"] == 8 and math.isclose(row["mean"], statistics.fmean(shares), rel_tol=1e-12), row)


def main():
    data = pathlib.Path(sys.argv[1]) / "routing"
    if not data.is_dir():
        print("0 passed, 0 failed (no routing counts here)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        check_published(pathlib.Path(folder), data)
        check_by_id(pathlib.Path(folder), data)
    print(f"{checks['passed']} passed, {checks['failed']} failed")
    return 1 if checks["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""What routing costs: the table of docs/routers.md, "What routing costs", from build/bench_routers.

    python bench/routers.py [--binary build/bench_routers] [--experts 8,32,64,256] [--repeats 5] [--threads 2] [--save FILE.json]
    python bench/routers.py --from FILE.json

Prints the share of a training step that each router takes beside the product that makes its logits, as Markdown. Up to 64 experts a router
may take 1 % of a step, Sinkhorn 2 %; BASE is reported. Exit status 1 when one takes more. Build the binary with
`ninja -C build bench_routers`; run it on a quiet machine.
"""

import argparse
import json
import pathlib
import subprocess
import sys

FREE = {"base"}  # reported only
LIMITS = {"sinkhorn": 0.02}
LIMIT, LIMIT_UP_TO = 0.01, 64


def limit_of(row):
    return None if row["router"] in FREE or row["experts"] > LIMIT_UP_TO else LIMITS.get(row["router"], LIMIT)


def name_of(row):
    keys = ", ".join(part.strip() for part in row["keys"].split(","))
    return f"`{row['router']}`" + (f" ({keys})" if keys else "") + (", k = 1" if row["top_k"] == 1 else "")


def markdown(results):
    experts = sorted({row["experts"] for row in results["rows"]})
    names = list(dict.fromkeys(name_of(row) for row in results["rows"]))
    cells = {(name_of(row), row["experts"]): row for row in results["rows"]}
    lines = ["| router | " + " | ".join(f"E = {n}" for n in experts) + " | limit, E ≤ 64 |", "|---" * (len(experts) + 2) + "|"]
    missed = []
    for name in names:
        shown = []
        for n in experts:
            row = cells[name, n]
            limit = limit_of(row)
            too_much = limit is not None and row["share"] > limit
            missed += [f"{name} at E = {n}"] if too_much else []
            shown.append(f"{'**' if too_much else ''}{row['share'] * 100:.2f} %{'**' if too_much else ''} ({row['route_seconds'] * 1e3:.1f} ms)")
        limit = limit_of(cells[name, experts[0]])
        lines.append(f"| {name} | " + " | ".join(shown) + f" | {'reported' if limit is None else f'{limit * 100:g} %'} |")
    return lines, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/bench_routers")
    parser.add_argument("--experts", default="8,32,64,256")
    parser.add_argument("--repeats", default="5")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--tokens", default="8192")
    parser.add_argument("--save", type=pathlib.Path, help="keep the measurements")
    parser.add_argument("--from", dest="source", type=pathlib.Path, help="print measurements that were kept")
    given = parser.parse_args()
    if given.source:
        text = given.source.read_text(encoding="utf-8")
    else:
        command = [given.binary, "--experts", given.experts, "--repeats", given.repeats, "--threads", given.threads, "--tokens", given.tokens]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    if given.save:
        given.save.write_text(text, encoding="utf-8")
    results = json.loads(text)
    lines, missed = markdown(results)
    print(f"Share of a training step, all {results['layers']} layers together; in brackets one layer's router, its logits' product included. "
          f"Timed are route(), balance_statistics() and after_step(), forward only: not the backward pass of the weights, no drops, no extra pass of scope = \"step\". "
          f"Width {results['width']}, {results['tokens']} tokens a micro-batch, {results['threads']} threads, medians of {results['repeats']} steps.\n")
    print("\n".join(lines))
    for what in missed:
        print(f"bench/routers.py: {what}: got more than the limit", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

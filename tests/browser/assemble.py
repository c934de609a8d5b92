"""Puts a report page together as `evenkeel report` does, for work on the page without the binary."""

import csv
import json
import re
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "src" / "report" / "assets"
MAX_LOAD_STEPS = 240


def plotly_source():
    import plotly

    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def read_run(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "routing" in line]
    stride = max(1, -(-len(steps) // MAX_LOAD_STEPS))
    for index, line in enumerate(steps):
        if index % stride:
            for entry in line["routing"]:
                entry.pop("load", None)
    return {
        "resolved": json.loads((folder / "resolved.json").read_text(encoding="utf-8")),
        "steps": steps,
        "evals": [line for line in lines if "eval" in line],
        "saturation": [line for line in lines if "saturation" in line],
        "recipe": (folder / "recipe.toml").read_text(encoding="utf-8"),
    }


def read_pairs(folder):
    path = folder / "csv" / "coactivation_all.csv"
    if not path.exists():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return {name: [json.loads(row[i]) for row in rows[1:]] for i, name in enumerate(rows[0])}


def analyses_data(folders):
    several = len(folders) > 1
    analyses = []
    for folder in folders:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        analyses.append({"name": folder.name if several else results["title"], "pairs": read_pairs(folder), "results": results})
    first = analyses[0]["results"]
    headlines = [f"{a['name']}: {line}" if several else line for a in analyses for line in a["results"]["headlines"]]
    head = {"kind": "analysis", "title": f"Routing of {len(folders)} models" if several else first["title"], "headlines": headlines, "definitions": first["definitions"]}
    return {"title": head["title"], "kind": "analysis", "results": head, "runs": {}, "analyses": analyses}


def page_data(folder):
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    runs = {arm["name"]: read_run(folder / arm["run"]) for arm in results["arms"]}
    return {"title": results["title"], "kind": results["kind"], "results": results, "runs": runs}


def assemble(folder, out):
    assemble_data(page_data(Path(folder)), out)


def assemble_data(data, out):
    data = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    parts = {
        "/*{{CSS}}*/": (ASSETS / "page.css").read_text(encoding="utf-8"),
        "/*{{PLOTLY}}*/": plotly_source(),
        "/*{{JS}}*/": "\n".join(path.read_text(encoding="utf-8") for path in sorted(ASSETS.glob("*.js"))),
        "{{DATA}}": data,
    }
    # One pass, so that text within one part is never taken for the place of another.
    pattern = "|".join(re.escape(key) for key in parts)
    page = re.sub(pattern, lambda match: parts[match.group()], (ASSETS / "page.html").read_text(encoding="utf-8"))
    Path(out).write_text(page, encoding="utf-8")

"""Puts a report page together as `evenkeel report` does, for work on the page without the binary."""

import base64
import csv
import gzip
import json
import re
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "src" / "report" / "assets"
MAX_LOAD_STEPS = 240


def packed(text):
    """As src/report/compress.cpp does it; the bytes of another zlib may differ."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def plotly_source():
    import plotly

    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def read_run(folder):
    """Steps in columns (src/report/run_data.h), each column as it is: the page takes that form too."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "routing" in line]
    stride = max(1, -(-len(steps) // MAX_LOAD_STEPS))
    phases = []
    for index, line in enumerate(steps):
        if not phases or phases[-1]["name"] != line["phase"]:
            phases.append({"name": line["phase"], "columns": {key: [] for key in ("loss", "step", "tokens", "lr", "tokens_per_second")},
                           "layers": [{"layer": entry["layer"], "mri": [], "entropy": [], "dead": [], "dropped": [], "load": []} for entry in line["routing"]], "load_rows": []})
        phase = phases[-1]
        is_kept = index % stride == 0 or index + 1 == len(steps)
        if is_kept:
            phase["load_rows"].append(len(phase["columns"]["step"]))
        for key, column in phase["columns"].items():
            column.append(line["loss_terms"]["cross_entropy"] if key == "loss" else line[key])
        for layer, entry in zip(phase["layers"], line["routing"]):
            for key in ("mri", "entropy", "dead", "dropped"):
                layer[key].append(entry[key])
            layer["load"] += entry["load"] if is_kept else []
    return {
        "resolved": json.loads((folder / "resolved.json").read_text(encoding="utf-8")),
        "recipe": (folder / "recipe.toml").read_text(encoding="utf-8"),
        "evals": [line for line in lines if "eval" in line],
        "saturation": [line for line in lines if "saturation" in line],
        "phases": phases,
    }


def read_pairs(folder, table):
    path = folder / "csv" / f"{table}.csv"
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
        analyses.append({"name": folder.name if several else results["title"], "pairs": read_pairs(folder, "coactivation_all"), "changes": read_pairs(folder, "coactivation_change_all"), "results": results})
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
    parts = {
        "/*{{CSS}}*/": (ASSETS / "page.css").read_text(encoding="utf-8"),
        "{{PLOTLY}}": packed(plotly_source()),
        "/*{{JS}}*/": "\n".join(path.read_text(encoding="utf-8") for path in sorted(ASSETS.glob("*.js"))),
        "{{DATA}}": packed(json.dumps(data, ensure_ascii=False)),
        "{{SUMMARY}}": "",
    }
    # One pass, so that text within one part is never taken for the place of another.
    pattern = "|".join(re.escape(key) for key in parts)
    page = re.sub(pattern, lambda match: parts[match.group()], (ASSETS / "page.html").read_text(encoding="utf-8"))
    Path(out).write_text(page, encoding="utf-8")

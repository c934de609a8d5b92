"""Opens pages of `evenkeel analyze` in a browser and compares what they show with the results they were made from.

    analysis_test.py               pages made by the binary: $EVENKEEL, by default build/evenkeel
    analysis_test.py --assembler   pages put together by assemble.py, without the binary

Prints a line per check; exit status 1 if one failed.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import analysis_fixture
from assemble import analyses_data, assemble_data
from report_test import ROOT, Browser, Checks, check_health

CHARTS = {"mri-by-layer", "entropy-by-layer", "domain-shares", "domain-bars", "domain-similarity", "similarity-by-layer", "agreement-by-layer", "hit-rate", "early-routing",
          "vocabulary-by-layer", "expert-vocabulary", "id-std", "token-ids", "positions", "coactivation", "coactivation-change", "co-routing", "locality-first", "locality-any",
          "drops-by-position", "coherence-by-layer", "coherence", "balance-losses"}


def make_page(folders, out, assembler):
    if assembler:
        assemble_data(analyses_data(folders), out)
        return
    binary = os.environ.get("EVENKEEL", str(ROOT / "build" / "evenkeel"))
    subprocess.run([binary, "report", *map(str, folders), "--out", str(out)], check=True)


def traces(page, chart):
    return page.evaluate("""id => document.getElementById("chart-" + id).data.map(({type, name, x, y, z, meta, link, node, error_y}) => ({type, name, x, y, z, meta, error_y,
        link: link && {source: link.source, target: link.target, value: link.value}, labels: node && node.label}))""", chart)


def records(folder, table):
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tables"][table]
    names = [column["name"] for column in found["columns"]]
    return [dict(zip(names, row)) for row in found["rows"]]


def line_problems(page, chart, folder, model=None):
    """Every line over the layers of a chart equals its table."""
    keys = {"load": lambda r: r["domain"], "temporal_locality": lambda r: r["domain"], "domain_similarity": lambda r: f"{r['domain_a']} – {r['domain_b']}",
            "saturation": lambda r: f"{r['data']}, {'first choice' if r['k'] == 1 else 'top ' + str(r['k'])}", "continual_vocabulary": lambda r: f"{r['domain']}, k = {r['k']}"}
    problems, n = [], 0
    for trace in traces(page, chart):
        meta = trace["meta"]
        if model is not None and meta["model"] != model:
            continue
        rows = sorted((r for r in records(folder, meta["table"]) if keys[meta["table"]](r) == meta["series"]), key=lambda r: r["layer"])
        n += 1
        if trace["x"] != [r["layer"] for r in rows] or trace["y"] != [r[meta["value"]] for r in rows]:
            problems.append((chart, meta))
        if chart == "mri-by-layer" and meta["role"] == "layer-line":
            if any(abs(up - (r["mri_high"] - r["mri"])) > 1e-12 for up, r in zip(trace["error_y"]["array"], rows)):
                problems.append((chart, "interval"))
    return problems if n else [f"{chart}: no line"]


def share_problems(page, folder, layer):
    heat = traces(page, "domain-shares")[0]
    problems = [] if heat["meta"]["layer"] == layer else [f"layer {heat['meta']['layer']}"]
    for domain, line in zip(heat["meta"]["domains"], heat["z"]):
        rows = sorted((r for r in records(folder, "domain_specialization") if r["layer"] == layer and r["domain"] == domain), key=lambda r: r["expert"])
        if line != [r["share_of_tokens"] / r["chance_of_tokens"] for r in rows]:
            problems.append(domain)
    for bar in traces(page, "domain-bars"):
        of = {str(r["expert"]): r["share_of_tokens"] for r in records(folder, "domain_specialization") if r["layer"] == layer and r["domain"] == bar["meta"]["domain"]}
        if bar["y"] != [of[x] for x in bar["x"]]:
            problems.append(f"bar of {bar['meta']['domain']}")
    return problems


def pair_problems(page, folder, layer):
    heat = traces(page, "coactivation")[0]
    with open(folder / "csv" / "coactivation_all.csv", newline="", encoding="utf-8") as file:
        rows = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]
    key = "together" if heat["meta"]["mode"] == "all_pairs" else "adjacent_rank"
    of = {}
    for row in (r for r in rows if r["layer"] == layer):
        of[row["expert_a"], row["expert_b"]] = row[key] / row["tokens_a"]
        of[row["expert_b"], row["expert_a"]] = row[key] / row["tokens_b"]
    order = [str(r["expert"]) for r in sorted((r for r in records(folder, "coactivation_order") if r["layer"] == layer and r["mode"] == heat["meta"]["mode"]), key=lambda r: r["position"])]
    if heat["x"] != order or heat["y"] != order:
        return ["order"]
    return [(a, b) for i, a in enumerate(order) for j, b in enumerate(order) if a != b and heat["z"][i][j] != of[int(a), int(b)]]


def flow_problems(page, folder, layer):
    flow = traces(page, "co-routing")[0]
    of = {(str(r["expert_from"]), str(r["expert_to"])): r["count"] for r in records(folder, "co_routing") if r["layer_from"] == layer}
    shown = {(flow["labels"][a], flow["labels"][b]): n for a, b, n in zip(flow["link"]["source"], flow["link"]["target"], flow["link"]["value"])}
    return [pair for pair, n in shown.items() if of[pair] != n] + ([] if len(shown) == min(60, len(of)) else [len(shown)])


def set_layer(page, index):
    page.evaluate("""index => { const slider = document.getElementById("analysis-layer"); slider.value = String(index); slider.dispatchEvent(new Event("input")); }""", index)
    page.wait_for_timeout(300)


def check_one(check, browser, folder, path):
    page = browser.open(path)
    check_health(check, "one model", page)
    check("one model: every chart is there", sorted(CHARTS ^ set(page.evaluate("""[...document.querySelectorAll(".chart")].map((host) => host.id.replace("chart-", ""))"""))))
    for chart in ("mri-by-layer", "entropy-by-layer", "similarity-by-layer", "agreement-by-layer", "hit-rate", "locality-first", "locality-any"):
        check(f"values: {chart}", line_problems(page, chart, folder))
    for index, layer in ((2, 7), (0, 0), (3, 15)):
        set_layer(page, index)
        check(f"slider: shares of layer {layer}", share_problems(page, folder, layer))
        check(f"slider: pairs of layer {layer}", pair_problems(page, folder, layer))
        check(f"slider: flows from layer {layer}", flow_problems(page, folder, layer if layer != 15 else 7))
    page.select_option("#coactivation-mode", index=1)
    page.wait_for_timeout(200)
    check("adjacent ranks: pairs", pair_problems(page, folder, 15))
    page.select_option("#analysis-domain", index=2)
    page.wait_for_timeout(200)
    check("data set: token ids follow", [t["meta"] for t in traces(page, "token-ids") if t["meta"]["role"] == "token-ids" and t["meta"]["domain"] != analysis_fixture.DOMAINS[2]])
    check_tokens(check, page, folder)
    with page.expect_download() as download:
        page.locator("#figure-mri-by-layer .tool", has_text="CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    wanted = {(r["layer"], r["mri"]) for r in records(folder, "load")}
    check("CSV of a chart has its figures", [pair for pair in wanted if pair not in {(int(row["x"]), float(row["y"])) for row in rows}])
    with page.expect_download() as download:
        page.locator("#figure-domain-shares .tool", has_text="PNG").click()
    check("PNG of a chart is a picture", download.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n")
    check("one model: nothing of the data ran", page.evaluate("window.pwned === undefined"))


def check_tokens(check, page, folder):
    page.select_option("#token-expert", index=4)
    page.select_option("#token-kind", index=1)
    shown = page.evaluate("""[...document.querySelectorAll("#token-browser-rows .token")].map((node) => node.textContent)""")
    rows = sorted((r for r in records(folder, "expert_tokens") if r["layer"] == 15 and r["expert"] == 4 and r["id_kind"] == "predicted"), key=lambda r: r["rank"])
    check("tokens: as many as the table has", len(shown) == len(rows))
    check("tokens: no raw control, direction or white space", [text for text in shown if any(ord(c) < 33 or 0x202A <= ord(c) <= 0x202E for c in text.split(" (10")[0])])
    seen = set()
    for expert in range(analysis_fixture.EXPERTS):
        page.select_option("#token-expert", index=expert)
        seen.update(page.evaluate("""[...document.querySelectorAll("#token-browser-rows .token")].map((node) => node.textContent)"""))
    check("tokens: markup shows as text", "<script>window.pwned␣=␣1</script>" in seen)
    check("tokens: white space and control characters are drawn", {"␣the", "↵⇥", "␀␇", "[U+202E]right␣to␣left[U+202C]"} <= seen)
    check("tokens: a long one is cut and says so", any(text.endswith("… (10,000 characters)") and len(text) < 120 for text in seen))


def check_link(check, browser, path):
    page = browser.open(path)
    set_layer(page, 1)
    page.select_option("#analysis-domain", index=1)
    page.locator("#figure-coactivation .permalink").click()
    address = page.evaluate("location.href")
    check("link: names the chart, the layer and the data", address.split("#")[1].startswith("figure-coactivation;layer=3;model=0;data=wiki%20"))
    other = browser.open(path)
    other.goto("about:blank")
    other.goto(address)
    other.wait_for_selector("html[data-ready]")
    other.wait_for_timeout(900)
    check("link: leads to the same layer and data", other.evaluate("""[document.getElementById("analysis-layer-text").textContent, document.getElementById("analysis-domain").selectedIndex]""") == ["layer 3", 1])
    check("link: leads to the chart", other.evaluate("""(() => { const box = document.getElementById("figure-coactivation").getBoundingClientRect(); return box.top < innerHeight && box.bottom > 0; })()"""))
    for hash in ("#figure-coactivation;layer=999;model=77;data=%E0%A4%A", "#;;;", "#figure-nothing;layer=NaN"):
        other.goto("about:blank")
        other.goto(path.as_uri() + hash)
        other.wait_for_selector("html[data-ready]")
        check(f"link: {hash} is no harm", other.complaints)


def check_several(check, browser, folders, path):
    page = browser.open(path)
    check_health(check, "two models", page)
    for folder in folders:
        check(f"two models: lines of {folder.name}", line_problems(page, "mri-by-layer", folder, folder.name))
    page.select_option("#analysis-model", index=1)
    page.wait_for_timeout(300)
    check("two models: the heat maps follow the choice", share_problems(page, folders[1], 7) + pair_problems(page, folders[1], 7))
    for width, dark in ((390, False), (390, True), (1280, True)):
        check_health(check, f"two models, {width} px{', dark' if dark else ''}", browser.open(path, width=width, dark=dark), width)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--assembler", action="store_true")
    assembler = parser.parse_args().assembler
    check = Checks()
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        folders = [Path(work) / "first", Path(work) / "second"]
        for seed, folder in enumerate(folders):
            analysis_fixture.write(folder, seed + 1)
        browser = Browser(playwright)
        make_page(folders[:1], Path(work) / "one.html", assembler)
        make_page(folders, Path(work) / "two.html", assembler)
        check_one(check, browser, folders[0], Path(work) / "one.html")
        check_link(check, browser, Path(work) / "one.html")
        check_several(check, browser, folders, Path(work) / "two.html")
    print("all checks passed" if check.failed == 0 else f"{check.failed} checks failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Opens report pages in a browser and compares what they show with the files they were made from.

    report_test.py               pages made by the binary: $EVENKEEL, by default build/evenkeel
    report_test.py --assembler   pages put together by assemble.py, without the binary

Prints a line per check; exit status 1 if one failed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import make_fixture
import values
from assemble import assemble

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
HOSTILE = {
    "dense": "<script>window.pwned = 1</script>",
    "granular-pb": "\"><img src=x onerror='window.pwned = 2'>",
    "granular-sb": "</script><script>window.pwned = 3</script>",
    "switch-pb": "__proto__",
    "switch-sb": "it's \\u003c \"quoted\" %{x} & <b>bold</b>",
}


class Checks:
    def __init__(self):
        self.failed = 0

    def __call__(self, name, problem):
        """`problem` is true, or a list of what is wrong (empty: nothing)."""
        good = problem is True or problem == []
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}" + ("" if good else f": {str(problem)[:600]}"), flush=True)


def make_page(folder, out, assembler):
    if assembler:
        assemble(folder, out)
        return
    binary = os.environ.get("EVENKEEL", str(ROOT / "build" / "evenkeel"))
    subprocess.run([binary, "report", str(folder), "--out", str(out)], check=True)


class Browser:
    """One browser for all pages; remembers what each page complained about."""

    def __init__(self, playwright):
        self.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

    def open(self, path, width=1280, dark=False):
        context = self.browser.new_context(viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", has_touch=width < 500)
        page = context.new_page()
        page.complaints, page.requests = [], []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning", "trace") else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(Path(path).as_uri())
        page.wait_for_selector("html[data-ready]", timeout=60000)
        return page


def plotted(page):
    return page.evaluate("""() => Object.fromEntries([...document.querySelectorAll(".chart")].map((host) =>
        [host.id.replace("chart-", ""), host.data.filter(({meta}) => (meta || {}).role !== "level").map(({type, name, x, y, z, meta, visible, text, marker, line, customdata, error_x, error_y}) =>
            ({type, name, x, y, z, meta, visible, text, marker, line, customdata, error_x, error_y}))]))""")


def check_health(check, name, page, width=1280):
    check(f"{name}: no complaint on the console", page.complaints)
    check(f"{name}: nothing is fetched", [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))])
    check(f"{name}: no empty chart", page.evaluate("""() => [...document.querySelectorAll(".chart")].filter((host) => {
        const box = host.getBoundingClientRect();
        const finite = (value) => Array.isArray(value) ? value.some(finite) : typeof value === "number" && Number.isFinite(value);
        const drawn = host.querySelectorAll(".scatterlayer .trace, .barlayer .trace, .heatmaplayer image").length;
        const flows = (host.data || []).filter((trace) => trace.type === "sankey");
        if (flows.length > 0) return !(box.width > 100 && host.querySelectorAll(".sankey-link").length === flows.reduce((n, flow) => n + flow.link.value.length, 0));
        return !(box.width > 100 && box.height > 100 && drawn > 0 && (host.data || []).some((trace) => finite(trace.z || trace.y) && (finite(trace.z || trace.x) || trace.x.some((x) => typeof x === "string"))));
    }).map((host) => host.id)"""))
    check(f"{name}: no sideways scroll at {width} px", page.evaluate("""() => {
        const room = document.documentElement.clientWidth;
        return document.documentElement.scrollWidth <= room ? [] : [document.documentElement.scrollWidth, ...[...document.querySelectorAll("main *")]
            .filter((node) => node.getBoundingClientRect().right > room + 1 && !node.closest(".scroll, svg, pre")).slice(0, 5).map((node) => node.outerHTML.slice(0, 80))]
    }"""))


def check_slider(check, page, folder):
    slider = page.locator("#load-step")
    before = plotted(page)["load-layers"][0]
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("step => document.getElementById('chart-load-layers').data[0].meta.step !== step", arg=before["meta"]["step"])
    page.wait_for_timeout(150)
    after = plotted(page)
    layers = after["load-layers"][0]
    check("slider: three notches left is three steps back", layers["meta"]["step"] == before["meta"]["step"] - 3)
    check("slider: the heat map changes, and is that step's load", layers["z"] != before["z"] and values.load_problems(folder, after) == [])
    cursor = page.evaluate("document.getElementById('chart-load-steps').layout.shapes.at(-1).x0")
    check("slider: the line on the other heat map follows", cursor == layers["meta"]["step"])
    page.select_option("#load-layer", index=2)
    page.select_option("#load-arm", index=1)
    page.wait_for_timeout(150)
    moved = plotted(page)
    check("selectors: arm and layer of the heat maps", moved["load-steps"][0]["meta"]["arm"] != layers["meta"]["arm"] and moved["load-steps"][0]["meta"]["layer"] == 2
          and values.load_problems(folder, moved) == [])
    page.select_option("#balance-layer", index=2)
    page.select_option("#mri-arm", index=0)
    page.check("#balance-range-1")
    page.wait_for_timeout(150)
    moved = plotted(page)
    check("selectors: layer of the balance charts", {trace["meta"]["layer"] for trace in moved["mri"]} == {1} and values.balance_problems(folder, moved) == [])
    start = page.evaluate("document.getElementById('chart-mri').layout.xaxis.range[0]")
    check("selectors: the whole run comes into view", start <= 1)
    page.select_option("#saturation-k", index=0)
    page.select_option("#saturation-data", index=1)
    page.wait_for_timeout(150)
    moved = plotted(page)
    check("selectors: saturation", {trace["meta"]["k"] for trace in moved["saturation"]} == {1} and values.saturation_problems(folder, moved) == [])


def check_legend(check, page):
    visible = "() => document.getElementById('chart-mri').data.map((trace) => trace.visible)"
    page.locator("#chart-mri").scroll_into_view_if_needed()
    for expected in ("legendonly", True):
        page.locator("#chart-mri .legendtoggle").nth(1).click()
        page.wait_for_timeout(600)  # Plotly waits for a second click before it acts
        check(f"legend: a click makes the line {'disappear' if expected != True else 'come back'}", [] if page.evaluate(visible)[1] == expected else page.evaluate(visible))
    page.uncheck("#arm-3")
    page.wait_for_timeout(200)
    shown = plotted(page)
    check("arm filter: hides the arm in line charts and rows", [trace["name"] for trace in shown["heldout"] if trace["visible"] == "legendonly"] == ["granular-pb"] * 2
          and "granular-pb" not in shown["throughput"][0]["customdata"])
    page.check("#arm-3")


def contrast(first, second):
    def luminance(color):
        channels = [int(part) / 255 for part in color[color.index("(") + 1:-1].split(",")[:3]]
        return sum(w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4) for w, c in zip((0.2126, 0.7152, 0.0722), channels))
    a, b = sorted((luminance(first), luminance(second)))
    return (b + 0.05) / (a + 0.05)


def look(page):
    return page.evaluate("""() => ({page: getComputedStyle(document.body).backgroundColor, panel: getComputedStyle(document.querySelector("figure")).backgroundColor,
        ink: getComputedStyle(document.body).color, soft: getComputedStyle(document.querySelector("figcaption")).color,
        tick: getComputedStyle(document.querySelector("#chart-heldout .xtick text")).fill, legend: getComputedStyle(document.querySelector("#chart-heldout .legendtext")).fill})""")


def check_themes(check, page, dark_page):
    light = look(page)
    page.click("#theme-toggle")
    page.wait_for_timeout(500)
    toggled, system = look(page), look(dark_page)
    check("theme: the button turns page and charts dark", toggled["page"] != light["page"] and toggled["tick"] != light["tick"])
    check("theme: a dark system gets the same dark page", toggled == system)
    for name, seen in (("light", light), ("dark", toggled)):
        ratios = {key: round(contrast(seen[key], seen["panel"]), 1) for key in ("ink", "soft", "tick", "legend")}
        check(f"theme: {name} text stands out from its ground (4.5 or more)", [] if min(ratios.values()) >= 4.5 else ratios)
    lines = page.evaluate("document.getElementById('chart-mri').data.filter((t) => t.meta.role === 'line').map((t) => t.line.color)")
    faint = [color for color in lines if contrast("(" + ",".join(str(int(color[i:i + 2], 16)) for i in (1, 3, 5)) + ")", toggled["panel"]) < 3]
    check("theme: dark lines stand out (3 or more) and differ", faint == [] and len(set(lines)) == len(lines))
    page.click("#theme-toggle")
    page.wait_for_timeout(300)
    check("theme: the button turns it back", look(page) == light)


def check_keyboard(check, page):
    """Tabs through a page that nobody has touched yet."""
    order, hidden_focus = [], []
    for _ in range(400):
        page.keyboard.press("Tab")
        seen = page.evaluate("""() => { const node = document.activeElement; const style = getComputedStyle(node);
            return [node.id || node.className || node.hash || node.textContent.slice(0, 30), node.tagName, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0]; }""")
        if seen[1] == "BODY":
            break
        order.append(seen[0])
        if not seen[2]:
            hidden_focus.append(seen[0])
    check("keyboard: the first stop skips to the results", order[0] == "skip")
    wanted = ["arm-0", "theme-toggle", "balance-layer", "mri-arm", "load-arm", "load-layer", "load-step", "load-play", "saturation-data", "recipe-choice", "recipe-text"]
    check("keyboard: every control is reached, in the order of the page", [name for name in wanted if name not in order] or
          (True if [order.index(name) for name in wanted] == sorted(order.index(name) for name in wanted) else order))
    check("keyboard: the focus shows everywhere", hidden_focus)


def check_resize(check, page):
    """Charts keep their heights and fill their figures when the window changes."""
    boxes = """() => [...document.querySelectorAll(".chart")].map((host) => { const [a, b, c] =
        [host, host.querySelector(".main-svg"), host.nextElementSibling].map((node) => node.getBoundingClientRect());
        return [Math.abs(a.width - b.width) < 2 && Math.abs(a.height - b.height) < 2 && c.top >= b.bottom - 1, host.id]; })"""
    for width in (900, 420, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(900)
        check(f"resize to {width} px: charts fit their figures", [name for fits, name in page.evaluate(boxes) if not fits])


def check_csv(check, page, folder):
    import csv
    with page.expect_download() as download:
        page.click("#table-forgetting button")
    rows = list(csv.reader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    table = values.results(folder)["tables"]["forgetting"]
    same = rows[0] == [column["name"] for column in table["columns"]] and [float(row[5]) if row[5] else None for row in rows[1:]] == [row[5] for row in table["rows"]]
    check("tables: the CSV has every row and digit", same and [row[0] for row in rows[1:]] == [row[0] for row in table["rows"]])


def check_warnings(check, page, folder):
    """The notice has each finding of the metrics with arm, phase, step, layer and what; collapses come first."""
    notice = page.inner_text("#warnings") if page.locator("#warnings").count() > 0 else ""
    items = page.locator("#warnings li").all_text_contents()
    wanted = []
    for arm in values.results(folder)["arms"]:
        for line in (json.loads(text) for text in (Path(folder) / arm["run"] / "metrics.jsonl").read_text().splitlines()):
            wanted += [(arm["name"], line["phase"], line["step"], alarm) for alarm in line.get("alarms", [])]
    def is_said(name, phase, step, alarm):
        layer = alarm["layer"]
        return any(item.startswith(f"{name}, phase {phase}, ") and f"step {step}" in item and item.endswith(f": {alarm['text']}") and (layer is None or re.search(rf"layers? [\d, and]*\b{layer}\b", item)) for item in items)
    check("warnings: there are some", len(wanted) > 0)
    check("warnings: each is on the page with arm, phase, step, layer and what", [found for found in wanted if not is_said(*found)])
    check("warnings: those of one kind, arm and phase are one line", [] if len(items) == 2 else items)
    check("warnings: the collapse comes first, under a title that says it", [] if notice.startswith("Warnings: the router of granular-pb has collapsed") and "granular-pb, phase german, step 131, layers 0 and 2; step 140, layer 1: nearly all" in items[0] else notice)


def check_arms_say_what_they_are(check, page):
    """Balance loss, z-loss and capacity of each arm stand in the table of arms; what differs besides the routing is said."""
    cells = {row[0]: row[3:6] for row in page.evaluate("() => [...document.querySelectorAll('#setup .scroll:first-of-type tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")}
    wanted = {"dense": ["–", "–", "–"], "switch-pb": ["switch 0.01", "0.001", "none"], "granular-sb": ["none", "none", "none"], "granular-pb": ["switch 0.01", "0.001", "switch × 1.25"]}
    check("arms: balance loss, z-loss and capacity", {name: cells.get(name) for name in wanted if cells.get(name) != wanted[name]} == {} or cells)
    check("arms: what differs besides the routing", [] if "Everything but the routing is the same." in page.inner_text("#setup") else page.inner_text("#setup")[:900])


def check_peak_figure(check, page, folder):
    """The card of imbalance has shares, not a ratio to what was before."""
    rows = [row for row in values.records(folder, "shift_mri") if row["layer"] is None]
    top = max(rows, key=lambda row: row["peak"] / row["lower_bound"])
    tile = page.inner_text(".tiles")
    share = lambda value: f"{value * 100:.1f}\u00a0%"
    check("card of imbalance: share at the peak, before it, and of an even load", [] if all(share(top[key]) in tile for key in ("peak", "before", "lower_bound")) and top["arm"] in tile else tile)


def check_not_reached(check, page, name, folder):
    """Arms that never came down to the loss: those beyond noise and those within it in sentences of their own, all of them in the chart's CSV."""
    import csv
    notes = page.locator("#cost .note").all_text_contents()
    kinds = values.not_reached(folder)
    for words, groups in kinds.items():
        said = [note for note in notes if words in note]
        named = re.split(r", | and ", re.sub(r" \([^)]*\)|\d+ of \d+ seeds of ", "", said[0].split(": ", 1)[1].rstrip("."))) if said else []
        check(f"{name}: {words} ...: the arms of the files", [] if named == groups else [groups, said])
    with page.expect_download() as download:
        page.click("#figure-tokens-to-loss button:text-is('CSV')")
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    found = values.by_group(folder, "tokens_to_loss", "tokens")
    said = page.locator("#figure-tokens-to-loss .annotation-text").all_text_contents()
    check(f"{name}: rows without a bar say so", [] if said == ["not reached"] * sum(not numbers for numbers in found.values()) else said)
    check(f"{name}: the CSV of tokens to a loss has every arm, without a number where it never gets there", [] if [row["arm"] for row in rows] == list(found) and all((row["mean"] == "") == (not found[row["arm"]]) for row in rows) else rows)


def check_study(check, browser, folder, html, phone_html):
    page = browser.open(html)
    check_health(check, "study", page)
    shown = plotted(page)
    for name, problems in values.all_problems(folder, shown).items():
        check(f"study: {name} equals the files", problems)
    page.evaluate("document.querySelectorAll('details.table-block').forEach((block) => { block.open = true; })")
    page.wait_for_timeout(200)
    check_not_reached(check, page, "study", folder)
    check("study: the page says that the arms cost the same", [] if "of the same FLOPs a token" in speed_caption(page) else speed_caption(page))
    check("study: every table equals results.json", values.table_problems(folder, page))
    check_warnings(check, page, folder)
    check_arms_say_what_they_are(check, page)
    check_peak_figure(check, page, folder)
    check_csv(check, page, folder)
    check_slider(check, page, folder)
    check_legend(check, page)
    dark = browser.open(html, dark=True)
    check_keyboard(check, dark)
    check_themes(check, page, dark)
    check_resize(check, page)
    check("study: no complaint after use", page.complaints + dark.complaints)
    phone = browser.open(phone_html, width=360)
    check_health(check, "study on a phone", phone, width=360)
    for opened in (page, dark, phone):
        opened.context.close()
    return shown


def plant(source, target):
    """A copy of a study with one change in each kind of figure that is plotted."""
    shutil.copytree(source, target)
    results = json.loads((target / "results.json").read_text())
    figures = {"forgetting": "forgetting", "shift_mri": "peak", "eval_mri": "mri", "saturation": "saturation", "throughput": "tokens_per_second", "tokens_to_loss": "tokens"}
    for name, figure in figures.items():
        column = [entry["name"] for entry in results["tables"][name]["columns"]].index(figure)
        for row in results["tables"][name]["rows"]:
            row[column] = row[column] * 0.9 if row[column] else row[column]
    results["tables"]["throughput"]["rows"][-1][3] = None  # measured on a busy machine
    results["tables"]["warnings"]["rows"].append(["switch-pb", "english", 9, 1, "same_experts", "all alike", False, 6, None, 2])
    results["tables"]["recipe_warnings"] = {"columns": [{"name": "group", "unit": ""}, {"name": "what", "unit": ""}], "rows": [["switch-sb", "got a <b>kept</b> loss"], ["granular-sb", "got a <b>kept</b> loss"]],
                                            "chance": None, "tokens": None, "source": "evenkeel"}
    results["arms"][3]["lr_curve"][50][1] *= 3
    for number, arm in enumerate(results["arms"]):
        arm["replay_family"] = f"{arm['model']}-{arm['router']}" if arm["replay_fraction"] < 1 else str(number)  # the control is of no family
    results["comparison"]["other_differences"] = ["model.n_experts", "model.top_k"]
    results["comparison"]["flops_per_token"].update(most=3 * results["comparison"]["flops_per_token"]["least"], matched=False)
    (target / "results.json").write_text(json.dumps(results))
    metrics = target / results["arms"][3]["run"] / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines:
        if "eval" in line:
            line["eval"]["english"]["loss"] += 0.5
        if "routing" in line and line["step"] in (90, 129):
            line["loss_terms"]["cross_entropy"] += 1
            for entry in line["routing"]:
                entry["load"][0], entry["load"][1] = entry["load"][0] + entry["load"][1], 0.0
                entry.update(make_fixture.balance_figures(entry["load"], 1) | {"mri": 0.77, "dropped": 0.6})
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def speed_caption(page):
    return page.inner_text("figure:has(#chart-throughput) figcaption")


def check_speed_figure(check, page):
    """The card of ratios with all of them, with some, with none, and without what it compares."""
    # The page's scripts are declarations, which nothing outside of the page's own function sees.
    source = "\n".join(path.read_text() for path in sorted((Path(__file__).resolve().parents[2] / "src" / "report" / "assets").glob("*.js")))
    def figure(ratios, dense=1.0, has_dense=True):
        records = [["a", ratios[0]], ["b", ratios[1]], *([["d", dense]] if has_dense else [])]
        return page.evaluate("""([source, records]) => new Function("report", source + "; return speedFigure(report);")({arms: records.map(([name]) => ({name, isMoe: name !== "d"})), groups: records.map(([name]) => ({name, isMoe: name !== "d", arms: [{name}]})),
            tables: new Map([["throughput", {records: records.map(([arm, ratio_to_dense]) => ({arm, ratio_to_dense}))}]])})""", [source, records])
    all_of, some, none = figure([0.5, 0.75]), figure([0.5, None]), figure([None, None], None)
    check("the card of training speed has every ratio", [] if (all_of[0], "busy" in all_of[1]) == ("0.50–0.75×", False) else all_of)
    check("the card of training speed says which part is missing", [] if some[0] == "0.50×" and "without 1 of 2" in some[1] and "busy" in some[1] else some)
    check("the card of training speed says that there is none", [] if none[0] == "no ratio" and "busy" in none[1] else none)
    check("without a dense arm there is no card of training speed", [] if figure([None, None], has_dense=False) is None else "a card")


def check_planted(check, browser, study, shown, folder, html):
    page = browser.open(html)
    moved = plotted(page)
    for name, problems in values.all_problems(folder, moved).items():
        check(f"planted change: {name} equals the changed files", problems)
    check("planted change: the FLOPs are no longer said to be the same", [] if "up to 3.00 times" in speed_caption(page) and "same FLOPs" not in page.inner_text("main") else speed_caption(page))
    check("planted change: what the arms differ in besides the routing", [] if "Besides the routing the recipes of the arms differ in model.n_experts and model.top_k." in page.inner_text("#setup") else page.inner_text("#setup")[:900])
    notice = page.inner_text("#warnings")
    check("planted change: a collapse of a shared phase stands once, with the phase's name", [] if "phase english, which 6 arms share (trained once, in switch-pb), step 9, layer 1, for a time in 2 of 6 arms: all alike" in notice
          and re.match(r"Warnings: (the routers? of .* collapsed; )?routers have collapsed in phase english, which arms share", notice) else notice)
    check("planted change: what the recipe left unsaid stands once, with its arms", [] if page.locator("#recipe-warnings li").all_text_contents() == ["switch-sb and granular-sb: got a <b>kept</b> loss"] else page.inner_text("main")[:900])
    busy = [page.inner_text(".tiles"), speed_caption(page), " ".join(map(str, moved["throughput"][0]["text"]))]
    check("planted change: card, caption and bar say that the machine was busy", [text for text in busy if "busy" not in text])
    check_speed_figure(check, page)
    links = [len(trace["x"]) for trace in moved["replay"] if trace["meta"]["role"] == "link"]
    check("planted change: the control is no longer joined to the arms with replay", [] if links == [2] else links)
    keep = lambda traces: [[trace.get(key) for key in ("x", "y", "z")] for trace in traces]
    check("planted change: every chart moved", [name for name in shown if keep(shown[name]) == keep(moved[name])])
    page.context.close()


def check_others(check, browser, pages):
    folder, html = pages["seeds"]
    page = browser.open(html)
    check_health(check, "seeds", page)
    shown = plotted(page)
    for name, problems in values.all_problems(folder, shown).items():
        check(f"seeds: {name} is the mean of the files, with the spread", problems)
    check_not_reached(check, page, "seeds", folder)
    words = "±\u00a01 standard deviation over seeds, no less than the standard error by the held-out text"
    said = {chart: page.inner_text(f"figure:has(#chart-{chart}) figcaption") for chart in ("heldout", "forgetting", "replay")}
    check("seeds: captions of losses say what stands after ±", [chart for chart, caption in said.items() if words not in caption] + [text for text in [page.inner_text("#setup .intro")] if words not in text])
    page.context.close()

    folder, html = pages["run"]
    page = browser.open(html)
    check_health(check, "run", page)
    for name, problems in values.all_problems(folder, plotted(page)).items():
        check(f"run: {name} equals the files", problems)
    page.context.close()

    folder, html = pages["dense"]
    page = browser.open(html, width=360)
    check_health(check, "dense run on a phone", page, width=360)
    check("dense run: no routing section", page.evaluate("['balance', 'load', 'saturation'].filter((id) => document.getElementById(id))"))
    check("dense run: no warnings where there are none", page.locator("#warnings, #recipe-warnings").count() == 0)
    check("dense run: the page says why", "no routing to show" in page.inner_text("main"))
    page.context.close()

    page = browser.open(pages["single"][1])
    words = [caption for caption in page.locator("figcaption, .intro").all_text_contents() if any(word in caption for word in ("at the shift", "dotted line", "the dotted one", "the dense arm"))]
    check("a run of one phase, without a dense arm: no caption speaks of a shift or of a dense arm", words)
    page.context.close()

    folder, html = pages["hostile"]
    page = browser.open(html, width=360)
    check_health(check, "hostile names", page, width=360)
    check("hostile names: none is run", page.evaluate("window.pwned === undefined && document.querySelector('main img, main script') === null"))
    cells = page.locator("#setup tbody tr td:first-child").all_text_contents()
    check("hostile names: they show as they are", [name for name in HOSTILE.values() if name not in cells])
    legend = page.locator("#chart-heldout .legendtext").all_text_contents()
    check("hostile names: the legend shows them as text, whole", [name for name in HOSTILE.values() if name not in legend])
    for name, problems in values.all_problems(folder, plotted(page)).items():
        check(f"hostile names: {name} equals the files", problems)
    page.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assembler", action="store_true", help="put the pages together without the binary")
    arguments = parser.parse_args()
    check = Checks()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        scratch = Path(scratch)
        some = [spec for spec in make_fixture.ARMS if spec[0] in ("dense", "granular-pb", "granular-sb", "granular-pb-r0.4")]
        make_fixture.make_study(scratch / "study")
        make_fixture.make_study(scratch / "seeds", seeds=(1, 2, 3), specs=some)
        make_fixture.make_study(scratch / "hostile", rename=HOSTILE, title="<img src=x onerror='window.pwned = 4'> & \"title\"")
        make_fixture.make_run(scratch / "run", make_fixture.ARMS[3], "A run")
        make_fixture.make_run(scratch / "dense", make_fixture.ARMS[0], "A dense run")
        plant(scratch / "study", scratch / "planted")
        shutil.copytree(scratch / "run", scratch / "single")
        results = json.loads((scratch / "single" / "results.json").read_text())
        del results["arms"][0]["phases"][1:]
        (scratch / "single" / "results.json").write_text(json.dumps(results))
        pages = {}
        for name in ("study", "seeds", "hostile", "run", "dense", "planted", "single"):
            pages[name] = (scratch / name, scratch / f"{name}.html")
            make_page(*pages[name], arguments.assembler)
        make_page(scratch / "study", scratch / "again.html", arguments.assembler)
        check("the same input gives the same page", (scratch / "again.html").read_bytes() == (scratch / "study.html").read_bytes())
        browser = Browser(playwright)
        shown = check_study(check, browser, *pages["study"], pages["study"][1])
        check_planted(check, browser, scratch / "study", shown, *pages["planted"])
        check_others(check, browser, pages)
        browser.browser.close()
    print(f"{check.failed} failed" if check.failed else "all checks passed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Opens pages of `evenkeel analyze` in a browser and compares what they show with the results they were made from: made ones with
hostile texts, and those of a small model that is trained and analysed here.

    analysis_test.py               pages made by the binary: $EVENKEEL, by default build/evenkeel
    analysis_test.py --assembler   pages put together by assemble.py, without the binary where there is none: made results alone

Prints a line per check; exit status 1 if one failed.
"""

import argparse
import base64
import csv
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import TimeoutError, sync_playwright

import analysis_fixture
import analysis_values as values
from assemble import analyses_data, assemble_data
from report_test import ROOT, Browser, Checks, check_health

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import toy


def make_page(folders, out, assembler):
    if assembler:
        assemble_data(analyses_data(folders), out)
        return
    binary = os.environ.get("EVENKEEL", str(ROOT / "build" / "evenkeel"))
    subprocess.run([binary, "report", *map(str, folders), "--out", str(out)], check=True)


def shown_charts(page):
    return page.evaluate("""() => Object.fromEntries([...document.querySelectorAll(".chart")].map((host) => [host.id.replace("chart-", ""), (host.data || []).map(({type, name, x, y, z, meta, link, node, error_y}) =>
        ({type, name, x, y, z, meta, error_y, link: link && {source: link.source, target: link.target, value: link.value}, labels: node && node.label}))]))""")


def set_layer(page, index):
    page.evaluate("""index => { const slider = document.getElementById("analysis-layer"); slider.value = String(index); slider.dispatchEvent(new Event("input")); }""", index)
    page.wait_for_timeout(300)


def choose(page, select, index):
    """The text of the option chosen."""
    page.select_option(select, index=index)
    page.wait_for_timeout(200)
    return page.evaluate("select => document.querySelector(select).selectedOptions[0].textContent", select)


def check_lines(check, name, page, folder, view):
    shown = shown_charts(page)
    for chart in values.LINES:
        check(f"{name}: values of {chart}", values.line_problems(folder, shown, chart, view))
    check(f"{name}: intervals of mri-by-layer", values.interval_problems(folder, shown))


def check_layer(check, name, page, folder, view):
    shown = shown_charts(page)
    model = shown["domain-shares"][0]["meta"]["model"]
    for chart, problems in values.layer_problems(folder, shown, view, model).items():
        check(f"{name}, layer {view['layer']}: values of {chart}", problems)


def check_selects(check, name, page, folder, view):
    """Every choice of least count and k has its lines: one value in a layer."""
    for index in range(page.locator("#hit-rate-count option").count()):
        view["minimum_count"] = int(choose(page, "#hit-rate-count", index).split()[2])
        check(f"{name}: hit rate of ids {view['minimum_count']} times and more", values.line_problems(folder, shown_charts(page), "hit-rate", view))
    for index, k in enumerate(sorted({row["k"] for row in values.records(folder, "vocabulary_specialization")})):
        choose(page, "#vocabulary-k", index)
        for place in range(page.locator("#vocabulary-count option").count()):
            count = int(choose(page, "#vocabulary-count", place).split()[2])
            check(f"{name}: vocabulary, k = {k}, ids {count} times and more", values.line_problems(folder, shown_charts(page), "vocabulary-by-layer", {**view, "k": k, "minimum_count": count}))


def check_hover(check, name, page):
    """Every point says what it was counted from."""
    bare = page.evaluate(r"""() => [...document.querySelectorAll(".chart")].flatMap((host) => (host.data || []).flatMap((trace) => {
        if (trace.hoverinfo === "skip" || trace.meta.role === "chance-line") return [];
        const texts = [trace.customdata, trace.link && trace.link.customdata, trace.node && trace.node.customdata].flat(2).map(String).filter((text) => text !== "undefined");
        const counts = (text) => /\d (tokens|pairs|ids|experts)|[\d.,]+ of [\d.,]+/.test(text);
        const off = texts.filter((text, i) => !(trace.type === "heatmap" && text.indexOf("<br>") < 0));
        return off.length > 0 && off.every(counts) ? [] : [host.id, off.find((text) => !counts(text)) || "no text"];
    }))""")
    check(f"{name}: hover texts have counts", bare)
    text = page.evaluate("""() => document.getElementById("chart-mri-by-layer").data[0].customdata[0]""")
    check(f"{name}: hover texts have intervals", "95 %: " in text and "chance" in text)


def keep_downloads(page):
    """Chromium stops downloads after ten of a page: files are kept in window.files in their place, as [name, text or data: address]."""
    page.evaluate("""() => {
        window.files = [];
        const [texts, create] = [new Map(), URL.createObjectURL];
        URL.createObjectURL = (blob) => { if (blob.type !== "text/csv") return create(blob); const address = `blob:kept-${texts.size}`; texts.set(address, blob.text()); return address; };
        HTMLAnchorElement.prototype.click = async function () { window.files.push([this.download, texts.has(this.href) ? await texts.get(this.href) : this.href]); };
        const draw = Plotly.toImage;
        Plotly.toImage = (figure, options) => { window.drawn = figure.layout.title.text; return draw(figure, options); };
    }""")


def saved(page, chart, tool):
    before = page.evaluate("window.files.length")
    page.locator(f"#figure-{chart} .tool", has_text=tool).click()
    page.wait_for_function("n => window.files.length > n", arg=before)
    name, content = page.evaluate("window.files.at(-1)")
    assert name == f"evenkeel-{chart}.{tool.lower()}", name
    return content


def check_csv(check, name, page, folder):
    for chart in sorted(values.ALL_CHARTS):
        check(f"{name}: CSV of {chart}", values.csv_problems(folder, chart, saved(page, chart, "CSV")))


def check_png(check, name, page):
    """Also from a dark page: on white, under the chart's title and what is chosen."""
    for chart in sorted(values.ALL_CHARTS):
        data = base64.b64decode(saved(page, chart, "PNG").removeprefix("data:image/png;base64,"))
        title, text = page.evaluate("""chart => [document.querySelector(`#figure-${chart} h3`).textContent, window.drawn]""", chart)
        problems = [] if values.png_corner(data) == (255, 255, 255, 255) else [f"corner {values.png_corner(data)}"]
        problems += [] if title in text and "Routing of" in text else [text]
        problems += [] if chart in values.LINES or chart == "drops-by-distance" or "layer" in text.split("<br>")[1] else ["no layer"]
        check(f"{name}: PNG of {chart}", problems)
    check(f"{name}: a picture leaves the theme as it is", page.evaluate("document.documentElement.dataset.theme") == "dark")


def check_downloads(check, page):
    for tool, start in (("CSV", b"model,series,"), ("PNG", b"\x89PNG\r\n\x1a\n")):
        with page.expect_download() as download:
            page.locator("#figure-mri-by-layer .tool", has_text=tool).click()
        check(f"{tool} is a file", download.value.path().read_bytes().startswith(start) and download.value.suggested_filename == f"evenkeel-mri-by-layer.{tool.lower()}")


def chosen(page, folder, index):
    """What the page shows at first, at the layer of this place."""
    layers = sorted({row["layer"] for row in values.records(folder, "load")})
    set_layer(page, index)
    return {"layer": layers[index], "domain": values.records(folder, "load")[0]["domain"], "mode": "all_pairs", "k": 1, "minimum_count": 1}


def check_sections(check, name, page):
    check(f"{name}: no heading without a chart", page.evaluate("""() => [...document.querySelectorAll("main section")].map((section) => section.id)
        .filter((id) => !["analysis-notes", "analysis-tables", "definitions"].includes(id) && !document.querySelector(`#${id} figure`))"""))
    check(f"{name}: the contents lead somewhere", page.evaluate("""() => [...document.querySelectorAll("#toc a")].filter((link) => !document.querySelector(link.hash)).map((link) => link.hash)"""))


def check_page(check, name, browser, folder, path):
    """All charts of a page with all of them, at every layer, of two data sets and both modes."""
    page = browser.open(path)
    check_health(check, name, page)
    check(f"{name}: every chart is there", sorted(values.ALL_CHARTS ^ shown_charts(page).keys()))
    check_sections(check, name, page)
    view = chosen(page, folder, 0)
    check_lines(check, name, page, folder, view)
    check_hover(check, name, page)
    check_downloads(check, page)
    keep_downloads(page)
    check_csv(check, name, page, folder)
    for index in range(len({row["layer"] for row in values.records(folder, "load")})):
        check_layer(check, name, page, folder, view := chosen(page, folder, index))
    view["mode"] = choose(page, "#coactivation-mode", 1).replace(" ", "_")
    view["domain"] = choose(page, "#analysis-domain", 1)
    check_lines(check, f"{name}, {view['domain']}", page, folder, view)
    check_layer(check, f"{name}, {view['domain']}, {view['mode']}", page, folder, view)
    check_selects(check, name, page, folder, view)
    check(f"{name}: no complaint after all", page.complaints)
    dark = browser.open(path, dark=True)
    keep_downloads(dark)
    check_png(check, name, dark)
    return page


def check_made(check, browser, folder, path):
    page = check_page(check, "made", browser, folder, path)
    check("intervals are named for what they are", "spread between blocks of windows" in page.locator("#figure-mri-by-layer figcaption").text_content()
          and "bootstrap over blocks of windows" in page.locator("#figure-entropy-by-layer figcaption").text_content())
    check_tokens(check, page, folder)
    check("made: nothing of the data ran", page.evaluate("window.pwned === undefined"))


def made_tables(*names):
    every = analysis_fixture.tables(analysis_fixture.random.Random(3))
    return {name: every[name] for name in names}


def check_parts(check, browser, work, assembler):
    """Pages of some analyses alone, and of many data sets."""
    analysis_fixture.write(work / "part", 3, made_tables("token_specialization", "token_id_specialization", "balance_losses"))
    make_page([work / "part"], work / "part.html", assembler)
    page = browser.open(work / "part.html")
    check_health(check, "some analyses", page)
    check("some analyses: their charts", sorted({"id-std", "token-ids", "balance-losses", "z-loss"} ^ shown_charts(page).keys()))
    check_sections(check, "some analyses", page)
    view = {"layer": 7, "domain": choose(page, "#analysis-domain", 2)}
    for chart in ("balance-losses", "z-loss"):
        check(f"some analyses: values of {chart}", values.line_problems(work / "part", shown_charts(page), chart, view))

    names = [f"set {i}" for i in range(6)]
    columns, _ = made_tables("domain_similarity")["domain_similarity"]
    rows = [[layer, a, b, 0.1 * i, 0.5, 0.9, 0.9, 0.9, 0.5, 0.5] for layer in (0, 1) for i, a in enumerate(names) for b in names[i + 1:]]
    analysis_fixture.write(work / "many", 3, {"domain_similarity": (columns, rows)})
    make_page([work / "many"], work / "many.html", assembler)
    page = browser.open(work / "many.html")
    choose(page, "#analysis-domain", 4)
    lines = {trace["meta"]["series"] for trace in shown_charts(page)["similarity-by-layer"]}
    check("many data sets: the pairs of the chosen one", lines == {f"{a} – {b}" for i, a in enumerate(names) for b in names[i + 1:] if "set 4" in (a, b)})
    check("many data sets: the caption says so", "Of 15 pairs" in page.locator("#figure-similarity-by-layer figcaption").text_content())


def real_analysis(work):
    """A small model whose experts have a capacity, before and after its data changed, analysed as in training."""
    for seed, name in enumerate(("en", "de")):
        toy.write_dataset(work / name, toy.made_documents(seed, n_documents=300))
    (work / "recipe.toml").write_text(toy.recipe_text(work, "top_k_random_drops"))
    data = [part for name in ("en", "de") for part in ("--data", f"{name}={work / name}")]
    done = toy.evenkeel("train", work / "recipe.toml", "--out", work / "run", timeout=600)
    assert done.rc == 0, done.err
    done = toy.evenkeel("analyze", work / "run", "--reference", toy.checkpoints(work / "run")[0], *data, "--mode", "train", "--out", work / "analysis", timeout=600)
    assert done.rc == 0, done.err
    return work / "analysis"


def check_real(check, browser, work, assembler):
    folder = real_analysis(work)
    path = folder / "report.html"
    if assembler:
        make_page([folder], path, assembler)
    check_page(check, "real", browser, folder, path)
    check_health(check, "real, 390 px, dark", browser.open(path, width=390, dark=True), 390)


def check_over_run(check, browser, work, assembler):
    """Every checkpoint of the run against its last one: lines over the steps, and a choice of the checkpoint for the lines over the layers."""
    run = work / "every"
    (work / "every.toml").write_text(toy.recipe_text(work, "top_k_random_drops"))
    done = toy.evenkeel("train", work / "every.toml", "--out", run, "--set", "train.keep_last=0", "--set", 'train.checkpoint_every="3 steps"', timeout=600)
    assert done.rc == 0, done.err
    folder = work / "over-run"
    done = toy.evenkeel("analyze", run, "--over-run", "--data", f"en={work / 'en'}", "--data", f"de={work / 'de'}", "--ids", "1,5", "--out", folder, timeout=600)
    assert done.rc == 0, done.err
    path = folder / "report.html"
    if assembler:
        make_page([folder], path, assembler)
    page = browser.open(path)
    rows, early = values.records(folder, "saturation"), values.records(folder, "early_routing")
    steps = sorted({row["from_step"] for row in rows})
    check("over a run: several checkpoints", len(steps) > 2)
    shown = shown_charts(page)
    layer = shown["saturation-by-step"][0]["meta"]["layer"]
    for row in rows:
        if row["layer"] != layer:
            continue
        series = f"{row['data']}, {values.counted(row['k'])}"
        for role, value in (("step-line", "saturation"), ("chance-line", "load_chance")):
            trace = [t for t in shown["saturation-by-step"] if t["meta"]["series"] == series and t["meta"]["role"] == role]
            points = dict(zip(trace[0]["x"], trace[0]["y"])) if len(trace) == 1 else {}
            check(f"over a run: {role} of {series} at step {row['from_step']}", points.get(row["from_step"]) == row[value] and sorted(points) == steps)
    domain = shown["early-routing"][0]["meta"]["domain"]
    need = sorted((row["from_step"], row["overlap"]) for row in early if row["layer"] == layer and row["domain"] == domain and row["overlap"] is not None)
    check("over a run: overlaps of single ids", sorted(point for trace in shown["early-routing-by-step"] for point in zip(trace["x"], trace["y"])) == need and need != [])
    for index, step in enumerate(steps):
        choose(page, "#agreement-step", index)
        choose(page, "#early-routing-step", index)
        shown = shown_charts(page)
        got = sorted((t["meta"]["series"], x, y) for t in shown["agreement-by-layer"] if t["meta"]["role"] == "layer-line" for x, y in zip(t["x"], t["y"]))
        check(f"over a run: lines over the layers, step {step}", got == sorted((f"{row['data']}, {values.counted(row['k'])}", row["layer"], row["saturation"]) for row in rows if row["from_step"] == step))
        got = sorted(x for t in shown["early-routing"] if t["meta"]["figure"] == "overlap" for x in t["x"])
        check(f"over a run: single ids, step {step}", got == sorted(row["overlap"] for row in early if row["layer"] == layer and row["domain"] == domain and row["from_step"] == step))
    check_health(check, "over a run", page, 1280)


def check_tokens(check, page, folder):
    page.select_option("#token-expert", index=4)
    page.select_option("#token-kind", index=1)
    shown = page.evaluate("""[...document.querySelectorAll("#token-browser-rows .token")].map((node) => node.textContent)""")
    rows = sorted((r for r in values.records(folder, "expert_tokens") if r["layer"] == 15 and r["expert"] == 4 and r["id_kind"] == "predicted"), key=lambda r: r["rank"])
    check("tokens: as many as the table has", len(shown) == len(rows))
    check("tokens: no raw control, direction or white space", [text for text in shown if any(c.isspace() or not c.isprintable() for c in text.split(" (10")[0])])
    keep_downloads(page)
    found = list(csv.DictReader(io.StringIO(saved(page, "token-browser", "CSV"), newline="")))
    check("tokens: CSV of the list", [(row["id"], row["text"], row["count"], row["occurrences"]) for row in found] == [(str(r["id"]), r["text"] or "", str(r["count"]), str(r["occurrences"])) for r in rows])
    seen = set()
    for expert in range(analysis_fixture.EXPERTS):
        page.select_option("#token-expert", index=expert)
        seen.update(page.evaluate("""[...document.querySelectorAll("#token-browser-rows .token")].map((node) => node.textContent)"""))
    check("tokens: markup shows as text", "<script>window.pwned␣=␣1</script>" in seen)
    check("tokens: white space and control characters are drawn", {"␣the", "↵⇥", "␀␇", "[U+202E]right␣to␣left[U+202C]", "[U+00A0][U+2003][U+3000][U+1680]", "[U+2800][U+3164][U+200B][U+FE0F]"} <= seen)
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
    selects = {"coactivation-mode": 1, "vocabulary-k": 1, "vocabulary-count": 1, "token-kind": 1, "token-expert": 3}
    for select, index in selects.items():
        choose(page, f"#{select}", index)
    page.locator("#figure-token-browser .permalink").click()
    drawn = lambda page: [shown_charts(page)[chart] for chart in ("coactivation", "coactivation-change-pairs", "vocabulary-by-layer")] + [page.locator("#token-browser-rows").inner_text()]
    as_linked, address = drawn(page), page.evaluate("location.href")
    for how in ("anew", "from another"):
        if how == "anew":
            other.goto("about:blank")
        else:
            other.evaluate("location.hash = '#figure-coactivation;layer=3;model=0;data=x'")
            other.wait_for_timeout(900)
            check("link: without selects leads to their first", other.evaluate("""[...document.querySelectorAll("figure select")].every((select) => select.selectedIndex === 0)"""))
        other.goto(address)
        other.wait_for_selector("html[data-ready]")
        other.wait_for_timeout(900)
        check(f"link: leads to what was chosen in the figures, {how}", drawn(other) == as_linked and all(other.evaluate("id => document.getElementById(id).selectedIndex", id) == index for id, index in selects.items()))
    other.goto(address.replace("#figure-token-browser", "#figure-coactivation"))
    try:  # it scrolls there smoothly
        other.wait_for_function("""() => { const box = document.getElementById("figure-coactivation").getBoundingClientRect(); return box.top < innerHeight && box.bottom > 0; }""", timeout=10000)
        check("link: leads to the chart", True)
    except TimeoutError:
        check("link: leads to the chart", False)
    for hash in ("#figure-coactivation;layer=999;model=77;data=%E0%A4%A", "#figure-token-browser;layer=3;token-expert=99;token-kind=-1;vocabulary-k=x", "#;;;", "#figure-nothing;layer=NaN"):
        other.goto("about:blank")
        other.goto(path.as_uri() + hash)
        other.wait_for_selector("html[data-ready]")
        check(f"link: {hash} is no harm", other.complaints)


PANELS = ["domain-shares", "domain-bars", "domain-similarity", "early-routing", "expert-vocabulary", "token-ids", "positions", "coactivation", "coactivation-change-pairs", "co-routing",
          "drops-by-position", "coherence"]  # what is drawn for each model by itself


def panel_problems(page, chart, models, columns):
    """Each model has a panel of its own under its name, where its row and column lie; an axis of values is one for all; a name is in the legend once."""
    shown = page.evaluate("""chart => { const host = document.getElementById(`chart-${chart}`); const layout = host._fullLayout;
        const axis = (name) => layout[name.replace("x", "xaxis").replace("y", "yaxis")];
        return { width: host.clientWidth, titles: host.layout.annotations.map((note) => note.text),
          traces: host._fullData.map((trace) => ({ model: trace.meta.model, name: trace.name, legend: trace.showlegend, x: trace.domain ? trace.domain.x : axis(trace.xaxis).domain, y: trace.domain ? trace.domain.y : axis(trace.yaxis).domain,
            scale: trace.type === "heatmap" ? [trace.zmin, trace.zmax] : trace.domain || axis(trace.yaxis).tickvals ? [] : axis(trace.yaxis).range, bar: trace.showscale })) }; }""", chart)
    columns = 1 if shown["width"] < 640 or chart == "early-routing" else columns  # beside long texts there is no room
    wrong = [] if [title for title in shown["titles"] if title.startswith("<b>")] == [f"<b>{model}</b>" for model in models] else [shown["titles"]]
    boxes = {}
    for trace in shown["traces"]:
        boxes.setdefault(trace["model"], set()).add((*trace["x"], *trace["y"]))
    wrong += [] if list(boxes) == models and all(len(of) == 1 for of in boxes.values()) else [boxes]
    found = [box for of in boxes.values() for box in of]
    for i, (x0, x1, y0, y1) in enumerate(found):
        wrong += [] if 0 <= x0 < x1 <= 1 + 1e-9 and -1e-9 <= y0 < y1 <= 1 + 1e-9 else [found[i]]
        for j, (a0, a1, b0, b1) in enumerate(found[:i]):
            beside, below = a1 < x0, y1 < b0
            wrong += [] if (beside if i // columns == j // columns else below) else [(found[i], found[j])]
    wrong += [] if len({tuple(trace["scale"]) for trace in shown["traces"]}) == 1 else [[trace["scale"] for trace in shown["traces"]]]
    names = [trace["name"] for trace in shown["traces"] if trace["legend"] and trace["name"]]
    wrong += [] if len(names) == len(set(names)) or chart == "co-routing" else [names]
    wrong += [] if sum(trace["bar"] is True for trace in shown["traces"]) in (0, 1) else ["several colour bars"]
    return wrong


def check_token_lists(check, page, folders):
    """A list for each model, with an expert of its own to choose."""
    layer = int(page.evaluate("""document.getElementById("analysis-layer-text").textContent""").split()[1])
    page.select_option("#token-expert-2", index=2)
    page.select_option("#token-expert", index=1)
    for place, (folder, index) in enumerate(zip(folders, (1, 2))):
        rows = [row for row in values.records(folder, "expert_tokens") if row["layer"] == layer]
        expert = sorted({row["expert"] for row in rows})[index]
        need = [f"id {row['id']}: {row['count']} of {row['occurrences']} tokens" for row in sorted(rows, key=lambda row: row["rank"]) if row["expert"] == expert and row["id_kind"] == rows[0]["id_kind"]]
        got = page.evaluate("""place => [...document.querySelectorAll("#token-browser-rows > div")[place].querySelectorAll("li")].map((row) => row.title.split(";")[0])""", place)
        check(f"two models: the tokens of expert {expert} of {folder.name}", got == need and need != [])


def check_many(check, browser, work, assembler):
    """Of five models, one is chosen for what is drawn for each by itself."""
    folders = [work / f"model-{i}" for i in range(5)]
    for i, folder in enumerate(folders):
        analysis_fixture.write(folder, 20 + i, made_tables("domain_specialization", "token_id_specialization") if i else None)
    make_page(folders, work / "five.html", assembler)
    page = browser.open(work / "five.html")
    check_health(check, "five models", page)
    for index in (0, 3):
        choose(page, "#analysis-model", index)
        for chart in ("domain-bars", "token-ids"):
            check(f"five models: {chart} of the chosen one", {trace["meta"]["model"] for trace in shown_charts(page)[chart]} == {f"model-{index}"})
            check(f"five models: {chart} says of which", f"Of model-{index}." in page.locator(f"#figure-{chart} figcaption").text_content())


def check_words(check, page):
    """What the page says of itself."""
    caption = lambda chart: page.locator(f"#figure-{chart} figcaption").text_content()
    check("words: no file of a run that the page does not have", "metrics.jsonl" not in page.locator("footer").text_content())
    check("words: the line at the chosen layer", "Vertical line: the chosen layer." in caption("mri-by-layer"))
    check("words: neighbours are compared with the layer's own load", "independent choices at the layer's own load" in caption("locality-first"))
    check("words: so are all with uniform routing", "uniform random routing" in caption("locality-any"))
    check("words: the least entropy", "ln k ÷ ln E" in caption("entropy-by-layer"))
    titles = page.locator("#analysis-tables summary").all_text_contents()
    twice = [title for title in titles if (found := re.match(r"(.+) \((\w+), ", title)) and found[1] == found[2].replace("_", " ")]
    check("words: a table is named once", twice if titles else ["no table"])
    colors = page.evaluate("""(() => { const [flow] = document.getElementById("chart-co-routing").data; return [...new Set(flow.link.source)].map((node) => flow.node.color[node]); })()""")
    check("words: an expert's flows have a colour of their own", len(colors) == 8 and len(set(colors)) == 8)


def check_data_set_colors(check, browser, work, assembler):
    """Data sets of two models that are others have other colours."""
    folders = [work / "one-set", work / "other-set"]
    for seed, (folder, name) in enumerate(zip(folders, ("here", "there"))):
        made = made_tables("domain_specialization")
        columns, rows = made["domain_specialization"]
        made["domain_specialization"] = (columns, [[row[0], name, *row[2:]] for row in rows if row[1] == rows[0][1]])
        analysis_fixture.write(folder, 40 + seed, made)
    make_page(folders, work / "sets.html", assembler)
    bars = browser.open(work / "sets.html").evaluate("""document.getElementById("chart-domain-bars").data.map((trace) => [trace.name, trace.marker.color])""")
    check("two models: other data sets have other colours", [name for name, _ in bars] == ["here", "there"] and bars[0][1] != bars[1][1])


def check_several(check, browser, folders, path):
    page = browser.open(path)
    check_health(check, "two models", page)
    check_words(check, page)
    view = chosen(page, folders[0], 2)
    shown = shown_charts(page)
    for folder in folders:
        check(f"two models: lines of {folder.name}", values.line_problems(folder, shown, "mri-by-layer", view, folder.name))
        for chart, problems in values.layer_problems(folder, shown, view, folder.name).items():
            check(f"two models: {chart} of {folder.name}", problems)
    check("two models: none is to be chosen", page.locator("#analysis-model").count() == 0)
    for chart in PANELS:
        check(f"two models: {chart} side by side", panel_problems(page, chart, ["first", "second"], columns=2))
        narrow = browser.open(path, width=390) if chart == PANELS[0] else narrow
        check(f"two models: {chart} one below the other on a phone", panel_problems(narrow, chart, ["first", "second"], columns=1))
    check_token_lists(check, page, folders)
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
        check_made(check, browser, folders[0], Path(work) / "one.html")
        check_parts(check, browser, Path(work), assembler)
        check_link(check, browser, Path(work) / "one.html")
        check_several(check, browser, folders, Path(work) / "two.html")
        check_many(check, browser, Path(work), assembler)
        check_data_set_colors(check, browser, Path(work), assembler)
        if Path(toy.BINARY).exists():
            check_real(check, browser, Path(work), assembler)
            check_over_run(check, browser, Path(work), assembler)
    print("all checks passed" if check.failed == 0 else f"{check.failed} checks failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

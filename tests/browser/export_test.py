"""What a reader takes away from a page: pictures and figures of its charts, its address, and labels that can be read.

    export_test.py               pages made by the binary: $EVENKEEL, by default build/evenkeel
    export_test.py --assembler   pages put together by assemble.py, without the binary

Prints a line per check; exit status 1 if one failed.
"""

import argparse
import csv
import io
import json
import re
import struct
import sys
import tempfile
import xml.etree.ElementTree as xml
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

from playwright.sync_api import sync_playwright

import make_fixture
import routers_fixture
from labels import label_problems
from report_test import Browser, Checks, make_page

LONG = {"dense": "dense-baseline-with-the-same-flops-a-token", "switch-pb": "switch-penalty-balanced-without-any-replay", "switch-sb": "switch-sinkhorn-balanced-no-replay-at-all",
        "granular-pb": "granular-penalty-balanced-without-replay", "granular-sb": "granular-sinkhorn-balanced-without-replay", "granular-pb-r0.4": "granular-penalty-balanced-replay-0.4-of-english",
        "granular-pb-control": "granular-penalty-balanced-control-that-goes-on"}
SOME = [spec for spec in make_fixture.ARMS if spec[0] in ("dense", "granular-pb", "granular-sb", "granular-pb-r0.4")]

# Files are kept in window.files in place of a download, as [name, address or text]; printing waits for the test.
KEEP = """() => {
    window.files = []; window.printed = 0; window.print = () => { window.printed += 1; };
    const texts = new Map(); const create = URL.createObjectURL;
    URL.createObjectURL = (blob) => { if (blob.type !== "text/csv") return create(blob); const address = `blob:kept-${texts.size}`; texts.set(address, blob.text()); return address; };
    HTMLAnchorElement.prototype.click = async function () { window.files.push([this.download, texts.has(this.href) ? await texts.get(this.href) : this.href]); };
}"""


def saved(page, chart, tool):
    before = page.evaluate("window.files.length")
    page.locator(f"#figure-{chart} .tool", has_text=tool).click()
    page.wait_for_function("n => window.files.length > n", arg=before)
    name, content = page.evaluate("window.files.at(-1)")
    assert name == f"evenkeel-{chart}.{tool.lower()}", name
    return content


def charts_of(page):
    return page.evaluate("""[...document.querySelectorAll(".chart")].map((host) => host.id.replace("chart-", ""))""")


def traces_of(page, chart):
    return page.evaluate("""chart => document.getElementById(`chart-${chart}`).data.map(({ type, name, x, y, z, meta, rows, error_x, error_y }) => ({ type, name, x, y, z, meta, rows, error_x, error_y }))""", chart)


def number(text):
    return None if text == "" else float(text)


def line_csv_problems(rows, traces, over, seeds):
    """Every line with its arm, its data set, and mean, low and high at each of its points."""
    wrong = []
    for line in (trace for trace in traces if trace["meta"]["role"] == "line"):
        data = line["meta"].get("data")
        mine = [row for row in rows if row["arm"] == line["meta"]["group"] and (data is None or row["data set"] == data)]
        if [(float(row[over]), float(row["mean"])) for row in mine] != [tuple(point) for point in zip(line["x"], line["y"])]:
            wrong.append(f"{line['name']}, {data}: other points")
        band = next((trace for trace in traces if trace["meta"]["role"] == "band" and trace["meta"]["group"] == line["meta"]["group"] and trace["meta"].get("data") == data), None)
        if seeds > 1:
            half = len(line["x"])
            drawn = list(zip(reversed(band["y"][half:]), band["y"][:half]))
            wrong += [] if all(abs(number(row["low"]) - low) < 1e-9 and abs(number(row["high"]) - high) < 1e-9 for row, (low, high) in zip(mine, drawn)) else [f"{line['name']}, {data}: another spread"]
        wrong += [] if {row["seeds"] for row in mine} == {str(seeds)} else [f"{line['name']}: seeds"]
    return wrong


def check_csv(check, name, page, seeds):
    for chart in charts_of(page):
        text = saved(page, chart, "CSV")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        traces = traces_of(page, chart)
        columns = list(rows[0]) if rows else []
        problems = [] if rows and len(columns) == len(set(columns)) else ["no rows, or a column twice"]
        problems += [f"column {column} is empty" for column in columns if column not in ("low", "high") and all(row[column] == "" for row in rows)]
        problems += [f"{column} says nothing of what it is" for column in columns if column in ("x", "y", "value", "")]
        problems += [] if "arm" in columns else ["no arm"]
        sets = {trace["meta"].get("data") for trace in traces} - {None}
        problems += [] if not sets or {row.get("data set") for row in rows} >= sets else [f"not all of {sets}"]
        if any(trace["meta"]["role"] == "line" for trace in traces):
            over = "tokens" if chart in ("heldout", "training-loss") else "step"
            problems += line_csv_problems(rows, traces, over, seeds)
        for trace in traces:
            if trace.get("z") and "share of assignments" in columns:
                problems += [] if sorted(float(row["share of assignments"]) for row in rows) == sorted(value for line in trace["z"] for value in line) else ["other cells"]
            if trace["meta"]["role"] in ("shift", "throughput", "tokens-to-loss"):
                means = {number(row["mean"]) for row in rows}
                problems += [] if set(trace["x"]) <= means else [f"{trace['meta']}: other figures"]
        check(f"{name}: CSV of {chart}", problems)


def svg_text(content):
    assert content.startswith("data:image/svg+xml,"), content[:40]
    return unquote(content.removeprefix("data:image/svg+xml,"))


def png_size(content):
    return struct.unpack(">II", b64decode(content.removeprefix("data:image/png;base64,"))[16:24])


def check_pictures(check, page):
    title = page.locator("#figure-heldout h3").text_content()
    with_title, tall = svg_text(saved(page, "heldout", "SVG")), png_size(saved(page, "heldout", "PNG"))
    root = xml.fromstring(with_title)
    check("SVG: a picture of lines and text", root.tag == "{http://www.w3.org/2000/svg}svg" and with_title.count("<path") > 20 and "<image" not in with_title)
    check("SVG: every arm and data set is named", [name for name in ("dense", "granular-pb", "english", "german") if name not in with_title])
    check("SVG: under its title and the page's", title in with_title and "evenkeel" in with_title)
    page.locator("#figure-mri .with-title").uncheck()
    check("title: the box is one for all charts", page.locator(".with-title:checked").count() == 0)
    plain, short = svg_text(saved(page, "heldout", "SVG")), png_size(saved(page, "heldout", "PNG"))
    check("title: without it neither title nor brand is in the picture", [word for word in (title, "evenkeel") if word in re.sub(r'font-family[^;]*;', "", plain)])
    check("title: without it the picture is lower", tall[0] == short[0] and tall[1] > short[1])
    for chart in charts_of(page):
        xml.fromstring(svg_text(saved(page, chart, "SVG")))
    check("SVG: of every chart", True)


def check_pdf(check, page):
    """The print of one chart: one page of its size, lines as vectors, fonts within."""
    before = page.title()
    for chart, has_cells in (("heldout", False), ("shift", False), ("load-steps", True)):
        page.locator(f"#figure-{chart} .tool", has_text="PDF").click()
        page.wait_for_function("window.printed > 0")
        page.evaluate("window.printed = 0")
        size = page.evaluate("""(() => { const svg = document.querySelector("#print-sheet > svg"); return [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))]; })()""")
        named = page.title()
        pdf = page.pdf(prefer_css_page_size=True, print_background=True)
        pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
        box = [float(value) for value in re.search(rb"/MediaBox\s*\[([^\]]*)\]", pdf).group(1).split()]
        problems = [] if pages == 1 else [f"{pages} pages"]
        problems += [] if all(abs(got - 0.75 * want) < 1.5 for got, want in zip(box[2:], size)) else [f"{box} for {size}"]
        problems += [] if b"/FontFile" in pdf else ["no fonts"]
        problems += [] if (b"/Subtype /Image" in pdf) == has_cells else ["a picture in place of lines" if not has_cells else "no cells"]
        problems += [] if named == f"evenkeel-{chart}" else [named]
        check(f"PDF of {chart}", problems)
        check(f"PDF of {chart}: the page is as it was", page.title() == before and page.locator("#print-sheet").count() == 0 and page.evaluate("document.documentElement.dataset.printing === undefined"))
    check("PDF: no table was opened for it", page.locator("details.table-block[open]").count() <= 1)
    whole = page.pdf()
    check("print of the whole page still has its pages", len(re.findall(rb"/Type\s*/Page\b", whole)) > 3)


def shown_state(page):
    return page.evaluate("""() => ({
        arms: [...document.querySelectorAll("#arm-filter input")].map((box) => box.checked),
        lines: document.getElementById("chart-heldout").data.map((trace) => trace.visible),
        layer: document.getElementById("balance-layer").selectedIndex, range: document.getElementById("balance-range-1").checked, arm: document.getElementById("mri-arm").selectedIndex,
        load: [document.getElementById("load-arm").selectedIndex, document.getElementById("load-layer").selectedIndex, document.getElementById("load-step").value],
        recipe: document.getElementById("recipe-choice").selectedIndex, title: document.querySelector(".with-title").checked,
        drawn: [document.getElementById("chart-mri").data[0].meta.layer, document.getElementById("chart-load-layers").data[0].meta.step] })""")


def ready(page):
    page.wait_for_selector("html[data-ready]", timeout=60000)
    page.wait_for_timeout(200)


def reload(page):
    page.reload()
    ready(page)


def check_address(check, browser, html):
    page = browser.open(html)
    first = shown_state(page)
    check("address: nothing is in it at first", "#" not in page.url)
    page.uncheck("#arm-1")
    page.uncheck("#arm-3")
    hidden = shown_state(page)
    reload(page)
    check("address: arms unticked stay so after a reload", shown_state(page) == hidden and hidden["arms"].count(False) == 2 and "legendonly" in hidden["lines"])
    page.select_option("#balance-layer", index=2)
    page.check("#balance-range-1")
    page.select_option("#mri-arm", index=0)
    page.select_option("#load-arm", index=1)
    page.select_option("#load-layer", index=2)
    page.locator("#load-step").fill("7")
    page.select_option("#recipe-choice", index=2)
    page.locator("#figure-shift .with-title").uncheck()
    page.wait_for_timeout(600)
    chosen = shown_state(page)
    page.evaluate("""document.querySelector('#toc a[href="#forgetting"]').click()""")
    page.wait_for_timeout(300)
    check("address: a link of the contents keeps what is chosen", page.url.split("#")[1].startswith("forgetting;") and shown_state(page) == chosen)
    reload(page)
    check("address: all of it after a reload", [] if shown_state(page) == chosen else [shown_state(page), chosen])
    page.locator("#figure-replay .permalink").click()
    other = browser.open(html)
    other.goto("about:blank")
    other.goto(page.url)
    ready(other)
    check("address: all of it in a link that is opened anew", page.url.split("#")[1].startswith("figure-replay;") and shown_state(other) == chosen)
    for hash in ("#;;;", "#x;hidden=%E0%A4%A,nobody;balance-layer=99;load-step=-1;balance-range-1=x;sort=nothing;load-layer=z"):
        other.goto("about:blank")
        other.goto(html.as_uri() + hash)
        ready(other)
        check(f"address: {hash} is no harm", other.complaints)
    page.goto("about:blank")
    page.goto(html.as_uri())
    ready(page)
    check("address: without parts the page is as at first", shown_state(page) == first)
    page.locator("#chart-mri").scroll_into_view_if_needed()
    page.locator("#chart-mri .legendtoggle").nth(1).click()
    page.wait_for_timeout(700)
    clicked = shown_state(page)
    check("legend: a click unticks the arm, for all charts and in the address", clicked["arms"].count(False) == 1 and "legendonly" in clicked["lines"] and "hidden=" in page.url)
    page.evaluate("""(() => { const host = document.getElementById("chart-mri"); host.emit("plotly_legenddoubleclick", { curveNumber: 0, fullData: host._fullData }); })()""")  # two clicks must be 300 ms apart at most
    check("legend: a double click shows an arm alone", shown_state(page)["arms"].count(True) == 1)
    check("address: no complaint", page.complaints + other.complaints)


def check_routers_address(check, browser, html):
    page = browser.open(html)
    page.locator("[data-sort=mri_peak]").click()
    page.locator("[data-sort=mri_peak]").click()
    order = """[...document.querySelectorAll("#routers tbody tr")].map((row) => row.dataset.group)"""
    falling = page.evaluate(order)
    reload(page)
    check("address: the order of the routers' table", page.evaluate(order) == falling and "sort=-mri_peak" in page.url)


def check_words(check, name, page):
    columns = page.evaluate(r"""() => [...document.querySelectorAll("figcaption, .intro, main h2, main h3, .chart text")].map((node) => node.textContent).filter((text) => /\b[a-z]+_[a-z_]+\b/.test(text))""")
    check(f"{name}: captions and labels in words, not in names of columns", columns)


def check_labels(check, browser, name, html, arms=()):
    for width, dark in ((360, False), (412, True), (700, False), (1280, False)):
        page = browser.open(html, width=width, dark=dark)
        check(f"{name}: every label can be read at {width} px", label_problems(page, arms))
        if width == 1280:
            check_words(check, name, page)
        page.context.close()


def check_coincidence(check, browser, folder, html):
    """One arm's losses become those of another up to the shift, a third's throughout."""
    results = json.loads((folder / "results.json").read_text())
    runs = {arm["group"]: folder / arm["run"] / "metrics.jsonl" for arm in results["arms"]}
    lines = {group: [json.loads(line) for line in path.read_text().splitlines()] for group, path in runs.items()}
    evals = {group: [line for line in of if "eval" in line] for group, of in lines.items()}
    for line, other, third in zip(evals["granular-pb"], evals["granular-pb-r0.4"], evals["switch-sb"]):
        for target in (third, other) if line["step"] <= make_fixture.FIRST_STEPS else (third,):
            target["eval"] = {name: {**result, "routing": target["eval"][name]["routing"]} for name, result in line["eval"].items()}
    for group, path in runs.items():
        path.write_text("".join(json.dumps(line) + "\n" for line in lines[group]))
    make_page(folder, html, check.assembler)
    page = browser.open(html)
    caption = page.inner_text("#figure-heldout figcaption")
    check("lines that coincide: throughout", [] if "switch-sb and granular-pb throughout" in caption else caption)
    check("lines that coincide: up to the shift", [] if re.search(r"switch-sb, granular-pb and granular-pb-r0\.4 up to 262k tokens", caption) else caption)
    page.uncheck("#arm-2")
    page.wait_for_timeout(300)
    check("lines that coincide: not of an arm that is hidden", "switch-sb" not in page.inner_text("#figure-heldout figcaption"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assembler", action="store_true", help="put the pages together without the binary")
    check = Checks()
    check.assembler = parser.parse_args().assembler
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        scratch = Path(scratch)
        make_fixture.make_study(scratch / "study")
        make_fixture.make_study(scratch / "seeds", seeds=(1, 2, 3), specs=SOME)
        make_fixture.make_study(scratch / "long", rename=LONG)
        make_fixture.make_run(scratch / "run", make_fixture.ARMS[3], "A run")
        routers_fixture.make_study(scratch / "routers", seeds=(1, 2))
        html = {name: scratch / f"{name}.html" for name in ("study", "seeds", "long", "run", "routers")}
        for name, path in html.items():
            make_page(scratch / name, path, check.assembler)
        browser = Browser(playwright)
        for name, seeds in (("study", 1), ("seeds", 3)):
            page = browser.open(html[name])
            page.evaluate(KEEP)
            check_csv(check, name, page, seeds)
            if name == "study":
                check_pictures(check, page)
                check_pdf(check, page)
            check(f"{name}: no complaint", page.complaints)
            page.context.close()
        check_address(check, browser, html["study"])
        check_routers_address(check, browser, html["routers"])
        check_labels(check, browser, "long names", html["long"], list(LONG.values()))
        for name in ("seeds", "run", "routers"):
            check_labels(check, browser, name, html[name])
        check_coincidence(check, browser, scratch / "study", scratch / "coincident.html")
        browser.browser.close()
    print(f"{check.failed} failed" if check.failed else "all checks passed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

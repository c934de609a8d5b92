"""What a reader must be able to tell on a page: whole names of arms on a phone, the error of the cards' figures, which arms and shifts the panel
of a held-out set has, numbers with their units, and which sets are the old and the new one.

    reading_test.py [--assembler]   as report_test.py

Prints a line per check; exit status 1 if one failed.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import make_fixture
import values
from report_test import Browser, Checks, make_page
from with_error import with_error

SOME = [spec for spec in make_fixture.ARMS if spec[0] in ("dense", "granular-pb", "granular-sb", "granular-pb-r0.4")]
LONG = {"granular-pb": "granular-top_k-fraction0.0-rate0.003", "granular-sb": "granular-sinkhorn-fraction0.0-rate0.003", "granular-pb-r0.4": "granular-top_k-fraction0.4-rate0.003"}


def check_long_names(check, browser, html):
    """On a phone: whole in legends and rows; under a chart of one arm, whose field is too narrow; in the table on lines of its own cell."""
    page = browser.open(html, width=412)
    names = list(LONG.values())
    for chart, selector in (("heldout", ".legendtext"), ("mri", ".legendtext"), ("replay", ".legendtext"), ("saturation", ".legendtext"), ("forgetting", ".ytick text"), ("shift", ".ytick text"), ("throughput", ".ytick text")):
        shown = page.locator(f"#chart-{chart} {selector}").all_text_contents()
        check(f"long names: whole in the chart {chart}", [name for name in names if name not in shown])
    for figure, field in (("mri-layers", "mri-arm"), ("load-steps", "load-arm")):
        page.select_option(f"#{field}", index=1)
        page.wait_for_timeout(200)
        chosen = page.evaluate("id => { const field = document.getElementById(id); return field.options[field.selectedIndex].text; }", field)
        caption = page.inner_text(f"#figure-{figure} figcaption")
        check(f"long names: the caption of {figure} has that of the arm", [] if f"Shown: {chosen}." in caption else caption)
    widths = page.evaluate("() => [...document.querySelectorAll('#setup td.name')].map((cell) => cell.getBoundingClientRect().right)")
    check("long names: those of the table of arms are in view", [width for width in widths if width > 412] if widths else "no cells")
    page.context.close()


def check_cards(check, browser, folder, html):
    """The cards have the rule of the headlines: of one group its figure ± its error, of several the least and the greatest."""
    page = browser.open(html)
    tiles = [" ".join(text.split()) for text in page.locator(".tile dd").all_text_contents()]
    error = {}
    for group, members in values.read(folder)[1].items():
        rows = [row for row in values.records(folder, "forgetting") if row["data"] == "english" and row["phase"] == "german" and row["arm"] in [arm["name"] for arm, _ in members]]
        error[group] = (statistics.fmean(row["change"] for row in rows), values.spread([row["change"] for row in rows], [row["change_se"] for row in rows]))
    signed = lambda group: "+" + with_error(*error[group])
    without = sorted((group for group in error if group != "granular-pb-r0.4"), key=lambda group: error[group][0])
    ends = list(dict.fromkeys([signed(without[0]), signed(without[-1])]))
    check("cards: forgetting without replay", [] if " to ".join(ends) in tiles else tiles)
    check("cards: forgetting with replay", [] if signed("granular-pb-r0.4") in tiles else tiles)
    peaks = {group: [row["peak"] for arm, _ in members for row in values.records(folder, "shift_mri") if row["layer"] is None and row["arm"] == arm["name"]] for group, members in values.read(folder)[1].items()}
    top = max((100 * statistics.fmean(shares), 100 * statistics.stdev(shares)) for shares in peaks.values() if shares)
    check("cards: the highest peak of imbalance", [] if f"{with_error(*top)} %" in tiles else tiles)
    page.context.close()


def check_units(check, browser, html):
    """A number and its unit, a figure and its error, stay on one line: the space between them does not break."""
    page = browser.open(html, width=412)
    texts = page.evaluate("""() => { const out = [], walk = document.createTreeWalker(document.getElementById("content"), NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("pre, script, svg")) out.push(walk.currentNode.data);
        return out; }""")
    breaking = [text for text in texts if re.search(r"\d (%|nats\b|±)|± \d", text)]
    check("units: there are some", [] if sum(bool(re.search("\\d\u00a0%", text)) for text in texts) >= 2 else texts[:20])
    check("units: none may stand on a line of its own", breaking)
    page.context.close()


def check_breaks(check, browser, html):
    """A name breaks after a sign, and not within a number."""
    page = browser.open(html)
    source = "\n".join(path.read_text() for path in sorted((Path(__file__).resolve().parents[2] / "src" / "report" / "assets").glob("*.js")))
    wrapped = lambda name: page.evaluate("([source, name]) => new Function('name', source + '; return wrappedName(name, 16);')(name)", [source, name])
    wanted = {"top-k-fraction0.2": "top-k-<br>fraction0.2", "a_name.of_two_parts": "a_name.of_two_<br>parts"}
    check("names: they break after a sign, not within a number", {name: wrapped(name) for name, lines in wanted.items() if wrapped(name) != lines} or True)
    page.context.close()


def swap_sets(folder):
    """The results name the sets of the old and the new data the other way round."""
    results = json.loads((folder / "results.json").read_text())
    for arm in results["arms"]:
        arm["old_data"], arm["new_data"] = arm["new_data"], arm["old_data"]
    (folder / "results.json").write_text(json.dumps(results))


def check_named_sets(check, browser, html, old, new):
    """The page has no rule of its own for them."""
    page = browser.open(html)
    titles = page.evaluate("() => ['xaxis', 'yaxis'].map((axis) => document.getElementById('chart-replay').layout[axis].title.text)")
    check(f"sets: {old} is old and {new} new, as the results say", [] if [f"loss on {new} (new)" in titles[0], f"loss on {old} (old)" in titles[1]] == [True, True] else titles)
    card = page.inner_text(".tiles")
    check(f"sets: the card of forgetting is of {old}", [] if f"change of the loss on {old} after the shift" in card else card)
    page.context.close()


def split_sets(folder):
    """One arm goes to "code" in place of "german" and is not evaluated on "english"."""
    results = json.loads((folder / "results.json").read_text())
    arm = results["arms"][1]
    path = folder / arm["run"] / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["phase"] = line["phase"].replace("german", "code")
        if "eval" in line:
            line["eval"] = {"code": line["eval"]["german"]}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arm["phases"][1]["name"] = "code"
    (folder / "results.json").write_text(json.dumps(results))
    return arm["name"]


def check_panels(check, browser, html, alone):
    page = browser.open(html)
    shown = page.evaluate("""() => { const {data, layout} = document.getElementById("chart-heldout");
        return {marks: layout.annotations.filter(({text}) => text.endsWith("→")).map(({text, xref}) => [text, xref]), shapes: layout.shapes.map(({xref}) => xref),
            sets: data.filter(({meta}) => meta.role === "line").map(({meta, xaxis, x}) => [meta.data, xaxis, meta.group, x.length])}; }""")
    axis = {name: axis for name, axis, _, _ in shown["sets"]}
    check("panels: each has the shifts of its own arms", [] if sorted(shown["marks"]) == sorted([["german →", axis["english"]], ["german →", axis["german"]], ["code →", axis["code"]]]) else shown["marks"])
    check("panels: each has one line of the shift", [] if sorted(shown["shapes"]) == sorted(axis.values()) else shown["shapes"])
    legend = page.locator("#chart-heldout .legendtext").all_text_contents()
    groups = sorted({group for _, _, group, n in shown["sets"] if n > 0})
    check("panels: the legend has every arm once, also one that the first panel lacks", [] if sorted(legend) == groups and alone in legend else legend)
    page.context.close()


def check_replay(check, browser, html):
    """A phase with replay has what was asked for and what was drawn (6 of 16 sequences), of what, and the page says what that is."""
    page = browser.open(html)
    rows = [[" ".join(cell.split()) for cell in page.locator("#setup table").last.locator("tr").nth(i).locator("th, td").all_text_contents()] for i in range(page.locator("#setup table").last.locator("tr").count())]
    heads = [re.sub(r"[^a-z ]", " ", cell.lower()).strip() for cell in rows[0]]
    place = {name: next((i for i, head in enumerate(heads) if re.sub(" +", " ", head).startswith(name)), None) for name in ("replayfraction asked", "replayedfraction drawn", "replay of")}
    check("replay: the table of phases says what was asked, drawn and of what", [] if None not in place.values() else heads)
    found = [[row[i] for i in place.values()] for row in rows[1:] if len(row) == len(heads) and None not in place.values()]
    check("replay: 0.4 was asked and 6 of 16 drawn, of the phase english", [] if ["0.400", "0.375", "english, fresh"] in found else found)
    check("replay: the page says that its tokens count", "in place of so many of its own" in page.inner_text("#forgetting"))
    page.context.close()


FOUR_EXPERTS = [("few", "switch", "top_k", 4, 1, 0.0)]
SECOND_BORDER = 160  # the step after which the third phase begins


def split_last_phase(folder):
    """The last phase becomes two: from SECOND_BORDER on it is of "code"."""
    results = json.loads((folder / "results.json").read_text())
    for arm in results["arms"]:
        second = arm["phases"][1]
        per_step = second["tokens"] // second["steps"]
        third = {**second, "name": "code", "first_step": SECOND_BORDER + 1, "steps": second["last_step"] - SECOND_BORDER}
        second["last_step"], second["steps"] = SECOND_BORDER, SECOND_BORDER - second["first_step"] + 1
        for phase in (second, third):
            phase["tokens"] = phase["steps"] * per_step
        arm["phases"].append(third)
        path = folder / arm["run"] / "metrics.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line["phase"] = "code" if line["step"] > SECOND_BORDER else line["phase"]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shift = results["tables"]["shift_mri"]["rows"]
    shift += [[row[0], "code", *row[2:]] for row in shift]
    (folder / "results.json").write_text(json.dumps(results))


def check_borders(check, browser, html):
    """Each border between phases has its line and its name, each shift its row; experts have whole numbers."""
    for width in (1280, 412):
        page = browser.open(html, width=width)
        page.get_by_text("whole run", exact=True).first.click()
        page.wait_for_timeout(300)
        borders = {"steps": [make_fixture.FIRST_STEPS + 0.5, SECOND_BORDER + 0.5], "tokens": [step * make_fixture.TOKENS_PER_STEP for step in (make_fixture.FIRST_STEPS, SECOND_BORDER)]}
        for chart, unit, panels in (("heldout", "tokens", 2), ("training-loss", "tokens", 1), ("mri", "steps", 1), ("mri-layers", "steps", 1), ("entropy", "steps", 1), ("learning-rate", "steps", 1), ("load-steps", "steps", 1)):
            shown = page.evaluate("""id => { const {layout} = document.getElementById(`chart-${id}`);
                return {lines: layout.shapes.filter(({line, x0, x1}) => line.dash === "dot" && x0 === x1).map(({x0}) => x0), names: layout.annotations.map(({text}) => text).filter((text) => text.endsWith("→"))}; }""", chart)
            check(f"borders, {width} px: {chart} has a line at each", [] if sorted(shown["lines"]) == sorted(borders[unit] * panels) else shown["lines"])
            check(f"borders, {width} px: {chart} names the phase that begins", [] if sorted(shown["names"]) == sorted(["german →", "code →"] * panels) else shown["names"])
        rows = page.locator("#chart-shift .ytick text").all_text_contents()
        check(f"borders, {width} px: each shift has its row", [] if rows == ["few, german", "few, code"] else rows)
        for chart, axis in (("load-steps", "ytick"), ("load-layers", "xtick"), ("load-layers", "ytick")):
            ticks = page.locator(f"#chart-{chart} .{axis} text").all_text_contents()
            wanted = [str(i) for i in range(make_fixture.LAYERS if (chart, axis) == ("load-layers", "ytick") else 4)]
            check(f"ticks, {width} px: {chart} counts by ones on the {axis[0]} axis", [] if sorted(ticks) == wanted else ticks)
        page.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assembler", action="store_true", help="put the pages together without the binary")
    assembler = parser.parse_args().assembler
    check = Checks()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        scratch = Path(scratch)
        make_fixture.make_study(scratch / "long", rename=LONG, specs=SOME)
        make_fixture.make_study(scratch / "seeds", seeds=(1, 2, 3), specs=SOME)
        make_fixture.make_study(scratch / "sets", specs=SOME)
        alone = split_sets(scratch / "sets")
        make_fixture.make_study(scratch / "swapped", specs=SOME)
        swap_sets(scratch / "swapped")
        make_fixture.make_study(scratch / "phases", specs=FOUR_EXPERTS)
        split_last_phase(scratch / "phases")
        for name in ("long", "seeds", "sets", "swapped", "phases"):
            make_page(scratch / name, scratch / f"{name}.html", assembler)
        browser = Browser(playwright)
        check_long_names(check, browser, scratch / "long.html")
        check_cards(check, browser, scratch / "seeds", scratch / "seeds.html")
        check_panels(check, browser, scratch / "sets.html", alone)
        check_replay(check, browser, scratch / "seeds.html")
        check_borders(check, browser, scratch / "phases.html")
        check_units(check, browser, scratch / "seeds.html")
        check_breaks(check, browser, scratch / "seeds.html")
        check_named_sets(check, browser, scratch / "seeds.html", "english", "german")
        check_named_sets(check, browser, scratch / "swapped.html", "german", "english")
        browser.browser.close()
    print(f"{check.failed} failed" if check.failed else "all checks passed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

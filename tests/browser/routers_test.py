"""Opens the page of a study of many routers and compares its section "Routers compared" with results.json.

    routers_test.py               pages made by the binary: $EVENKEEL, by default build/evenkeel
    routers_test.py --assembler   pages put together by assemble.py, without the binary
    routers_test.py --keep DIR    leave the pages, and pictures of the section, in DIR

Prints a line per check; exit status 1 if one failed.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import routers_fixture
import values
from report_test import Browser, Checks, check_health, contrast, make_page, plotted

PANELS = {"routers-loss": ["loss_before", "loss_new", "loss_old"], "routers-balance": ["mri_before", "mri_peak", "eval_mri_old", "eval_mri_new"]}
HOSTILE = {"quantile": "<img src=x onerror='window.pwned = 1'>"}


def rows_of(page):
    """[{group, rank, causal, cells: {column: [title, text]}}] in the order of the table."""
    return page.evaluate("""() => [...document.querySelectorAll("#routers tbody tr")].map((row) => ({group: row.dataset.group, rank: row.querySelector(".rank").textContent,
        cells: Object.fromEntries([...row.querySelectorAll("td[data-key]")].map((cell) => [cell.dataset.key, [cell.title, cell.textContent]]))}))""")


def expected(folder):
    """{group: (key columns, {figure: values of the seeds that have it})} from the table of arms."""
    arms = {arm["name"]: arm["group"] for arm in values.results(folder)["arms"]}
    out = {}
    for record in values.records(folder, "routers"):
        keys, figures = out.setdefault(arms[record["arm"]], (record, {figure: [] for figure in routers_fixture.FIGURES}))
        for figure, numbers in figures.items():
            if record[figure] is not None:
                numbers.append(record[figure])
    return out


def errors_of(folder, group, figure):
    """The standard error by the text of a loss, which the seeds share; none of another figure."""
    if not figure.startswith("loss_"):
        return []
    data, phase = "german" if figure == "loss_new" else "english", "english" if figure == "loss_before" else "german"
    arms = {arm["name"] for arm in values.results(folder)["arms"] if arm["group"] == group}
    return [row["loss_se"] for row in values.records(folder, "forgetting") if row["arm"] in arms and (row["data"], row["phase"]) == (data, phase)]


def cell_problems(folder, shown, seeds):
    wrong = []
    need = expected(folder)
    if {row["group"] for row in shown} != set(need):
        wrong.append(f"groups {[row['group'] for row in shown]}")
    for row in shown:
        keys, figures = need[row["group"]]
        for figure, numbers in figures.items():
            if figure == "forgetting":
                continue
            title, text = row["cells"][figure]
            if not numbers:
                wrong += [] if text == "–" else [f"{row['group']}, {figure}: {text}"]
                continue
            mean, _, deviation = title.partition(" ± ")
            good = values.close(float(mean), statistics.fmean(numbers)) and values.close(float(deviation or 0), values.spread(numbers, errors_of(folder, row["group"], figure)))
            good = good and text.endswith(f"({len(numbers)} of {seeds})") == (len(numbers) < seeds)
            wrong += [] if good else [f"{row['group']}, {figure}: {title}, not {numbers}"]
        if keys["router"] is None:
            continue
        causal = "yes" if keys["causal"] else "at evaluation" if keys["eval_causal"] else "no"
        said = {key: row["cells"][key][1] for key in ("causal", "scope", "balance")}
        if said != {"causal": causal, "scope": f"{keys['scope']}, {keys['eval_scope']}", "balance": keys["balance"]}:
            wrong.append(f"{row['group']}: {said}")
    return wrong


def rank_problems(folder, shown):
    """Numbers 1, 2, … by the loss on the new data, for rules that are causal at evaluation."""
    need = expected(folder)
    ranked = sorted((group for group, (keys, _) in need.items() if keys["router"] and keys["eval_causal"]), key=lambda group: statistics.fmean(need[group][1]["loss_new"]))
    found = {row["group"]: row["rank"] for row in shown}
    return [] if found == {group: str(ranked.index(group) + 1) if group in ranked else "" for group in need} else found


def chart_problems(folder, shown, order, seeds):
    wrong = []
    need = expected(folder)
    routers = [group for group in order if need[group][0]["router"]]
    for chart, figures in PANELS.items():
        traces = [trace for trace in shown[chart] if trace["meta"]["role"] == "routers"]
        if [trace["meta"]["figure"] for trace in traces] != figures:
            wrong.append(f"{chart}: {[trace['meta']['figure'] for trace in traces]}")
        for trace in traces:
            figure = trace["meta"]["figure"]
            wrong += values.figure_problems(trace, "x", {group: need[group][1][figure] for group in routers}, f"{chart}, {figure}", lambda group: errors_of(folder, group, figure))
            wrong += [] if trace["customdata"] == routers else [f"{chart}: rows in another order than the table"]
    return wrong


def sort_problems(page, folder):
    """Each column's head sorts by it, up and then down, rows without a value last."""
    wrong = []
    need = expected(folder)
    for figure in [*PANELS["routers-loss"], *PANELS["routers-balance"], "steps_to_recover", "dropped", "dead"]:
        button = page.locator(f'#routers button[data-sort="{figure}"]')
        state = lambda: page.evaluate("""(key) => { const button = document.querySelector(`#routers button[data-sort="${key}"]`);
            return [button.closest("th").getAttribute("aria-sort"), document.activeElement === button]; }""", figure)
        if state()[0] != "descending" and state()[0] is not None:
            button.click()
            continue
        for direction, sign in (("ascending", 1), ("descending", -1)):
            button.click()
            found = [statistics.fmean(need[row["group"]][1][figure]) if need[row["group"]][1][figure] else None for row in rows_of(page)]
            there = [value for value in found if value is not None]
            if there != sorted(there, reverse=sign < 0) or found != there + [None] * (len(found) - len(there)) or state() != [direction, True]:
                wrong.append(f"{figure}, {direction}: {found} {state()}")
    page.locator('#routers button[data-sort="arm"]').click()
    names = [row["group"] for row in rows_of(page)]
    return wrong + ([] if names == sorted(names) else [names])


def check_study(check, browser, name, folder, html, seeds, keep):
    page = browser.open(html)
    check_health(check, name, page)
    check(f"{name}: first section", [] if page.evaluate("document.querySelector('#content section').id") == "routers" else ["another section comes first"])
    shown = rows_of(page)
    check(f"{name}: every cell equals results.json", cell_problems(folder, shown, seeds))
    check(f"{name}: ranked by the loss on the new data, what looks ahead is not", rank_problems(folder, shown))
    check(f"{name}: the page says that expert choice looks ahead", "look ahead at evaluation" in page.inner_text("#routers .intro"))
    check(f"{name}: charts equal results.json", chart_problems(folder, plotted(page), [row["group"] for row in shown], seeds))
    if keep:
        page.locator("#routers").screenshot(path=str(keep / f"{name}-light.png"))
    check(f"{name}: sorting", sort_problems(page, folder))
    page.wait_for_timeout(300)
    check(f"{name}: the charts follow the table's order", chart_problems(folder, plotted(page), [row["group"] for row in rows_of(page)], seeds))
    page.evaluate("document.querySelectorAll('details.table-block').forEach((block) => { block.open = true; })")
    page.wait_for_timeout(200)
    check(f"{name}: the whole table is there too, every digit", [line for line in values.table_problems(folder, page) if line.startswith("routers")])
    page.uncheck("#arm-3")
    page.wait_for_timeout(200)
    hidden = page.evaluate("document.querySelector('label:has(#arm-3)').textContent")
    check(f"{name}: the arm filter hides its row of the charts", all(hidden not in trace["customdata"] for trace in plotted(page)["routers-loss"] if trace["meta"]["role"] == "routers"))
    check(f"{name}: no complaint after use", page.complaints)
    page.context.close()


def check_looks(check, browser, html, keep):
    dark = browser.open(html, dark=True)
    check_health(check, "dark", dark)
    seen = dark.evaluate("""() => { const of = (selector, property) => getComputedStyle(document.querySelector(selector))[property];
        return {panel: of("#routers .compared", "backgroundColor"), cell: of("#routers td.number", "color"), spread: of("#routers .spread", "color"), head: of("#routers .sort", "color"),
            tick: of("#chart-routers-loss .xtick text", "fill")}; }""")
    ratios = {key: round(contrast(color, seen["panel"]), 1) for key, color in seen.items() if key != "panel"}
    check("dark: text stands out from its ground (4.5 or more)", [] if min(ratios.values()) >= 4.5 else ratios)
    points = dark.evaluate("document.getElementById('chart-routers-loss').data[0].marker.color")
    check("dark: points stand out (3 or more)", [color for color in points if contrast("(" + ",".join(str(int(color[i:i + 2], 16)) for i in (1, 3, 5)) + ")", seen["panel"]) < 3])
    phone = browser.open(html, width=360)
    check_health(check, "phone", phone, width=360)
    phone.evaluate("document.querySelector('#routers .compared').scrollLeft = 400")
    left = phone.evaluate("[...document.querySelectorAll('#routers tbody td:first-child')].map((cell) => Math.round(cell.getBoundingClientRect().left - cell.closest('.scroll').getBoundingClientRect().left))")
    check("phone: the names stay when the table is moved", [offset for offset in left if abs(offset) > 2])
    check("phone: one panel under the other", [] if phone.evaluate("document.getElementById('chart-routers-loss').layout.grid.columns") == 1 else ["side by side"])
    if keep:
        dark.locator("#routers").screenshot(path=str(keep / "dark.png"))
        phone.locator("#routers").screenshot(path=str(keep / "phone.png"))
    for opened in (dark, phone):
        opened.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assembler", action="store_true", help="put the pages together without the binary")
    parser.add_argument("--keep", type=Path, help="folder for the pages and pictures")
    arguments = parser.parse_args()
    check = Checks()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        scratch = Path(scratch)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
        routers_fixture.make_study(scratch / "one")
        routers_fixture.make_study(scratch / "three", seeds=(1, 2, 3))
        routers_fixture.make_study(scratch / "hostile", rename=HOSTILE)
        shutil.copytree(scratch / "three", scratch / "planted")
        results = json.loads((scratch / "planted" / "results.json").read_text(encoding="utf-8"))
        del results["tables"]["routers_summary"], results["tables"]["routers"]
        (scratch / "planted" / "results.json").write_text(json.dumps(results), encoding="utf-8")
        shutil.copytree(scratch / "one", scratch / "uneven")
        results = json.loads((scratch / "one" / "results.json").read_text(encoding="utf-8"))
        results["comparison"] = {"flops_per_token": {"least": 100, "most": 200, "tolerance": 0.05, "matched": False}, "other_differences": ["model.d_expert", "model.top_k"]}
        (scratch / "uneven" / "results.json").write_text(json.dumps(results), encoding="utf-8")
        for name in ("one", "three", "hostile", "planted", "uneven"):
            make_page(scratch / name, scratch / f"{name}.html", arguments.assembler)
        browser = Browser(playwright)
        check_study(check, browser, "one", scratch / "one", scratch / "one.html", 1, arguments.keep)
        check_study(check, browser, "three", scratch / "three", scratch / "three.html", 3, arguments.keep)
        check_looks(check, browser, scratch / "three.html", arguments.keep)
        told = lambda page: [page.inner_text("#routers .intro"), page.inner_text("figure:has(#chart-routers-loss) figcaption")]
        page = browser.open(scratch / "one.html")
        words = told(page)
        check("one: nothing but the routing differs, FLOPs are the same", [] if "Everything but the routing is the same" in words[0] and "of the same FLOPs" in words[1] else words)
        page.context.close()
        page = browser.open(scratch / "uneven.html")
        words = told(page)
        check("uneven: what else differs is named, and by how much the FLOPs do", [] if "Besides the routing the recipes of the arms differ in model.d_expert and model.top_k" in words[0] and "Everything" not in words[0]
              and "up to 2.00 times" in words[1] and "same FLOPs" not in words[1] else words)
        page.context.close()
        page = browser.open(scratch / "hostile.html")
        check("hostile: a name is text, not markup", page.evaluate("window.pwned === undefined && document.querySelector('main img') === null"))
        check("hostile: it shows as it is", any(row["group"] == HOSTILE["quantile"] for row in rows_of(page)))
        page.context.close()
        page = browser.open(scratch / "planted.html")
        check("without the table there is no section", page.evaluate("document.getElementById('routers') === null") and page.complaints == [])
        page.context.close()
        browser.browser.close()
    print(f"{check.failed} failed" if check.failed else "all checks passed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

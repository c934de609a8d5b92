"""What a page says of its figures: against what forgetting is measured, how many steps were looked at, when an evaluation was; and at the width of a
phone, that no label is printed over and that what is cut off shows it.

    words_test.py               pages made by the binary: $EVENKEEL, by default build/evenkeel
    words_test.py --assembler   pages put together by assemble.py, without the binary

Prints a line per check; exit status 1 if one failed.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from playwright.sync_api import sync_playwright  # noqa: E402

import make_fixture  # noqa: E402
from report_test import Browser, Checks, make_page  # noqa: E402

ASSETS = Path(__file__).resolve().parents[2] / "src" / "report" / "assets"


class Words:
    """Calls the page's own functions, which nothing outside of them sees."""

    def __init__(self, page):
        self.page = page
        self.source = "\n".join(path.read_text() for path in sorted(ASSETS.glob("*.js")))

    def __call__(self, expression, value):
        return self.page.evaluate("([source, expression, value]) => new Function('value', `${source}; return ${expression};`)(value)", [self.source, expression, value])


def report_of(rows, baselines):
    """A report with a table `forgetting` of [arm, forgetting, against]; as the page reads it, but for the map of tables."""
    records = [{"arm": arm, "forgetting": value, "against": against} for arm, value, against in rows]
    return {"arms": [{"name": name, "baseline": baseline} for name, baseline in baselines.items()],
            "table": {"columns": [{"name": "arm"}, {"name": "forgetting"}, {"name": "against"}], "records": records}}


def phases(equal, words):
    """The table of phases says the objective of each, and of what is scored and what is padding where that is not everything and nothing."""
    def arm(seed, objective, scored, padding):
        phase = {"name": "one", "data": [{"name": "en"}], "steps": 5, "schedule": {"kind": "constant", "lr_max": 0.1}}
        done = {"name": "one", "steps": 5, "tokens": 80, "replayed": 0, "objective": objective, "scored_share": scored, "padding_share": padding}
        return {"name": f"a-{seed}", "group": "a", "resolved": {"phase": [phase]}, "phases": [done], "scored_by": {"held": objective}}

    def table(*arms):
        found = words("phaseRows({...value, groups: [{name: 'a'}]})", {"arms": list(arms)})
        return [dict(zip([column["name"] for column in found["columns"]], row)) for row in found["rows"]]
    rows = table(arm(1, "ul2", 0.25, 0.125), arm(2, "ul2", 0.75, 0.375))
    equal("phases: one row for the seeds, with their means", [(row["objective"], row["scored"], row["padding"], row["arms"]) for row in rows], [("ul2", 0.5, 0.25, "all")])
    rows = table(arm(1, "causal", 1, 0))
    equal("phases: nothing of scored and padding where all is scored", ("scored" in rows[0], rows[0]["objective"]), (False, "causal"))
    older = arm(1, None, None, None)
    del older["phases"][0]["objective"], older["scored_by"]
    equal("phases: results of before objectives", table(older)[0]["objective"], "causal")
    equal("training: one objective needs no note", words("objectivesNote(value)", {"arms": [arm(1, "ul2", 1, 0), arm(2, "ul2", 1, 0)]}), "")
    equal("training: of two objectives", words("objectivesNote(value)", {"arms": [arm(1, "ul2", 1, 0), older]}), " Trained by ul2 and causal: losses by different objectives do not compare.")
    equal("sets: nothing where all are causal", words("scoredByWords(value)", {"arms": [older, arm(1, "causal", 1, 0)]}), "")
    equal("sets: those of another objective", words("scoredByWords(value)", {"arms": [arm(1, "ul2", 1, 0)]}).startswith("Held-out sets that are not scored as causal text: held (ul2);"), True)


def check_sentences(check, page):
    words = Words(page)

    def equal(name, got, need):
        check(name, [] if got == need else [got, need])
    against = "againstWords({...value, tables: new Map([['forgetting', value.table]])})"
    equal("against: one phase", words(against, report_of([["a", None, None], ["a", 0.5, "english"]], {"a": "english"})), "the end of english")
    equal("against: step 0", words(against, report_of([["a", -3, "step 0"]], {"a": "step 0"})), "step 0")
    equal("against: a continued run of two phases", words(against, report_of([["a", -3, "step 0"], ["a", 0.5, "english"]], {"a": "step 0"})),
          "step 0 or the end of english: the last phase before that trained on the data")
    older = report_of([], {"a": "english"})
    older["table"] = {"columns": [{"name": "change"}], "records": [{"arm": "a", "change": 0.5}]}
    equal("against: results of before it was told", words(against, older), "the end of english")
    for numbers, need in (([128, 64], "the first 50 steps"), ([4, 4], "the first 4 steps"), ([4, 128], "the first 4 to 50 steps"), ([1], "the first step")):
        equal(f"steps: {numbers}", words("stepsWords('first', value)", numbers), need)
    phases(equal, words)
    equal("when: after the first phase", words("whenWords(value, 'first')", [{"baseline": "english"}]), "after the first phase")
    equal("when: step 0", words("whenWords(value, 'first')", [{"baseline": "step 0"}]), "at step 0")
    equal("dead: every step", "In every step each expert" in words("noDeadNote(value)", {"arms": [{"stride": 1}]}), True)
    equal("dead: of a thinned page", "In the steps that this page has, of long runs one in 7, each expert" in words("noDeadNote(value)", {"arms": [{"stride": 7}, {"stride": 1}]}), True)
    spike = "spikeWords({tables: new Map([['shift_mri', value]])})"

    def shift(**figures):
        return {"records": [{"layer": None, "before": 0.5, **figures}]}
    equal("spike: a first step above those before", "A spike there" in words(spike, shift(first=0.7)), True)
    equal("spike: none where the first step is lower, whatever the peak", words(spike, shift(first=0.39, peak=0.8)), "")
    equal("spike: none where nothing is known", words(spike, shift(first=None)), "")
    alone = "aloneWords({tables: new Map([['throughput', value]])})"
    equal("speed: alone", words(alone, {"source": "median step"}), "Each model alone on the machine.")
    equal("speed: beside other work", "busy" in words(alone, {"source": "median step. The machine was busy with other work while the training speed of a was measured"}), True)
    equal("range: an arm without a step in it", words("outsideWords(value)", [{"meta": {"group": "cont"}}]), "Without a step in this range: cont.")
    equal("range: none", words("outsideWords(value)", []), "")
    bars = words("errorBars(value, {limits: kShareLimits, color: ''})", [{"mean": 0.9, "std": 0.4}, {"mean": 0.1, "std": 0.4}, {"mean": 0.5, "std": 0.2}, None])
    equal("bars: none is outside of the possible", [[round(x, 9) for x in bars[side]] for side in ("array", "arrayminus")], [[0.1, 0.4, 0.2, 0], [0.4, 0.1, 0.2, 0]])
    for counts, need in (((2, 2), "2 seeds per arm"), ((2, 1), "Up to 2 seeds per arm")):
        found = words("machineSentence(value)", {"seeds": 2, "arms": [], "results": {}, "groups": [{"arms": [0] * n} for n in counts]})
        equal(f"seeds: {counts}", found.split(";")[0], need)
    for name, need in (("co_routing", "Flows between layers"), ("forgetting", "Loss after each phase"), ("load_summary", "Load of the experts, over seeds"), ("a_new_table", "A new table")):
        equal(f"tables: the title of {name}", words("tableTitle(value)", name), need)
    seeds = {"seeds": 3, "arms": [], "results": {"comparison": {"seeds_share_start": True}}}
    equal("seeds: that continue one model", words("errorWords(value)", seeds), "± 1 standard deviation over seeds (which all continue the same weights)")
    equal("seeds: that do not", words("errorWords(value)", {**seeds, "results": {}}), "± 1 standard deviation over seeds")


def check_forgetting(check, browser, folder, out, assembler):
    """Cells say what each is measured against, the CSV too."""
    results = json.loads((folder / "results.json").read_text())
    columns = [column["name"] for column in results["tables"]["forgetting"]["columns"]]
    for row in results["tables"]["forgetting"]["rows"]:
        if row[columns.index("data")] == "german" and row[columns.index("against")]:
            row[columns.index("against")] = "step 0"
    (folder / "results.json").write_text(json.dumps(results))
    make_page(folder, out, assembler)
    page = browser.open(out)
    intro = page.inner_text("#forgetting .intro")
    check("forgetting: the intro names both baselines", "since the end of english or step 0: the last phase before that trained on the data." in intro or [intro])
    hover = page.evaluate("document.getElementById('chart-forgetting').data[0].hovertext.flat()")
    check("forgetting: each cell has its own", sorted({text.split("<br>", 1)[1] for text in hover}) == ["english<br>since the end of english", "german<br>since step 0"] or hover[:3])
    since = page.evaluate("document.getElementById('chart-forgetting').data[0].rows.map((row) => [row['data set'], row.figure, row.since].join())")
    check("forgetting: the CSV says it", set(since) == {"english,change of the loss,the end of english", "english,loss,", "german,change of the loss,step 0", "german,loss,"} or sorted(set(since)))


def check_phone(check, browser, html):
    for dark in (False, True):
        page = browser.open(html, width=412, dark=dark)
        name = f"412 px, {'dark' if dark else 'light'}"
        for chart, word in (("saturation", "chance"), ("mri", "k/E"), ("mri-layers", "k/E")):
            inside, legend = page.evaluate("""([id, word]) => { const host = document.getElementById(`chart-${id}`); return [
                (host.layout.annotations || []).map((note) => note.text).filter((text) => text.startsWith(word)),
                [...host.querySelectorAll(".legendtext")].map((node) => node.textContent).filter((text) => text.startsWith(word))]; }""", [chart, word])
            check(f"{name}: the level of {chart} stands in the legend, where no line crosses it", (inside == [] and len(legend) > 0) or [inside, legend])
        cut = page.evaluate("""() => [...document.querySelectorAll(".scroll, .side nav")].filter((node) => node.scrollWidth > node.clientWidth + 1)
            .map((node) => [node.className || node.tagName, getComputedStyle(node).backgroundAttachment])""")
        check(f"{name}: tables and the top bar that are cut have a shade", (len(cut) > 1 and all("local" in how and "scroll" in how for _, how in cut)) or cut)
        page.context.close()
    wide = browser.open(html, width=1280)
    beside = wide.evaluate("document.getElementById('chart-saturation').layout.annotations.map(({text, xanchor}) => [text.split(' ')[0], xanchor])")
    check("1280 px: the level stands beside the plot", beside == [["chance", "left"]] or beside)


def main():
    assembler = "--assembler" in sys.argv[1:]
    check = Checks()
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        browser = Browser(playwright)
        folder, html = Path(work) / "study", Path(work) / "study.html"
        make_fixture.make_study(folder)
        make_page(folder, html, assembler)
        check_phone(check, browser, html)
        check_sentences(check, browser.open(html))
        check_forgetting(check, browser, folder, Path(work) / "other.html", assembler)
    print(f"{check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What each chart of a report page must show, computed from results.json and metrics.jsonl.

`shown` is {chart: traces} as read from the page. A function returns what differs; [] is agreement.
"""

import json
import math
import re
import statistics
import sys
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from with_error import with_error  # noqa: E402


def results(folder):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=32)
def read(folder):
    """(results, {group: [(arm, metric lines)]}) of a study or run."""
    found = results(folder)
    groups = {}
    for arm in found["arms"]:
        lines = [json.loads(line) for line in (Path(folder) / arm["run"] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        groups.setdefault(arm["group"], []).append((arm, lines))
    return found, groups


def records(folder, table):
    found = read(folder)[0]["tables"].get(table)
    if not found:
        return []
    names = [column["name"] for column in found["columns"]]
    return [dict(zip(names, row)) for row in found["rows"]]


def close(a, b):
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)


def same(a, b):
    return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))


def spread(numbers, errors=()):
    """What stands after ±: the standard deviation over seeds, but no less than the mean standard error by the text."""
    known = [error for error in errors if error is not None]
    return max(statistics.stdev(numbers) if len(numbers) > 1 else 0.0, statistics.fmean(known) if known else 0.0)


def moved_together(members, points):
    """Mean and spread over a group's arms of points(lines) = [(x, y)] or [(x, y, standard error)]."""
    gathered = {}
    for _, lines in members:
        for x, y, *error in points(lines):
            if y is not None:
                gathered.setdefault(x, []).append((y, *error))
    xs = sorted(gathered)
    columns = [list(zip(*gathered[x])) for x in xs]
    return xs, [statistics.fmean(column[0]) for column in columns], [spread(*column) for column in columns]


def line_problems(folder, traces, points, where=lambda meta: True, limits=(-math.inf, math.inf)):
    """Every group with points must have its line, and with several seeds its band, which ends at the limits of the figure."""
    wrong = []
    for group, members in read(folder)[1].items():
        xs, mean, std = moved_together(members, points)
        mine = [trace for trace in traces if trace["meta"].get("group") == group and where(trace["meta"])]
        lines = [trace for trace in mine if trace["meta"]["role"] == "line"]
        if not xs:
            wrong += [f"{group}: a line without data"] if any(trace["x"] for trace in lines) else []
            continue
        if len(lines) != 1 or not same(lines[0]["x"], xs) or not same(lines[0]["y"], mean):
            wrong.append(f"{group}: the line differs")
        if len(members) > 1:
            band = [trace for trace in mine if trace["meta"]["role"] == "band"]
            edge = [min(m + s, limits[1]) for m, s in zip(mean, std)] + [max(m - s, limits[0]) for m, s in zip(mean, std)][::-1]
            if len(band) != 1 or not same(band[0]["y"], edge):
                wrong.append(f"{group}: the band differs")
    return wrong


def steps_of(lines):
    return [line for line in lines if "routing" in line]


def error_bar_problems(folder, shown):
    """With one seed each point of a held-out loss has its standard error as a bar."""
    wrong = []
    for group, members in read(folder)[1].items():
        for trace in (trace for trace in shown["heldout"] if trace["meta"]["role"] == "line" and trace["meta"]["group"] == group):
            errors = [line["eval"][trace["meta"]["data"]]["loss_se"] for line in members[0][1] if "eval" in line]
            bars = (trace.get("error_y") or {}).get("array")
            if (len(members) > 1 and bars) or (len(members) == 1 and not (bars and same(bars, errors))):
                wrong.append(f"{group}, {trace['meta']['data']}: bars {bars}")
    return wrong


def heldout_problems(folder, shown):
    names = {name for members in read(folder)[1].values() for _, lines in members for line in lines for name in line.get("eval", {})}
    return error_bar_problems(folder, shown) + [problem for name in sorted(names) for problem in line_problems(
        folder, shown["heldout"], lambda lines: [(line["tokens"], line["eval"][name]["loss"], line["eval"][name]["loss_se"]) for line in lines if "eval" in line], lambda meta: meta["data"] == name)]


def training_problems(folder, shown):
    return line_problems(folder, shown["training-loss"], lambda lines: [(line["tokens"], line["loss_terms"]["cross_entropy"]) for line in steps_of(lines)])


def routing_points(key, layer):
    def points(lines):
        out = []
        for line in steps_of(lines):
            entries = [entry[key] for entry in line["routing"] if layer in ("mean", entry["layer"])]
            out.append((line["step"], statistics.fmean(entries) if entries else None))
        return out
    return points


def balance_problems(folder, shown):
    wrong = []
    for chart in ("mri", "entropy", "dead"):
        if chart not in shown:
            wrong.append(f"{chart}: no chart")
            continue
        layer = shown[chart][0]["meta"]["layer"]
        wrong += [f"{chart}, {problem}" for problem in line_problems(folder, shown[chart], routing_points(chart, layer), limits=(0, math.inf if chart == "dead" else 1))]
    arms = {arm["name"]: lines for members in read(folder)[1].values() for arm, lines in members}
    for trace in shown["mri-layers"]:
        points = routing_points("mri", trace["meta"]["layer"])(arms[trace["meta"]["arm"]])
        if not same(trace["x"], [x for x, _ in points]) or not same(trace["y"], [y for _, y in points]):
            wrong.append(f"mri-layers: layer {trace['meta']['layer']} differs")
    return wrong


def has_drops(folder):
    """Whether an arm has a capacity; its made-up or real runs then drop something."""
    return any(entry["dropped"] > 0 for members in read(folder)[1].values() for _, lines in members for line in steps_of(lines) for entry in line["routing"])


def drops_problems(folder, shown):
    layer = shown["drops"][0]["meta"]["layer"]

    def points(lines):
        found = routing_points("dropped", layer)(lines)
        return found if any(value for _, value in found) else []
    return line_problems(folder, shown["drops"], points)


def figure_problems(trace, axis, expected, what, errors_of=lambda group: ()):
    """expected: {group: [value of each arm]}; the trace has its groups in customdata. errors_of(group): by the text, of its seeds."""
    wrong = []
    if set(trace["customdata"]) != {group for group, numbers in expected.items() if numbers}:
        wrong.append(f"{what}: groups {trace['customdata']}")
    for i, group in enumerate(trace["customdata"]):
        numbers = expected.get(group) or [math.nan]
        if not close(trace[axis][i], statistics.fmean(numbers)):
            wrong.append(f"{what}: {group} is {trace[axis][i]}, not {statistics.fmean(numbers)}")
        bars = trace.get(f"error_{axis}") or {}
        error = spread(numbers, errors_of(group))
        most = min(error, 1 - trace[axis][i]) if "arrayminus" in bars else error  # of a share
        least = min(error, trace[axis][i]) if "arrayminus" in bars else error
        if "array" in bars and not (close(bars["array"][i], most) and close(bars.get("arrayminus", bars["array"])[i], least)):
            wrong.append(f"{what}: spread of {group}")
    return wrong


def by_group(folder, table, figure, where=lambda record: True):
    rows = records(folder, table)
    return {group: [row[figure] for arm, _ in members for row in rows if row["arm"] == arm["name"] and where(row) and row[figure] is not None]
            for group, members in read(folder)[1].items()}


def shift_problems(folder, shown):
    traces = [trace for trace in shown["shift"] if trace["meta"]["role"] == "shift"]
    wrong = [] if [trace["meta"]["figure"] for trace in traces] == ["before", "first", "peak", "after"] else ["figures missing"]
    for trace in traces:
        wrong += figure_problems(trace, "x", by_group(folder, "shift_mri", trace["meta"]["figure"], lambda row: row["layer"] is None), trace["meta"]["figure"])
    return wrong


def eval_mri_problems(folder, shown):
    traces = [trace for trace in shown["eval-mri"] if trace["meta"]["role"] == "eval-mri"]
    wrong = [] if len(traces) == 4 else [f"{len(traces)} traces"]
    rows = records(folder, "eval_mri")
    for trace in traces:
        meta = trace["meta"]
        expected = {}
        for group, members in read(folder)[1].items():
            expected[group] = []
            for arm, _ in members:
                phase = arm["phases"][0 if meta["when"] == "first" else -1]["name"]
                layers = [row["mri"] for row in rows if (row["arm"], row["data"], row["phase"]) == (arm["name"], meta["data"], phase)]
                expected[group] += [statistics.fmean(layers)] if layers else []
        wrong += figure_problems(trace, "x", expected, f"{meta['data']} {meta['when']}", lambda group: [0.011] * len(expected[group]))  # mri_se of the fixture
        if not trace["error_x"]["visible"]:
            wrong.append(f"{meta['data']} {meta['when']}: no bars")
    return wrong


def load_problems(folder, shown):
    arms = {arm["name"]: steps_of(lines) for members in read(folder)[1].values() for arm, lines in members}
    layers, steps = shown["load-layers"][0], shown["load-steps"][0]
    wrong = []
    line = next(line for line in arms[layers["meta"]["arm"]] if line["step"] == layers["meta"]["step"])
    if layers["z"] != [entry["load"] for entry in line["routing"]] or layers["y"] != [entry["layer"] for entry in line["routing"]]:
        wrong.append("experts by layer differ")
    loads = {line["step"]: next(entry["load"] for entry in line["routing"] if entry["layer"] == steps["meta"]["layer"]) for line in arms[steps["meta"]["arm"]]}
    if not 2 <= len(steps["x"]) <= 240 or steps["z"] != [list(row) for row in zip(*[loads[step] for step in steps["x"]])]:
        wrong.append("experts by step differ")
    return wrong


def forgetting_problems(folder, shown):
    trace = shown["forgetting"][0]
    wrong = []
    for i, (group, row_phase) in enumerate(trace["meta"]["rows"]):
        for j, (data, phase) in enumerate(trace["meta"]["columns"]):
            numbers = by_group(folder, "forgetting", "forgetting", lambda row: row["data"] == data and row["phase"] == (row_phase or phase))[group]
            if not close(trace["z"][i][j], statistics.fmean(numbers)):
                wrong.append(f"{group}, {data}")
            errors = by_group(folder, "forgetting", "forgetting_se", lambda row: row["data"] == data and row["phase"] == (row_phase or phase))[group]
            written = re.sub("<br>|</?b>", "", trace["text"][i][j]).replace("±", " ± ").split(" (")[0].replace("−", "-").replace("+", "")
            if " ".join(written.split()) != with_error(statistics.fmean(numbers), spread(numbers, errors)):
                wrong.append(f"{group}, {data}: written {written!r}")
    cells = len(trace["meta"]["rows"]) * len(trace["meta"]["columns"])
    if cells != sum(map(len, trace["z"])) or {row[0] for row in trace["meta"]["rows"]} != set(read(folder)[1]):
        wrong.append("rows or columns missing")
    return wrong


def replay_problems(folder, shown):
    wrong = []
    for group, members in read(folder)[1].items():
        ends = [[line["eval"] for line in lines if "eval" in line][-1] for _, lines in members]
        old, new = ([end[name]["loss"] for end in ends] for name in ("english", "german"))
        trace = next((trace for trace in shown["replay"] if trace["meta"].get("group") == group), None)
        if trace is None or not close(trace["x"][0], statistics.fmean(new)) or not close(trace["y"][0], statistics.fmean(old)):
            wrong.append(group)
        elif not close(trace["error_y"]["array"][0], spread(old, [end["english"]["loss_se"] for end in ends])):
            wrong.append(f"{group}: spread")
    return wrong


def saturation_problems(folder, shown):
    wrong, groups, places = [], set(), []
    for trace in shown["saturation"]:
        meta = trace["meta"]
        groups.add(meta["group"])
        places.append(trace["x"][0])
        for layer, value, up, down in zip(trace["customdata"], trace["y"], trace["error_y"]["array"], trace["error_y"]["arrayminus"]):
            numbers = by_group(folder, "saturation", "saturation", lambda row: all(row[key] == meta[key] for key in ("data", "k", "from", "to")) and row["layer"] == layer)[meta["group"]]
            if not close(value, statistics.fmean(numbers)) or not close(up, min(spread(numbers), 1 - value)) or not close(down, min(spread(numbers), value)):
                wrong.append(f"{meta['group']}, layer {layer}")
    k = shown["saturation"][0]["meta"]["k"]
    expected = {group for group, numbers in by_group(folder, "saturation", "saturation", lambda row: row["k"] == k).items() if numbers}
    wrong += [] if len(set(places)) == len(places) else [f"arms stand on one another: {places}"]
    return wrong + ([] if groups == expected else ["groups differ"])


def learning_rate_problems(folder, shown):
    arms = {arm["name"]: (arm, lines) for members in read(folder)[1].values() for arm, lines in members}
    wrong = []
    for trace in shown["learning-rate"]:
        for name in trace["meta"]["arms"]:
            used = {line["step"]: line["lr"] for line in steps_of(arms[name][1])}
            curve = dict(map(tuple, arms[name][0]["lr_curve"])) if trace["meta"]["role"] == "planned" else used
            if trace["y"] != [curve.get(step) for step in trace["x"]] or (trace["meta"]["role"] == "planned" and len(trace["x"]) != len(curve)):
                wrong.append(f"{name}, {trace['meta']['role']}")
    for role in ("planned", "used"):
        named = [name for trace in shown["learning-rate"] if trace["meta"]["role"] == role for name in trace["meta"]["arms"]]
        wrong += [] if sorted(named) == sorted(arms) else [f"{role}: arms {named}"]
    return wrong


def throughput_problems(folder, shown):
    return figure_problems(shown["throughput"][0], "x", by_group(folder, "throughput", "tokens_per_second"), "throughput")


def tokens_problems(folder, shown):
    """Every group has its row, one that never gets there without a bar; under the chart it is named for what the error of the losses says of it."""
    trace, found = shown["tokens-to-loss"][0], by_group(folder, "tokens_to_loss", "tokens")
    wrong = [] if trace["customdata"] == list(read(folder)[1]) else [f"groups {trace['customdata']}"]
    for group, value, text in zip(trace["customdata"], trace["x"], trace["text"]):
        numbers = found[group]
        if (value is None) != (not numbers) or (numbers and not close(value, statistics.fmean(numbers))) or (text == "not reached") != (not numbers):
            wrong.append(f"{group} is {value}, {text!r}; the files have {numbers}")
    return wrong


def not_reached(folder):
    """{what is said: its groups} of those that missed the loss, all seeds or some."""
    kinds = {"Never as low as": [], "though no difference from it is beyond noise": []}
    for group, members in read(folder)[1].items():
        rows = [row for row in records(folder, "tokens_to_loss") if row["arm"] in [arm["name"] for arm, _ in members]]
        if any(row["tokens"] is None for row in rows):
            kinds["Never as low as" if rows[0]["beyond_noise"] else "though no difference from it is beyond noise"].append(group)
    return kinds


def speed_problems(folder, shown):
    return line_problems(folder, shown["speed"], lambda lines: [(line["step"], line["tokens_per_second"]) for line in steps_of(lines)])


def all_problems(folder, shown):
    checks = {"heldout": heldout_problems, "training-loss": training_problems, "mri": balance_problems, "shift": shift_problems, "eval-mri": eval_mri_problems,
              "load-layers": load_problems, "forgetting": forgetting_problems, "saturation": saturation_problems, "learning-rate": learning_rate_problems}
    if read(folder)[0]["kind"] == "study":
        checks |= {"replay": replay_problems,
                   "throughput": throughput_problems,
                   "tokens-to-loss": tokens_problems}
    else:
        checks["speed"] = speed_problems
    if has_drops(folder):
        checks["drops"] = drops_problems
    covered = set(checks) | {"mri-layers", "entropy", "dead", "load-steps"}
    out = {name: ["no chart"] if name not in shown else problems(folder, shown) for name, problems in checks.items()}
    out["the set of charts"] = sorted(covered ^ set(shown))
    return out


def table_problems(folder, page):
    """Every cell of every table: numbers have all their digits in the title, text is as it is."""
    wrong = []
    for name, table in read(folder)[0]["tables"].items():
        cells = page.evaluate("""(id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => [...row.cells].map((cell) => [cell.title, cell.textContent]))""", f"table-{name}")
        if len(cells) != len(table["rows"]):
            wrong.append(f"{name}: {len(cells)} rows")
            continue
        for row, shown in zip(table["rows"], cells):
            for value, (title, text) in zip(row, shown):
                if isinstance(value, bool):
                    good = text == ("yes" if value else "no")
                else:
                    good = float(title) == value if isinstance(value, (int, float)) else text == value if value is not None else text in ("–", "mean")
                wrong += [] if good else [f"{name}: {value} shows as {text} ({title})"]
    return wrong

"""What each chart of an analysis page must show, computed from results.json and csv/ of the analysis.

`shown` is {chart: traces} as read from the page, `view` what is chosen on it: {layer, domain, mode, k, minimum_count}.
A function returns what differs; [] is agreement.
"""

import csv
import io
import json
import zlib
from functools import lru_cache


@lru_cache(maxsize=16)
def tables(folder):
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tables"]
    return {name: [dict(zip([column["name"] for column in table["columns"]], row)) for row in table["rows"]] for name, table in found.items()}


def records(folder, table):
    return tables(folder).get(table, [])


def domain(row):
    return row["domain"]


def counted(k):
    return "first choice" if k == 1 else f"top {k}"


# Charts over the layers: (table, value, chance column, series of a row, keys of the view that rows are chosen by).
LINES = {
    "mri-by-layer": [("load", "mri", "mri_chance", domain, ())],
    "entropy-by-layer": [("load", "entropy", "entropy_chance", domain, ())],
    "similarity-by-layer": [("domain_similarity", "correlation", None, lambda row: f"{row['domain_a']} – {row['domain_b']}", ())],
    "agreement-by-layer": [("saturation", "saturation", "load_chance", lambda row: f"{row['data']}, {counted(row['k'])}", ())],
    "hit-rate": [("continual_vocabulary", "hit_rate", "load_chance", lambda row: f"{row['domain']}, {counted(row['k'])}", ("minimum_count",))],
    "vocabulary-by-layer": [("vocabulary_specialization", "mean", lambda row: "load_chance" if row["k"] == 1 else "chance", lambda row: f"{row['id_kind']} id", ("minimum_count", "k"))],
    "id-std": [("token_specialization", "std", "load_std", lambda row: "token id", ("domain",)),
               ("position_specialization", "std", "load_std", lambda row: row["group"].replace("_", " "), ("domain",))],
    "coactivation-change": [("coactivation_change_by_layer", "mean_absolute_change", "chance", lambda row: row["mode"].replace("_", " "), ())],
    "locality-first": [("temporal_locality", "first_choice", "load_first", domain, ())],
    "locality-any": [("temporal_locality", "any_choice", "chance_any", domain, ())],
    "coherence-by-layer": [("semantic_coherence", "coherence", "baseline", lambda row: "", ())],
    "balance-losses": [("balance_losses", "relative", None, lambda row: row["loss"], ("domain",))],
    "z-loss": [("balance_losses", "z", None, lambda row: row["loss"], ("domain",))],
}


def value_of(row, value):
    if value == "relative":
        return row["value"] / row["uniform"] if row["uniform"] else None
    if value == "z":
        return row["value"] if row["uniform"] is None else None
    return row[value]


def expected_lines(folder, chart, view):
    """{(table, series, whether chance): [(layer, value)]}; a sum over layers is no point."""
    out = {}
    for table, value, chance, series, chosen_by in LINES[chart]:
        for row in records(folder, table):
            if row["layer"] is None or value_of(row, value) is None or any(row[key] != view[key] for key in chosen_by):
                continue
            out.setdefault((table, series(row), False), []).append((row["layer"], value_of(row, value)))
            if chance:
                out.setdefault((table, series(row), True), []).append((row["layer"], row[chance(row) if callable(chance) else chance]))
    return {key: sorted(points) for key, points in out.items() if any(y is not None for _, y in points)}


def line_problems(folder, shown, chart, view, model=None):
    traces = [trace for trace in shown[chart] if model is None or trace["meta"]["model"] == model]
    got = {(t["meta"]["table"], t["meta"]["series"], t["meta"]["role"] == "chance-line"): list(zip(t["x"], t["y"])) for t in traces}
    need = expected_lines(folder, chart, view)
    wrong = [f"lines {sorted(got.keys() ^ need.keys())}"] if got.keys() != need.keys() or len(traces) != len(need) else []
    wrong += [f"{key}: {got[key]}" for key in got.keys() & need.keys() if got[key] != need[key]]
    wrong += [f"{key}: two points in a layer" for key, points in got.items() if any(a >= b for (a, _), (b, _) in zip(points, points[1:]))]
    return wrong if need else ["no line"]


def interval_problems(folder, shown):
    """The bars of the MRI and of the entropy are their intervals."""
    wrong = []
    for figure in ("mri", "entropy"):
        for trace in (trace for trace in shown[f"{figure}-by-layer"] if trace["meta"]["role"] == "layer-line"):
            of = {row["layer"]: row for row in records(folder, "load") if row["domain"] == trace["meta"]["series"]}
            for x, up, down in zip(trace["x"], trace["error_y"]["array"], trace["error_y"]["arrayminus"]):
                value, low, high = (of[x][figure + end] for end in ("", "_low", "_high"))
                if abs(up - (high - value)) > 1e-12 or abs(down - (value - low)) > 1e-12:
                    wrong.append((figure, trace["meta"]["series"], x))
    return wrong


def at_layer(folder, table, view, *keys):
    return [row for row in records(folder, table) if row["layer"] == view["layer"] and all(row[key] == view[key] for key in keys)]


def points_problems(traces, role, need):
    """`need`: {series: [(x, y)]}, as sets: an order is the chart's own."""
    got = {trace["meta"].get("group") or trace["meta"].get("figure") or trace["meta"].get("domain") or "": list(zip(trace["x"], trace["y"])) for trace in traces if trace["meta"]["role"] == role}
    wrong = [f"{role}: {name}: {got.get(name)}" for name in need.keys() | got.keys() if sorted(got.get(name, [])) != sorted(need.get(name, []))]
    return wrong if any(need.values()) else [f"{role}: no point"]


def grouped(rows, key, x, y):
    out = {}
    for row in rows:
        out.setdefault(row[key] if key else "", []).append((row[x], row[y]))
    return out


def share_problems(folder, shown, view):
    [heat] = shown["domain-shares"]
    wrong = [] if heat["meta"]["layer"] == view["layer"] else [f"layer {heat['meta']['layer']}"]
    rows = at_layer(folder, "domain_specialization", view)
    for name, line in zip(heat["meta"]["domains"], heat["z"], strict=True):
        mine = sorted((row for row in rows if row["domain"] == name), key=lambda row: row["expert"])
        wrong += [] if line == [row["share_of_tokens"] / row["chance_of_tokens"] for row in mine] else [name]
    return wrong


def bar_problems(folder, shown, view):
    rows = at_layer(folder, "domain_specialization", view)
    wrong = [] if {bar["meta"]["domain"] for bar in shown["domain-bars"]} == {row["domain"] for row in rows} else ["data sets"]
    for bar in shown["domain-bars"]:
        of = {str(row["expert"]): row["share_of_tokens"] for row in rows if row["domain"] == bar["meta"]["domain"]}
        wrong += [] if dict(zip(bar["x"], bar["y"])) == of else [bar["meta"]["domain"]]
    return wrong


def similarity_problems(folder, shown, view):
    [heat] = shown["domain-similarity"]
    names = heat["meta"]["domains"]
    of = {(row["domain_a"], row["domain_b"]): row["correlation"] for row in at_layer(folder, "domain_similarity", view)}
    need = [[1 if a == b else of.get((a, b), of.get((b, a))) for b in names] for a in names]
    return [] if heat["z"] == need and len(names) > 1 else [heat["z"]]


def pair_rows(folder, table, view):
    """The rows of the layer from the counts of all pairs, and the column of the mode."""
    with open(folder / "csv" / f"{table}.csv", newline="", encoding="utf-8") as file:
        rows = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if row["layer"] == view["layer"]], "together" if view["mode"] == "all_pairs" else "adjacent_rank"


def pair_counts(folder, view):
    """{(a, b): P(b | a)}."""
    of = {}
    rows, key = pair_rows(folder, "coactivation_all", view)
    for row in rows:
        of[row["expert_a"], row["expert_b"]] = row[key] / row["tokens_a"] if row["tokens_a"] else 0
        of[row["expert_b"], row["expert_a"]] = row[key] / row["tokens_b"] if row["tokens_b"] else 0
    return of


def matrix_problems(folder, heat, view, of, absent=0):
    order = [str(row["expert"]) for row in sorted(at_layer(folder, "coactivation_order", view, "mode"), key=lambda row: row["position"])]
    if heat["x"] != order or heat["y"] != order or not of:
        return ["order"]
    return [(a, b) for i, a in enumerate(order) for j, b in enumerate(order) if heat["z"][i][j] != (None if a == b else of.get((int(a), int(b)), absent))]


def coactivation_problems(folder, shown, view):
    [heat] = shown["coactivation"]
    return matrix_problems(folder, heat, view, pair_counts(folder, view))


def pair_changes(folder, view):
    """{(a, b): P(b | a) under the model minus that under the reference} where both have tokens of a."""
    of = {}
    rows, key = pair_rows(folder, "coactivation_change_all", view)
    for row in rows:
        for a, b in (("a", "b"), ("b", "a")):
            if row[f"from_tokens_{a}"] and row[f"to_tokens_{a}"]:
                of[row[f"expert_{a}"], row[f"expert_{b}"]] = row[f"to_{key}"] / row[f"to_tokens_{a}"] - row[f"from_{key}"] / row[f"from_tokens_{a}"]
    return of


def change_problems(folder, shown, view):
    [heat] = shown["coactivation-change-pairs"]
    of = pair_changes(folder, view)
    return matrix_problems(folder, heat, view, of, absent=None)


def flow_problems(folder, shown, view):
    """Every flow of the table, and for each expert on the left all of its tokens."""
    rows = [row for row in records(folder, "co_routing") if row["mode"] == "first_choice"]
    last = max(row["layer_from"] for row in rows)
    rows = [row for row in rows if row["layer_from"] == min(view["layer"], last)]
    [flow] = shown["co-routing"]
    links = list(zip(*(flow["link"][key] for key in ("source", "target", "value"))))
    got = {(flow["labels"][a], flow["labels"][b]): n for a, b, n in links}
    need = {(str(row["expert_from"]), str(row["expert_to"])): row["count"] for row in rows}
    wrong = [pair for pair in need if got.get(pair) != need[pair]] + [pair for pair in got.keys() - need.keys() if pair[1] != "others"]
    for row in rows:
        total = sum(n for (a, _), n in got.items() if a == str(row["expert_from"]))
        wrong += [] if total == round(row["count"] / row["probability"]) else [f"expert {row['expert_from']}: {total} tokens"]
    return wrong if rows else ["no flow"]


def drops_problems(folder, shown, view):
    wrong = []
    for row in records(folder, "drops"):
        trace = next((trace for trace in shown["drops-by-distance"] if trace["meta"]["domain"] == row["domain"]), {"x": [], "y": []})
        wrong += [] if (row["load_distance"], row["dropped"]) in zip(trace["x"], trace["y"]) else [(row["layer"], row["domain"])]
    for trace in shown["drops-by-position"]:
        rows = [row for row in at_layer(folder, "drop_by_position", view) if row["domain"] == trace["meta"]["domain"]]
        need = sorted(((row["position_from"] + row["position_to"] - 1) / 2, row[trace["meta"]["figure"]]) for row in rows)
        wrong += [] if need and sorted(zip(trace["x"], trace["y"])) == need else [trace["meta"]]
    return wrong


def layer_problems(folder, shown, view, model):
    """{chart: what differs} of what the charts of the chosen layer show of a model, those that the page has."""
    shown = {chart: [trace for trace in traces if trace["meta"]["model"] == model] for chart, traces in shown.items()}
    ids, places = at_layer(folder, "token_id_specialization", view, "domain"), at_layer(folder, "position_id_specialization", view, "domain")
    early = at_layer(folder, "early_routing", view, "domain")
    clusters = [row for row in at_layer(folder, "semantic_clusters", view) if row["coherence"] is not None]
    vocabulary = [row for row in at_layer(folder, "expert_vocabulary", view) if row["id_kind"] == "input" and row["mean"] is not None]
    by_expert = lambda rows, y: {"": [(str(row["expert"]), row[y]) for row in rows]}
    checks = {
        "domain-shares": lambda: share_problems(folder, shown, view),
        "domain-bars": lambda: bar_problems(folder, shown, view),
        "domain-similarity": lambda: similarity_problems(folder, shown, view),
        "early-routing": lambda: points_problems(shown["early-routing"], "early-routing", {figure: [(row[figure], -i) for i, row in enumerate(early)] for figure in ("overlap", "cosine")}),
        "expert-vocabulary": lambda: points_problems(shown["expert-vocabulary"], "expert-vocabulary", by_expert(vocabulary, "mean")),
        "token-ids": lambda: points_problems(shown["token-ids"], "token-ids", {view["domain"]: grouped(ids, None, "occurrences", "std").get("", [])})
        + points_problems(shown["token-ids"], "token-ids-baseline", {view["domain"]: grouped(ids, None, "occurrences", "load_std").get("", [])}),
        "positions": lambda: points_problems(shown["positions"], "positions", grouped(places, "group", "position", "std"))
        + points_problems(shown["positions"], "positions-baseline", grouped(places, "group", "position", "load_std")),
        "coactivation": lambda: coactivation_problems(folder, shown, view),
        "coactivation-change-pairs": lambda: change_problems(folder, shown, view),
        "co-routing": lambda: flow_problems(folder, shown, view),
        "drops-by-position": lambda: drops_problems(folder, shown, view),
        "coherence": lambda: points_problems(shown["coherence"], "coherence", by_expert(clusters, "coherence")) + points_problems(shown["coherence"], "coherence-baseline", by_expert(clusters, "baseline")),
    }
    return {chart: check() for chart, check in checks.items()}


ALL_CHARTS = set(LINES) | {"domain-shares", "domain-bars", "domain-similarity", "early-routing", "expert-vocabulary", "token-ids", "positions", "coactivation", "coactivation-change-pairs",
                           "co-routing", "drops-by-position", "drops-by-distance", "coherence"}

# Charts whose points are not rows of one table, and the columns that their CSV must have.
COMPUTED = {"coactivation": ["expert_a", "expert_b", "probability", "together", "tokens_a"], "coactivation-change-pairs": ["expert_a", "expert_b", "from", "to", "change", "from_tokens", "to_tokens"], "co-routing": ["expert_from", "expert_to", "count", "probability", "chance"]}
TABLE = {chart: lines[0][0] for chart, lines in LINES.items() if len(lines) == 1} | {
    "domain-shares": "domain_specialization", "domain-bars": "domain_specialization", "domain-similarity": "domain_similarity", "early-routing": "early_routing",
    "expert-vocabulary": "expert_vocabulary", "token-ids": "token_id_specialization", "positions": "position_id_specialization",
    "drops-by-position": "drop_by_position", "drops-by-distance": "drops", "coherence": "semantic_clusters"}


def csv_problems(folder, chart, text):
    """A CSV's rows have every column of the table that they were drawn from, intervals, counts and texts among them."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if not rows:
        return ["no row"]
    if chart not in TABLE:
        return [column for column in COMPUTED.get(chart, []) if not any(row.get(column) for row in rows)]
    table = records(folder, TABLE[chart])
    columns = list(table[0])
    if not set(columns) <= set(rows[0]):
        return sorted(set(columns) - set(rows[0]))
    known = {tuple("" if row[key] is None else row[key] if isinstance(row[key], str) else float(row[key]) for key in columns) for row in table}
    kinds = {key: any(isinstance(row[key], str) for row in table) for key in columns}
    got = [tuple(row[key] if kinds[key] or row[key] == "" else float(row[key]) for key in columns) for row in rows]
    return [row for row in got if row not in known and any(value != "" for value in row)]


def png_corner(data):
    """(R, G, B, A) of the first pixel: whatever the filter of the first row, it stands as it is."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    depth, color = data[24], data[25]
    assert depth == 8 and color in (2, 6), "got another kind of PNG"
    packed, place = b"", 8
    while place < len(data):
        length = int.from_bytes(data[place:place + 4], "big")
        if data[place + 4:place + 8] == b"IDAT":
            packed += data[place + 8:place + 8 + length]
        place += 12 + length
    row = zlib.decompressobj().decompress(packed, 5)[1:]
    return (*row[:3], row[3] if color == 6 else 255)

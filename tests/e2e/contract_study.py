"""Checks of study and report, and of results.json recomputed from metrics.jsonl, against shared/spec/cli.md."""
import functools
import json
import math
import os
import shutil
import statistics

import toy
from checks import evaluations_of, rows_of, standard_error, steps_of
from contract_train import CPU, model_bytes

COLUMNS = {
    "forgetting": ["arm", "phase", "data", "loss", "perplexity", "change", "loss_se", "change_se", "forgetting", "forgetting_se", "against"],
    "shift_mri": ["arm", "phase", "layer", "lower_bound", "before", "first", "peak", "peak_step", "steps_to_recover", "after"],
    "eval_mri": ["arm", "phase", "data", "layer", "mri", "entropy", "dead", "mri_se"],
    "saturation": ["arm", "layer", "k", "from", "to", "data", "saturation", "chance", "from_run"],
    "throughput": ["arm", "tokens_per_second", "step_seconds", "ratio_to_dense", "cpu_seconds_per_token"],
}
ARMS = """[study]
base = "study-base.toml"
seeds = [1, 2]
arms = [
  {name = "plain", phase.german.replay.fraction = 0},
  {name = "replay"},
  {name = "dense", model.n_experts = 0, phase.german.replay.fraction = 0},
]
"""
MATRIX = """[study]
base = "study-base.toml"
phases = ["english"]
[study.matrix]
model.router.score = ["softmax_pre", "sigmoid"]
optimizer.weight_decay = [0.0, 0.1]
"""
INSIDE = """[study]
base = "study-base.toml"
arms = [{name = "whole"}, {name = "inside", phase.german.start = {from = "english", step = 2}}]
"""
SEEDS = """[study]
base = "study-base.toml"
[study.matrix]
phase.german.replay.fraction = [0.0, 0.5]
train.seed = [1, 2]
"""
UNEVEN = """[study]
base = "study-base.toml"
arms = [
  {name = "dense", model = {n_experts = 0, d_ff = 512}, phase.german.replay.fraction = 0},
  {name = "moe", phase.german.replay.fraction = 0},
  {name = "moe-wide-r50", model.d_expert = 64},
]
"""
ELSEWHERE = """[study]
base = "study-base.toml"
arms = [{name = "phase", phase.english.start = {from = "RUN"}}, {name = "model", model.from = "RUN"}]
"""


class Studies:
    def __init__(self, runs):
        self.runs = runs
        self.folder = runs.folder
        base = toy.recipe_text(runs.folder).replace("steps = 6", "steps = 24").replace("n_layers = 2", "n_layers = 2\nd_ff = 32")
        (self.folder / "study-base.toml").write_text(base.replace(f'data = [{{name = "en", path = "{runs.folder}/en"}}]}}',
                                                                  f'data = [{{name = "en", path = "{runs.folder}/en"}}, {{name = "de", path = "{runs.folder}/de"}}]}}'))

    @functools.cache
    def study(self, name="arms", text=ARMS):
        (self.folder / f"{name}.toml").write_text(text)
        out = self.folder / f"study-{name}"
        result = toy.evenkeel("study", self.folder / f"{name}.toml", "--out", out, *CPU)
        if result.rc != 0:
            raise RuntimeError(result.err)
        return out, json.loads((out / "results.json").read_text())

    def arms(self):
        """(name, run folder, results) of each arm."""
        out, results = self.study()
        return [(arm["name"], out / arm["run"], results) for arm in results["arms"]]


def check_a_study_has_a_run_for_each_arm_and_seed(studies, problems):
    out, results = studies.study()
    names = [f"{name}-seed{seed}" for name in ("plain", "replay", "dense") for seed in (1, 2)]
    problems.equal([arm["name"] for arm in results["arms"]], names, "arms")
    problems.equal([(arm["group"], arm["seed"]) for arm in results["arms"]], [(name.split("-")[0], int(name[-1])) for name in names], "groups and seeds")
    for name in names:
        for file in ("recipe.toml", "resolved.json", "metrics.jsonl", "results.json"):
            problems.need((out / "arms" / name / file).is_file(), f"arms/{name} has no {file}")
        problems.equal([line["step"] for line in steps_of(out / "arms" / name)], list(range(1, 30)), f"steps of {name}")
        problems.ran(toy.evenkeel("verify", out / "arms" / name))
    problems.need((out / "report.html").is_file(), "no report.html")
    problems.ran(toy.evenkeel("verify", out))


def check_verify_compares_a_study_with_its_arms(studies, problems):
    out, results = studies.study()
    copy = studies.folder / "verified"
    shutil.copytree(out, copy)
    for what, change, words in [("a headline", lambda r: r["headlines"].__setitem__(0, "All is well."), 'results.json: headlines[0]: got "All is well."; need'), ("no note", lambda r: r["headlines"].append("more"), "results.json: headlines: got an array of"),
                                ("a speed", lambda r: r["tables"]["throughput"]["rows"][0].__setitem__(1, 1.5), "results.json: tables.throughput.rows[0][1]: got 1.5; need"), ("a comparison", lambda r: r["comparison"].update(other_differences=["x"]), "results.json: comparison.other_differences"),
                                ("the title", lambda r: r.update(title="other"), 'report.html: ')]:
        changed = json.loads(json.dumps(results))
        change(changed)
        (copy / "results.json").write_text(json.dumps(changed))
        result = toy.evenkeel("verify", copy)
        problems.ran(result, 2)
        problems.need(words in result.err, f"verify of a study with another {what}: {result.err.strip()}")
    (copy / "results.json").write_bytes((out / "results.json").read_bytes())
    (copy / "csv" / "throughput.csv").write_text("arm\r\n")
    result = toy.evenkeel("verify", copy)
    problems.ran(result, 2)
    problems.need("csv/throughput.csv, line 1: got another row" in result.err, f"verify of a study with another table: {result.err.strip()}")


def check_a_shared_phase_is_the_same_in_its_arms(studies, problems):
    out, _ = studies.study()
    for seed in (1, 2):
        first = [toy.metrics_without_clock(out / "arms" / f"{name}-seed{seed}") for name in ("plain", "replay")]
        english = [[line for line in lines if line["phase"] == "english"] for lines in first]
        problems.need(english[0] and english[0] == english[1], f"seed {seed}: the metrics of the shared phase differ")
        clocks = [[line["seconds"] for line in steps_of(out / "arms" / f"{name}-seed{seed}", "english")] for name in ("plain", "replay")]
        problems.equal(clocks[0], clocks[1], f"seed {seed}: seconds of the shared phase, which ran once")


def check_an_arm_by_itself_gives_the_same_bits(studies, problems):
    for name, run, _ in studies.arms():
        if name not in ("replay-seed2", "dense-seed1"):
            continue
        alone = studies.folder / f"alone-{name}"
        if problems.ran(toy.evenkeel("train", run / "recipe.toml", "--out", alone, *CPU)):
            problems.need(model_bytes(alone) == model_bytes(run), f"{name}: train of its recipe.toml gave another model")
            problems.need(toy.metrics_without_clock(alone) == toy.metrics_without_clock(run), f"{name}: and other metrics")


def check_a_finished_study_is_left_alone(studies, problems):
    out, _ = studies.study()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "log.txt"}
    problems.ran(toy.evenkeel("study", studies.folder / "arms.toml", "--out", out, "--resume", *CPU))
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "log.txt"}
    problems.equal([str(path) for path in before if after.get(path) != before[path]], [], "files that changed")
    again = toy.evenkeel("study", studies.folder / "arms.toml", "--out", out, *CPU)
    problems.ran(again, 2)
    other = studies.folder / "other.toml"
    other.write_text("# another file\n" + ARMS)
    changed = toy.evenkeel("study", other, "--out", out, "--resume", "--set", "train.sequence_length=8", *CPU)
    problems.ran(changed, 2)
    problems.equal((out / "study.toml").read_bytes(), before[out / "study.toml"], "study.toml after a refusal")
    problems.need("train.sequence_length" in changed.err, f"the error names no key: {changed.err.strip()[-200:]}")
    problems.need(f"need the same, or another --out, or {out}/arms/" in changed.err and "--allow-change" not in changed.err, f"the error offers what a study has not: {changed.err.strip()[-200:]}")


def check_a_matrix_names_its_arms_by_their_values(studies, problems):
    out, results = studies.study("matrix", MATRIX)
    resolved = {arm["name"]: json.loads((out / arm["run"] / "resolved.json").read_text()) for arm in results["arms"]}
    problems.equal(len(resolved), 4, "arms")
    for name, recipe in resolved.items():
        score, decay = recipe["model"]["router"]["score"], recipe["optimizer"]["weight_decay"]
        problems.need(score in name and (f"{decay:g}" in name), f"arm {name} of {score} and {decay}")
        problems.equal([part["name"] for part in recipe["phase"]], ["english"], f"phases of {name}")


def check_seeds_of_a_matrix_are_seeds(studies, problems):
    _, results = studies.study("matrix-seeds", SEEDS)
    groups = {arm["name"]: (arm["group"], arm["seed"]) for arm in results["arms"]}
    problems.equal(groups, {f"fraction{r}-seed{seed}": (f"fraction{r}", seed) for r in ("0", "0.5") for seed in (1, 2)}, "groups and seeds")
    summary = rows_of(results, "forgetting_summary")[1]
    problems.equal({(row["group"], row["n"]) for row in summary}, {("fraction0", 2), ("fraction0.5", 2)}, "rows of the summary")
    problems.equal(len([text for text in results["headlines"] if "with 50 % of the sequences replayed" in text]), 1, "sentences on replay, over the seeds")


def check_an_arm_that_starts_inside_of_a_shared_phase(studies, problems):
    out, _ = studies.study("inside", INSIDE)
    clocks = [[line["seconds"] for line in steps_of(out / "arms" / name, "english")] for name in ("whole", "inside")]
    problems.equal(clocks[0], clocks[1], "seconds of the shared phase, which ran once")
    problems.need((out / "arms" / "whole" / "checkpoints" / "step-00000002").is_dir(), "the arm that gives has not kept the step that the other starts from")
    alone = studies.folder / "alone-inside"
    if problems.ran(toy.evenkeel("train", out / "arms" / "inside" / "recipe.toml", "--out", alone, *CPU)):
        problems.need(model_bytes(alone) == model_bytes(out / "arms" / "inside"), "train of its recipe.toml gave another model")


def check_an_arm_added_to_a_study_may_start_inside_of_a_phase(studies, problems):
    first = INSIDE.replace(', {name = "inside", phase.german.start = {from = "english", step = 2}}', "")
    out, _ = studies.study("grown", first)
    problems.need(not (out / "arms" / "whole" / "checkpoints" / "step-00000002").exists(), "step 2 is kept without need: this checks nothing")
    (studies.folder / "grown.toml").write_text(INSIDE)
    if problems.ran(toy.evenkeel("study", studies.folder / "grown.toml", "--out", out, "--resume", *CPU)):
        problems.need(model_bytes(out / "arms" / "inside") == model_bytes(studies.study("inside", INSIDE)[0] / "arms" / "inside"), "the arm that computed its phases itself has another model")


def check_an_arms_recipe_runs_from_anywhere(studies, problems):
    run = studies.study()[0] / "arms" / "plain-seed1"
    out, results = studies.study("elsewhere", ELSEWHERE.replace("RUN", os.path.relpath(run, studies.folder)))
    other = json.loads((run / "checkpoints" / max(os.listdir(run / "checkpoints")) / "state.json").read_text())["step"]
    starts = {(row["arm"], row["from"], row["from_run"]) for row in rows_of(results, "saturation")[1] if row["to"] == 5}
    problems.equal(starts, {("phase", other, run.name), ("model", 0, None)}, "the step that saturation begins at, and the run that it is of, at the end of the first phase")
    place = studies.folder / "another-place"
    place.mkdir()
    for name in ("phase", "model"):
        alone = studies.folder / f"alone-from-{name}"
        if problems.ran(toy.evenkeel("train", out / "arms" / name / "recipe.toml", "--out", alone, *CPU, cwd=place)):
            problems.need(model_bytes(alone) == model_bytes(out / "arms" / name), f"{name}: train of its recipe.toml gave another model")


def check_what_the_arms_cost_is_said_as_it_is(studies, problems):
    for name, (_, results) in (("arms", studies.study()), ("uneven", studies.study("uneven", UNEVEN))):
        flops = {arm["group"]: arm["flops_per_token"] for arm in results["arms"]}
        least, most = min(flops.values()), max(flops.values())
        problems.equal(results["comparison"]["flops_per_token"], {"least": least, "most": most, "tolerance": 0.05, "matched": most <= 1.05 * least}, f"{name}: FLOPs of the arms")
        moe = flops["moe" if name == "uneven" else "plain"] / flops["dense"]
        wanted = " of the same FLOPs:" if max(moe, 1 / moe) <= 1.05 else f", at {moe:.2f} times its FLOPs a token:"
        problems.need(f"the dense one{wanted}" in results["headlines"][0], f"{name}: got the headline {results['headlines'][0]!r}; need {wanted!r}")
    problems.equal([text for text in results["headlines"] if "replayed" in text], [], "sentences on replay, where no arm has a twin without")
    problems.need("model.d_expert" in results["comparison"]["other_differences"], "the other width is not named")


def check_a_study_whose_arm_fails_has_no_results(studies, problems):
    text = INSIDE.replace("phase.german.start = {from = \"english\", step = 2}", "phase.german.schedule.lr_max = 1000")
    (studies.folder / "failing.toml").write_text(text.replace("base =", "seeds = [1, 2]\nbase ="))
    out = studies.folder / "study-failing"
    for resume in ([], ["--resume"]):
        result = toy.evenkeel("study", studies.folder / "failing.toml", "--out", out, *resume, *CPU)
        problems.ran(result, 3)
        problems.need("error: arm inside-seed" in result.err, f"the error does not name the arm: {result.err[-300:]}")
        problems.need(not (out / "results.json").exists() and not (out / "report.html").exists(), "results of a study that did not end")


def check_tables_have_the_columns_of_the_contract(studies, problems):
    _, results = studies.study()
    for table, columns in COLUMNS.items():
        got, rows = rows_of(results, table)
        problems.equal(got, columns, f"columns of {table}")
        problems.need(rows, f"{table} is empty")
        problems.equal([key for key in ("columns", "rows", "chance", "tokens", "source") if key not in results["tables"][table]], [], f"keys of {table}")
    for table in COLUMNS:
        problems.need(f"{table}_summary" in results["tables"], f"no {table}_summary of several seeds")


def check_forgetting_is_the_change_since_the_first_phase(studies, problems):
    for name, run, results in studies.arms():
        rows = [row for row in rows_of(results, "forgetting")[1] if row["arm"] == name]
        ends = {line["phase"]: line["eval"] for line in evaluations_of(run)}
        problems.equal([(row["phase"], row["data"]) for row in rows], [(phase, data) for phase in ("english", "german") for data in ("en", "de")], f"rows of {name}")
        for row in rows:
            loss = ends[row["phase"]][row["data"]]["loss"]
            problems.equal((row["loss"], row["perplexity"]), (loss, math.exp(loss)), f"{name}: loss of {row['data']} after {row['phase']}")
            change = None if row["phase"] == "english" else loss - ends["english"][row["data"]]["loss"]
            problems.equal((row["change"], row["forgetting"]), (change, change), f"{name}: change of {row['data']} after {row['phase']}")
            problems.equal(row["against"], None if row["phase"] == "english" else "english", f"{name}: what forgetting is measured against")
            problems.equal(row["forgetting_se"], row["change_se"], f"{name}: error of forgetting")
            blocks, before = (ends[phase][row["data"]]["loss_blocks"] for phase in (row["phase"], "english"))
            problems.equal(row["loss_se"], ends[row["phase"]][row["data"]]["loss_se"], f"{name}: error of the loss")
            paired = standard_error(blocks["tokens"], [after - first for after, first in zip(blocks["loss"], before["loss"])])
            problems.close(row["change_se"], None if row["phase"] == "english" else paired, 1e-9, f"{name}: error of the change, paired by windows")


def shift_row(run, layer):
    """The figures of shift_mri for one layer (None: the mean over layers), as cli.md defines them."""
    def mri(line):
        values = [entry["mri"] for entry in line["routing"] if layer is None or entry["layer"] == layer]
        return sum(values) / len(values)
    past, curve = ([mri(line) for line in steps_of(run, phase)] for phase in ("english", "german"))
    before = sum(past[-50:]) / len(past[-50:])
    window = curve[:50]
    peak_step = window.index(max(window)) + 1
    recovered = [n for n in range(peak_step + 1, len(curve) + 1) if n >= 5 and sum(curve[n - 5:n]) / 5 <= 1.1 * before]
    tail = curve[-(len(curve) // 8):]
    return {"lower_bound": 0.5, "before": before, "first": curve[0], "peak": max(window), "peak_step": peak_step,
            "steps_to_recover": recovered[0] if recovered else None, "after": sum(tail) / len(tail)}


def check_shift_mri_follows_from_the_metrics(studies, problems):
    for name, run, results in studies.arms():
        rows = [row for row in rows_of(results, "shift_mri")[1] if row["arm"] == name]
        layers = [] if name.startswith("dense") else [None, 0, 1]
        problems.equal([(row["phase"], row["layer"]) for row in rows], [("german", layer) for layer in layers], f"rows of {name}")
        for row in rows:
            for key, wanted in shift_row(run, row["layer"]).items():
                problems.close(row[key], wanted, 1e-12, f"{name}, layer {row['layer']}: {key}")


def check_eval_mri_follows_from_the_metrics(studies, problems):
    for name, run, results in studies.arms():
        rows = [row for row in rows_of(results, "eval_mri")[1] if row["arm"] == name]
        ends = {line["phase"]: line["eval"] for line in evaluations_of(run)}
        wanted = [{"arm": name, "phase": phase, "data": data, **{key: layer.get(key) for key in ("layer", "mri", "entropy", "dead", "mri_se")}}
                  for phase, sets in ends.items() for data, result in sets.items() for layer in result["routing"]]
        problems.equal(rows, wanted, f"rows of {name}")


def check_throughput_is_the_ratio_to_the_dense_arm(studies, problems):
    out, results = studies.study()
    speeds = json.loads((out / "speed.json").read_text())
    models = {arm: model for model in speeds["models"] for arm in model["arms"]}
    medians = {arm: statistics.median(step for turn in model["turns"] for step in turn["step_seconds"]) for arm, model in models.items()}
    # Replay does not bear on the speed of a step: one measurement for both, one process at a time, after the arms.
    problems.equal(sorted(model["arms"] for model in speeds["models"]), [["dense-seed1"], ["dense-seed2"], ["plain-seed1", "replay-seed1"], ["plain-seed2", "replay-seed2"]], "models")
    rows = rows_of(results, "throughput")[1]
    problems.equal([row["arm"] for row in rows], [arm["name"] for arm in results["arms"]], "arms with a speed")
    for row in rows:
        dense = f"dense-seed{row['arm'][-1]}"
        problems.close(row["step_seconds"], medians[row["arm"]], 1e-12, f"{row['arm']}: step seconds")
        problems.close(row["tokens_per_second"], 64 / medians[row["arm"]], 1e-12, f"{row['arm']}: tokens per second")
        is_busy = busy(models[dense], 1) or busy(models[row["arm"]], 1)
        problems.close(row["ratio_to_dense"], None if is_busy else medians[dense] / medians[row["arm"]], 1e-12, f"{row['arm']}: ratio")
    names = [arm["name"] for arm in results["arms"] if models[arm["name"]]["busy"]]
    for place, text in (("headlines", " ".join(results["headlines"])), ("source", results["tables"]["throughput"]["source"])):
        said = next((part for part in text.split("The machine was busy with other work while ")[1:]), "")
        problems.equal("every arm" in said or all(name in said for name in names), True, f"{place}: arms measured on a busy machine, {names}, in {said!r}")
        problems.equal(said != "", bool(names), f"{place} speak of a busy machine")


def busy(model, n_threads):
    """Whether a model of speed.json was measured beside other work, from its turns."""
    steps = [step for turn in model["turns"] for step in turn["step_seconds"]]
    low, middle, high = statistics.quantiles(steps, n=4, method="inclusive")
    cpu = sum(turn["cpu_seconds"] for turn in model["turns"])
    waits = [turn["core_wait_seconds"] for turn in model["turns"]]
    asked = sum(steps) * n_threads if None in waits else cpu + sum(waits)
    return (high - low) / middle > 0.15 or cpu / asked < 0.85


def check_results_say_what_they_were_computed_on(studies, problems):
    _, results = studies.study()
    keys = ["cores", "cpu", "device", "evenkeel", "isa", "memory_bytes", "threads", "torch"]
    problems.equal(sorted(results["machine"]), keys, "machine of a study")
    problems.equal((results["machine"]["threads"], results["machine"]["device"]), (1, "cpu"), "threads and device")
    problems.equal([(arm["threads"], arm["runs_at_a_time"]) for arm in results["arms"]], [(1, 1)] * 6, "threads of the arms, and how many ran at a time")
    run = json.loads((studies.runs.toy_run() / "results.json").read_text())
    problems.equal(sorted(run["machine"]), sorted([*keys, "gemm_gflops", "peak_rss_bytes", "runs_at_a_time"]), "machine of a run")


def check_tables_state_chance_and_tokens(studies, problems):
    _, results = studies.study()
    tables = results["tables"]
    problems.equal(tables["shift_mri"]["chance"], 0.5, "chance of shift_mri, k / E")
    problems.equal(tables["shift_mri"]["tokens"], 64, "tokens of a training step")
    problems.equal(tables["eval_mri"]["chance"], 0.5, "chance of eval_mri")
    problems.equal(tables["saturation"]["chance"], None, "chance of saturation, which differs between k = 1 and 2")
    run = json.loads((studies.runs.toy_run() / "results.json").read_text())
    n_tokens = sum(map(len, toy.made_documents(1))) - 1
    for table in ("forgetting", "eval_mri", "saturation"):
        problems.equal(run["tables"][table]["tokens"], n_tokens, f"tokens of {table} with one held-out set")


def check_summaries_are_means_over_seeds(studies, problems):
    _, results = studies.study()
    rows = rows_of(results, "forgetting")[1]
    for row in rows_of(results, "forgetting_summary")[1]:
        losses = [one["loss"] for one in rows if one["arm"].startswith(row["group"] + "-") and (one["phase"], one["data"]) == (row["phase"], row["data"])]
        problems.equal(row["n"], 2, "arms of a group")
        problems.close(row["loss_mean"], statistics.mean(losses), 1e-12, "mean")
        problems.close(row["loss_std"], statistics.stdev(losses), 1e-9, "sample standard deviation")


def check_a_report_is_one_page_and_the_same_bytes(studies, problems):
    out, results = studies.study()
    pages = [studies.folder / "pages" / f"{n}.html" for n in (1, 2)]
    for page in pages:
        result = toy.evenkeel("report", out, "--out", page)
        problems.ran(result)
        problems.equal(result.out, "", "stdout")
    problems.need(pages[0].read_bytes() == pages[1].read_bytes() == (out / "report.html").read_bytes(), "three pages of one study differ")
    text = pages[0].read_text()
    for name in ("<script src", "<link", "@import"):
        problems.need(name not in text.split("<body", 1)[0].replace("\\u003c", ""), f"the page's head has {name}: it is not self-contained")
    problems.need(all(arm["name"] in text for arm in results["arms"]), "an arm is missing")
    both = toy.evenkeel("report", studies.runs.toy_run(), studies.runs.toy_run("sinkhorn_log"), "--out", studies.folder / "pages" / "both.html")
    problems.ran(both)

#!/usr/bin/env python3
"""What a study and a run conclude: a router against the other along each axis of a matrix, seeds in pairs; a collapse in every sentence that it bears on; a balance
loss that an arm keeps without saying so.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import csv
import functools
import json
import re
import statistics
import sys

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import read_lines, rows_of, run_in_folder  # noqa: E402
from contract_train import CPU  # noqa: E402

MATRIX = """[study]
base = "base.toml"
seeds = [1, 2]
[study.matrix]
model.router.kind = ["top_k", "sinkhorn"]
phase.german.replay.fraction = [0.0, 0.5]
"""
CONTINUED = """[model]
from = "{hf}"
[train]
batch_size = 4
sequence_length = 16
[[phase]]
name = "german"
steps = 6
data = [{new}]
schedule = {{kind = "constant", lr_max = 1e-2}}
eval = {{every = "3 steps", data = [{old}, {new}]}}
"""
CONTINUING = """[study]
base = "continued.toml"
arms = [{{name = "none"}}, {{name = "some", phase.german.replay = {{fraction = 0.5, data = [{old}]}}}}]
"""
COLLAPSING = """[study]
base = "base.toml"
arms = [
  {name = "plain", phase.german.replay.fraction = 0},
  {name = "collapsing", phase.german.replay.fraction = 0, phase.german.data = [{name = "same", path = "same"}]},
]
"""

SHARING = """[study]
base = "base.toml"
arms = [
  {name = "first", phase.english.data = [{name = "same", path = "same"}], phase.german.replay.fraction = 0},
  {name = "second", phase.english.data = [{name = "same", path = "same"}], phase.german.replay.fraction = 0.5},
]
"""

COLLAPSES = ("same_experts", "one_expert", "unused_experts")


class Place:
    def __init__(self, folder):
        self.folder = folder
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        toy.write_dataset(folder / "same", [[5] * 200 for _ in range(10)])  # nothing that a router could tell apart
        sets = [f'{{name = "{name}", path = "{folder}/{name}"}}' for name in ("en", "de")]
        recipe = toy.recipe_text(folder)
        assert f"data = [{sets[0]}]}}" in recipe
        (folder / "base.toml").write_text(recipe.replace(f"data = [{sets[0]}]}}", f"data = [{', '.join(sets)}]}}"))

    @functools.cache
    def study(self, name, text):
        (self.folder / f"{name}.toml").write_text(text)
        out = self.folder / name
        result = toy.evenkeel("study", self.folder / f"{name}.toml", "--out", out, *CPU)
        if result.rc != 0:
            raise RuntimeError(result.err)
        return out, json.loads((out / "results.json").read_text()), result.err


def eval_collapse(layer, n_tokens):
    """Kind and words of what a held-out set's routing of 2 in 4 experts shows, or None; as docs/formats.md has it."""
    if n_tokens < 32:
        return None
    if sum(sorted(layer["load"])[-2:]) >= 0.98:
        return "same_experts", "nearly all tokens have the same 2 of 4 experts"
    if layer["mri"] >= 0.98:
        return "one_expert", "nearly all tokens have one and the same expert among their 2 of 4 experts"
    return ("unused_experts", "more than half of the layer's experts get no token") if layer["dead"] > 2 else None


def alarms_of(arm, run):
    """The rows that the table of warnings has of a run: a router has recovered when the evaluations at the end of the phase, or of a
    later one, have on each set at least 2 of the layer's 4 experts in use and a busiest share below 0.75, halfway between an even load of
    2 in 4 and all tokens, and the phase's last step has such a share too. Of what an evaluation shows only its own set counts; it stands once a phase, and not where a step
    of the phase told of the layer."""
    lines = read_lines(run / "metrics.jsonl")
    phases = list(dict.fromkeys(line["phase"] for line in lines))
    rows = []

    def ends_even(phase, step, layer, data):
        """Whether the last evaluation of each set in the phase (of `data` alone, where it is given), after the step, is even in the layer."""
        results = {}
        for line in lines:
            if "eval" in line and line["phase"] == phase and line["step"] > step:
                results.update({name: result for name, result in line["eval"].items() if data in (None, name)})
        trained = [] if data else [line for line in lines if "loss" in line and line["phase"] == phase][-1:]
        layers = [entry for result in results.values() for entry in result["routing"]]
        return len(results) > 0 and (all(entry["dead"] <= 2 and entry["mri"] < 0.75 for entry in layers if entry["layer"] == layer)
                                     and all(entry["mri"] < 0.75 for line in trained for entry in line["routing"] if entry["layer"] == layer))

    def add(line, layer, kind, what, data):
        is_collapse = kind in COLLAPSES
        later = phases[phases.index(line["phase"]):]
        recovered = any(ends_even(phase, line["step"], layer, data) for phase in later) if is_collapse else None
        rows.append([arm, line["phase"], line["step"], layer, kind, what, recovered, 1, data, int(recovered) if is_collapse else None])
    for line in lines:
        for alarm in line.get("alarms", []):
            add(line, alarm["layer"], alarm["kind"], alarm["text"], None)
        for data, result in line.get("eval", {}).items():
            for layer in result["routing"]:
                found = eval_collapse(layer, result["tokens"])
                told = {(row[8], row[4]) for row in rows if row[1] == line["phase"] and row[3] == layer["layer"] and row[4] in COLLAPSES}
                if found and not any(known is None or (known, kind) == (data, found[0]) for known, kind in told):
                    add(line, layer["layer"], *found, data)
    return rows


def check_the_table_of_pairs_has_what_the_sentences_say(place, problems):
    """Each axis of the matrix at each value of the other; a row's change and interval come out of the runs' losses."""
    out, results, _ = place.study("matrix", MATRIX)
    loss = {(row["arm"], row["data"]): row for row in rows_of(results, "forgetting")[1] if row["phase"] == "german"}
    columns, rows = rows_of(results, "pairs")
    problems.equal(columns, ["group", "reference", "aspect", "difference", "figure", "data", "unit", "value", "value_error", "reference_value", "reference_error", "change", "low", "high", "beyond_noise", "n", "all_equal"], "columns of pairs")
    problems.equal([row for row in rows if row["low"] is not None and row["low"] == row["high"]], [], "intervals of no width")
    problems.equal([row for row in rows if row["all_equal"] and ((row["low"], row["high"]) != (None, None) or row["beyond_noise"])], [], "pairs that are all equal, with an interval")
    problems.equal({(arm["old_data"], arm["new_data"]) for arm in results["arms"]}, {("en", "de")}, "the held-out sets of the old and the new data")
    wanted = {("top_k-fraction0.5", "top_k-fraction0", "replay"), ("sinkhorn-fraction0.5", "sinkhorn-fraction0", "replay"), ("sinkhorn-fraction0", "top_k-fraction0", "routing"), ("sinkhorn-fraction0.5", "top_k-fraction0.5", "routing")}
    problems.equal({(row["group"], row["reference"], row["aspect"]) for row in rows}, wanted, "pairs")
    for group, reference, _ in wanted:
        mine = {(row["figure"], row["data"]): row for row in rows if (row["group"], row["reference"]) == (group, reference)}
        problems.need({("forgetting", "en"), ("loss", "de"), ("eval_mri", "de"), ("eval_mri", "en"), ("experts_in_use", "de")} <= set(mine), f"figures of {group}: {list(mine)}")
        row = mine["loss", "de"]
        now, before = ([loss[f"{name}-seed{seed}", "de"]["loss"] for seed in (1, 2)] for name in (group, reference))
        errors = [loss[f"{group}-seed{seed}", "de"]["loss_se"] for seed in (1, 2)]
        problems.close(row["value"], statistics.mean(now), 1e-12, f"loss of {group}")
        problems.close(row["value_error"], max(statistics.stdev(now), statistics.mean(errors)), 1e-9, "its error: the larger of that over seeds and that by the text")
        problems.close(row["change"], statistics.mean(now) - statistics.mean(before), 1e-9, f"{group} against {reference}")
        half = 12.706 * statistics.stdev([b - a for a, b in zip(before, now)]) / 2**0.5
        problems.need(row["high"] - row["low"] >= 1.999 * half and row["beyond_noise"] == (row["low"] > 0 or row["high"] < 0), f"its interval: {row}; need half of it {half}")
        problems.equal((row["n"], row["unit"]), (2, "nats/token"), "pairs of runs, and unit")
    problems.need((out / "csv" / "pairs.csv").read_text().startswith("group,reference,aspect,difference,figure,data,unit,value,"), "csv/pairs.csv")


def check_a_matrix_is_answered_along_each_axis_with_paired_seeds(place, problems):
    _, results, err = place.study("matrix", MATRIX)
    rows = rows_of(results, "forgetting")[1]
    loss = {(row["arm"], row["data"]): row["loss"] for row in rows if row["phase"] == "german"}
    for fraction in ("0", "0.5"):
        base, other = f"top_k-fraction{fraction}", f"sinkhorn-fraction{fraction}"
        found = [text for text in results["headlines"] if text.startswith(f"{other} against {base} (router sinkhorn in place of top_k): ")]
        if not problems.equal(len(found), 1, f"sentences on {other} against {base}"):
            continue
        before, now = ([loss[f"{group}-seed{seed}", "de"] for seed in (1, 2)] for group in (base, other))
        differences = [b - a for a, b in zip(before, now)]
        # Two seeds, paired: Student's t of one degree of freedom is 12.706 at 95 %.
        half = 12.706 * statistics.stdev(differences) / 2**0.5
        number = r"([−+]?[0-9.]+)"
        said = re.search(rf"the loss on de is {number}(?: ± {number})? instead of {number}.*?\((no difference beyond noise: )?{number}; 95 %: {number} to {number}\)", found[0])
        if not problems.need(said is not None, f"got {found[0]!r}; need a loss with its difference"):
            continue
        texts = [said[1], said[3], said[5], said[6], said[7]]
        mean = statistics.mean(differences)
        for text, value in zip(texts, (statistics.mean(now), statistics.mean(before), mean, mean - half, mean + half)):
            last_digit = 10.0 ** -len(text.partition(".")[2])
            problems.need(abs(float(text.replace("−", "-")) - value) <= 0.51 * last_digit, f"got {text} in {said[0]!r}; need {value:.5f}")
        problems.equal(said[4] is not None, mean - half <= 0 <= mean + half, "a difference within its noise is called none")
        problems.need("forgetting on en since the end of phase english is " in found[0] and "of held-out de instead of" in found[0] and "an even load is 50.0 %" in found[0] and "of 8 experts are in use" in found[0], f"got {found[0]!r}; need forgetting, balance and experts in use")
        problems.need(found[0] in err.replace("evenkeel: ", ""), "the terminal does not say it")
    problems.equal(len([text for text in results["headlines"] if "with 50 % of the sequences replayed" in text]), 2, "sentences on replay, one for each router")
    problems.equal([text for text in results["headlines"] if "times what it was" in text], [], "ratios of imbalance")


def check_a_kept_balance_loss_is_warned_of_once_a_group(place, problems):
    out, results, err = place.study("matrix", MATRIX)
    groups = [f"sinkhorn-fraction{fraction}" for fraction in ("0", "0.5")]
    said = [line for line in err.splitlines() if "keeps the balance loss switch 0.01, the z-loss 0.001" in line]
    problems.equal([line.split(": ")[2] for line in said], [f"arm {group}" for group in groups], "groups that the study warns of")
    columns, rows = rows_of(results, "recipe_warnings")
    problems.equal((columns, [row["group"] for row in rows]), (["group", "what"], groups), "the table of recipe warnings")
    problems.need(all(line.endswith(row["what"]) and row["what"].startswith("got model.router.kind = 'sinkhorn'") for line, row in zip(said, rows)), f"what the table says: {rows}")
    written = list(csv.DictReader((out / "csv" / "recipe_warnings.csv").read_text().splitlines()))
    problems.equal(written, rows, "csv/recipe_warnings.csv")
    problems.need(all("model.router.kind = 'sinkhorn'" in line and "model.balance = {loss = []}" in line for line in said), f"the key and what to set: {said[:1]}")
    planned = toy.evenkeel("plan", place.folder / "matrix.toml", "--json", "--no-measure", *CPU)
    problems.ran(planned)
    warned = {name: [text for text in arm["warnings"] if "keeps the balance loss" in text] for name, arm in json.loads(planned.out)["arms"].items()}
    problems.equal({name: len(texts) for name, texts in warned.items()}, {name: int(name.startswith("sinkhorn")) for name in warned}, "warnings of plan by arm")
    problems.equal(len([line for line in planned.err.splitlines() if "keeps the balance loss" in line]), 2, "lines of plan, one for all seeds of an arm")
    stated = place.folder / "stated.toml"
    stated.write_text(MATRIX.replace("model.router.kind = [\"top_k\", \"sinkhorn\"]", "model = [{name = \"pb\"}, {name = \"sb\", router = {kind = \"sinkhorn\"}, balance = {loss = []}}]"))
    planned = toy.evenkeel("plan", stated, "--json", "--no-measure", *CPU)
    problems.ran(planned)
    problems.need("keeps the balance loss" not in planned.err, f"an arm that states its losses: {planned.err[-300:]!r}")


def check_a_recipe_on_a_preset_is_warned_of_too(place, problems):
    recipe = place.folder / "preset.toml"
    text = (place.folder / "base.toml").read_text()
    recipe.write_text('[model]\npreset = "tiny/granular"\nvocab_size = 64\nrouter = {kind = "sinkhorn"}\n' + text[text.index("[train]"):])
    for more, wanted in (([], 1), (["--set", "model.balance={loss = []}"], 0)):
        result = toy.evenkeel("plan", recipe, "--json", "--no-measure", *CPU, *more)
        problems.ran(result)
        problems.equal(len([line for line in result.err.splitlines() if "keeps the balance loss switch 0.01" in line]), wanted, f"lines with {more}")
        problems.equal(len([line for line in json.loads(result.out)["warnings"] if "keeps the balance loss" in line]), wanted, f"warnings with {more}")


def check_continued_weights_are_held_against_step_0(place, problems):
    """[model] from a Hugging Face folder, one phase of new text, with and without old text in it."""
    toy.write_hf(place.folder / "hf", 5)
    old, new = (f'{{name = "{name}", path = "{place.folder}/{name}"}}' for name in ("en", "de"))
    (place.folder / "continued.toml").write_text(CONTINUED.format(hf=place.folder / "hf", old=old, new=new))
    out, results, _ = place.study("continuing", CONTINUING.format(old=old))
    size = (place.folder / "hf" / "model.safetensors").stat().st_size / 1024
    wanted = f"weights: all 1.50k parameters are those of the Hugging Face folder {place.folder / 'hf'}, family llama, model.safetensors of {size:.1f} KiB"
    problems.need(wanted in (out / "arms" / "none" / "log.txt").read_text(), f"the first lines of the run do not say {wanted!r}: {(out / 'arms' / 'none' / 'log.txt').read_text()[:900]!r}")
    forgetting = rows_of(results, "forgetting")[1]
    for row in forgetting:
        lines = [line for line in read_lines(out / "arms" / row["arm"] / "metrics.jsonl") if "eval" in line]
        problems.equal(lines[0]["step"], 0, "the first evaluation")
        wanted = lines[-1]["eval"][row["data"]]["loss"] - lines[0]["eval"][row["data"]]["loss"]
        problems.need(abs(row["change"] - wanted) < 1e-12, f"change {row['change']}; need {wanted}")
        problems.equal((row["forgetting"], row["against"]), (row["change"], "step 0"), "forgetting of a run of one phase")
    problems.equal({arm["baseline"] for arm in results["arms"]}, {"step 0"}, "what forgetting is measured against")
    problems.equal({(arm["old_data"], arm["new_data"]) for arm in results["arms"]}, {("en", "de")}, "the held-out sets of the old and the new data")
    sentences = [text for text in results["headlines"] if text.startswith("some: with 50 % of the sequences replayed, forgetting on en since step 0 is ")]
    problems.equal(len(sentences), 1, f"sentences on replay in {results['headlines']}")


def is_answer(text):
    return not is_of_collapse(text) and (" nats " in text or "the busiest expert" in text)


def is_of_collapse(text):
    return re.search(r": the router (has|was) collapsed in phase ", text) is not None


def need_collapses_after_answers(headlines, problems, are_all_lost=False):
    """Unless every router has collapsed for good, no sentence on a collapse stands before an answer."""
    collapses = [i for i, text in enumerate(headlines) if is_of_collapse(text) and not (are_all_lost and ": the router has collapsed" in text)]
    answers = [i for i, text in enumerate(headlines) if is_answer(text)]
    problems.need(not collapses or not answers or collapses[0] > answers[-1], f"a collapse before an answer: {headlines}")
    subjects = [headlines[i].split(": ")[0] for i in collapses]
    problems.equal(len(subjects), len(set(subjects)), f"sentences on collapses, one for each arm or shared phase: {headlines}")


def check_a_collapse_stands_with_the_answers_and_everywhere(place, problems):
    out, results, err = place.study("collapsing", COLLAPSING)
    rows = results["tables"]["warnings"]["rows"]
    problems.equal(rows, [row for arm in results["arms"] for row in alarms_of(arm["name"], out / arm["run"])], "warnings of the study")
    collapsed = [row for row in rows if row[4] in COLLAPSES]
    problems.equal({(row[0], row[1]) for row in collapsed}, {("collapsing", "german")}, "arms and phases that collapse")
    problems.equal(len([text for text in results["headlines"] if text.startswith("collapsing: the router has collapsed in phase german, layer")]), 1, f"sentences on the collapse: {results['headlines']}")
    need_collapses_after_answers(results["headlines"], problems)
    mine = [text for text in results["headlines"] if is_answer(text) and text.startswith("collapsing: ")]
    problems.need(len(mine) > 0 and all("Its router has collapsed on " in text for text in mine), f"answers on the collapsed arm: {mine}")
    problems.need("collapsing: the router has collapsed" in err and "routing check: layer" in err, "the terminal")
    problems.need("collapsing: the router has collapsed" in (out / "report.html").read_text().split("<script", 1)[0], "the page's plain answers")
    problems.need((out / "csv" / "warnings.csv").read_text().startswith("arm,phase,step [step],layer,kind,what"), "csv/warnings.csv")
    run = out / "arms" / "collapsing"
    own = json.loads((run / "results.json").read_text())
    problems.equal(own["tables"]["warnings"]["rows"], alarms_of("collapsing", run), "warnings of the run")
    problems.need("the router has collapsed in phase german" in own["headlines"][0], f"the run's first headline: {own['headlines'][0]!r}")
    problems.need(any("Experts in use in the end, of 8 in all layers: " in text for text in own["headlines"]), f"experts in use: {own['headlines']}")
    alone = place.folder / "alone"
    problems.ran(toy.evenkeel("train", run / "recipe.toml", "--out", alone, *CPU))
    events = b"".join(path.read_bytes() for path in (alone / "tensorboard").iterdir())
    problems.equal({layer for layer in (0, 1) if f"routing/layer_{layer}/collapsed".encode() in events}, {row[3] for row in collapsed}, "layers with a scalar of TensorBoard")


def check_a_collapse_of_a_shared_phase_is_counted_once(place, problems):
    """The first phase has one token alone and is trained once for both arms."""
    out, results, _ = place.study("sharing", SHARING)
    rows = [row for row in results["tables"]["warnings"]["rows"] if row[1] == "english"]
    own = [row for row in alarms_of("first", out / "arms" / "first") if row[1] == "english"]
    problems.need(any(row[4] in COLLAPSES for row in own), f"no collapse in the first phase: {own}")
    lost = {row[0] for arm in results["arms"] for row in alarms_of(arm["name"], out / arm["run"]) if row[6] is False}
    need_collapses_after_answers(results["headlines"], problems, are_all_lost=len(lost) == len(results["arms"]))
    problems.equal([row[:6] for row in rows], [row[:6] for row in own], "alarms of the shared phase")
    problems.equal({(row[0], row[7]) for row in rows}, {("first", 2)}, "arm and number of arms")
    problems.equal([row[:6] for row in alarms_of("second", out / "arms" / "second") if row[1] == "english"], [["second", *row[1:6]] for row in own], "the second arm has the lines of the first")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

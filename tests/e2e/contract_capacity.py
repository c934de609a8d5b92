"""Checks of [model.capacity] through the commands: what a run records, evaluation in both modes, refusals."""
import json

import toy
from checks import evaluations_of, rows_of, steps_of
from contract_train import CPU, phase

MODEL = "vocab_size = 64\nd_model = 16\nn_layers = 2\nn_heads = 2\nn_experts = 4\ntop_k = 2\nd_expert = 16\nbalance = {loss = \"switch\", coefficient = 0.01}\n"
KEYS = ["rule", "factor_train", "factor_eval", "minimum", "rounding", "times_k", "group_size", "grouping", "priority", "pad", "renormalize"]
TIGHT = 'capacity = {rule = "switch", factor_train = 0.5, factor_eval = 1.0, minimum = 1}\n'


def capacity_recipe(runs, capacity=TIGHT, more=""):
    eval_key = 'eval = {every = "2 steps", data = [{name = "en", path = "en"}]}\n'
    return runs.recipe(phase("a", "steps = 4", more=eval_key + more), model=MODEL + capacity)


def evaluate(runs, run, *options):
    result = toy.evenkeel("eval", run, "--data", f"en={runs.folder}/en", "--json", *CPU, *options)
    if result.rc != 0:
        raise RuntimeError(result.err)
    return json.loads(result.out)["data"]["en"]


def dropped(routing):
    return [layer["dropped"] for layer in routing]


def check_a_run_records_what_its_capacity_drops(runs, problems):
    run = runs.good("capacity", capacity_recipe(runs))
    for line in steps_of(run):
        for layer in line["routing"]:
            # 64 tokens, C = 8: of 128 assignments at most 4 * 8 are kept, and no more than 8 of each expert.
            kept = sum(min(8, round(share * 128)) for share in layer["load"])
            problems.close(layer["dropped"], 1 - kept / 128, 1e-12, f"step {line['step']}, layer {layer['layer']}: dropped from the load")
            problems.need(layer["mri"] >= 0.5, f"mri {layer['mri']} is not before drops")
    for line in evaluations_of(run):
        problems.need(all(0 < share < 1 for share in dropped(line["eval"]["en"]["routing"])), f"evaluation at {line['step']} drops {dropped(line['eval']['en']['routing'])}")
    resolved = json.loads((run / "resolved.json").read_text())["model"]["capacity"]
    problems.equal(list(resolved), KEYS, "keys of resolved.json")
    problems.equal((resolved["rule"], resolved["factor_train"], resolved["priority"], resolved["rounding"]), ("switch", 0.5, "first_choices", "half_even"), "resolved")


def check_the_results_have_a_table_of_drops(runs, problems):
    run = runs.good("capacity", capacity_recipe(runs))
    results = json.loads((run / "results.json").read_text())
    columns, rows = rows_of(results, "drops")
    problems.equal(columns, ["arm", "phase", "data", "layer", "dropped"], "columns")
    last = dropped(steps_of(run)[-1]["routing"])  # the last eighth of four steps is one
    held_out = dropped(evaluations_of(run)[-1]["eval"]["en"]["routing"])
    for data, shares in ((None, last), ("en", held_out)):
        found = {row["layer"]: row["dropped"] for row in rows if row["data"] == data}
        problems.equal(sorted(found, key=str), [0, 1, None], f"layers of {data}")
        for layer, wanted in {0: shares[0], 1: shares[1], None: sum(shares) / 2}.items():
            problems.close(found.get(layer), wanted, 1e-12, f"{data}, layer {layer}")
    problems.need(any("capacity drops" in sentence for sentence in results["headlines"]), f"no headline: {results['headlines']}")
    plain = json.loads((runs.toy_run() / "results.json").read_text())
    problems.equal(plain["tables"]["drops"]["rows"], [], "drops of a dropless run")


def check_evaluation_drops_by_its_mode(runs, problems):
    run = runs.good("capacity", capacity_recipe(runs))
    alone, together = evaluate(runs, run, "--batch-size", 1), evaluate(runs, run, "--batch-size", 7)
    problems.close(together["loss"], alone["loss"], 1e-6, "loss by batch size in --mode eval")
    problems.equal(dropped(together["routing"]), dropped(alone["routing"]), "drops by batch size in --mode eval")
    in_training = evaluate(runs, run, "--mode", "train", "--batch-size", 4)
    problems.need(all(t > e for t, e in zip(dropped(in_training["routing"]), dropped(alone["routing"]))),
                  f"half the factor drops {dropped(in_training['routing'])}; need more than {dropped(alone['routing'])}")
    other_scope = evaluate(runs, run, "--mode", "train", "--batch-size", 1)
    problems.need(dropped(other_scope["routing"]) != dropped(in_training["routing"]), "--mode train does not depend on the batch size")


def check_a_capacity_that_never_drops_changes_nothing(runs, problems):
    plain = runs.good("capacity-none", capacity_recipe(runs, 'capacity = {rule = "none"}\n'))
    wide = runs.good("capacity-wide", capacity_recipe(runs, 'capacity = {rule = "megablocks", factor_train = 4, factor_eval = 4}\n'))
    padded = runs.good("capacity-padded", capacity_recipe(runs, 'capacity = {rule = "megatron-probs", factor_train = 2, factor_eval = 2, pad = true}\n'))
    for name, run in (("wide", wide), ("padded", padded)):
        for one, other in zip(steps_of(plain), steps_of(run)):
            problems.close(other["loss"], one["loss"], 1e-5, f"{name}: loss of step {one['step']}")
            problems.equal(dropped(other["routing"]), [0, 0], f"{name}: drops of step {one['step']}")


def check_a_model_taken_from_a_run_may_have_another_capacity(runs, problems):
    first = runs.good("capacity", capacity_recipe(runs))
    kept = runs.good("capacity-kept", runs.recipe(phase("b", "steps = 1"), model='from = "capacity"\n'))
    other = runs.good("capacity-other", runs.recipe(phase("b", "steps = 1"), model='from = "capacity"\ncapacity = {rule = "none"}\n'))
    rules = [json.loads((run / "resolved.json").read_text())["model"]["capacity"]["rule"] for run in (first, kept, other)]
    problems.equal(rules, ["switch", "switch", "none"], "rules")
    problems.equal(dropped(steps_of(other)[0]["routing"]), [0, 0], "drops without a capacity")


def check_refusals_name_the_key(runs, problems):
    cases = {
        'capacity = {factor_train = 1.0}\n': "without a rule",
        'capacity = {rule = "swich"}\n': "did you mean 'switch'",
        'capacity = {rule = "switch", factor_train = 0.0}\n': "model.capacity.factor_train = 0",
        'capacity = {rule = "switch", priority = "first"}\n': "first_choices",
        'capacity = {rule = "switch", minimun = 1}\n': "did you mean 'minimum'",
        'capacity = {rule = "megatron-probs", pad = true, factor_eval = 3.0}\n': "model.capacity.pad",
        'capacity = {rule = "switch"}\nrouter = {kind = "expert_choice"}\n': "does not give every token 2 experts",
    }
    for index, (capacity, wanted) in enumerate(cases.items()):
        run, result = runs.train(f"capacity-refused-{index}", capacity_recipe(runs, capacity))
        problems.ran(result, 2)
        problems.need(wanted in result.err, f"{capacity.strip()}: the error says no '{wanted}': {result.err.strip()[-300:]}")
        problems.need(not run.exists(), f"{capacity.strip()}: something was written")

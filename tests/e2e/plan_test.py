#!/usr/bin/env python3
"""`evenkeel plan` keeps its promises: memory against the measured peak, time against a run, epochs, disk, and models that no machine holds.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import json
import sys

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_in_folder, steps_of  # noqa: E402
from contract_train import CPU  # noqa: E402


class Place:
    def __init__(self, folder):
        self.folder = folder
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(toy.recipe_text(folder))

    def plan(self, problems, *args, recipe=None):
        result = toy.evenkeel("plan", recipe or self.recipe, "--json", "--threads", 1, "--device", "cpu", *args)
        problems.ran(result)
        return json.loads(result.out), result


def check_json_keeps_the_keys_of_the_contract_and_adds(place, problems):
    plan, _ = place.plan(problems)
    problems.equal(set(plan["parameters"]), {"total", "active", "total_without_embeddings", "active_without_embeddings"}, "parameters")
    problems.equal(plan["flops_per_token"]["training"], 3 * plan["flops_per_token"]["forward"], "training FLOPs")
    problems.need({"memory", "time", "disk", "phases", "warnings", "run"} <= set(plan), f"keys: {sorted(plan)}")
    parts = sum(value for key, value in plan["memory"].items() if key.endswith("_bytes") and key not in ("total_bytes", "available_bytes"))
    problems.close(plan["memory"]["total_bytes"], parts, 1e-9, "the parts of the memory")
    problems.equal(plan["time"]["source"], "measured", "how the time is known")


def check_memory_and_time_are_those_of_the_run(place, problems):
    """Of a model that takes a second: the peak within 25 % (the program is most of it), the time within a factor of 3 (the machine may be busy)."""
    bigger = ["--set", "model.d_model=128", "--set", "model.d_expert=128", "--set", "train.sequence_length=128", "--set", "train.batch_size=16", "--set", "train.micro_batch_size=16",
              "--set", "phase.english.steps=12", "--set", "phase.german.steps=12"]
    plan, _ = place.plan(problems, *bigger)
    run = place.folder / "run"
    problems.ran(toy.evenkeel("train", place.recipe, "--out", run, *CPU, *bigger))
    results = json.loads((run / "results.json").read_text())
    peak, seconds = results["machine"]["peak_rss_bytes"], sum(step["seconds"] for step in steps_of(run))
    problems.need(abs(plan["memory"]["total_bytes"] / peak - 1) < 0.25, f"memory: planned {plan['memory']['total_bytes'] / 1e6:.0f} MB, measured {peak / 1e6:.0f} MB")
    planned = plan["time"]["step_seconds"] * plan["run"]["steps"]
    problems.need(1 / 3 < planned / seconds < 3, f"time of the steps: planned {planned:.2f} s, took {seconds:.2f} s")
    saved = sum(file.stat().st_size for file in run.glob("checkpoints/*/*.safetensors"))
    problems.close(plan["disk"]["bytes"], saved, 0.05, "bytes of the checkpoints")
    problems.equal(plan["disk"]["checkpoints"], len(toy.checkpoints(run)), "checkpoints")


def check_epochs_of_each_source_and_a_warning_when_it_repeats(place, problems):
    plan, result = place.plan(problems, "--no-measure")
    rows = {(phase["name"], use["name"]): use for phase in plan["phases"] for use in phase["sources"]}
    problems.equal(set(rows), {("english", "en"), ("german", "de"), ("german", "replay/en")}, "sources")
    problems.equal(plan["warnings"], [], "nothing is repeated")
    first, again = rows["english", "en"], rows["german", "replay/en"]
    problems.equal((first["tokens"], again["tokens"]), (5 * 4 * 16, 6 * 4 * 16 / 2), "tokens drawn")
    n_samples = (int(first["data_tokens"]) - 1) // 16
    problems.close(first["epochs"], 20 / n_samples, 1e-12, "epochs")
    problems.close(again["epochs_so_far"], (20 + 12) / n_samples, 1e-12, "epochs with the replay")
    plan, result = place.plan(problems, "--no-measure", "--set", "phase.english.steps=100")
    problems.equal(len(plan["warnings"]), 1, "warnings")
    problems.need("en is repeated" in result.err and "evenkeel: warning:" in result.err, f"stderr: {result.err!r}")
    plan, result = place.plan(problems, "--no-measure", "--set", "phase.english.data=[{name = \"en\", path = \"nowhere\"}]")
    problems.equal(plan["phases"][0]["sources"][0]["epochs"], None, "epochs of data that are not there")
    said = [line for line in result.err.splitlines() if "evenkeel: warning: there is no data set" in line]
    problems.equal((len(said), [text for text in plan["warnings"] if "nowhere" in text] != []), (1, True), "warnings of data that are not there")
    problems.need("nowhere yet" in said[0], f"the warning: {said}") if said else None


def check_a_model_too_large_for_the_machine_is_answered_quickly(place, problems):
    huge = ["--set", "model.vocab_size=200000", "--set", "model.d_model=16384", "--set", "model.n_layers=80", "--set", "model.d_expert=16384", "--set", "model.n_heads=128"]
    plan, result = place.plan(problems, *huge)
    problems.need(result.seconds < 10, f"it took {result.seconds:.1f} s")
    problems.equal(plan["time"]["source"], "bound", "how the time is known")
    problems.need("not measured: it needs" in plan["time"]["note"], f"note: {plan['time']['note']}")
    refused = toy.evenkeel("train", place.recipe, "--out", place.folder / "huge", *CPU, *huge)
    problems.ran(refused, 2)
    problems.need("got a model that takes about" in refused.err, f"the refusal: {refused.err.strip()}")
    problems.need(not (place.folder / "huge").exists(), "nothing is written")


def check_stated_rates(place, problems):
    plan, _ = place.plan(problems, "--gflops", 100)
    problems.equal(plan["time"]["source"], "stated", "how the time is known")
    problems.close(plan["time"]["step_seconds"], plan["flops_per_token"]["training"] * 64 / 1e11, 1e-9, "seconds of a step")
    for bad in (0, -1, 1e16, "nan", "inf"):
        result = toy.evenkeel("plan", place.recipe, "--gflops", bad)
        problems.ran(result, 2)
        problems.need(result.out == "" and f"--gflops: got {bad if isinstance(bad, str) else format(bad, 'g')}; need {'a finite number' if isinstance(bad, str) else '0.001 to 1e+15'}" in result.err.replace("1e15", "1e+15"), f"--gflops {bad}: {result.err.strip()}")


def check_what_train_refuses_of_the_data_plan_refuses(place, problems):
    small = ["--set", "model.vocab_size=5"]
    told = [toy.evenkeel("plan", place.recipe, *small), toy.evenkeel("train", place.recipe, "--out", place.folder / "small", *CPU, *small)]
    for result in told:
        problems.ran(result, 2)
        problems.need("need 0..4 (vocab_size 5)" in result.err, f"an id beyond the vocabulary: {result.err.strip()}")
    problems.equal(told[0].err, told[1].err, "what plan and train say of it")


def check_disk_follows_keep_last(place, problems):
    for keep, kept in ((0, 4), (1, 3)):  # every 3 steps of 5 and 6: steps 3, 5, 8, 11
        plan, _ = place.plan(problems, "--no-measure", "--set", f"train.keep_last={keep}")
        run = place.folder / f"keep-{keep}"
        problems.ran(toy.evenkeel("train", place.recipe, "--out", run, *CPU, "--set", f"train.keep_last={keep}"))
        problems.equal((plan["disk"]["checkpoints"], len(toy.checkpoints(run))), (kept, kept), f"checkpoints with keep_last = {keep}")


def check_a_study_counts_shared_phases_once(place, problems):
    study = place.folder / "study.toml"
    study.write_text('[study]\nbase = "recipe.toml"\narms = [{name = "a"}, {name = "b", phase.german.replay = {fraction = 0}}]\n')
    plan, _ = place.plan(problems, "--gflops", 10, recipe=study)
    problems.equal([plan["arms"][arm]["shared_phases"] for arm in "ab"], [0, 1], "phases that come from another arm")
    problems.close(plan["seconds"], sum(arm["own_seconds"] for arm in plan["arms"].values()), 1e-9, "seconds of the study")
    problems.close(plan["arms"]["b"]["own_seconds"], plan["arms"]["b"]["phases"][1]["seconds"], 1e-9, "seconds of the second arm")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

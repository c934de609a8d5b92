"""Checks of train, its files and eval against shared/spec/cli.md: metrics, schedules, mixtures, phases, starts."""
import functools
import json
import math
import random

import toy
from checks import evaluations_of, floats, read_lines, rows_of, standard_error, steps_of, tensors_of

CPU = ("--threads", 1, "--device", "cpu")
DENSE = "vocab_size = 64\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 32\n"
STEP_KEYS = ["step", "phase", "phase_step", "tokens", "loss", "loss_terms", "lr", "grad_norm", "tokens_per_second", "sources", "routing"]
ROUTING_KEYS = ["layer", "mri", "entropy", "cv", "dead", "dropped", "load"]
S = 16  # sequence_length of every recipe here


class Runs:
    """Data sets, and runs of recipes by name; each run is made once."""

    def __init__(self, folder):
        self.folder = folder
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        rng = random.Random(7)
        self.samples = [[rng.randrange(1, 64) for _ in range(S)] for _ in range(12)]  # each is told from the others by its loss
        stream = [i for sample in self.samples for i in sample] + [1]
        toy.write_dataset(folder / "ident", [stream[:50], stream[50:]])
        for j in range(12):
            toy.write_dataset(folder / f"sample-{j}", [stream[j * S:j * S + S + 1]])

    def train(self, name, recipe, *options):
        path = self.folder / f"{name}.toml"
        path.write_text(recipe)
        return self.folder / name, toy.evenkeel("train", path, "--out", self.folder / name, *CPU, *options)

    @functools.cache
    def good(self, name, recipe, *options):
        run, result = self.train(name, recipe, *options)
        if result.rc != 0:
            raise RuntimeError(f"{name}: {result.err}")
        return run

    def toy_run(self, router="softmax_pre"):
        return self.good(f"toy-{router}", toy.recipe_text(self.folder, router))

    def recipe(self, *phases, model=DENSE, train="batch_size = 4\nsequence_length = 16\nseed = 3\n"):
        return f"[model]\n{model}[train]\n{train}" + "".join(phases)


def phase(name, length, data="en", schedule='{kind = "constant", lr_max = 1e-2}', more=""):
    sources = ", ".join(f'{{name = "{source}", path = "{source}"}}' for source in data.split("+"))
    return f'[[phase]]\nname = "{name}"\n{length}\ndata = [{sources}]\nschedule = {schedule}\n{more}\n'


def model_bytes(run):
    return (toy.checkpoints(run)[-1] / "model.safetensors").read_bytes()


# ---- metrics.jsonl ----


def check_every_step_has_its_line(runs, problems):
    for router in ("softmax_pre", "sinkhorn_log"):
        run = runs.toy_run(router)
        steps = steps_of(run)
        problems.equal([line["step"] for line in steps], list(range(1, 12)), "steps")
        problems.equal([line["phase"] for line in steps], ["english"] * 5 + ["german"] * 6, "phases")
        problems.equal([line["phase_step"] for line in steps], [*range(1, 6), *range(1, 7)], "phase steps")
        problems.equal([line["tokens"] for line in steps], [64 * n for n in range(1, 12)], "tokens")
        for line in steps:
            problems.equal([key for key in STEP_KEYS if key not in line], [], f"missing keys of step {line['step']}")
            problems.equal(sum(line["sources"].values()), 4, f"sequences of step {line['step']}")
            terms = line["loss_terms"]
            wanted = terms["cross_entropy"] + (0.01 * terms["balance"] + 0.001 * terms["z"] if router == "softmax_pre" else 0)
            problems.close(line["loss"], wanted, 1e-12, f"loss of step {line['step']} from its terms")
            routing_problems(line["routing"], problems, f"step {line['step']}")


def routing_problems(layers, problems, where, may_have=frozenset()):
    problems.equal([layer["layer"] for layer in layers], [0, 1], f"{where}: layers")
    for layer in layers:
        load = layer["load"]
        problems.equal(sorted(set(layer) - may_have), sorted(ROUTING_KEYS), f"{where}: keys")
        problems.equal(len(load), 4, f"{where}: experts")
        problems.close(sum(load), 1.0, 1e-12, f"{where}: sum of the load")
        problems.need(layer["mri"] >= 0.5, f"{where}: mri {layer['mri']} below k / E = 0.5")
        problems.close(layer["mri"], 2 * max(load), 1e-12, f"{where}: mri from the load")
        problems.close(layer["entropy"], -sum(p * math.log(p) for p in load if p > 0) / math.log(4), 1e-12, f"{where}: entropy")
        problems.close(layer["cv"], math.sqrt(sum((p - 0.25) ** 2 for p in load) / 4) / 0.25, 1e-12, f"{where}: cv")
        problems.equal(layer["dead"], load.count(0), f"{where}: dead")
        problems.equal(layer["dropped"], 0, f"{where}: dropped of a dropless model")


def check_evaluations_have_their_lines(runs, problems):
    lines = evaluations_of(runs.toy_run())
    problems.equal([(line["step"], line["phase"]) for line in lines], [(4, "english"), (5, "english"), (9, "german"), (11, "german")], "evaluations")
    for line in lines:
        result = line["eval"]["en"]
        problems.close(result["perplexity"], math.exp(result["loss"]), 1e-12, "perplexity")
        blocks = result["loss_blocks"]
        problems.equal(sum(blocks["tokens"]), result["tokens"], "tokens of the blocks")
        problems.need(len(blocks["tokens"]) <= 128, "more than 128 blocks")
        windows = max(1, (result["tokens"] + 8) // 16)
        size = max(1, min(math.isqrt(windows), windows // 4))  # of a block, in windows of 16 tokens
        n_blocks = max(1, (windows + size // 2) // size)  # less than half of one at the end is part of the last
        problems.equal(blocks["tokens"][:-1], [16 * size] * (n_blocks - 1), "blocks of about the square root of the windows")
        problems.close(result["loss_se"], standard_error(blocks["tokens"], blocks["loss"]), 1e-9, "standard error by the blocks")
        routing_problems(result["routing"], problems, f"evaluation at {line['step']}", {"mri_se"})


def check_a_dense_model_has_no_routing(runs, problems):
    run = runs.good("dense", runs.recipe(phase("a", "steps = 2")))
    problems.equal([line["routing"] for line in steps_of(run)], [[], []], "routing")
    problems.equal([sorted(line["loss_terms"]) for line in steps_of(run)], [["cross_entropy"]] * 2, "loss terms")


def check_the_run_directory_is_complete(runs, problems):
    run = runs.toy_run()
    for name in ("recipe.toml", "resolved.json", "metrics.jsonl", "results.json", "log.txt", "report.html"):
        problems.need((run / name).is_file(), f"no {name}")
    problems.equal((run / "recipe.toml").read_text(), toy.recipe_text(runs.folder), "recipe.toml")
    resolved = json.loads((run / "resolved.json").read_text())
    problems.equal([(part["name"], part["steps"]) for part in resolved["phase"]], [("english", 5), ("german", 6)], "resolved phases")
    problems.equal((resolved["model"]["rope_theta"], resolved["model"]["norm_eps"], resolved["optimizer"]["weight_decay"]), (1e4, 1e-5, 0.1), "resolved defaults")
    for folder in toy.checkpoints(run):
        problems.equal(sorted(path.name for path in folder.iterdir()), ["manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"], folder.name)
    again = runs.good("toy-again", toy.recipe_text(runs.folder))
    problems.need(model_bytes(run) == model_bytes(again), "the same recipe gave another model.safetensors")


# ---- schedules and lengths ----


def cosine(n, total, warmup, lr_max, lr_min):
    if n <= warmup:
        return lr_max * n / warmup
    return lr_min + (lr_max - lr_min) / 2 * (1 + math.cos(math.pi * (n - warmup) / (total - warmup)))


def check_the_rate_of_every_step_is_the_schedules(runs, problems):
    run = runs.good("rates", runs.recipe(
        phase("cosine", "steps = 20", schedule='{kind = "cosine", lr_max = 1e-2, lr_min = 1e-3, warmup = 0.2}'),
        phase("linear", "steps = 10", schedule='{kind = "linear", lr_max = 1e-2, lr_min = 1e-3, warmup = "2 steps"}'),
        phase("root", "steps = 10", schedule='{kind = "inverse_sqrt", lr_max = 1e-2, lr_min = 4e-3, warmup = 0.01}'),
        phase("constant", "steps = 3", schedule='{kind = "constant", lr_max = 2e-3}')))
    rates = {name: [line["lr"] for line in steps_of(run, name)] for name in ("cosine", "linear", "root", "constant")}
    problems.close(rates["cosine"][0], 1e-2 / 4, 1e-15, "first rate, lr_max / W")
    problems.close(rates["cosine"][-1], 1e-3, 1e-15, "last rate, lr_min")
    wanted = {"cosine": [cosine(n, 20, 4, 1e-2, 1e-3) for n in range(1, 21)],
              "linear": [1e-2 * n / 2 if n <= 2 else 1e-2 + (1e-3 - 1e-2) * (n - 2) / 8 for n in range(1, 11)],
              "root": [max(4e-3, 1e-2 * math.sqrt(1 / n)) for n in range(1, 11)], "constant": [2e-3] * 3}
    for name, curve in wanted.items():
        problems.equal(len(rates[name]), len(curve), f"steps of {name}")
        for n, (got, want) in enumerate(zip(rates[name], curve), 1):
            problems.close(got, want, 1e-14, f"{name}: rate of update {n}")


def check_lengths_in_tokens_and_epochs(runs, problems):
    run = runs.good("lengths", runs.recipe(phase("a", 'tokens = "130 tokens"'), phase("b", 'steps = "1 epoch"', "ident"), phase("c", "tokens = 64"),
                                           phase("d", 'steps = "2 epochs"', "ident")))
    problems.equal([len(steps_of(run, name)) for name in "abcd"], [3, 3, 1, 6], "steps of 130 tokens, 1 epoch of 12 samples, 64 tokens, 2 epochs at 4 · 16 tokens a step")


# ---- which samples ----


def one_by_one(runs, name, *phases):
    """Batches of one sequence at rate 0: the loss of a step tells its sample. Also the loss of each sample."""
    sets = ", ".join(f'{{name = "{j}", path = "sample-{j}"}}' for j in range(12))
    still = '{kind = "constant", lr_max = 0}'
    parts = [phase(*part[:3], still, part[3]) for part in phases]
    parts[0] += f"eval = {{data = [{sets}]}}\n"
    run = runs.good(name, runs.recipe(*parts, train="batch_size = 1\nsequence_length = 16\nseed = 3\n"))
    known = {j: evaluations_of(run)[0]["eval"][str(j)]["loss"] for j in range(12)}
    def sample_of(line):
        nearest = min(known, key=lambda j: abs(known[j] - line["loss_terms"]["cross_entropy"]))
        return nearest if abs(known[nearest] - line["loss_terms"]["cross_entropy"]) < 2e-6 else None
    return run, lambda phase_name, source=None: [sample_of(line) for line in steps_of(run, phase_name) if source is None or source in line["sources"]]


def check_without_shuffling_samples_come_in_file_order(runs, problems):
    _, samples = one_by_one(runs, "in-order", ("a", "steps = 30", "ident", "shuffle = false"))
    problems.equal(samples("a"), [j % 12 for j in range(30)], "samples")


def check_shuffled_epochs_have_every_sample_once(runs, problems):
    _, samples = one_by_one(runs, "shuffled", ("a", "steps = 36", "ident", ""))
    epochs = [samples("a")[i:i + 12] for i in (0, 12, 24)]
    problems.equal([sorted(epoch) for epoch in epochs], [list(range(12))] * 3, "samples of each epoch")
    problems.need(len({tuple(epoch) for epoch in epochs}) == 3 and epochs[0] != list(range(12)), f"orders {epochs}")


def check_seen_replay_draws_what_was_seen(runs, problems):
    _, samples = one_by_one(runs, "seen", ("a", "steps = 5", "ident", ""), ("b", "steps = 20", "de", 'replay = {fraction = 0.5, from = "a", mode = "seen"}'))
    seen = samples("a")
    problems.equal(samples("b", "replay/ident"), seen + seen, "replayed samples")


def check_seen_replay_draws_the_own_samples_of_a_phase_that_replayed(runs, problems):
    _, samples = one_by_one(runs, "seen-of-replay", ("a", "steps = 4", "ident", ""), ("b", "steps = 8", "ident", 'replay = {fraction = 0.5, from = "a"}'),
                            ("c", "steps = 16", "de", 'replay = {fraction = 0.5, from = "b", mode = "seen"}'))
    own = samples("b", "ident")
    problems.equal(len(own), 4, "own samples of the phase")
    problems.equal(samples("c", "replay/ident"), own + own, "replayed samples")


def check_fresh_replay_goes_on_where_the_phase_ended(runs, problems):
    _, samples = one_by_one(runs, "fresh", ("a", "steps = 5", "ident", ""), ("b", "steps = 14", "de", 'replay = {fraction = 0.5, from = "a"}'))
    problems.equal(sorted(samples("a") + samples("b", "replay/ident")), list(range(12)), "samples of the phase and its replay: one epoch")


def check_a_mixture_keeps_within_one_of_its_shares(runs, problems):
    recipe = runs.recipe(phase("a", "steps = 12", "en+ident"), phase("b", "steps = 15", "de", more='replay = {fraction = 0.3, from = "a", mode = "fresh"}'),
                         phase("c", "steps = 15", "de", more='replay = {fraction = 0.25, data = [{name = "x", path = "ident"}]}'))
    run = runs.good("mixture", recipe.replace('path = "en"}', 'path = "en", weight = 3.0}', 1))
    shares = {"a": {"en": 0.75, "ident": 0.25}, "b": {"de": 0.7, "replay/en": 0.225, "replay/ident": 0.075}, "c": {"de": 0.75, "replay/x": 0.25}}
    for name, wanted in shares.items():
        counts, n = dict.fromkeys(wanted, 0), 0
        for line in steps_of(run, name):
            n += 4
            for source, count in line["sources"].items():
                counts[source] += count
            for source, share in wanted.items():
                problems.need(abs(counts[source] - share * n) < 1, f"phase {name}: {counts[source]} of {n} from {source}; need within 1 of {share * n}")


# ---- micro-batches and evaluation windows ----


def check_the_micro_batch_size_does_not_matter_to_a_dense_model(runs, problems):
    curves = {}
    for size in (1, 2, 4):
        run = runs.good(f"micro-{size}", runs.recipe(phase("a", "steps = 6"), train=f"batch_size = 4\nmicro_batch_size = {size}\nsequence_length = 16\n"))
        curves[size] = [(line["loss_terms"]["cross_entropy"], line["grad_norm"]) for line in steps_of(run)]
    for size in (1, 2):
        for step, (got, want) in enumerate(zip(curves[size], curves[4]), 1):
            problems.close(got[0], want[0], 1e-5, f"cross-entropy of step {step}, micro batch {size}")
            problems.close(got[1], want[1], 1e-5, f"gradient norm of step {step}, micro batch {size}")


def check_eval_scores_every_token_but_the_first(runs, problems):
    for router in ("softmax_pre", "sinkhorn_log"):
        run = runs.toy_run(router)
        last = evaluations_of(run)[-1]["eval"]["en"]
        n_tokens = sum(map(len, toy.made_documents(1)))
        results = {}
        for options in ((), ("--batch-size", 1), ("--batch-size", 7), ("--max-tokens", 100), ("--sequence-length", 10_000)):
            result = toy.evenkeel("eval", run, "--data", f"en={runs.folder / 'en'}", "--json", *CPU, *options)
            if not problems.ran(result):
                return
            document = json.loads(result.out)
            problems.equal(sorted(document), ["data", "tasks"], "keys")
            results[options] = document["data"]["en"]
        for options in ((), ("--batch-size", 1), ("--batch-size", 7)):
            problems.close(results[options]["loss"], last["loss"], 2e-7, f"{router}: loss with {options}")
            problems.equal(results[options]["tokens"], n_tokens - 1, f"{router}: tokens with {options}")
            problems.equal([layer["load"] for layer in results[options]["routing"]], [layer["load"] for layer in last["routing"]], f"{router}: loads with {options}")
        problems.equal(results[("--max-tokens", 100)]["tokens"], 100, "tokens of --max-tokens 100")
        problems.equal(results[("--sequence-length", 10_000)]["tokens"], n_tokens - 1, "tokens in one window")
        problems.close(results[()]["perplexity"], math.exp(results[()]["loss"]), 1e-12, "perplexity")


def check_eval_keeps_documents_apart_as_training_did(runs, problems):
    losses = {}
    for separate in ("false", "true"):
        recipe = runs.recipe(phase("a", "steps = 6", more='eval = {data = [{name = "en", path = "en"}]}'), train=f"batch_size = 4\nsequence_length = 16\nseparate_documents = {separate}\n")
        run = runs.good(f"separate-{separate}", recipe)
        losses[separate] = evaluations_of(run)[-1]["eval"]["en"]["loss"]
        result = toy.evenkeel("eval", run, "--data", f"en={runs.folder / 'en'}", "--json", *CPU)
        if problems.ran(result):
            problems.close(json.loads(result.out)["data"]["en"]["loss"], losses[separate], 2e-7, f"loss with separate_documents = {separate}")
    problems.need(abs(losses["true"] - losses["false"]) > 1e-4, f"separate_documents made no difference: {losses}")


# ---- where a phase starts ----


def check_a_phase_starts_from_an_earlier_one(runs, problems):
    a, b = phase("a", "steps = 4"), phase("b", "steps = 3", "de")
    straight = runs.good("straight", runs.recipe(a, b))
    detour = runs.good("detour", runs.recipe(a, phase("z", "steps = 2", "ident"), b + 'start = {from = "a"}\n'))
    problems.need(model_bytes(straight) == model_bytes(detour), "from = \"a\" is not the end of a")
    problems.equal([line["step"] for line in steps_of(detour, "b")], [7, 8, 9], "steps of a phase that starts earlier")
    short = runs.good("short", runs.recipe(phase("a", "steps = 2"), b))
    back = runs.good("back", runs.recipe(a, phase("z", "steps = 2", "ident"), b + 'start = {from = "a", step = 2}\n'))
    problems.need(model_bytes(short) == model_bytes(back), "step = 2 is not step 2 of a")


def check_a_phase_starts_from_another_run(runs, problems):
    a, b = phase("a", "steps = 4"), phase("b", "steps = 3", "de")
    straight, first = runs.good("straight", runs.recipe(a, b)), runs.good("first", runs.recipe(a))
    later = runs.good("later", runs.recipe(b + 'start = {from = "first"}\n'))
    problems.need(model_bytes(straight) == model_bytes(later), "the run went on otherwise than in one run")
    problems.equal([line["step"] for line in steps_of(later)], [1, 2, 3], "steps")
    by_folder = runs.good("by-folder", runs.recipe(b + f'start = {{from = "{toy.checkpoints(first)[-1]}"}}\n'))
    problems.need(model_bytes(by_folder) == model_bytes(later), "a checkpoint is not the run's last")


def check_an_optimizer_that_is_reset_starts_fresh(runs, problems):
    first = runs.good("first", runs.recipe(phase("a", "steps = 4")))
    reset = runs.good("reset", runs.recipe(phase("b", "steps = 3", "de") + 'start = {from = "first", optimizer = "reset"}\n'))
    fresh = runs.good("from", runs.recipe(phase("b", "steps = 3", "de"), model='from = "first"\n'))
    later = runs.good("later", runs.recipe(phase("b", "steps = 3", "de") + 'start = {from = "first"}\n'))
    problems.need(model_bytes(reset) == model_bytes(fresh), "reset is not what [model] from gives")
    problems.need(model_bytes(reset) != model_bytes(later), "reset is the same as keep")
    problems.need(first.is_dir(), "no run to start from")


ADAFACTOR = {"kind": "adafactor", "decay_rate": 0.8, "clipping_threshold": 1, "scale_parameter": True, "min_factored": 128, "eps": 1e-30, "eps_scale": 1e-3,
             "momentum": 0, "weight_decay": 0}


def check_another_optimizer_needs_a_reset(runs, problems):
    first = runs.good("first", runs.recipe(phase("a", "steps = 4")))
    second = phase("b", "steps = 3", "de", schedule='{kind = "inverse_sqrt", lr_max = 0.01, lr_start = 0.01, warmup = "2 steps"}')
    adafactor = '[optimizer]\nkind = "adafactor"\n'
    _, result = runs.train("other", runs.recipe(second + 'start = {from = "first"}\n' + adafactor))
    problems.ran(result, 2)
    problems.need("'adafactor'" in result.err and "'adamw'" in result.err, f"the error names not both: {result.err.strip()}")
    run = runs.good("other-reset", runs.recipe(second + 'start = {from = "first", optimizer = "reset"}\n' + adafactor))
    resolved = json.loads((run / "resolved.json").read_text())["optimizer"]
    problems.equal({key: resolved.get(key) for key in ADAFACTOR}, ADAFACTOR, "resolved optimizer")
    for line, rate in zip(steps_of(run), [0.01, 0.01, 0.01 * math.sqrt(2 / 3)]):
        problems.close(line["lr"], rate, 1e-15, "OpenMoE's rate")
    before, after = (tensors_of(toy.checkpoints(folder)[-1] / "model.safetensors") for folder in (first, run))
    problems.need(before != after, "nothing was learnt")
    _, result = runs.train("other-keys", runs.recipe(second + adafactor + "betas = [0.9, 0.95]\n"))
    problems.ran(result, 2)
    problems.need("optimizer.betas" in result.err, f"the error names no optimizer.betas: {result.err.strip()}")


def check_a_z_loss_of_the_logits_is_a_term(runs, problems):
    table = "batch_size = 4\nsequence_length = 16\nseed = 3\n"
    plain = runs.good("whole", runs.recipe(phase("a", "steps = 1")))
    with_z = runs.good("logit-z", runs.recipe(phase("a", "steps = 1"), train=table + "logit_z_coefficient = 0.5\n"))
    line, terms = steps_of(with_z)[0], steps_of(with_z)[0]["loss_terms"]
    problems.equal(sorted(terms), ["cross_entropy", "logit_z"], "loss terms")
    problems.close(terms["cross_entropy"], steps_of(plain)[0]["loss_terms"]["cross_entropy"], 1e-6, "cross-entropy")
    problems.close(line["loss"], terms["cross_entropy"] + 0.5 * terms["logit_z"], 1e-12, "loss")
    problems.need(abs(terms["logit_z"] - math.log(64) ** 2) < 0.1 * math.log(64) ** 2, f"logit_z {terms['logit_z']} is not near (ln V)^2 at first")
    _, result = runs.train("smoothed", runs.recipe(phase("a", "steps = 1"), train=table + "label_smoothing = 0.1\n"))
    problems.ran(result, 2)
    problems.need("train.label_smoothing" in result.err and "logit_z_coefficient" in result.err, f"label_smoothing: {result.err.strip()}")


def check_frozen_tensors_keep_their_bits(runs, problems):
    a = runs.good("whole", runs.recipe(phase("a", "steps = 1")))
    frozen = runs.good("frozen", runs.recipe(phase("a", "steps = 1"), phase("b", "steps = 3", "de") + 'freeze = ["layers.0.attention.*", "embedding.weight"]\n'))
    before, after = (tensors_of(toy.checkpoints(run)[-1] / "model.safetensors") for run in (a, frozen))
    for name in before:
        is_frozen = name.startswith("layers.0.attention.") or name == "embedding.weight"
        problems.equal(before[name] == after[name], is_frozen, f"{name} kept its bits")


def check_slow_tensors_move_by_their_factor(runs, problems):
    still = tensors_of(toy.checkpoints(runs.good("still", runs.recipe(phase("a", "steps = 1", schedule='{kind = "constant", lr_max = 0}'))))[-1] / "model.safetensors")
    quick = tensors_of(toy.checkpoints(runs.good("whole", runs.recipe(phase("a", "steps = 1"))))[-1] / "model.safetensors")
    slow = tensors_of(toy.checkpoints(runs.good("slow", runs.recipe(phase("a", "steps = 1") + 'slow = {"layers.*" = 0.1}\n')))[-1] / "model.safetensors")
    for name in still:
        start, far, near = floats(still[name]), floats(quick[name]), floats(slow[name])
        factor = 0.1 if name.startswith("layers.") else 1.0
        worst = max(abs((n - s) - factor * (f - s)) for s, f, n in zip(start, far, near))
        problems.need(worst < 1e-6, f"{name}: moved otherwise than {factor} of the whole step, by {worst:g}")


def check_a_model_comes_from_a_run(runs, problems):
    first = runs.good("first", runs.recipe(phase("a", "steps = 4")))
    still = runs.good("from-still", runs.recipe(phase("a", "steps = 1", schedule='{kind = "constant", lr_max = 0}'), model='from = "first"\n'))
    before, after = (tensors_of(toy.checkpoints(run)[-1] / "model.safetensors") for run in (first, still))
    problems.need(before == after, "the weights are not those of the run")
    _, result = runs.train("from-other", runs.recipe(phase("a", "steps = 1"), model='from = "first"\nn_layers = 3\n'))
    problems.ran(result, 2)
    problems.need("n_layers" in result.err and "3" in result.err, f"the error names no n_layers: {result.err.strip()}")


# ---- a resume that is no resume ----


def check_a_resume_refuses_other_data_and_starts(runs, problems):
    first, other = runs.good("first", runs.recipe(phase("a", "steps = 4"))), runs.good("whole", runs.recipe(phase("a", "steps = 1")))
    recipe = runs.recipe(phase("a", "steps = 3"), phase("eval", "steps = 2", "de", more=f'start = {{from = "{first}"}}\n'))
    run = runs.good("stopped", recipe, "--max-hours", 1e-9)
    for change, says in [(f'phase.a.data=[{{name = "en", path = "{runs.folder / "ident"}"}}]', "phase.a.data.en.path"),
                         ("phase.eval.schedule.lr_max=0.5", "phase.eval.schedule.lr_max"), ('train.checkpoint_every="2 steps"', "train.checkpoint_every"),
                         (f'phase.a.eval={{data = [{{name = "en", path = "{runs.folder / "en"}"}}]}}', "phase.a.eval"), (f'phase.eval.start.from="{other}"', "phase.eval.start.from")]:
        _, result = runs.train("stopped", recipe, "--resume", "--set", change)
        problems.ran(result, 2)
        problems.need(says in result.err, f"the error names no {says}: {result.err.strip()}")
    for suffix in (".bin", ".idx"):
        (runs.folder / f"moved{suffix}").write_bytes((runs.folder / f"en{suffix}").read_bytes())
    _, result = runs.train("stopped", recipe, "--resume", "--set", f'phase.a.data=[{{name = "en", path = "{runs.folder / "moved"}"}}]')
    problems.ran(result)
    problems.equal(len(steps_of(run)), 5, "steps of the run whose data was moved")


# ---- --set ----


def check_set_changes_any_key(runs, problems):
    run = runs.good("set", toy.recipe_text(runs.folder), "--set", 'phase.german.tokens="100 tokens"', "--set", "phase.german.schedule.lr_max=3e-3",
                    "--set", "model.router.score=sigmoid", "--seed", 9)
    problems.equal(len(steps_of(run, "german")), 2, "steps of 100 tokens")
    problems.equal(steps_of(run, "german")[0]["lr"], 3e-3, "rate")
    resolved = json.loads((run / "resolved.json").read_text())
    problems.equal((resolved["model"]["router"]["score"], resolved["train"]["seed"]), ("sigmoid", 9), "resolved")


# ---- results.json of a run ----


def check_the_results_of_a_run(runs, problems):
    run = runs.toy_run()
    results = json.loads((run / "results.json").read_text())
    problems.equal([key for key in ("schema", "definitions", "arms", "headlines", "tables") if key not in results], [], "missing keys")
    arm = results["arms"][0]
    problems.equal([(part["name"], part["steps"], part["tokens"]) for part in arm["phases"]], [("english", 5, 320), ("german", 6, 384)], "phases")
    seconds = [sum(line["seconds"] for line in steps_of(run, name)) for name in ("english", "german")]
    for part, wanted in zip(arm["phases"], seconds):
        problems.close(part["seconds"], wanted, 1e-9, f"seconds of {part['name']}")
    _, rows = rows_of(results, "saturation")
    line = next(line for line in read_lines(run / "metrics.jsonl") if "saturation" in line)
    problems.equal([(row["layer"], row["k"], row["from"], row["to"], row["data"], row["chance"]) for row in rows],
                   [(layer, k, 5, 11, "en", k / 4) for layer in (0, 1) for k in (1, 2)], "saturation rows")
    problems.equal([row["saturation"] for row in rows], [row["saturation"] for row in line["saturation"]["en"]], "saturation")
    n_elements = sum(math.prod(shape) for _, shape, _ in tensors_of(toy.checkpoints(run)[-1] / "model.safetensors").values())
    problems.equal(arm["parameters"], n_elements, "parameters")

"""Checks of help, plan, inspect, verify, bench, exit codes and the purity of stdout against shared/spec/cli.md."""
import base64
import gzip
import json
import math
import re
import resource
import shutil
import signal
import subprocess
import sys

import toy
from checks import tensors_of
from contract_train import CPU, S

sys.path.insert(0, str(toy.ROOT / "scripts"))
from with_error import with_error  # noqa: E402

COMMANDS = ("tokenizer", "tokenize", "prepare", "convert", "keys", "plan", "preview", "train", "import", "export", "upcycle", "eval", "trace", "analyze", "study", "report", "inspect", "verify", "bench")


def check_every_command_has_help_with_an_example(runs, problems):
    usage = toy.evenkeel("--help")
    problems.ran(usage)
    for command in COMMANDS:
        problems.need(f"\n  {command} " in usage.out, f"--help does not list {command}")
        result = toy.evenkeel(command, "--help")
        problems.ran(result)
        problems.need("Example:\n  " in result.out and f"evenkeel {command}" in result.out.split("Example:")[1], f"{command} --help has no example")
        problems.equal(result.err, "", f"stderr of {command} --help")
        problems.equal(toy.evenkeel("help", command).out, result.out, f"help {command}")
    problems.equal(toy.evenkeel("help").out, usage.out, "help")
    problems.equal(toy.evenkeel("help", "tokenizer", "train").out, toy.evenkeel("tokenizer", "train", "--help").out, "help tokenizer train")
    version = toy.evenkeel("--version")
    problems.need(version.rc == 0 and version.out.startswith("evenkeel ") and version.out.count("\n") == 1, f"--version: {version.out!r}")


def check_an_unknown_key_names_its_place_and_the_nearest(runs, problems):
    recipe = toy.recipe_text(runs.folder).replace("micro_batch_size = 2", "micro_batchsize = 2")
    path = runs.folder / "unknown.toml"
    path.write_text(recipe)
    line = recipe[:recipe.index("micro_batchsize")].count("\n") + 1
    for args in (("train", path, "--out", runs.folder / "unknown"), ("plan", path)):
        result = toy.evenkeel(*args)
        problems.ran(result, 2)
        for word in (f"{path}:{line}", "micro_batchsize", "micro_batch_size", ": got ", "; need "):
            problems.need(word in result.err, f"{args[0]}: the error lacks {word!r}: {result.err.strip()}")
    result = toy.evenkeel("plan", runs.folder / "toy-softmax_pre.toml", "--set", "phase.german.token=3")
    problems.ran(result, 2)
    problems.need("'tokens'" in result.err and "--set" in result.err, f"--set: {result.err.strip()}")


def check_plan_counts_what_train_makes(runs, problems):
    run = runs.toy_run()
    result = toy.evenkeel("plan", runs.folder / "toy-softmax_pre.toml", "--json")
    problems.ran(result)
    plan = json.loads(result.out)
    problems.equal(re.findall(r".*\de\+.*", result.out), [], "counts of plan --json that are no integers")
    sizes = {name: math.prod(shape) for name, (_, shape, _) in tensors_of(toy.checkpoints(run)[-1] / "model.safetensors").items()}
    total, ends = sum(sizes.values()), sizes["embedding.weight"] + sizes["head.weight"]
    experts = sum(size for name, size in sizes.items() if ".experts." in name)
    problems.equal(plan["parameters"], {"total": total, "active": total - experts // 2, "total_without_embeddings": total - ends,
                                        "active_without_embeddings": total - ends - experts // 2}, "parameters")
    # Multiply-adds of the matrices a token meets, and of causal attention at half: 2 · 2 · S/2 · d_model a layer.
    matrices = sum(size for name, size in sizes.items() if "norm" not in name and ".experts." not in name and name != "embedding.weight") + experts // 2
    forward = 2 * matrices + 2 * (2 * 2 * S / 2 * 16)
    problems.close(plan["flops_per_token"]["forward"], forward, 0.02, "forward FLOPs a token")
    problems.equal(plan["flops_per_token"]["training"], 3 * plan["flops_per_token"]["forward"], "training FLOPs a token")
    problems.need(plan["memory"]["total_bytes"] > 16 * total, "memory is less than parameters, gradients and moments")
    text = toy.evenkeel("plan", runs.folder / "toy-softmax_pre.toml")
    problems.need(text.rc == 0 and text.out and all("timing steps" in line for line in text.err.splitlines()), f"plan without --json: {text.err!r}")


def check_bench_times_training_steps_without_data(runs, problems):
    path = runs.folder / "no-data.toml"
    path.write_text(re.sub(r"^data = .*\n", "", toy.recipe_text(runs.folder / "nowhere"), flags=re.MULTILINE))
    result = toy.evenkeel("bench", path, "--steps", 5, "--json", *CPU, timeout=300)
    if not problems.ran(result):
        return
    report = json.loads(result.out)
    wanted = ["tokens_per_second", "step_seconds", "breakdown_seconds", "flops_per_token", "gflops", "gemm_peak_gflops", "mri_mean", "peak_rss_bytes"]
    problems.equal([key for key in wanted if key not in report], [], "missing keys")
    problems.close(report["tokens_per_second"], 64 / report["step_seconds"]["median"], 1e-12, "tokens per second from the median step")
    problems.close(report["gflops"], report["flops_per_token"] * report["tokens_per_second"] / 1e9, 1e-12, "gflops")
    problems.need(report["step_seconds"]["min"] <= report["step_seconds"]["median"], "the least step is longer than the median")
    problems.need(0.5 <= report["mri_mean"] <= 1 and report["gemm_peak_gflops"] > report["gflops"] > 0, f"mri or rates: {report}")


def check_bench_says_where_data_are_missing(runs, problems):
    head = toy.recipe_text(runs.folder).split("[[phase]]", 1)[0]
    phase = '[[phase]]\nname = "english"\nSTEPS\nschedule = {kind = "constant", lr_max = 1e-3}\n'
    recipes = {"phases without data": head + phase.replace("STEPS", "steps = 5"), "a length in epochs": head + phase.replace("STEPS", 'tokens = "1 epoch"'), "no phase": head}
    for what, text in recipes.items():
        path = runs.folder / "no-data.toml"
        path.write_text(text)
        # As far as the first check after the recipe, which takes no time.
        result = toy.evenkeel("bench", path, "--steps", 2, "--phase", "english", *CPU)
        problems.need(problems.ran(result, 2) and "--phase: got 'english' without --real-data" in result.err, f"{what}: {result.err!r}")
        result = toy.evenkeel("bench", path, "--steps", 2, "--real-data", *CPU)
        problems.ran(result, 2)
        problems.need("--real-data" in result.err and ("has no data" in result.err or what == "no phase" and "[[phase]]" in result.err), f"{what} with --real-data: {result.err!r}")
        for command in (("train", path, "--out", runs.folder / "no-data"), ("plan", path)):
            result = toy.evenkeel(*command)
            problems.need(problems.ran(result, 2) and ("without sources" in result.err or "[[phase]]" in result.err or "sources; need a single" in result.err), f"{what}: {command[0]}: {result.err!r}")


def check_bench_that_is_stopped_ends_with_130(runs, problems):
    for number, words in ((signal.SIGUSR1, "0 of 1000000 timed steps"), (signal.SIGINT, "stopped by a signal"), (signal.SIGTERM, "stopped by a signal")):
        process = subprocess.Popen([toy.BINARY, "bench", runs.folder / "toy-softmax_pre.toml", "--steps", "1000000", *map(str, CPU)], env=toy.environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        toy.wait_for_cpu(process, 0.5)  # it measures products of matrices
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        problems.need(problems.ran(toy.Result(process.returncode, out, err, 0), 130) and words in err and out == "", f"{number.name}: {out!r}, {err!r}")


def trace_of(runs, run):
    path = runs.folder / "inspected.safetensors"
    result = toy.evenkeel("trace", run, "--data", runs.folder / "en", "--max-tokens", 40, "--out", path, *CPU)
    if result.rc != 0:
        raise RuntimeError(result.err)
    return path


def check_eval_says_how_the_experts_are_used(runs, problems):
    result = toy.evenkeel("eval", runs.toy_run(), "--data", f"en={runs.folder / 'en'}", *CPU)
    problems.ran(result)
    problems.need(re.search(r"loss \d.*  MRI 0\.\d+ ± 0\.\d+ \(mean over MoE layers; most 0\.\d+ ± 0\.\d+, layer [01]\)  dead experts \d of 8 ", result.out), f"stdout: {result.out!r}")


def check_figures_have_no_more_digits_than_they_carry(runs, problems):
    """Bits per byte with the error of the loss; learning rates and FLOP, which have none, in three significant digits."""
    for suffix in (".bin", ".idx"):
        shutil.copy(f"{runs.folder / 'en'}{suffix}", f"{runs.folder / 'sized'}{suffix}")
    documents = toy.made_documents(1)
    (runs.folder / "sized.json").write_text(json.dumps({"format": "evenkeel.data.v1", "tokens": sum(map(len, documents)), "documents": len(documents), "bytes": 3 * sum(map(len, documents)), "vocab_size": 64}))
    args = ("eval", runs.toy_run(), "--data", f"en={runs.folder / 'sized'}", *CPU)
    text, figures = toy.evenkeel(*args), json.loads(toy.evenkeel(*args, "--json").out)["data"]["en"]
    said = f"bits per byte {with_error(figures['bits_per_byte'], figures['loss_se'] * figures['bits_per_byte'] / figures['loss'])}  "
    problems.need(said in text.out, f"got {text.out!r}; need {said!r}")
    recipe = runs.folder / "digits.toml"
    recipe.write_text(toy.recipe_text(runs.folder))
    planned = toy.evenkeel("plan", recipe, "--no-measure", *CPU)
    problems.ran(planned)
    rates = re.findall(r"lr (\S+) at step 1, (\S+) at half, (\S+) at the end", planned.out)
    flop = re.findall(r"(\S+) FLOP$", planned.out, re.MULTILINE)
    problems.equal((len(rates), len(flop)), (2, 1), f"phases with rates, and FLOP of the run, in {planned.out!r}")
    for number in [*(number for phase in rates for number in phase), *flop]:
        problems.need(len(re.sub(r"e.*|\.", "", number).lstrip("0")) <= 3, f"got {number}; need at most three significant digits")


def check_a_pair_beside_the_json_of_another_program(runs, problems):
    for suffix in (".bin", ".idx"):
        shutil.copy(f"{runs.folder / 'en'}{suffix}", f"{runs.folder / 'foreign'}{suffix}")
    (runs.folder / "foreign.json").write_text('{"text": "one"}\n{"text": "two"}\n')
    for args in (("eval", runs.toy_run(), "--data", f"en={runs.folder / 'foreign'}", *CPU), ("inspect", runs.folder / "foreign")):
        problems.ran(toy.evenkeel(*args))


def check_a_thread_that_cannot_start_ends_the_command(runs, problems):
    def little_space():  # the libraries fit, 4,096 stacks of 8 MiB do not
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    text = runs.folder / "text"
    for args in (("prepare", "--tokenizer", text / "bpe.model", "--out", text / "threads", "--threads", 4096, text / "text.txt"),):
        result = toy.evenkeel(*args, timeout=30, preexec_fn=little_space)
        problems.ran(result, 4)
        problems.need("thread" in result.err and "of 4096" in result.err, f"{args[0]}: {result.err.strip()}")
    problems.equal([path.name for path in text.glob("threads*")], [], "left behind")


def check_inspect_says_what_a_thing_is(runs, problems):
    run = runs.toy_run()
    checkpoint = toy.checkpoints(run)[-1]
    for path, words in [(run, ("evenkeel run", "[3,5,8,11]" if (run / "checkpoints" / "step-00000003").exists() else "11")),
                        (checkpoint, ("evenkeel checkpoint", "evenkeel.checkpoint.v1", "step 11", "embedding.weight [64,16]")),
                        (checkpoint / "model.safetensors", ("safetensors", "embedding.weight", "[64,16]")), (runs.folder / "en.idx", ("indexed dataset", "version 1", "60 documents")),
                        (runs.folder / "en", ("indexed dataset", "60 documents")), (checkpoint / "state.json", ("JSON", "evenkeel.checkpoint.v1")),
                        (run, ("finished", "phase english: steps 1 to 5, last loss ", "phase german: steps 6 to 11", "held out en: loss ", "its last checkpoint")),
                        (run / "metrics.jsonl", ("metrics of a run", "phase german: steps 6 to 11, last loss ")), (run / "results.json", ("evenkeel run", "forgetting: ")),
                        (run / "report.html", ("page of evenkeel report",)), (run / "recipe.toml", ("recipe: ",)), (runs.folder / "text" / "text.txt", ("text: ", "evenkeel prepare")),
                        (runs.folder / "text" / "bpe.model", ("SentencePiece model: 320 pieces",)), (trace_of(runs, run), ("trace of ", "2 MoE layers, 4 experts, top 2", "input_ids"))]:
        result = toy.evenkeel("inspect", path)
        problems.ran(result)
        for word in words:
            problems.need(word in result.out, f"inspect {path.name} lacks {word!r}: {result.out[:200]!r}")


def check_verify_names_the_first_difference(runs, problems):
    run = runs.folder / "damaged"
    shutil.copytree(runs.toy_run(), run)
    problems.ran(toy.evenkeel("verify", run))
    problems.ran(toy.evenkeel("verify", toy.checkpoints(run)[0]))
    metrics = run / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"phase"', '"phase', 1))
    result = toy.evenkeel("verify", run)
    problems.ran(result, 2)
    problems.need("metrics.jsonl" in result.err, f"verify of a damaged metrics.jsonl: {result.err.strip()}")


def check_verify_needs_a_checkpoint(runs, problems):
    run = runs.folder / "unsaved"
    shutil.copytree(runs.toy_run(), run)
    shutil.rmtree(run / "checkpoints")
    (run / "results.json").unlink()  # as a kill before the first checkpoint leaves it
    result = toy.evenkeel("verify", run)
    problems.ran(result, 2)
    problems.need("nothing to verify" in result.err and result.out == "", f"verify of a run without a checkpoint: {result.err.strip()}")


def check_a_damaged_checkpoint_is_named(runs, problems):
    """The only one of a run, truncated: whoever reads it says which it is and how it is damaged."""
    run = runs.folder / "truncated"
    shutil.copytree(runs.toy_run(), run)
    *others, last = toy.checkpoints(run)
    for other in others:
        shutil.rmtree(other)
    weights = last / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    for args in (("verify", run), ("inspect", run), ("eval", run, "--data", f"en={runs.folder / 'en'}", *CPU)):
        result = toy.evenkeel(*args)
        problems.ran(result, 2)
        problems.need(f"{last.name}/model.safetensors: got 100 bytes; need " in result.err and result.out == "", f"{args[0]} of a run with a truncated checkpoint: {result.err.strip()}")


def check_a_damaged_line_has_its_number(runs, problems):
    """In a value and in the text of the JSON, whoever reads it."""
    for what, damage in (("value", lambda line: line.replace('"loss":', '"loss":"low","was":', 1)), ("text", lambda line: line.replace('"phase"', '"phase', 1))):
        run = runs.folder / f"line-{what}"
        shutil.copytree(runs.toy_run(), run)
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
        number = next(i for i, line in enumerate(lines) if '"loss_terms"' in line and i > 1)
        lines[number] = damage(lines[number])
        (run / "metrics.jsonl").write_text("".join(lines))
        (run / "results.json").rename(run / "kept.json")
        shutil.rmtree(toy.checkpoints(run)[-1])
        train = ("train", run / "recipe.toml", "--out", run, "--resume", *CPU)
        for args in (("inspect", run), ("inspect", run / "metrics.jsonl"), ("verify", run), train):
            result = toy.evenkeel(*args)
            problems.ran(result, 2)
            problems.need(f"metrics.jsonl, line {number + 1}: got" in result.err, f"{args[0]} with a damaged {what}: {result.err.strip()}")
        (run / "kept.json").rename(run / "results.json")
        result = toy.evenkeel("report", run, "--out", run / "page.html")
        problems.ran(result, 2)
        problems.need(f"metrics.jsonl, line {number + 1}: got" in result.err, f"report with a damaged {what}: {result.err.strip()}")


def check_verify_sees_what_is_missing(runs, problems):
    whole = runs.toy_run()
    last = toy.checkpoints(whole)[-1]

    def lose_lines(run, keep):
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
        (run / "metrics.jsonl").write_text("".join(line for i, line in enumerate(lines) if keep(i, len(lines))))

    def change_figure(run):
        results = json.loads((run / "results.json").read_text())
        results["tables"]["forgetting"]["rows"][0][3] = 1.5
        (run / "results.json").write_text(json.dumps(results))

    for what, change, word in [("the last lines", lambda run: lose_lines(run, lambda i, n: i < 4), "metrics.jsonl"), ("a line between", lambda run: lose_lines(run, lambda i, n: i != 2), "metrics.jsonl"),
                               ("the last checkpoint", lambda run: shutil.rmtree(run / "checkpoints" / last.name), "checkpoints"), ("all checkpoints", lambda run: shutil.rmtree(run / "checkpoints"), "checkpoints"),
                               ("the recipe", lambda run: (run / "recipe.toml").write_bytes(b"\x00[["), "recipe.toml"), ("the results", lambda run: (run / "results.json").write_bytes(b"{"), "results.json"),
                               ("the end of the last line", lambda run: (run / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes()[:-1]), "metrics.jsonl"),
                               ("one of two lines of a step", lambda run: (run / "metrics.jsonl").write_text("".join(line * 2 if i == 1 else line for i, line in enumerate((run / "metrics.jsonl").read_text().splitlines(keepends=True)))), "a second time"),
                               ("a figure of the results", change_figure, "results.json: tables.forgetting.rows[0][3]: got 1.5; need "), ("nothing, but a file more", lambda run: (run / "checkpoints" / last.name / "extra").write_text(""), "extra")]:
        run = runs.folder / "incomplete"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        change(run)
        result = toy.evenkeel("verify", run)
        problems.ran(result, 2)
        problems.need(word in result.err, f"verify without {what}: {result.err.strip()}")
        if word == "a second time":
            report = toy.evenkeel("report", run, "--out", run / "page.html")
            problems.need(report.rc == 2 and word in report.err, f"report with {what}: {report.err.strip()}")


def check_verify_refuses_figures_that_cannot_be(runs, problems):
    """In an unfinished run too; those that need no recipe are refused by whoever reads the lines."""
    whole = runs.toy_run()
    run = runs.folder / "impossible"
    shutil.copytree(whole, run)
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    steps = [i for i, line in enumerate(lines) if "loss_terms" in line]
    evaluations = [i for i, line in enumerate(lines) if "eval" in line]

    def of_layer(**figures):
        return lambda line: line["routing"][0].update(figures)

    everywhere = [("negative tokens", steps[1], lambda line: line.update(tokens=-3), "got -3 as 'tokens'; need 0 or more"),
                  ("tokens that fall", steps[3], lambda line: line.update(tokens=1), "got 1 as 'tokens' after"),
                  ("an evaluation at other tokens", evaluations[0], lambda line: line.update(tokens=1), "got the evaluation of step"),
                  ("a step of no phase", steps[2], lambda line: line.update(phase_step=7), "got 7 as 'phase_step' of phase 'english'; need 3"),
                  ("layers out of order", steps[0], lambda line: line["routing"].reverse(), "got the layers [1,0] in 'routing'"),
                  ("a load that does not sum to 1", steps[0], of_layer(load=[0.25, 0.25, 0.25, 0.5]), "whose shares sum to 1.25"),
                  ("a negative share", steps[0], of_layer(load=[-0.5, 0.5, 0.5, 0.5]), "got -0.5 as 'load'; need 0 to 1"),
                  ("dead experts beyond the load", steps[0], of_layer(dead=9), "got 9 as 'dead' of layer 0"),
                  ("an MRI above 1", steps[0], of_layer(mri=1.5), "got 1.5 as 'mri'; need 0 to 1"),
                  ("entropy that is not of the load", steps[0], of_layer(entropy=0.123), "got 0.123 as 'entropy' of layer 0"),
                  ("more dropped than there is", steps[0], of_layer(dropped=2), "got 2 as 'dropped'; need 0 to 1"),
                  ("a negative held-out loss", evaluations[0], lambda line: line["eval"]["en"].update(loss=-2), "got -2 as 'loss'")]
    by_recipe = [("layer 99", None, lambda line: [layer.update(layer=99) for layer in line.get("routing", [])[1:]], "got the layers [0,99] in 'routing'; need [0,1]"),
                 ("an unknown phase", steps[1], lambda line: line.update(phase="englisch", phase_step=1), "got the phase 'englisch'; need one of resolved.json"),
                 ("tokens of another batch", None, lambda line: "tokens" in line and line.update(tokens=2 * line["tokens"]), "as 'tokens' of step 1; need 64"),
                 ("a loss that is not the sum of its terms", steps[1], lambda line: line.update(loss=line["loss"] + 0.01), "the sum of its 'loss_terms', each times its coefficient"),
                 ("a source that the phase has not", steps[0], lambda line: line["sources"].update(other=0), "got the source 'other'; need those of phase 'english'"),
                 ("drops without a capacity", steps[2], of_layer(dropped=0.25), "got 0.25 as 'dropped' of layer 0; need 0"),
                 ("a rate that is not of the schedule", steps[2], lambda line: line.update(lr=line["lr"] * 1.5), "as the schedule of phase 'english' in resolved.json gives"),
                 ("a held-out set that the phase has not", evaluations[0], lambda line: line["eval"].update(other=line["eval"]["en"]), "got the held-out sets "),
                 ("a loss that is not of its blocks", evaluations[0], lambda line: line["eval"]["en"]["loss_blocks"]["loss"].__setitem__(0, 9), "the mean of its 'loss_blocks'"),
                 ("another error of a loss", evaluations[0], lambda line: line["eval"]["en"].update(loss_se=7), "got 7 as 'loss_se' of 'en'; need "),
                 ("another perplexity", evaluations[0], lambda line: line["eval"]["en"].update(perplexity=1.5), "got 1.5 as 'perplexity' of 'en'; need "),
                 ("an error of the MRI that cannot be", evaluations[0], lambda line: [line["eval"]["en"].update(mri_se=0.9), [layer.update(mri_se=0.9) for layer in line["eval"]["en"]["routing"]]], "got 0.9 as 'mri_se' of layer 0 of 'en'; need at most 0.57"),
                 ("an MRI below the load's", steps[0], of_layer(mri=0.01), "the largest share of its 'load' times 2 experts a token")]
    for finished in (True, False):
        if not finished:
            (run / "results.json").unlink()
        for what, at, change, words in everywhere + by_recipe:
            changed = json.loads(json.dumps(lines))
            for i, line in enumerate(changed):
                if at in (None, i):
                    change(line)
                    for result in line.get("eval", {}).values() if at is None else ():
                        change(result)
            (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
            result = toy.evenkeel("verify", run)
            problems.ran(result, 2)
            problems.need(words in result.err and (at is None or f"metrics.jsonl, line {at + 1}: " in result.err), f"verify with {what}: {result.err.strip()}")
            if finished and (what, at, change, words) in everywhere:
                result = toy.evenkeel("report", run, "--out", run / "page.html")
                problems.need(result.rc == 2 and words in result.err, f"report with {what}: {result.err.strip()}")


def check_verify_compares_what_derives_from_the_results(runs, problems):
    whole = runs.toy_run()

    def change_page(run, old, new):
        page = (run / "report.html").read_text()
        (run / "report.html").write_text(page.replace(old, new, 1))

    def other_data(run):
        page = (run / "report.html").read_text()
        packed = re.search(r'id="evenkeel-data">([^<]*)<', page)[1]
        data = gzip.decompress(base64.b64decode(packed)).replace(b'"title":"', b'"title":"not ', 1)
        change_page(run, packed, base64.b64encode(gzip.compress(data)).decode())

    def other_title(run):
        results = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps(results | {"title": "other"}))

    table = "csv/forgetting.csv"
    for what, change, words in [("a table that is gone", lambda run: (run / table).unlink(), (f"{table}: got no such file",)), ("a changed table", lambda run: (run / table).write_bytes((run / table).read_bytes().replace(b"english", b"englisch", 1)), (f"{table}, line 2: got another row",)),
                                ("a page that is gone", lambda run: (run / "report.html").unlink(), ("report.html: got no such file",)), ("a page that is none", lambda run: (run / "report.html").write_text("<html>"), ("report.html: got no page of evenkeel report",)),
                                ("a page of other sentences", lambda run: change_page(run, "<li>After", "<li>Before"), ("report.html: got other sentences",)), ("a page with a sentence more", lambda run: change_page(run, "<noscript>", "<p>All is well.</p><noscript>"), ("report.html: got another text around the data",)), ("a page of other data", other_data, ("report.html: ", "title: got \"not ")),
                                ("a page whose data are cut", lambda run: change_page(run, 'id="evenkeel-data">H4s', 'id="evenkeel-data">'), ("report.html: got data that do not unpack",)), ("another title", other_title, ("results.json: arms[0].name: got ", "need \"other\""))]:
        run = runs.folder / "derived"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        change(run)
        result = toy.evenkeel("verify", run)
        problems.ran(result, 2)
        for word in words:
            problems.need(word in result.err, f"verify with {what}: {result.err.strip()}")


def check_verify_names_a_changed_recipe(runs, problems):
    """resolved.json itself, not what was made from it."""
    whole = runs.toy_run()
    for what, change in [("seed", lambda r: r["train"].update(seed=77)), ("model", lambda r: r["model"].update(norm_eps=0.5)), ("schedule", lambda r: r["phase"][0]["schedule"].update(lr_max=0.5)),
                         ("source", lambda r: r["phase"][-1]["data"][0].update(name="other")), ("steps", lambda r: r["phase"][-1].update(steps=r["phase"][-1]["steps"] + 1))]:
        run = runs.folder / "other-recipe"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        resolved = json.loads((run / "resolved.json").read_text())
        change(resolved)
        (run / "resolved.json").write_text(json.dumps(resolved))
        result = toy.evenkeel("verify", run)
        problems.ran(result, 2)
        problems.need("/resolved.json: " in result.err, f"verify with another {what} in resolved.json: {result.err.strip()}")


def check_a_value_of_another_kind_is_named_with_file_and_key(runs, problems):
    whole = runs.toy_run()
    run = runs.folder / "kinds"
    shutil.copytree(whole, run)
    page = run / "page.html"
    for file, path, value, words in [("results.json", ("headlines", 0), 3, "results.json: headlines[0]: got integer; need string"), ("results.json", ("arms", 0, "name"), None, "results.json: arms[0].name: got null; need string"),
                                     ("results.json", ("tables", "forgetting", "rows"), 1, "results.json: tables.forgetting.rows: got integer; need array"), ("results.json", ("title",), 5, "results.json: title: got integer; need string"),
                                     ("resolved.json", ("phase", 0, "steps"), None, "resolved.json: got null as 'steps'; need an integer"), ("resolved.json", ("phase", 0, "steps"), 0, "resolved.json: got 0 as 'steps'; need 1"),
                                     ("resolved.json", ("train", "seed"), None, "resolved.json: got null as 'seed'; need an integer"), ("resolved.json", ("phase", 1, "name"), 2, "resolved.json: got integer as 'name'; need a text")]:
        kept = (run / file).read_text()
        document = json.loads(kept)
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        (run / file).write_text(json.dumps(document))
        commands = [("verify", run)] + ([("report", run, "--out", page)] if file == "results.json" else [])
        for args in commands:
            result = toy.evenkeel(*args)
            problems.ran(result, 2)
            said = words if (args[0], file) != ("verify", "results.json") else words[:words.index(": got") + 5]  # it says the value
            problems.need(said in result.err, f"{args[0]} with {file} {path} = {value}: {result.err.strip()}; need {said}")
        (run / file).write_text(kept)


def check_stdout_has_documents_only(runs, problems):
    run = runs.toy_run()
    prefix = runs.folder / "en"
    result = toy.evenkeel("eval", run, "--data", f"en={prefix}", "--data", f"de={runs.folder / 'de'}", "--json", *CPU)
    problems.ran(result)
    problems.equal(list(json.loads(result.out)["data"]), ["en", "de"], "sets in order")
    text = toy.evenkeel("eval", run, "--data", f"en={prefix}", *CPU)
    problems.need(text.rc == 0 and text.out.startswith("en"), f"eval without --json: {text.out!r}")
    problems.need("\r" not in text.err and "\033" not in text.err, "a bar is drawn though stderr is no terminal")
    _, quiet = runs.train("stdout", toy.recipe_text(runs.folder))
    problems.need(quiet.rc == 0 and quiet.out == "", f"stdout of train: {quiet.out!r}")
    problems.need("\r" not in quiet.err and "\033" not in quiet.err, "a bar is drawn though stderr is no terminal")


def check_a_loss_that_is_not_finite_ends_with_3(runs, problems):
    recipe = toy.recipe_text(runs.folder).replace("z_coefficient = 0.001", "z_coefficient = 1e39")
    run, result = runs.train("numerics", recipe)
    problems.ran(result, 3)
    problems.need("step " in result.err and "need finite" in result.err, f"the error: {result.err.strip()[-200:]}")
    problems.equal(toy.leftovers(run), [], "left behind")

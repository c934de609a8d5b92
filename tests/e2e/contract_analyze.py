"""Checks of trace and analyze against shared/spec/cli.md: the trace file, one definition live and offline, count files."""
import json
import lzma
import math
import pathlib
import struct

import toy
from checks import documents_of, floats, rows_of, steps_of, tensors_of
from contract_train import CPU, S, phase

MODEL = "vocab_size = 64\nd_model = 16\nn_layers = 2\nn_heads = 2\nn_experts = 4\ntop_k = {top_k}\nd_expert = 16\n"
E, K, V = 4, 2, 64
METADATA = ["capacity", "format_version", "mode", "model", "n_experts", "name", "tokenizer_sha256", "top_k"]


SWITCH = 'rule = "switch"\nfactor_train = 0.75\nminimum = 1\n'  # drops, and draws nothing


def pieces_of(path):
    """The vocabulary of a SentencePiece model: field 1 of the file is a piece, field 1 of a piece its text."""
    content = pathlib.Path(path).read_bytes()

    def varint(at):
        value = shift = 0
        while True:
            byte = content[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    pieces, at = [], 0
    while at < len(content):
        key, at = varint(at)
        assert key & 7 == 2, "fields of the file are messages"
        size, at = varint(at)
        if key >> 3 == 1:
            assert content[at] == 10, "the text comes first"
            length, begin = varint(at + 1)
            pieces.append(content[begin:begin + length].decode())
        at += size
    return pieces


def metadata_of(path):
    content = pathlib.Path(path).read_bytes()
    return json.loads(content[8:8 + struct.unpack_from("<Q", content)[0]])["__metadata__"]


def integers(tensor):
    code = {"I32": "i", "I64": "q", "BOOL": "?"}[tensor[0]]
    return struct.unpack(f"<{len(tensor[2]) // struct.calcsize(code)}{code}", tensor[2])


def ran(*arguments):
    result = toy.evenkeel(*arguments, *CPU)
    if result.rc != 0:
        raise RuntimeError(f"{arguments[0]}: {result.err}")
    return result


def trace(runs, model, data, name, *options):
    path = runs.folder / f"{name}.safetensors"
    ran("trace", model, "--data", data, "--out", path, *options)
    return path


def analyze(runs, name, *arguments):
    out = runs.folder / f"analysis-{name}"
    ran("analyze", *arguments, "--out", out)
    return json.loads((out / "results.json").read_text())


def step_recipe(runs, router, more="", capacity=""):
    """Five steps of four sequences in file order, a checkpoint after each; the batch is one micro-batch."""
    table, needs_balance = toy.ROUTERS[router]
    table += f"\n[model.capacity]\n{capacity}" if capacity else ""
    model = MODEL.format(top_k=1 if router in toy.TOP_ONE else 2) + f"[model.router]\n{table}\n" + (toy.BALANCE if needs_balance else "")
    train = 'batch_size = 4\nsequence_length = 16\nseed = 3\ncheckpoint_every = "1 steps"\nkeep_last = 0\n'
    return runs.recipe(phase("a", "steps = 5", more="shuffle = false"), model=model, train=train + more)


# ---- the trace file ----


def check_a_trace_has_the_tensors_of_the_contract(runs, problems):
    run = runs.toy_run()
    documents, _ = documents_of(runs.folder / "en")
    stream = [token for document in documents for token in document]
    owners = [number for number, document in enumerate(documents) for _ in document]
    path = trace(runs, run, runs.folder / "en", "whole", "--router-logits", "--logits", "--batch-size", 7)
    tensors, metadata = tensors_of(path), metadata_of(path)
    n = len(stream) - 1
    B = -(-n // S)
    shapes = {"input_ids": ("I64", (B, S)), "predicted_ids": ("I32", (B, S)), "document_ids": ("I32", (B, S)), "is_padding": ("BOOL", (B, S)), "logits": ("F32", (B, S, V))}
    for layer in (0, 1):
        shapes.update({f"layers.{layer}.expert_ids": ("I32", (B, S, K)), f"layers.{layer}.weights": ("F32", (B, S, K)), f"layers.{layer}.dropped": ("BOOL", (B, S, K)),
                       f"layers.{layer}.router_logits": ("F32", (B, S, E))})
    for name, (dtype, shape) in shapes.items():
        problems.equal(tensors.get(name, ("absent", ()))[:2], (dtype, shape), name)
    problems.equal([key for key in METADATA if key not in metadata], [], "missing metadata")
    problems.equal((metadata["n_experts"], metadata["top_k"], metadata["mode"], metadata["capacity"], metadata["tokenizer_sha256"], metadata["name"], metadata["model"]),
                   ("4", "2", "eval", "dropless", "", "en", str(run)), "metadata")
    problems.equal(list(integers(tensors["input_ids"]))[:n], stream[:n], "input ids")
    problems.equal(list(integers(tensors["document_ids"]))[:n], owners[:n], "documents")
    problems.equal(list(integers(tensors["is_padding"])), [i >= n for i in range(B * S)], "padding")
    logits = floats(tensors["logits"])
    best = [max(range(V), key=lambda v, t=t: (logits[t * V + v], -v)) for t in range(n)]
    problems.equal(list(integers(tensors["predicted_ids"]))[:n], best, "arg max of the logits")
    for layer in (0, 1):
        scores, ids, weights = floats(tensors[f"layers.{layer}.router_logits"]), integers(tensors[f"layers.{layer}.expert_ids"]), floats(tensors[f"layers.{layer}.weights"])
        for t in range(n):
            row = scores[t * E:(t + 1) * E]
            order = sorted(range(E), key=lambda e: (-row[e], e))[:K]
            if not problems.equal(list(ids[t * K:(t + 1) * K]), order, f"experts of token {t}, layer {layer}, by descending logit"):
                break
            total = math.fsum(math.exp(x) for x in row)
            for i, e in enumerate(order):  # fp32 softmax
                problems.close(weights[t * K + i], math.exp(row[e]) / total, 1e-6, f"weight of token {t}, layer {layer}")
    problems.equal(toy.leftovers(runs.folder), [], "left behind")


def check_a_trace_of_given_tokens_has_their_shape(runs, problems):
    sequences = [[(7 * i + j * j) % 63 + 1 for j in range(9)] for i in range(5)]
    path = runs.folder / "sequences.json"
    path.write_text(json.dumps(sequences))
    out = runs.folder / "sequences.safetensors"
    ran("trace", runs.toy_run(), "--tokens", path, "--out", out)
    tensors = tensors_of(out)
    problems.equal(tensors["input_ids"][1], (5, 9), "shape")
    problems.equal(list(integers(tensors["input_ids"])), sum(sequences, []), "ids")
    problems.equal(list(integers(tensors["document_ids"])), [i for i in range(5) for _ in range(9)], "each is a document")
    problems.need(not any(integers(tensors["is_padding"])), "padding where there is none")
    problems.need("logits" not in tensors and "layers.0.router_logits" not in tensors, "logits that were not asked for")
    problems.equal(metadata_of(out)["name"], "sequences", "name")


def check_in_mode_eval_a_trace_does_not_depend_on_the_batch_size(runs, problems):
    for router in ("softmax_pre", "sinkhorn_log"):
        one, seven = (tensors_of(trace(runs, runs.toy_run(router), runs.folder / "de", f"batch-{router}-{size}", "--batch-size", size)) for size in (1, 7))
        for name in one:
            if name.endswith(("ids", "padding", "dropped")):
                problems.need(one[name] == seven[name], f"{router}: {name} differs")


def check_a_trace_is_the_same_twice(runs, problems):
    first = trace(runs, runs.toy_run(), runs.folder / "de", "again").read_bytes()
    problems.need(first == trace(runs, runs.toy_run(), runs.folder / "de", "again").read_bytes(), "the bytes differ")


def check_routers_without_exactly_k_list_assignments(runs, problems):
    run = runs.good("steps-expert_choice", step_recipe(runs, "expert_choice"))
    path = trace(runs, run, runs.folder / "en", "free", "--max-tokens", 100)
    tensors = tensors_of(path)
    problems.equal(tensors["input_ids"][1], (7, S), "shape")
    for layer in (0, 1):
        problems.need(f"layers.{layer}.expert_ids" not in tensors, "expert_ids beside assignments")
        dtype, (n, width), _ = tensors[f"layers.{layer}.assignments"]
        problems.equal((dtype, width), ("I32", 3), "assignments")
        flat = integers(tensors[f"layers.{layer}.assignments"])
        rows = [flat[i:i + 3] for i in range(0, 3 * n, 3)]
        problems.equal([row[0] for row in rows], sorted(row[0] for row in rows), "tokens ascend")
        problems.need(all(0 <= token < 100 and 0 <= expert < E for token, expert, _ in rows), "ids out of range")
        for (token, _, rank), (last, _, last_rank) in zip(rows[1:], rows):
            problems.equal(rank, last_rank + 1 if token == last else 0, f"rank of token {token}")
        # Expert choice at evaluation: each expert takes k / E of a sequence's tokens, rounded to whole ones.
        problems.equal([sum(expert == e and token < S for token, expert, _ in rows) for e in range(E)], [S * K // E] * E, "tokens of each expert in the first sequence")


# ---- one definition: model, trace, live, recount ----


def same_tables(problems, model, traced, what):
    needs_weights = {"semantic_clusters", "semantic_coherence", "semantic_cluster_tokens"}
    problems.equal(sorted(set(model["tables"]) - set(traced["tables"]) - needs_weights), [], f"{what}: tables that the trace lacks")
    problems.need(any("embedding" in note for note in traced["notes"]), f"{what}: no note says what weights are needed for")
    for name, table in traced["tables"].items():
        problems.need(table == model["tables"].get(name), f"{what}: table {name} of the trace is another")


def check_analyze_gives_the_same_bits_from_a_trace(runs, problems):
    for router, mode in (("softmax_pre", "eval"), ("sinkhorn_log", "train"), ("top_k_random_drops", "train"), ("expert_choice", "eval"), ("base", "eval"), ("sigmoid", "eval")):
        run = runs.good(f"steps-{router}", step_recipe(runs, router))
        options = ("--mode", mode, "--batch-size", 3)
        sets = [arg for name in ("en", "de") for arg in ("--data", f"{name}={runs.folder / name}")]
        model = analyze(runs, f"model-{router}", run, *sets, *options)
        traces = []
        for name in ("en", "de"):
            traces += ["--trace", f"{name}={trace(runs, run, runs.folder / name, f'{router}-{name}', '--router-logits', *options)}"]
        same_tables(problems, model, analyze(runs, f"trace-{router}", *traces), router)


def check_traces_that_do_not_compare_are_refused(runs, problems):
    run = runs.toy_run()
    plain = trace(runs, run, runs.folder / "en", "plain")
    others = {"mode": ("--mode", "train"), "sequence_length": ("--sequence-length", S // 2)}
    for key, options in others.items():
        other = trace(runs, run, runs.folder / "de", f"other-{key}", *options)
        for more in (("--trace", f"de={other}"), ("--reference-trace", f"en={other}")):
            result = toy.evenkeel("analyze", "--trace", f"en={plain}", *more, "--out", runs.folder / "unlike", *CPU)
            problems.equal(result.rc, 2, f"{key}: exit code")
            problems.need(str(plain) in result.err and str(other) in result.err and f"metadata {key}" in result.err, f"{key}: {result.err}")


def check_trace_refuses_an_out_that_is_no_file_before_it_loads_a_model(runs, problems):
    folder = runs.folder / "a-folder"
    folder.mkdir()
    for out, word in ((folder, "got a folder"), ("/dev/null", "got a device")):
        result = toy.evenkeel("trace", runs.folder / "no-such-model", "--data", runs.folder / "en", "--out", out, *CPU)
        problems.equal(result.rc, 2, "exit code")
        problems.need("--out" in result.err and word in result.err and str(out) in result.err, f"message: {result.err}")


def check_what_needs_logits_says_so_without_them(runs, problems):
    path = trace(runs, runs.toy_run(), runs.folder / "en", "no-logits")
    results = analyze(runs, "no-logits", "--trace", f"en={path}")
    problems.need("balance_losses" not in results["tables"], "balance losses without logits")
    problems.need(any(note.startswith("balance_losses") and "logits" in note for note in results["notes"]), f"notes: {results['notes']}")


def check_a_reference_may_be_a_trace_too(runs, problems):
    run = runs.good("steps-softmax_pre", step_recipe(runs, "softmax_pre"))
    first, last = toy.checkpoints(run)[0], toy.checkpoints(run)[-1]
    model = analyze(runs, "reference", last, "--reference", first, "--data", f"en={runs.folder / 'en'}")
    traced = analyze(runs, "reference-trace", "--trace", f"en={trace(runs, last, runs.folder / 'en', 'last', '--router-logits')}",
                     "--reference-trace", f"en={trace(runs, first, runs.folder / 'en', 'first', '--router-logits')}")
    same_tables(problems, model, traced, "with a reference")
    columns, rows = rows_of(model, "saturation")
    problems.equal(columns, ["arm", "layer", "k", "from", "to", "data", "saturation", "chance", "from_step", "saturation_low", "saturation_high", "load_chance"], "columns of saturation")
    problems.equal({row["from_step"] for row in rows}, {1}, "step of the reference")
    problems.equal([(row["layer"], row["k"], row["chance"]) for row in rows], [(0, 1, 0.25), (0, 2, 0.5), (1, 1, 0.25), (1, 2, 0.5)], "rows and chance")
    # by hand from the two traces
    ids = [tensors_of(runs.folder / f"{name}.safetensors") for name in ("first", "last")]
    n = sum(not padding for padding in integers(ids[0]["is_padding"]))
    for row in rows:
        before, after = (integers(tensors[f"layers.{row['layer']}.expert_ids"]) for tensors in ids)
        common = sum(len(set(before[t * K:t * K + row["k"]]) & set(after[t * K:t * K + row["k"]])) for t in range(n))
        problems.close(row["saturation"], common / (row["k"] * n), 1e-15, f"saturation of layer {row['layer']}, k = {row['k']}")


def check_over_run_compares_every_checkpoint_with_the_last(runs, problems):
    run = runs.good("steps-softmax_pre", step_recipe(runs, "softmax_pre"))
    saved = toy.checkpoints(run)
    sets = [arg for name in ("en", "de") for arg in ("--data", f"{name}={runs.folder / name}")]
    whole = analyze(runs, "over-run", run, "--over-run", "--ids", "1,5", *sets)
    problems.equal(whole["options"]["over_run"], True, "options")
    for name in ("saturation", "early_routing"):
        columns, rows = rows_of(whole, name)
        problems.need("from_step" in columns, f"{name}: no from_step in {columns}")
        problems.equal(list(dict.fromkeys((row["from"], row["from_step"]) for row in rows)), [(str(path), step) for step, path in enumerate(saved[:-1], 1)], f"{name}: checkpoints")
        for path in saved[:-1]:  # each as if it had been named alone
            _, alone = rows_of(analyze(runs, "one-of-run", run, "--reference", path, "--ids", "1,5", "--analyses", name, *sets), name)
            problems.equal([row for row in rows if row["from"] == str(path)], alone, f"{name} against {path.name}")
    mean = [[row["saturation"] for row in rows_of(whole, "saturation")[1] if row["from_step"] == step] for step in (1, 4)]
    problems.need(sum(mean[1]) > sum(mean[0]), f"saturation does not grow over the run: {mean}")
    last = analyze(runs, "end-of-run", run, "--reference", saved[0], "--ids", "1,5", *sets)  # all else is as without it
    for name in set(last["tables"]) - {"saturation", "early_routing"}:
        problems.need(whole["tables"][name] == last["tables"][name], f"table {name} is another")
    problems.equal((whole["notes"], whole["headlines"]), (last["notes"], last["headlines"]), "notes and headlines")


def check_the_memory_is_said_beforehand(runs, problems):
    result = ran("analyze", runs.toy_run(), "--data", f"en={runs.folder / 'en'}", "--out", runs.folder / "analysis-memory")
    lines = [line for line in result.err.splitlines() if "memory: at most " in line]
    problems.equal(len(lines), 1, f"lines on memory in {result.err}")
    problems.need("weights" in lines[0] and "vocabulary_specialization" in lines[0], f"what takes it: {lines}")
    problems.need(result.err.index("memory: at most ") < result.err.index("wrote "), "said afterwards")


def check_chosen_ids_that_do_not_occur_are_noted(runs, problems):
    documents, _ = documents_of(runs.folder / "en")
    seen = [token for document in documents for token in document][:20]
    absent = next(i for i in range(V) if i not in seen)
    results = analyze(runs, "absent-ids", runs.toy_run(), "--data", f"en={runs.folder / 'en'}", "--max-tokens", 20, "--ids", f"{seen[0]},{absent}")
    problems.equal([note for note in results["notes"] if "no rows for" in note], [f"token_id_specialization: no rows for id {absent}, which does not occur in en"], "notes")


def check_the_load_is_that_of_the_trace_counted_anew(runs, problems):
    path = trace(runs, runs.toy_run(), runs.folder / "en", "recount")
    tensors = tensors_of(path)
    results = analyze(runs, "recount", "--trace", f"en={path}")
    kept = [t for t, padding in enumerate(integers(tensors["is_padding"])) if not padding]
    _, loads = rows_of(results, "load")
    _, shares = rows_of(results, "domain_specialization")
    for row in loads:
        ids = integers(tensors[f"layers.{row['layer']}.expert_ids"])
        counts = [sum(ids[t * K + i] == e for t in kept for i in range(K)) for e in range(E)]
        first = [sum(ids[t * K] == e for t in kept) for e in range(E)]
        load = [count / sum(counts) for count in counts]
        problems.equal(row["tokens"], len(kept), "tokens")
        problems.close(row["mri"], max(counts) / len(kept), 1e-15, "mri")
        problems.close(row["max_share"], max(load), 1e-15, "max_share")
        problems.close(row["entropy"], -math.fsum(x * math.log(x) for x in load if x) / math.log(E), 1e-12, "entropy")
        problems.close(row["cv"], math.sqrt(math.fsum((x - 1 / E) ** 2 for x in load) / E) * E, 1e-12, "cv")
        problems.close(row["top1_max_share"], max(first) / len(kept), 1e-15, "top-1")
        problems.need(row["mri_low"] <= row["mri"] <= row["mri_high"] and K / E < row["mri_chance"] < 1, f"interval or chance: {row}")
        mine = [share for share in shares if share["layer"] == row["layer"]]
        problems.equal([share["expert"] for share in mine], list(range(E)), "experts")
        for e, share in enumerate(mine):
            problems.close(share["share_of_tokens"], counts[e] / len(kept), 1e-15, "share of tokens")
            problems.close(share["share_of_assignments"], load[e], 1e-15, "share of assignments")


def check_live_metrics_are_those_of_analyze(runs, problems):
    documents, _ = documents_of(runs.folder / "en")
    stream = [token for document in documents for token in document]
    for step in (2, 4):  # its batch: sequences 4 (step - 1) .. 4 step - 1, and the next token
        first = 4 * S * (step - 1)
        toy.write_dataset(runs.folder / f"batch-{step}", [stream[first:first + 4 * S + 1]])
    n_dropped = 0
    for router in ("softmax_pre", "sigmoid", "sinkhorn_log", "sinkhorn_step", "loss_free", "quantile", "expert_choice", "base", "hash_ids", "switch_capacity"):
        run = runs.good(f"steps-{router}", step_recipe(runs, "softmax_pre", capacity=SWITCH) if router == "switch_capacity" else step_recipe(runs, router))
        for step in (2, 4):
            live = steps_of(run)[step - 1]
            results = analyze(runs, f"live-{router}-{step}", run / "checkpoints" / f"step-{step - 1:08d}", "--mode", "train", "--batch-size", 4, "--data", f"x={runs.folder / f'batch-{step}'}")
            _, loads = rows_of(results, "load")
            _, shares = rows_of(results, "domain_specialization")
            for layer in live["routing"]:
                row = next(row for row in loads if row["layer"] == layer["layer"])
                for key in ("mri", "entropy", "cv", "dead", "dropped"):
                    problems.equal(row[key], layer[key], f"{router}, step {step}, layer {layer['layer']}: {key}")
                problems.equal([share["share_of_assignments"] for share in shares if share["layer"] == layer["layer"]], layer["load"], f"{router}, step {step}: load")
                n_dropped += layer["dropped"] > 0
            if router == "softmax_pre":
                _, losses = rows_of(results, "balance_losses")
                for loss, term in (("switch", "balance"), ("z", "z")):
                    value = next(row["value"] for row in losses if row["layer"] is None and row["loss"] == loss)
                    problems.close(live["loss_terms"][term], value, 2e-6, f"step {step}: {term}")  # live in fp32, here in fp64
    problems.need(n_dropped >= 2, f"only {n_dropped} pairs of step and layer drop anything")


def check_eval_and_analyze_agree(runs, problems):
    run = runs.toy_run()
    result = ran("eval", run, "--data", f"en={runs.folder / 'en'}", "--json")
    routing = json.loads(result.out)["data"]["en"]["routing"]
    _, loads = rows_of(analyze(runs, "as-eval", run, "--data", f"en={runs.folder / 'en'}"), "load")
    for layer, row in zip(routing, loads):
        problems.equal([row[key] for key in ("layer", "mri", "entropy", "cv", "dead", "dropped")], [layer[key] for key in ("layer", "mri", "entropy", "cv", "dead", "dropped")], "load")


# ---- the folder that analyze writes ----


def check_analyze_writes_results_tables_and_a_page(runs, problems):
    out = runs.folder / "analysis-files"
    arguments = ("analyze", runs.toy_run(), "--data", f"en={runs.folder / 'en'}", "--data", f"de={runs.folder / 'de'}", "--ids", "1,5", "--out", out, "--json")
    result = ran(*arguments)
    results = json.loads((out / "results.json").read_text())
    problems.equal(json.loads(result.out), results, "--json")
    for key in ("schema", "kind", "title", "headlines", "definitions", "model", "data", "options", "tables", "notes"):
        problems.need(key in results, f"no {key}")
    problems.equal([data["name"] for data in results["data"]], ["en", "de"], "data")
    problems.equal(results["options"]["ids"], [1, 5], "ids")
    for name, table in results["tables"].items():
        problems.equal(sorted(table), ["chance", "columns", "rows", "source", "tokens"], f"keys of {name}")
        lines = (out / "csv" / f"{name}.csv").read_bytes().decode().split("\r\n")
        problems.need(len(lines) >= len(table["rows"]) + 2, f"{name}.csv has {len(lines)} lines for {len(table['rows'])} rows")
    for name in ("load", "domain_specialization", "domain_similarity", "coactivation", "token_specialization", "vocabulary_specialization", "temporal_locality", "drop_by_position"):
        problems.need(name in results["tables"], f"no table {name}")
    problems.equal([tuple(row[:3]) for row in results["tables"]["domain_similarity"]["rows"]], [(0, "en", "de"), (1, "en", "de")], "pairs")
    page = (out / "report.html").read_text()
    problems.need(page.startswith("<!doctype html>") and "domain_specialization" in page, "report.html")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    ran(*arguments)
    problems.equal([str(path) for path, content in before.items() if path.read_bytes() != content], [], "files that differ the second time")
    ran("analyze", runs.toy_run(), "--data", f"en={runs.folder / 'en'}", "--analyses", "load", "--out", out)
    problems.equal(sorted(path.name for path in (out / "csv").iterdir()), ["domain_similarity.csv", "domain_specialization.csv", "load.csv"], "csv of the analyses that were chosen")
    problems.equal(toy.leftovers(out), [], "left behind")


def check_token_texts_are_those_of_the_tokenizer_that_made_the_data(runs, problems):
    folder = runs.folder / "texts"
    folder.mkdir()
    (folder / "en.txt").write_text(toy.made_text(1))
    for command in (("tokenizer", "train", "--vocab-size", 320, "--out", folder / "tok.model", folder / "en.txt"),
                    ("prepare", "--tokenizer", folder / "tok.model", "--out", folder / "en", folder / "en.txt")):
        result = toy.evenkeel(*command)
        problems.equal(result.rc, 0, f"{command[0]}: {result.err}")
    model = MODEL.format(top_k=2).replace("vocab_size = 64", "vocab_size = 320") + "[model.balance]\nloss = \"switch\"\ncoefficient = 0.01\n"
    recipe = runs.recipe(phase("a", "steps = 1").replace('path = "en"', 'path = "texts/en"'), model=model)
    run = runs.good("with-texts", recipe)
    traced = trace(runs, run, folder / "en", "with-texts-trace")
    sources = (run, "--data", f"en={folder / 'en'}"), ("--trace", f"en={traced}")
    ids = rows_of(analyze(runs, "texts-of-model", *sources[0]), "token_id_specialization")[1]
    pieces = [piece.replace("\u2581", " ") for piece in pieces_of(folder / "tok.model")]
    problems.equal(len(pieces), 320, "pieces")
    problems.need(len(ids) > 5 and any(row["text"].startswith(" ") for row in ids), f"followed ids: {ids}")
    problems.equal([row["text"] for row in ids], [pieces[row["id"]] for row in ids], "texts")
    rare = rows_of(analyze(runs, "texts-of-bytes", *sources[0], "--ids", ",".join(str(i) for i in range(320))), "token_id_specialization")[1]
    problems.equal([row["text"] for row in rare], [pieces[row["id"]] for row in rare], "texts of all ids that occur")
    problems.equal(rows_of(analyze(runs, "texts-of-trace", *sources[1]), "token_id_specialization")[1], ids, "from a trace")
    moved = folder / "elsewhere.model"
    (folder / "tok.model").rename(moved)
    for name, source in zip(("model", "trace"), sources):
        without = rows_of(analyze(runs, f"no-texts-of-{name}", *source), "token_id_specialization")[1]
        problems.equal({row["text"] for row in without}, {None}, f"{name}: texts without the tokenizer")
        named = rows_of(analyze(runs, f"named-texts-of-{name}", *source, "--tokenizer", moved), "token_id_specialization")[1]
        problems.equal(named, ids, f"{name}: with --tokenizer")
    moved.write_bytes((runs.folder / "text" / "bpe.model").read_bytes())
    moved.rename(folder / "tok.model")
    other = rows_of(analyze(runs, "other-tokenizer", *sources[0]), "token_id_specialization")[1]
    problems.equal({row["text"] for row in other}, {None}, "texts by another tokenizer in its place")


def check_a_dense_model_has_nothing_to_analyse(runs, problems):
    run = runs.good("dense-for-analysis", runs.recipe(phase("a", "steps = 1")))
    path = trace(runs, run, runs.folder / "en", "dense", "--max-tokens", 40)
    problems.equal((metadata_of(path)["n_experts"], [name for name in tensors_of(path) if name.startswith("layers")]), ("0", []), "trace")
    for name, *source in (("dense", run, "--data", f"en={runs.folder / 'en'}"), ("dense-trace", "--trace", f"en={path}")):
        out = runs.folder / f"analysis-of-{name}"
        result = toy.evenkeel("analyze", *source, "--out", out, *CPU)
        problems.ran(result, 2)
        problems.need("dense model" in result.err and "no routing to analyse" in result.err, f"the error: {result.err.strip()}")
        problems.need(not out.exists(), f"{out.name} was made")


def check_bf16_weights_are_taken(runs, problems):
    run = runs.toy_run()
    narrow = analyze(runs, "bf16", run, "--data", f"en={runs.folder / 'en'}", "--dtype", "bf16")
    wide = analyze(runs, "fp32", run, "--data", f"en={runs.folder / 'en'}")
    problems.equal((narrow["options"]["dtype"], wide["options"]["dtype"]), ("bf16", "fp32"), "dtype")
    for a, b in zip(rows_of(narrow, "load")[1], rows_of(wide, "load")[1]):  # rounding moves a few choices of 1,800 tokens
        problems.close(a["mri"], b["mri"], 0.03, "mri")
    problems.need(narrow["tables"]["balance_losses"] != wide["tables"]["balance_losses"], "bf16 changes nothing at all")


# ---- count files ----


def counts_of(run, data, runs):
    tensors = tensors_of(trace(runs, run, runs.folder / data, f"counts-{data}"))
    kept = [t for t, padding in enumerate(integers(tensors["is_padding"])) if not padding]
    ids = [integers(tensors[f"layers.{layer}.expert_ids"]) for layer in (0, 1)]
    inputs = integers(tensors["input_ids"])
    per_id = []
    for layer in ids:
        table = {}
        for t in kept:
            for e in layer[t * K:(t + 1) * K]:
                row = table.setdefault(str(e), {})
                row[str(inputs[t])] = row.get(str(inputs[t]), 0) + 1
        per_id.append(table)
    return {"topk": [[sum(layer[t * K + i] == e for t in kept for i in range(K)) for e in range(E)] for layer in ids],
            "top1": [[sum(layer[t * K] == e for t in kept) for e in range(E)] for layer in ids]}, per_id


def check_counts_of_a_run_give_the_run_s_tables(runs, problems):
    run = runs.toy_run()
    counts = {name: counts_of(run, name, runs) for name in ("en", "de")}
    model = analyze(runs, "for-counts", run, "--data", f"en={runs.folder / 'en'}", "--data", f"de={runs.folder / 'de'}", "--minimum-count", 3)
    files = {"all.json": {"model": "toy", "n_experts": E, "layers": [0, 1], "domains": {name: pair[0] for name, pair in counts.items()}}}
    for name, (sums, per_id) in counts.items():
        files[f"plain-{name}.json"] = {"model": "toy", "domain": name, "n_experts": E, "counts": sums["topk"]}
        files[f"ids-{name}.json.xz"] = {"model": "toy", "layers": [0, 1], "top_k": K, "n_experts": E, "domain": name, "layer_expert_token_counts": per_id}
    for name, content in files.items():
        text = json.dumps(content).encode()
        (runs.folder / name).write_bytes(lzma.compress(text) if name.endswith("xz") else text)
    for what, names, options in (("all", ["all.json"], ()), ("plain", ["plain-en.json", "plain-de.json"], ("--top-k", K)), ("ids", ["ids-en.json.xz", "ids-de.json.xz"], ())):
        counted = analyze(runs, f"counts-{what}", "--counts", *(runs.folder / name for name in names), "--minimum-count", 3, *options)
        columns = ["layer", "domain", "mri", "entropy", "cv", "max_share", "mri_chance", "dead"] + (["top1_max_share"] if what == "all" else [])
        for table, keys in (("load", columns), ("domain_specialization", ["layer", "domain", "expert", "share_of_tokens", "share_of_assignments"]),
                            ("domain_similarity", ["layer", "domain_a", "domain_b", "correlation", "overlap"])):
            got, need = ([[row[key] for key in keys] for row in rows_of(results, table)[1]] for results in (counted, model))
            problems.equal(got, need, f"{what}: {table}")
        if what == "ids":
            problems.equal(sorted(counted["tables"]["token_specialization"]["rows"]), sorted(model["tables"]["token_specialization"]["rows"]), "token specialization")
            pick = [row for row in model["tables"]["vocabulary_specialization"]["rows"] if row[1] == K and row[2] == "input"]
            problems.equal(counted["tables"]["vocabulary_specialization"]["rows"], pick, "vocabulary specialization")
    unknown = analyze(runs, "counts-unknown", "--counts", runs.folder / "plain-en.json")
    problems.need(all(row["mri"] is None and row["entropy"] is not None for row in rows_of(unknown, "load")[1]), "mri without tokens")
    problems.need(any("--top-k" in note for note in unknown["notes"]), f"notes: {unknown['notes']}")

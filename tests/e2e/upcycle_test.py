#!/usr/bin/env python3
"""Growing a model through the program: `upcycle` of a dense run, checkpoint and Hugging Face folder by every method, and of a model with experts; training,
evaluation and export of what came out; a larger vocabulary by `tokenizer extend` and [model] new_embeddings, its rows counted anew with the sentencepiece
library; rows and experts that stay frozen.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import json
import random
import shutil
import sys

sys.dont_write_bytecode = True
import numpy as np  # noqa: E402
import sentencepiece  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

import toy  # noqa: E402
from checks import evaluations_of, run_in_folder  # noqa: E402

CPU = ("--threads", "1", "--device", "cpu")
V, V2, D_FF = 300, 320, 24
ROUNDING = 2e-5  # of losses, whose logits are sums in another order
RECIPE = """[model]
{model}
[train]
batch_size = 4
sequence_length = 16
seed = 3
[[phase]]
name = "one"
steps = {steps}
data = [{{name = "data", path = "{data}"}}]
schedule = {{kind = "constant", lr_max = {rate}}}
eval = {{data = [{{name = "held", path = "held"}}]}}
{more}
"""
DENSE = f"vocab_size = {V}\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = {D_FF}"


def new_text():
    rng = random.Random(4)
    words = ["".join(rng.choice("абвгдежзиклмн") for _ in range(rng.randint(3, 7))) for _ in range(12)] + ["bädör", "günef", "ädör"]
    return "\n".join(" ".join(rng.choice(words) for _ in range(8)) for _ in range(200)) + "\n"


class Place:
    def __init__(self, folder):
        self.folder = folder
        for name, text in (("text", toy.made_text(1)), ("held", toy.made_text(2, 30)), ("new", new_text())):
            (folder / f"{name}.txt").write_text(text)
        self.works("tokenizer", "train", "--kind", "bpe", "--vocab-size", V, "--out", "tok.model", "text.txt")
        self.works("tokenizer", "extend", "tok.model", "--vocab-size", V2, "--out", "tok2.model", "new.txt")
        for tokenizer, prefix, text in (("tok", "old", "text"), ("tok", "held", "held"), ("tok2", "new", "new")):
            self.works("prepare", "--tokenizer", f"{tokenizer}.model", "--out", prefix, f"{text}.txt")
        self.train("dense", DENSE, steps=20, rate=3e-2)  # weights that are large enough for a change to show
        self.works("export", "dense", "--out", "hf")
        (folder / "hf" / "tokenizer.model").write_bytes((folder / "tok.model").read_bytes())
        self.works("upcycle", "dense", "--experts", 4, "--top-k", 2, "--out", "copied")
        self.dense_loss = self.loss("dense")

    def run(self, *args):
        return toy.evenkeel(*args, cwd=self.folder)

    def works(self, *args):
        done = self.run(*args)
        if done.rc != 0:
            raise RuntimeError(f"{args}: {done.err}")
        return done

    def recipe(self, name, model, data="old", steps=4, rate=1e-2, more=""):
        (self.folder / f"{name}.toml").write_text(RECIPE.format(model=model, data=data, steps=steps, rate=rate, more=more))
        return "train", f"{name}.toml", "--out", name, *CPU

    def train(self, name, model, **options):
        return self.works(*self.recipe(name, model, **options))

    def loss(self, model, data="held"):
        return json.loads(self.works("eval", model, "--data", f"x={data}", "--json", *CPU).out)["data"]["x"]["loss"]

    def upcycle(self, model, out, *options):
        return json.loads(self.works("upcycle", model, "--out", out, "--json", *options).out)

    def weights(self, model, step=None):
        path = self.folder / model
        if (path / "checkpoints").exists():
            path = sorted((path / "checkpoints").iterdir())[-1] if step is None else path / "checkpoints" / f"step-{step:08d}"
        return load_file(path / "model.safetensors")


# Options -> whether the function stays.
FORMS = {
    ("--experts", 4, "--top-k", 2): True,
    ("--experts", 4, "--top-k", 2, "--set", "model.router.score=softmax_post"): True,
    ("--experts", 4, "--top-k", 2, "--router-init", "torch_rand_002"): True,
    ("--experts", 4, "--top-k", 2, "--shared", 2): True,
    ("--experts", 4, "--top-k", 2, "--set", "model.moe_layers=[1]"): True,
    ("--experts", 8, "--top-k", 4, "--granularity", 2, "--set", "model.router.scaling=2"): True,
    ("--experts", 8, "--top-k", 4, "--granularity", 2): False,
    ("--experts", 4, "--top-k", 2, "--set", "model.router.renormalize=false"): False,
    ("--experts", 4, "--top-k", 1): False,
    ("--experts", 4, "--top-k", 2, "--method", "drop"): False,
    ("--experts", 4, "--top-k", 2, "--method", "noise", "--ratio", 0.25, "--rows", "shared"): False,
}


def check_every_form_keeps_the_function_where_it_says_so(place, problems):
    for i, (options, stays) in enumerate(FORMS.items()):
        told = place.upcycle("hf" if i % 2 else "dense", f"form-{i}", *options)
        problems.equal((told["same_function"], told["difference"] == "", told["probe"]["tokens"] > 0), (stays, stays, True), f"{options}: {told}")
        problems.ran(place.run("verify", f"form-{i}"))
        change = abs(place.loss(f"form-{i}") - place.dense_loss)
        problems.need((change <= ROUNDING) == stays, f"{options}: the loss changed by {change}")
        problems.need((told["probe"]["mean_logit_change"] <= ROUNDING) == stays, f"{options}: {told['probe']}")


def check_what_it_says_is_for_people_too(place, problems):
    same = place.works("upcycle", "dense", "--experts", 4, "--top-k", 2, "--out", "words").out
    problems.need("it computes what its parent does, up to rounding" in same and "4 experts, 2 a token, in 2 layers" in same, same)
    other = place.works("upcycle", "dense", "--experts", 8, "--top-k", 4, "--granularity", 2, "--out", "words", "--probe", "held").out
    problems.need(all(words in other for words in ("something else", "multiplied by 1.25992", "model.router.scaling=2", "of held", "KL")), other)
    quiet = place.works("upcycle", "dense", "--experts", 4, "--top-k", 2, "--out", "words", "--no-probe").out
    problems.need("KL" not in quiet, quiet)


def check_weights_are_those_of_the_formulas(place, problems):
    dense, copied = place.weights("dense"), place.weights("copied")
    for layer in range(2):
        for part in ("gate_up", "down"):
            problems.need(all(np.array_equal(expert, dense[f"layers.{layer}.ffn.{part}.weight"]) for expert in copied[f"layers.{layer}.experts.{part}"]), f"copy: {part} of layer {layer}")
    place.upcycle("dense", "fine", "--experts", 8, "--top-k", 4, "--granularity", 2)
    fine, half, m = place.weights("fine"), D_FF // 2, 2 ** (1 / 3)
    for expert in range(8):
        first = expert % 2 * half
        rows = np.concatenate([dense["layers.0.ffn.gate_up.weight"][start + first:start + first + half] for start in (0, D_FF)])
        problems.need(np.allclose(fine["layers.0.experts.gate_up"][expert], m * rows, rtol=1e-6), f"granularity: gate_up of expert {expert}")
        problems.need(np.allclose(fine["layers.0.experts.down"][expert], m * dense["layers.0.ffn.down.weight"][:, first:first + half], rtol=1e-6), f"granularity: down of expert {expert}")
        problems.need(np.array_equal(fine["layers.0.router.weight"][expert], fine["layers.0.router.weight"][expert // 2 * 2]), f"granularity: row {expert} of the router")


def check_drop_draws_a_share_anew_by_the_seed(place, problems):
    gate = place.weights("dense")["layers.1.ffn.gate_up.weight"][:D_FF]
    old = {row.tobytes() for row in gate}
    drawn = {}
    for name, options in (("one", ()), ("again", ()), ("two", ("--seed", 2)), ("less", ("--ratio", 0.25))):
        place.upcycle("dense", f"drop-{name}", "--experts", 3, "--top-k", 2, "--method", "drop", *options)
        drawn[name] = place.weights(f"drop-{name}")["layers.1.experts.gate_up"][:, :D_FF]
        kept = [sum(row.tobytes() in old for row in expert) for expert in drawn[name]]
        problems.equal(kept, [18 if name == "less" else 12] * 3, f"{name}: rows that are the parent's")
    problems.need(np.array_equal(drawn["one"], drawn["again"]), "one seed gave two models")
    problems.need(not np.array_equal(drawn["one"], drawn["two"]) and not np.array_equal(drawn["one"][0], drawn["one"][1]), "seeds or experts are alike")
    model = (place.folder / "drop-one" / "model.safetensors").read_bytes()
    problems.equal(model == (place.folder / "drop-again" / "model.safetensors").read_bytes(), True, "the same bytes twice")


def check_it_trains_and_is_exported(place, problems):
    for name in ("copied", "hf-copied"):
        if name == "hf-copied":
            place.upcycle("hf", name, "--experts", 4, "--top-k", 2, "--method", "drop")
            problems.equal((place.folder / name / "origin" / "tokenizer.model").read_bytes(), (place.folder / "tok.model").read_bytes(), "the tokenizer of the folder")
        balance = '[model.balance]\nloss = "switch"\ncoefficient = 0.01'
        run = place.run(*place.recipe(f"run-{name}", f'from = "{name}"\n{balance}', steps=3))
        if not problems.ran(run):
            continue
        before, after = evaluations_of(place.folder / f"run-{name}")[0], evaluations_of(place.folder / f"run-{name}")[-1]
        problems.equal((before["step"], after["step"]), (0, 3), "evaluations")
        if name == "copied":
            problems.close(before["eval"]["held"]["loss"], place.dense_loss, ROUNDING, "the loss of step 0")
        if problems.ran(place.run("export", f"run-{name}", "--out", f"out-{name}")):
            problems.equal(json.loads((place.folder / f"out-{name}" / "config.json").read_text())["model_type"], "mixtral", "family")
            problems.close(place.loss(f"out-{name}"), after["eval"]["held"]["loss"], ROUNDING, "the loss of the folder")


def check_more_experts_come_behind_the_old(place, problems):
    place.train("moe", 'from = "copied"', steps=6, rate=3e-2)  # experts that differ
    told = place.upcycle("moe", "more", "--experts", 6, "--router-noise", 0.05)
    problems.equal((told["same_function"], told["advice"]), (False, ""), f"{told}")
    old, new = place.weights("moe"), place.weights("more")
    for name, value in old.items():
        many = "experts." in name or "router." in name
        problems.need(np.array_equal(new[name][:4] if many else new[name], value), f"{name} changed")
        if "experts." in name:
            problems.need(np.array_equal(new[name][4:], value[:2]), f"{name}: the new ones are no copies")
    problems.need(not np.array_equal(new["layers.0.router.weight"][4:], old["layers.0.router.weight"][:2]), "new rows of the router without noise")
    doubled = place.upcycle("moe", "doubled", "--experts", 8, "--top-k", 4, "--router-noise", 0)
    problems.need(doubled["probe"]["mean_logit_change"] <= ROUNDING, f"{doubled['probe']}")
    halved = place.upcycle("moe", "beside", "--experts", 8, "--router-noise", 0)
    problems.need(halved["probe"]["mean_logit_change"] > ROUNDING and "--top-k 4" in halved["advice"], f"{halved}")
    # The old experts and rows of the router stay frozen while the new ones learn.
    frozen = 'freeze = ["layers.*.experts.*[:4]", "layers.*.router.weight[0:4]", "layers.*.attention.*", "*norm.weight", "head.weight", "embedding.weight"]'
    if problems.ran(place.run(*place.recipe("run-more", 'from = "more"', steps=3, more=frozen))):
        after = place.weights("run-more")
        for name, value in new.items():
            many = "experts." in name or "router." in name
            problems.need(np.array_equal(after[name][:4] if many else after[name], value[:4] if many else value), f"{name}: what is frozen changed")
        problems.need(not np.array_equal(after["layers.0.experts.down"][4:], new["layers.0.experts.down"][4:]), "no new expert learned")


def refused(place, problems, args, *words):
    """A training that is refused for its data leaves a run folder with a log."""
    done = place.run(*args)
    problems.ran(done, 2)
    problems.need(all(str(word) in done.err for word in words), f"{args}: {words} in {done.err[-400:]!r}")
    problems.need(args[0] == "train" or not (place.folder / "refused").exists(), f"{args}: left something")
    shutil.rmtree(place.folder / "refused", ignore_errors=True)


def check_what_cannot_be_is_refused(place, problems):
    out = ("--out", "refused")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 5, *out), "--top-k: got 5; need 1..4")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, *out), "--top-k", "dense")
    refused(place, problems, ("upcycle", "dense", "--experts", 10, "--top-k", 5, "--granularity", 5, *out), "--granularity: got 5", D_FF)
    refused(place, problems, ("upcycle", "dense", "--experts", 8, "--top-k", 3, "--granularity", 2, *out), "--top-k: got 3; need a multiple")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 2, "--method", "dropp", *out), "'dropp'", "copy, noise, drop")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 2, "--router-init", "zeros", *out), "torch_rand_mean0")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 2, "--ratio", 0.3, *out), "--ratio: got 0.3", "--method")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 2, "--set", "model.d_ff=3", *out), "model.d_ff")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 2, "--probe", "absent", *out), "absent")
    refused(place, problems, ("upcycle", "copied", "--experts", 4, *out), "need more than the 4 experts", "evenkeel train")
    refused(place, problems, ("upcycle", "copied", "--experts", 8, "--granularity", 2, *out), "--granularity: got 2; need 1")
    refused(place, problems, ("upcycle", "text.txt", "--experts", 8, "--top-k", 2, *out), "text.txt: got a file")
    refused(place, problems, ("upcycle", "dense", "--experts", 4, "--top-k", 2, "--out", "hf"), "hf: got")


# ---- a larger vocabulary ----


def parts_of_new_pieces(place):
    """By the sentencepiece library: the old ids of each new piece's text."""
    old, new = (sentencepiece.SentencePieceProcessor(model_file=str(place.folder / name)) for name in ("tok.model", "tok2.model"))
    return [old.encode(new.id_to_piece(i).replace("\u2581", " ")) for i in range(V, V2)]


def check_new_rows_begin_as_the_recipe_says(place, problems):
    parts, old = parts_of_new_pieces(place), place.weights("dense")
    problems.need(all(parts) and max(map(len, parts)) > 2, f"parts: {parts}")
    for how in ("mean", "normal", "zero", "pieces"):
        model = f'from = "dense"\nvocab_size = {V2}\nnew_embeddings = "{how}"'
        if not problems.ran(place.run(*place.recipe(f"rows-{how}", model, data="new", steps=1, rate=0.0))):
            continue
        now = place.weights(f"rows-{how}")
        for name, value in old.items():
            grows = name in ("embedding.weight", "head.weight")
            problems.need(np.array_equal(now[name][:len(value)], value), f"{how}: {name} changed")
            if not grows:
                continue
            rows, wide = now[name][V:].astype(np.float64), value.astype(np.float64)
            problems.equal(rows.shape, (V2 - V, 16), f"{how}: {name}")
            if how == "normal":
                n = rows.size
                problems.need(abs(rows.std() - 0.02) <= 5 * 0.02 / np.sqrt(2 * n) and abs(rows.mean()) <= 5 * 0.02 / np.sqrt(n), f"normal: {name} has {rows.mean()} ± {rows.std()}")
                continue
            need = {"mean": [wide.mean(0)] * len(parts), "zero": np.zeros_like(rows), "pieces": [wide[ids].mean(0) for ids in parts]}[how]
            problems.need(np.allclose(rows, need, rtol=1e-6, atol=1e-9), f"{how}: {name} differs by {np.abs(rows - need).max()}")


def check_new_rows_learn_alone(place, problems):
    frozen = f'freeze = ["embedding.weight[:{V}]", "head.weight[:{V}]", "layers.*", "final_norm.weight"]'
    model = f'from = "hf"\nvocab_size = {V2}\nnew_embeddings = "pieces"'
    if not problems.ran(place.run(*place.recipe("alone", model, data="new", steps=3, more=frozen))):
        return
    old, now = place.weights("dense"), place.weights("alone")
    problems.need(all(np.array_equal(now[name][:len(value)], value) for name, value in old.items()), "what is frozen changed")
    begin = place.weights("rows-pieces")
    for name in ("embedding.weight", "head.weight"):
        problems.need(not np.array_equal(now[name][V:], begin[name][V:]), f"the new rows of {name} did not learn")
    kept = sorted((place.folder / "alone" / "checkpoints").iterdir())[-1] / "origin" / "tokenizer.model"
    problems.equal(kept.read_bytes(), (place.folder / "tok2.model").read_bytes(), "the tokenizer that is kept")
    problems.need(place.loss("alone", "new") > 0 and place.loss("alone", "held") > 0, "sets of both tokenizers are evaluated")
    problems.ran(place.run("export", "alone", "--out", "out-alone"))
    problems.equal(json.loads((place.folder / "out-alone" / "config.json").read_text())["vocab_size"], V2, "vocab_size of the folder")
    problems.ran(place.run("train", "alone.toml", "--out", "alone", "--resume", *CPU))


def check_new_pieces_take_rows_of_padding(place, problems):
    """Of a model with more rows than its tokenizer has pieces; where all new pieces fit, vocab_size stays."""
    parts = parts_of_new_pieces(place)
    for n_rows in (V + 5, V2):
        parent, name = f"padded-{n_rows}", f"filled-{n_rows}"
        place.train(parent, DENSE.replace(f"vocab_size = {V}", f"vocab_size = {n_rows}"), steps=2)
        done = place.run(*place.recipe(name, f'from = "{parent}"\nvocab_size = {V2}\nnew_embeddings = "pieces"', data="new", steps=1, rate=0.0))
        if not problems.ran(done):
            continue
        problems.need(f"rows {V}..{n_rows - 1} of the vocabulary" in done.err, f"{name}: {done.err[-600:]!r}")
        before, now = place.weights(parent), place.weights(name)
        for key in ("embedding.weight", "head.weight"):
            wide = before[key].astype(np.float64)
            problems.need(np.array_equal(now[key][:V], before[key][:V]), f"{name}: rows of old pieces of {key}")
            problems.need(np.allclose(now[key][V:], [wide[ids].mean(0) for ids in parts], rtol=1e-6, atol=1e-9), f"{name}: rows of new pieces of {key}")


def check_a_run_that_was_upcycled_gets_a_larger_vocabulary(place, problems):
    """The parent is a run that began from nothing: the description of its set alone names its tokenizer."""
    def kept(model):
        folder = place.folder / model
        if (folder / "checkpoints").exists():
            folder = sorted((folder / "checkpoints").iterdir())[-1]
        file = folder / "origin" / "tokenizer.model"
        return file.read_bytes() if file.exists() else None

    problems.equal(kept("dense"), None, "the parent has no files of an origin")
    problems.equal(kept("copied") == (place.folder / "tok.model").read_bytes(), True, "the tokenizer comes along")
    old, parts = place.weights("copied"), parts_of_new_pieces(place)
    for name, parent in (("larger", "copied"), ("larger-dense", "dense")):
        if not problems.ran(place.run(*place.recipe(name, f'from = "{parent}"\nvocab_size = {V2}\nnew_embeddings = "pieces"', data="new", steps=1, rate=0.0))):
            continue
        rows = place.weights(name)["embedding.weight"][V:].astype(np.float64)
        wide = place.weights(parent)["embedding.weight"].astype(np.float64)
        problems.need(np.allclose(rows, [wide[ids].mean(0) for ids in parts], rtol=1e-6, atol=1e-9), f"{name}: new rows")
        problems.equal(kept(name) == (place.folder / "tok2.model").read_bytes(), True, f"{name}: the tokenizer that is kept")
        if problems.ran(place.run("export", name, "--out", f"out-{name}")):
            problems.equal((place.folder / f"out-{name}" / "tokenizer.model").exists(), True, f"{name}: the tokenizer of the folder")
    problems.need(np.array_equal(place.weights("larger")["layers.0.experts.down"], old["layers.0.experts.down"]), "experts changed")


def check_a_vocabulary_that_does_not_fit_is_refused(place, problems):
    def bad(model, *words, data="new", more=""):
        args = list(place.recipe("refused-recipe", model, data=data, more=more))
        args[args.index("--out") + 1] = "refused"
        refused(place, problems, args, *words)

    bad(f'from = "dense"\nvocab_size = {V2}', "vocab_size", "mean, normal, zero, pieces")
    bad(f'from = "dense"\nvocab_size = {V - 1}', f"need at least {V}")
    bad('from = "dense"\nnew_embeddings = "mean"', "new_embeddings", "vocab_size", data="old")
    bad(f'from = "dense"\nvocab_size = {V2}\nnew_embeddings = "piece"', "'piece'", "pieces")
    grown = f'from = "dense"\nvocab_size = {V2}\nnew_embeddings = "mean"'
    bad(grown, f"rows within the {V2}", more=f'freeze = ["embedding.weight[{V}:{V2 + 1}]"]')
    place.works("tokenizer", "train", "--kind", "bpe", "--vocab-size", V2, "--out", "other.model", "text.txt", "new.txt")
    place.works("prepare", "--tokenizer", "other.model", "--out", "other", "new.txt")
    bad(grown, "other.model", "another tokenizer", "extends", data="other")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

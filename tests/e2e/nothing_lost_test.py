#!/usr/bin/env python3
"""What a resume, a change of the recipe, a failing evaluation and sets that do not belong together may not cost: through the binary.

  EVENKEEL   the binary (build/evenkeel)
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402

RECIPE = """
[model]
vocab_size = 64
d_model = 16
n_layers = 1
n_heads = 2
n_experts = 4
top_k = 2
d_expert = 12
balance = {loss = "switch", coefficient = 0.01}
[train]
batch_size = 4
sequence_length = 8
checkpoint_every = "5 steps"
[[phase]]
name = "one"
steps = 20
data = [{name = "a", path = "a"}, {name = "b", path = "b"}]
schedule = {kind = "constant", lr_max = 1e-2}
eval = {data = [{name = "held", path = "held"}]}
"""
SECOND_PHASE = """
[[phase]]
name = "two"
steps = 4
data = [{name = "c", path = "c"}]
replay = {fraction = 0.5, from = "one", mode = "seen"}
schedule = {kind = "constant", lr_max = 1e-2}
"""
problems = []
n_passed = 0


def check(name, holds, seen=""):
    global n_passed
    print(f"{'ok  ' if holds else 'FAIL'} {name}" + ("" if holds else f": {seen}"), flush=True)
    if holds:
        n_passed += 1
    else:
        problems.append(name)


def refused(result, *needles, rc=2):
    """True for one error line that has all needles."""
    lines = result.error_lines()
    return result.rc == rc and len(lines) == 1 and all(needle in lines[0] for needle in needles)


def data(name, seed, n_documents=60):
    toy.write_dataset(name, toy.made_documents(seed, n_documents))


def train(*more, recipe="r.toml", run="run", env=None):
    return toy.evenkeel("train", recipe, "--out", run, "--threads", "1", *more, env=env)


def begin(recipe=RECIPE, stop_after=10, run="run"):
    """A run that was interrupted after the checkpoint of step 10: what came later is taken away."""
    shutil.rmtree(run, ignore_errors=True)
    pathlib.Path("r.toml").write_text(recipe)
    done = train(run=run)
    assert done.rc == 0, done.err
    for path in toy.checkpoints(run):
        if int(path.name[5:]) > stop_after:
            shutil.rmtree(path)
    os.remove(f"{run}/results.json")


def state_of(folder):
    """Every file and link below, with its bytes; the lock, which holds nothing, left out."""
    return {str(path): (os.readlink(path) if path.is_symlink() else path.read_bytes()) for path in pathlib.Path(folder).rglob("*")
            if (path.is_symlink() or path.is_file()) and path.name != ".lock"}


def sources_after(step, run="run"):
    lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
    total = {}
    for line in lines:
        if "loss" in line and line["step"] > step:
            for name, count in line["sources"].items():
                total[name] = total.get(name, 0) + count
    return total


def names_of_checkpoints():
    begin(stop_after=15)
    for name in ("step-00000005-best", "step-by-step", "step-5", "copy of step-00000015", "step-99999999999999999999"):
        shutil.copytree("run/checkpoints/step-00000005", f"run/checkpoints/{name}")
    before = {path: content for path, content in state_of("run/checkpoints").items() if "step-00000020" not in path}
    done = train("--resume")
    after = state_of("run/checkpoints")
    check("only exact names are checkpoints", done.rc == 0 and "resumed at step 15 of 20" in done.err, done.err)
    check("whatever else lies there stays as it is", all(after.get(path) == content for path, content in before.items()))
    listed = toy.evenkeel("eval", "run", "--data", "held=held")
    check("eval takes the last checkpoint, not a copy", listed.rc == 0, listed.err)


def what_others_put_there():
    begin()
    saving = pathlib.Path("run/checkpoints/.evenkeel-saving-mine")
    saving.mkdir()
    (saving / "notes").write_text("mine")
    recipe = pathlib.Path("run/recipe.toml")
    recipe.write_text("# noted later\n" + recipe.read_text())
    before = state_of("run")
    blocking = pathlib.Path("run/checkpoints/step-00000020")
    blocking.write_text("mine")
    done = train("--resume")
    check("a file with the name of a checkpoint is found before training", refused(done, "run/checkpoints/step-00000020: got a file") and blocking.read_text() == "mine", done.err)
    blocking.unlink()
    check("and nothing else is written", state_of("run") == before)
    done = train("--resume")
    check("a folder with a name like a save's stays", done.rc == 0 and (saving / "notes").read_text() == "mine", done.err)
    check("so does a recipe of the same values with a note in it", recipe.read_text().startswith("# noted later\n"), recipe.read_text())


def damaged_checkpoints():
    begin()
    for path in toy.checkpoints("run"):
        file = path / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
    before = state_of("run")
    done = train("--resume")
    check("a resume without a whole checkpoint refuses", refused(done, "got 2 checkpoints, none of them whole", "step-00000010/model.safetensors: got", "need one of them restored"), done.err)
    check("and changes nothing", state_of("run") == before)

    begin()
    manifest = pathlib.Path("run/checkpoints/step-00000010/manifest.json")
    manifest.write_text(manifest.read_text().replace("evenkeel.manifest.v1", "evenkeel.manifest.v2"))
    before = state_of("run")
    done = train("--resume")
    check("a manifest of a newer version is no damage", refused(done, "evenkeel.manifest.v2", "newer"), done.err)
    check("and stays where it is", state_of("run") == before)

    begin()
    os.makedirs("run/checkpoints/damaged-step-00000010")
    pathlib.Path("run/checkpoints/damaged-step-00000010/note").write_text("mine")
    file = pathlib.Path("run/checkpoints/step-00000010/state.json")
    file.write_bytes(file.read_bytes() + b" ")
    done = train("--resume")
    check("a damaged checkpoint is put beside what bears that name", done.rc == 0 and "resumed at step 5" in done.err and
          pathlib.Path("run/checkpoints/damaged-step-00000010/note").read_text() == "mine" and os.path.isdir("run/checkpoints/damaged-step-00000010.2"), done.err)

    begin()  # between the two renames of a replacement
    os.rename("run/checkpoints/step-00000010", "run/checkpoints/.evenkeel-replaced-step-00000010")
    done = train("--resume")
    check("a checkpoint that was being replaced is there again", done.rc == 0 and "resumed at step 10" in done.err and not toy.leftovers("run"), done.err)


def checkpoints_away():  # when the first is due, and what tells that there was one: src/train/resume_test.cpp
    for name in (".evenkeel-saving-step-00000005", ".evenkeel-replaced-step-00000005"):  # a kill before the rename of the only checkpoint
        begin(stop_after=5)
        os.rename("run/checkpoints/step-00000005", f"run/checkpoints/{name}")
        before = {path: content for path, content in state_of("run").items() if "checkpoints" not in path}
        done = train("--resume", "--set", "train.batch_size=8")
        same = before == {path: content for path, content in state_of("run").items() if "checkpoints" not in path}
        check(f"{name}: a changed recipe is refused", refused(done, "batch_size", "--allow-change") and same, done.err)
        done = train("--resume")
        check(f"{name}: the old recipe goes on", done.rc == 0 and "resumed at step 5 of 20" in done.err and not toy.leftovers("run"), done.err)
    for place in ("run/kept", "run/checkpoints/step-00000010.bak"):
        begin(stop_after=5)
        os.rename("run/checkpoints", "run/kept") if place == "run/kept" else os.rename("run/checkpoints/step-00000005", place)
        before = state_of("run")
        done = train("--resume", "--allow-change")
        check(f"{place}: a resume does not start over", refused(done, "metrics.jsonl with 20 steps", "no checkpoint", "--out") and state_of("run") == before, done.err)


def misnamed_checkpoints():
    begin()
    shutil.copytree("run/checkpoints/step-00000005", "run/checkpoints/step-00000099")
    os.rename("run/checkpoints/step-00000010", "run/checkpoints/step-00000015")
    copied, moved = (list(state_of(f"run/checkpoints/{name}").values()) for name in ("step-00000099", "step-00000015"))
    seen = toy.evenkeel("verify", "run/checkpoints/step-00000099")
    check("verify names a checkpoint under the name of another step", refused(seen, "step-00000099", "got step 5"), seen.err)
    done = train("--resume")
    check("a resume passes over it", done.rc == 0 and "resumed at step 5 of 20" in done.err and list(state_of("run/checkpoints/step-00000099").values()) == copied, done.err)
    check("a save under that name keeps it", list(state_of("run/checkpoints/damaged-step-00000015").values()) == moved)


def refused_changes():
    begin()
    whole = "whole"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree("run", whole)
    reference = train("--resume", run=whole)
    assert reference.rc == 0, reference.err
    changes = {
        "a source that is not there": (['phase.one.data=[{name = "a", path = "a"}, {name = "b", path = "b"}, {name = "n", path = "nowhere"}]'], "nowhere"),
        "another sequence length": (["train.sequence_length=16"], "train.sequence_length"),
        "another seed": (["train.seed=2"], "train.seed"),
        "another order within an epoch": (["phase.one.shuffle=false"], "shuffle"),
        "other lengths of the phases so far": (["phase.one.steps=8"], "phase.one.steps"),
        "another batch size": (["train.batch_size=8", 'phase.one={tokens = "640 tokens", steps = 0}'], ""),
        "a model of another width": (["model.d_model=32"], ""),
        "a vocabulary that the data exceed": (["model.vocab_size=8"], ""),
    }
    for name, (overrides, needle) in changes.items():
        before = state_of("run")
        done = train("--resume", "--allow-change", *(word for override in overrides for word in ("--set", override)))
        check(f"{name}: refused with the key", refused(done, needle), done.err)
        check(f"{name}: nothing is touched", state_of("run") == before, sorted(path for path, content in state_of("run").items() if before.get(path) != content))
    done = train("--resume")
    same = all((path / "model.safetensors").read_bytes() == (pathlib.Path("run/checkpoints") / path.name / "model.safetensors").read_bytes() for path in toy.checkpoints(whole))
    check("the old recipe goes on to the same bits", done.rc == 0 and same, done.err)


def changed_mixtures():
    weights = 'phase.one.data=[{name = "a", path = "a", weight = 9}, {name = "b", path = "b"}]'
    begin()
    done = train("--resume", "--allow-change", "--set", weights)
    drawn = sources_after(10)
    check("weights count from the change on", done.rc == 0 and 3 <= drawn.get("b", 0) <= 5, f"{drawn} {done.err}")

    begin()
    done = train("--resume", "--allow-change", "--set", 'phase.one.data=[{name = "b", path = "b"}, {name = "a", path = "a", weight = 9}]')
    drawn = sources_after(10)
    check("counts belong to the content, not to the place", done.rc == 0 and 3 <= drawn.get("b", 0) <= 5, f"{drawn} {done.err}")

    begin()
    shutil.rmtree("whole", ignore_errors=True)
    shutil.copytree("run", "whole")
    assert train("--resume", run="whole").rc == 0
    done = train("--resume", "--allow-change", "--set", 'phase.one.data=[{name = "b", path = "b"}, {name = "a", path = "a"}]')
    check("another order of the same sources draws as many of each", done.rc == 0 and sources_after(10) == sources_after(10, "whole"), f"{sources_after(10)} {sources_after(10, 'whole')}")

    begin()
    done = train("--resume", "--allow-change", "--set", 'phase.one.data=[{name = "a", path = "a"}, {name = "b", path = "b"}, {name = "c", path = "c", weight = 2}]')
    check("a source more has its share from here on", done.rc == 0 and sources_after(10) == {"a": 10, "b": 10, "c": 20}, f"{sources_after(10)} {done.err}")

    begin()
    done = train("--resume", "--allow-change", "--set", 'phase.one.data=[{name = "b", path = "b"}]')
    check("a source less leaves the others", done.rc == 0 and sources_after(10) == {"b": 40}, f"{sources_after(10)} {done.err}")

    begin(RECIPE + SECOND_PHASE)
    before = state_of("run")
    done = train("--resume", "--allow-change", "--set", weights)
    check("what a later phase repeats is not changed on the way", refused(done, "phase.one.data", "'two'", "fresh"), done.err)
    check("and nothing is touched then", state_of("run") == before)
    begin(RECIPE + SECOND_PHASE, stop_after=20)
    done = train("--resume", "--allow-change", "--set", weights)
    check("nor after that phase has ended", refused(done, "phase.one.data", "'two'"), done.err)


def what_the_recipe_shows():
    orders = RECIPE + SECOND_PHASE.replace('{name = "c", path = "c"}', '{name = "a", path = "a"}').replace("steps = 4\n", "steps = 4\nshuffle = false\n").replace('replay = {fraction = 0.5, from = "one", mode = "seen"}\n', "")
    only_replay = RECIPE + SECOND_PHASE.replace("0.5", "1.0") + SECOND_PHASE.replace('"two"', '"three"').replace('from = "one"', 'from = "two"')
    epochs = RECIPE + SECOND_PHASE.replace("steps = 4", 'tokens = "1 epoch"').replace("0.5", "1.0")
    later = RECIPE + SECOND_PHASE.replace('from = "one"', 'from = "three"')
    for name, recipe, needles in (("two orders of one content", orders, ("phase.two.shuffle", "'one'")),
                                  ("a seen replay of a phase that sees nothing", only_replay, ("phase.three.replay", "fresh")),
                                  ("an epoch of replay alone", epochs, ("replay.fraction", "epochs")),
                                  ("a replay of a phase that is not there", later, ("replay.from = 'three'", "one"))):
        pathlib.Path("shown.toml").write_text(recipe)
        for command in (["plan", "shown.toml"], ["train", "shown.toml", "--out", "shown"]):
            done = toy.evenkeel(*command)
            check(f"{command[0]}: {name}", refused(done, *needles) and not os.path.exists("shown"), done.err)

    for suffix in (".bin", ".idx"):
        shutil.copy("a" + suffix, "a-copy" + suffix)
    pathlib.Path("shown.toml").write_text(orders.replace('name = "a", path = "a"}]\nschedule', 'name = "a", path = "a-copy"}]\nschedule'))
    done = toy.evenkeel("train", "shown.toml", "--out", "shown")
    check("train: two orders of one content in two places", refused(done, "phase.two.shuffle") and not os.path.exists("shown"), done.err)

    # One epoch of c beside half replay: each sample of c once, so the phase has twice the steps of c alone.
    pathlib.Path("shown.toml").write_text(RECIPE.replace("steps = 20", "steps = 2") + SECOND_PHASE.replace("steps = 4", 'tokens = "1 epoch"').replace(', mode = "seen"', ""))
    done = train(recipe="shown.toml", run="epoch")
    n_samples = (sum(len(document) for document in toy.made_documents(4, 30)) - 1) // 8
    drawn = sources_after(2, "epoch").get("c", 0)
    check("an epoch is one of the phase's own data", done.rc == 0 and n_samples <= drawn < n_samples + 4, f"{drawn} of {n_samples} {done.err}")


def contents():
    toy.write_dataset("big", toy.made_documents(9, 20000))
    recipe = RECIPE.replace('path = "a"}', 'path = "big"}')
    for name, at in (("a byte in the middle", 0.37), ("the last byte", 1.0)):
        begin(recipe)
        content = bytearray(pathlib.Path("big.bin").read_bytes())
        place = min(len(content) - 2, int(len(content) * at) // 2 * 2)
        kept = content[place]
        content[place] = kept % 60 + 1
        pathlib.Path("big.bin").write_bytes(content)
        before = state_of("run")
        done = train("--resume")
        check(f"{name} of the data is another: refused", refused(done, "phase.one.data.a.path", "other contents"), done.err)
        check(f"{name}: nothing is touched", state_of("run") == before)
        content[place] = kept
        pathlib.Path("big.bin").write_bytes(content)
        done = train("--resume")
        check(f"{name} is as it was: goes on", done.rc == 0 and "resumed at step 10" in done.err, done.err)

    # Two sets that agree in size and in all that an earlier version looked at have cursors of their own.
    content = bytearray(pathlib.Path("big.bin").read_bytes())
    place = len(content) // 126 // 2 * 2 + 5000
    content[place] = content[place] % 60 + 1
    pathlib.Path("twin.bin").write_bytes(content)
    shutil.copy("big.idx", "twin.idx")
    begin(recipe.replace('path = "b"}', 'path = "twin"}'))
    state = json.load(open("run/checkpoints/step-00000010/state.json"))
    cursors = sorted(state["loader"]["cursors"].values())
    check("two sets that are nearly alike have cursors of their own", cursors == [20, 20], cursors)


def old_checkpoints():
    """A checkpoint of an earlier version names contents by a hash of samples, and counts by their place."""
    begin()
    shutil.rmtree("whole", ignore_errors=True)
    shutil.copytree("run", "whole")
    assert train("--resume", run="whole").rc == 0
    make_old("run")
    done = train("--resume")
    same = all((path / "model.safetensors").read_bytes() == (pathlib.Path("run/checkpoints") / path.name / "model.safetensors").read_bytes() for path in toy.checkpoints("whole"))
    check("a checkpoint of an earlier version goes on to the same bits", done.rc == 0 and same and "resumed at step 10" in done.err, done.err)
    begin()
    make_old("run")
    data("a", 1, 61)
    done = train("--resume")
    check("and still refuses other data", refused(done, "phase.one.data.a.path"), done.err)
    data("a", 1)


def sampled_hash(prefix):
    """The fingerprint of earlier versions (docs/formats.md): a SHA-256 of the sizes and of both files, whole while they are small."""
    import hashlib
    index, tokens = pathlib.Path(prefix + ".idx").read_bytes(), pathlib.Path(prefix + ".bin").read_bytes()
    assert max(len(index), len(tokens)) <= 64 * 4096
    return hashlib.sha256(f"{len(index)} {len(tokens)}\n".encode() + index + tokens).hexdigest()


def make_old(run):
    import hashlib
    resolved = json.load(open(f"{run}/resolved.json"))
    old = {record["hash"]: sampled_hash(record["path"]) for record in resolved["contents"]["data"].values()}
    resolved["contents"]["data"] = {key: old[record["hash"]] for key, record in resolved["contents"]["data"].items()}
    del resolved["train"]["allow_mixed_tokenizers"]
    pathlib.Path(f"{run}/resolved.json").write_text(json.dumps(resolved))
    for folder in toy.checkpoints(run):
        state = json.load(open(folder / "state.json"))
        loader = state["loader"]
        loader["cursors"] = {old[content]: cursor for content, cursor in loader["cursors"].items()}
        loader["mixture_counts"] = [source["count"] for source in loader.pop("mixture")]
        del loader["shuffled"]
        for record in state["phases"]:
            record["start_cursors"] = {old[content]: cursor for content, cursor in record["start_cursors"].items()}
            for source in record["sources"]:
                del source["content"]
        (folder / "state.json").write_text(json.dumps(state, indent=1))
        manifest = json.load(open(folder / "manifest.json"))
        for file in manifest["files"]:
            content = (folder / file["name"]).read_bytes()
            file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        (folder / "manifest.json").write_text(json.dumps(manifest))


HF_RECIPE = """
[model]
from = "hf"
[train]
batch_size = 4
sequence_length = 8
checkpoint_every = "2 steps"
[[phase]]
name = "one"
steps = 6
data = [{name = "low", path = "low"}]
schedule = {lr_max = 1e-3}
eval = {every = "4 steps", data = [{name = "held", path = "held"}]}
"""


def hugging_face_start():
    toy.write_hf("hf", 5)
    begin(HF_RECIPE, stop_after=2)
    toy.write_hf("hf", 6)
    done = train("--resume")
    check("other weights of a Hugging Face start are seen, whatever their size", refused(done, "model.from", "other contents"), done.err)
    toy.write_hf("hf", 5)
    check("and the same weights are taken for the same", train("--resume").rc == 0)


def failing_evaluation():
    toy.write_hf("hf", 5, nan_id=63)  # which the training text lacks
    toy.write_dataset("low", [[id % 62 + 1 for id in document] for document in toy.made_documents(1)])
    toy.write_dataset("clean", [[id % 62 + 1 for id in document] for document in toy.made_documents(3, 10)])
    toy.write_dataset("held", [[5, 63, 7, 9] * 8])
    done = toy.evenkeel("eval", "hf", "--data", "h=held", "--json")
    check("eval: a loss that is not finite ends with 3, the set and the weight", refused(done, "'h'", "in the weight embedding.weight", rc=3) and done.out == "", done.err)
    shutil.rmtree("run", ignore_errors=True)
    pathlib.Path("r.toml").write_text(HF_RECIPE)
    done = train()
    check("train: so does the evaluation before the first step", refused(done, "'held'", "step 0", rc=3), done.err)

    clean, held = ('phase.one.eval={every = "4 steps", data = [{name = "NAME", path = "NAME"}]}'.replace("NAME", name) for name in ("clean", "held"))
    shutil.rmtree("run", ignore_errors=True)
    assert train("--set", clean).rc == 0
    for path in toy.checkpoints("run")[1:]:
        shutil.rmtree(path)
    done = train("--resume", "--allow-change", "--set", held)
    check("train: so does one on the way, with its step", refused(done, "'held'", "step 4", rc=3), done.err)
    check("the checkpoint of that step is there", os.path.isdir("run/checkpoints/step-00000004"))
    done = train("--resume", "--set", held)
    check("a resume makes the evaluation first", refused(done, "'held'", "step 4", rc=3), done.err)
    done = train("--resume", "--allow-change", "--set", clean)
    lines = [json.loads(line) for line in open("run/metrics.jsonl")]
    evaluated = [(line["step"], list(line["eval"])) for line in lines if "eval" in line]
    check("without the set the run goes on, the evaluation that was due included", done.rc == 0 and evaluated == [(0, ["clean"]), (4, ["clean"]), (6, ["clean"])], f"{evaluated} {done.err}")


def saved_once():
    shutil.rmtree("run", ignore_errors=True)
    pathlib.Path("r.toml").write_text(RECIPE.replace("5 steps", "1 steps"))
    log = os.path.realpath("writes")
    done = train("--max-hours", "1e-9", env={"LD_PRELOAD": toy.SHIM, "EVENKEEL_CRASH_UNDER": os.path.realpath("."), "EVENKEEL_CRASH_MODE": "count", "EVENKEEL_CRASH_LOG": log})
    renames = [line for line in open(log) if " rename " in line and line.rstrip().endswith("checkpoints/step-00000001")]
    check("--max-hours saves a step once", done.rc == 0 and len(renames) == 1, f"{renames} {done.err}")


def main():
    with tempfile.TemporaryDirectory(prefix="evenkeel-lost-") as folder:
        os.chdir(folder)
        for name, seed, n_documents in (("a", 1, 60), ("b", 2, 60), ("c", 4, 30), ("held", 3, 10)):
            data(name, seed, n_documents)
        for part in (names_of_checkpoints, what_others_put_there, damaged_checkpoints, checkpoints_away, misnamed_checkpoints, refused_changes, changed_mixtures, what_the_recipe_shows, contents, old_checkpoints, saved_once, failing_evaluation, hugging_face_start):
            part()
        os.chdir("/")
    print(f"{n_passed} passed, {len(problems)} failed")
    return 1 if problems or n_passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

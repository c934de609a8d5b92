#!/usr/bin/env python3
"""What evenkeel did not write it does not remove, replace or write through: each output of each command, in the place of
which lies a pipe, a device, a link, a folder, a file of another program or an input. Its own earlier output is replaced.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import concurrent.futures
import json
import os
import pathlib
import shutil
import socket
import stat
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks  # noqa: E402
from contract_train import CPU  # noqa: E402

N_WORKERS = 2
ELSEWHERE = pathlib.Path(tempfile.mkdtemp(prefix="evenkeel-elsewhere-"))  # what links lead to


def foreign(path):
    path.write_text("mine, the only copy\n")


def link_to(target):
    """A link to a folder or file `target` beside the sandboxes."""
    return lambda path: path.symlink_to(ELSEWHERE / target)


def a_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


def a_device(path):
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null


def a_folder(path):
    path.mkdir()
    (path / "inside").write_text("mine")


OBSTACLES = {"a file of another program": foreign, "a pipe": os.mkfifo, "a link to a file": link_to("real"), "a folder": a_folder,
             "a dangling link": lambda path: path.symlink_to("absent"), "a link to standard output": lambda path: path.symlink_to("/proc/self/fd/1"),
             "a socket": a_socket, **({"a device": a_device} if os.geteuid() == 0 else {})}
IN_PLACE_OF_FOLDERS = {"a file": foreign, "a link to a folder": link_to(""), "a pipe": os.mkfifo}


def state_of(folder):
    """Name -> inode, time of the last change, kind and bytes or target of all that is there; links are not followed."""
    out = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        out[str(path.relative_to(folder))] = (info.st_ino, info.st_mtime_ns, stat.S_IFMT(info.st_mode), content)
    return out


class Place:
    """Good inputs, and for each command an output that it wrote."""

    def __init__(self, folder):
        self.folder = folder
        self.text = folder / "text.txt"
        self.text.write_text(toy.made_text(1, 400))
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        self.ids = folder / "ids.bin"
        self.ids.write_bytes(bytes([1, 0, 2, 0, 0, 0]) * 50)
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(toy.recipe_text(folder))
        self.study = folder / "study.toml"
        self.study.write_text('[study]\nbase = "recipe.toml"\narms = [{name = "a"}]\n')
        self.tokenizer = folder / "tok.model"
        self.run = folder / "whole"
        self.commands = {
            "prepare": lambda out: ("prepare", "--tokenizer", self.tokenizer, "--holdout", 0.2, "--out", out / "pair", self.text),
            "convert": lambda out: ("convert", self.ids, "--dtype", "u16", "--eod", 0, "--out", out / "pair"),
            "tokenizer": lambda out: ("tokenizer", "train", "--kind", "bpe", "--vocab-size", 320, "--out", out / "t.model", self.text),
            "tokenizer extend": lambda out: ("tokenizer", "extend", self.tokenizer, "--vocab-size", 325, "--out", out / "t.model", self.text),
            "report": lambda out: ("report", self.run, "--out", out / "page.html"),
            "trace": lambda out: ("trace", self.run, "--data", self.folder / "en", "--max-tokens", 200, "--out", out / "t.safetensors", *CPU),
            "analyze": lambda out: ("analyze", "--trace", f"en={self.own['trace'] / 't.safetensors'}", "--out", out / "analysis", *CPU),
            "train": lambda out: ("train", self.recipe, "--out", out / "run", "--resume", *CPU),
            "study": lambda out: ("study", self.study, "--out", out / "study", "--resume", *CPU),
        }
        self.ready("tokenizer", "train", "--kind", "bpe", "--vocab-size", 320, "--out", self.tokenizer, self.text)
        self.ready("train", self.recipe, "--out", self.run, *CPU)
        self.own = {}
        for command, args in self.commands.items():
            self.own[command] = folder / "own" / command
            self.own[command].mkdir(parents=True)
            self.ready(*args(self.own[command]))

    def ready(self, *args):
        result = toy.evenkeel(*args)
        if result.rc != 0:
            raise RuntimeError(result.err)

    def sandbox(self, command, with_own=True):
        """A new folder that holds what the command wrote earlier, or nothing."""
        out = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        if with_own:
            shutil.copytree(self.own[command], out, symlinks=True, dirs_exist_ok=True)
        return out

    def refused(self, problems, command, out, wanted, args=None):
        """Exit 2, one line that names the path, and nothing touched."""
        before = state_of(out)
        result = toy.evenkeel(*(args or self.commands[command](out)), cwd=out)
        what = f"{command}: {wanted}"
        if result.rc != 2 or len(result.error_lines()) != 1 or result.err.splitlines()[-1:] != result.error_lines():
            problems.append(f"{what}: exit code {result.rc}, {result.err[-300:]!r}")
            return
        line = result.error_lines()[0]
        problems.need(all(word in line for word in ("got ", "need ", str(wanted))), f"{what}: {line}")
        after = state_of(out)
        for name in sorted(before.keys() | after.keys()):
            problems.need(before.get(name) == after.get(name), f"{what}: {name} was touched")


# The outputs of each command that lie in its folder: files, then folders.
FILES = {
    "prepare": ["pair.bin", "pair.idx", "pair.json", "pair-heldout.bin", "pair-heldout.json"],
    "convert": ["pair.bin", "pair.idx", "pair.json"],
    "tokenizer": ["t.model"],
    "tokenizer extend": ["t.model"],
    "report": ["page.html"],
    "trace": ["t.safetensors"],
    "analyze": ["analysis/results.json", "analysis/report.html", "analysis/csv/load.csv"],
    "train": ["run/metrics.jsonl", "run/results.json", "run/report.html", "run/log.txt", "run/.lock"],
    "study": ["study/results.json", "study/speed.json", "study/report.html", "study/.lock", "study/csv/forgetting.csv",
              "study/arms/a/metrics.jsonl", "study/arms/a/report.html"],
}
FOLDERS = {"analyze": ["analysis/csv"], "train": ["run/checkpoints", "run/tensorboard"], "study": ["study/arms", "study/csv", "study/arms/a/checkpoints"]}
# Of these the folder says whose they are: what is no plain file is refused, another text is taken for the earlier one.
KNOWN_BY_FOLDER = {"train": ["run/recipe.toml", "run/resolved.json"], "study": ["study/study.toml", "study/arms/a/recipe.toml"]}


def in_place(place, problems, command, name, obstacle):
    out = place.sandbox(command)
    path = out / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    obstacle(path)
    place.refused(problems, command, out, path)
    shutil.rmtree(out)


def all_refused(place, problems, command):
    """Every obstacle in place of one file, and at every other place a file of another program and one obstacle in turn."""
    kinds = list(OBSTACLES.values())
    first, *others = FILES[command]
    cases = [(first, obstacle) for obstacle in kinds]
    for i, name in enumerate(others):
        cases += [(name, kinds[0]), (name, kinds[1 + i % (len(kinds) - 1)])]
    for i, name in enumerate(FOLDERS.get(command, [])):
        cases += [(name, obstacle) for obstacle in list(IN_PLACE_OF_FOLDERS.values())[:2 if i else 3]]
    cases += [(name, kinds[2 + i]) for i, name in enumerate(KNOWN_BY_FOLDER.get(command, []))]
    with concurrent.futures.ThreadPoolExecutor(N_WORKERS) as pool:
        list(pool.map(lambda case: in_place(place, problems, command, *case), cases))
    problems.equal((ELSEWHERE / "real").read_text(), "real", "what a link leads to")
    problems.equal(os.listdir(ELSEWHERE), ["real"], "the folder that a link leads to")


def check_prepare_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "prepare")
    out = place.sandbox("prepare", with_own=False)
    toy.write_dataset(out / "pair", toy.made_documents(3))  # a pair of another program has no description
    place.refused(problems, "prepare", out, out / "pair.")  # the first of its parts that is looked at


def check_convert_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "convert")
    out = place.sandbox("convert")
    shutil.copy(place.ids, out / "ids.bin")
    (out / "pair.json").unlink()
    place.refused(problems, "convert", out, out / "pair.")
    place.refused(problems, "convert", out, "the input ids.bin", ("convert", "ids.bin", "--dtype", "u16", "--out", "ids"))
    for kind in (("--to", "npy"), ("--to", "llmc"), ("--to", "raw", "--dtype", "u16")):  # token files bear no mark: its own are not replaced either
        problems.ran(toy.evenkeel("convert", out / "pair", "--out", out / f"tokens-{kind[1]}", *kind))
        place.refused(problems, "convert", out, f"tokens-{kind[1]}", ("convert", "pair", "--out", f"tokens-{kind[1]}", *kind))
        place.refused(problems, "convert", out, "pair.bin", ("convert", "pair", "--out", "pair.bin", *kind))
    for obstacle in OBSTACLES.values():
        obstacle(out / "tokens.npy")
        place.refused(problems, "convert", out, "tokens.npy", ("convert", "pair", "--out", "tokens.npy"))
        shutil.rmtree(out / "tokens.npy") if (out / "tokens.npy").is_dir() and not (out / "tokens.npy").is_symlink() else (out / "tokens.npy").unlink()


def check_tokenizer_train_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "tokenizer")


def check_report_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "report")
    out = place.sandbox("report", with_own=False)
    (out / "page.html").write_text("<!doctype html><title>mine</title>")
    place.refused(problems, "report", out, out / "page.html")


def check_trace_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "trace")
    out = place.sandbox("trace", with_own=False)
    shutil.copy(toy.checkpoints(place.run)[-1] / "model.safetensors", out / "t.safetensors")  # evenkeel's, of another kind
    place.refused(problems, "trace", out, out / "t.safetensors")


def check_analyze_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "analyze")
    for name in ("analysis/csv/mine.csv", "analysis/notes.txt"):
        out = place.sandbox("analyze")
        foreign(out / name)
        place.refused(problems, "analyze", out, pathlib.Path(name).name)
    out = place.sandbox("analyze", with_own=False)
    (out / "analysis" / "csv").mkdir(parents=True)
    foreign(out / "analysis" / "csv" / "load.csv")
    place.refused(problems, "analyze", out, out / "analysis" / "csv")


def check_train_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "train")
    for name in ("recipe.toml", "resolved.json", "metrics.jsonl", "results.json", "log.txt", "report.html", ".lock", "checkpoints/mine", "tensorboard/mine"):
        out = place.sandbox("train", with_own=False)  # a folder of another program
        (out / "run" / name).parent.mkdir(parents=True)
        foreign(out / "run" / name)
        place.refused(problems, "train", out, out / "run" / name.split("/")[0])
    out = place.sandbox("train")
    foreign(out / "run" / "tensorboard" / "events.out.tfevents.0000000003.evenkeel")
    place.refused(problems, "train", out, "events.out.tfevents.0000000003.evenkeel")


def check_study_leaves_what_others_wrote(place, problems):
    all_refused(place, problems, "study")
    for name in ("study.toml", "arms/a/recipe.toml", "arms/a/metrics.jsonl", "csv/mine.csv"):
        out = place.sandbox("study", with_own=False)
        (out / "study" / name).parent.mkdir(parents=True)
        foreign(out / "study" / name)
        result = toy.evenkeel(*place.commands["study"](out))
        problems.ran(result, 2)
        problems.equal((out / "study" / name).read_text(), "mine, the only copy\n", name)


def check_inputs_are_no_outputs(place, problems):
    out = place.sandbox("prepare", with_own=False)
    lines = "".join(json.dumps({"text": f"document {i} of my only copy"}) + "\n" for i in range(20))
    (out / "corpus.json").write_text(lines)
    (out / "corpus.jsonl").symlink_to("corpus.json")
    prepare = ("prepare", "--tokenizer", place.tokenizer, "--out")
    place.refused(problems, "prepare", out, "corpus.jsonl", (*prepare, "corpus", "corpus.jsonl"))
    (out / "sub").mkdir()
    os.link(out / "corpus.json", out / "linked.bin")
    place.refused(problems, "prepare", out, "the input corpus.jsonl", (*prepare, "sub/../linked", "corpus.jsonl"))
    shutil.copy(place.text, out / "text.txt")
    (out / "link.txt").symlink_to("text.txt")
    tokenizer = ("tokenizer", "train", "--kind", "bpe", "--vocab-size", 320, "--out")
    place.refused(problems, "tokenizer", out, "the input link.txt", (*tokenizer, out / "sub" / ".." / "text.txt", "link.txt"))
    shutil.copytree(place.run, out / "run")
    for name in ("results.json", "metrics.jsonl"):
        place.refused(problems, "report", out, f"run/{name}", ("report", "run", "--out", f"run/{name}"))
    for suffix in (".bin", ".idx"):
        shutil.copy(f"{place.folder / 'en'}{suffix}", out / f"en{suffix}")
    place.refused(problems, "trace", out, "the input en.bin", ("trace", place.run, "--data", "en", "--out", "en.bin", *CPU))
    (out / "ids.json").write_text("[[1, 2, 3]]")
    place.refused(problems, "trace", out, "the input ids.json", ("trace", place.run, "--tokens", "ids.json", "--out", "./ids.json", *CPU))
    shutil.copytree(place.own["analyze"] / "analysis", out / "analysis")
    shutil.copy(place.own["trace"] / "t.safetensors", out / "analysis" / "csv" / "t.safetensors")
    place.refused(problems, "analyze", out, "analysis/csv/t.safetensors", ("analyze", "--trace", "x=analysis/csv/t.safetensors", "--out", "analysis", *CPU))
    (out / "run" / "metrics.jsonl").unlink()
    os.link(out / "en.bin", out / "run" / "metrics.jsonl")
    place.refused(problems, "train", out, "run/metrics.jsonl", ("train", place.recipe, "--out", "run", "--resume", *CPU))


def check_own_output_is_replaced(place, problems):
    for command, files in FILES.items():
        out = place.sandbox(command)
        before = state_of(out)
        result = toy.evenkeel(*place.commands[command](out))
        if problems.ran(result):
            after = state_of(out)
            if command in ("analyze", "export", "import"):
                problems.need("there is replaced" in result.err, f"{command} does not say what it replaces: {result.err!r}")
            for name in files:
                problems.need(name in after, f"{command}: {name} is gone")
            first = files[0] if command != "study" else files[-1]
            if command != "train":  # of which a finished run needs nothing
                problems.need(before[first][:2] != after[first][:2], f"{command}: {first} was not replaced")
            problems.equal(sorted(before), sorted(after), f"{command}: names")
        shutil.rmtree(out)
    out = place.sandbox("prepare")
    before = state_of(out)
    refused = toy.evenkeel("prepare", "--tokenizer", place.tokenizer, "--out", out / "pair", place.text)  # what was held out would be in the pair
    problems.equal((refused.rc, refused.err.count("\n")), (2, 1), "prepare without --holdout over a pair that has one")
    problems.need("--holdout" in refused.err and "pair-heldout" in refused.err, f"the refusal: {refused.err!r}")
    problems.equal(state_of(out), before, "nothing is replaced")
    for path in out.glob("pair-heldout.*"):
        path.unlink()
    problems.ran(toy.evenkeel("prepare", "--tokenizer", place.tokenizer, "--out", out / "pair", place.text))
    problems.equal(sorted(path.name for path in out.iterdir()), ["pair.bin", "pair.idx", "pair.json"], "the pair alone")


def check_outputs_of_before_the_marks_are_replaced(place, problems):
    out = place.sandbox("report")
    page = out / "page.html"
    page.write_text(page.read_text().replace('<meta name="generator" content="evenkeel">\n', "", 1))
    problems.ran(toy.evenkeel(*place.commands["report"](out)))
    for command, folder in (("train", "run"), ("study", "study")):
        out = place.sandbox(command)
        for lock in out.rglob(".lock"):
            lock.write_bytes(b"")
        (out / folder / "results.json").unlink()
        shutil.rmtree(out / folder / "csv", ignore_errors=True)
        problems.ran(toy.evenkeel(*place.commands[command](out)))


def check_files_of_other_names_stay(place, problems):
    names = ("notes.txt", "notes.tmp12", "metrics.jsonl.tmp5", "recipe.toml.tmp999999", "tensorboard/events.out.tfevents.1700000000.evenkeel")
    for with_own in (True, False):
        out = place.sandbox("train", with_own)
        for name in names if with_own else names[:4]:
            (out / "run").mkdir(exist_ok=True)
            foreign(out / "run" / name)
        for name in ("metrics.jsonl", "results.json"):  # so that there is something to do
            (out / "run" / name).unlink(missing_ok=True)
        shutil.rmtree(out / "run" / "checkpoints", ignore_errors=True)
        problems.ran(toy.evenkeel(*place.commands["train"](out)))
        for name in names if with_own else names[:4]:
            problems.need((out / "run" / name).exists(), f"{name} is gone")
    for command, name in (("study", "study/csv/mine.csv"), ("study", "study/arms/mine"), ("prepare", "pair.bin.tmp999999"), ("report", "page.html.tmp999999")):
        out = place.sandbox(command)
        foreign(out / name)
        problems.ran(toy.evenkeel(*place.commands[command](out)))
        problems.need((out / name).exists(), f"{name} is gone")


def check_a_checkpoint_with_a_file_of_others_stays(place, problems):
    out = place.sandbox("train", with_own=False)
    train = ("train", place.recipe, "--out", out / "run", *CPU, "--set", "train.keep_last=1")
    problems.ran(toy.evenkeel(*train, "--max-hours", "1e-9"))
    first = toy.checkpoints(out / "run")[0]
    foreign(first / "NOTE.txt")
    problems.ran(toy.evenkeel(*train, "--resume"))
    problems.need((first / "NOTE.txt").exists(), "the note is gone")
    problems.need(len(toy.checkpoints(out / "run")) < len(toy.checkpoints(place.run)) + 1, "nothing else was removed")


def check_an_older_checkpoint_is_not_taken_silently(place, problems):
    out = place.sandbox("train")
    *_, before, last = toy.checkpoints(out / "run")
    (last / "model.safetensors").write_bytes(b"")
    result = toy.evenkeel("eval", out / "run", "--data", f"en={place.folder / 'en'}", *CPU)
    problems.ran(result)
    problems.need(str(last) in result.err and f"step {int(before.name[5:])} is taken" in result.err, result.err)


def check_an_empty_name_is_no_output(place, problems):
    """A variable of a shell that was not set: nothing goes into the folder that one stands in."""
    for command, args in place.commands.items():
        out = place.sandbox(command, with_own=False)
        foreign(out / "metrics.jsonl")
        arguments = [str(arg) for arg in args(out)]
        arguments[arguments.index("--out") + 1] = ""
        place.refused(problems, command, out, "--out", arguments)


def check_an_arm_is_not_written_through_a_link(place, problems):
    out = place.sandbox("study")
    shutil.rmtree(out / "study" / "arms" / "a")
    (out / "study" / "arms" / "a").symlink_to(ELSEWHERE)
    (out / "study" / "results.json").unlink()
    place.refused(problems, "study", out, out / "study" / "arms" / "a")
    problems.equal(os.listdir(ELSEWHERE), ["real"], "the folder that a link leads to")


def check_metrics_of_another_trainer_stay(place, problems):
    out = place.sandbox("train", with_own=False)
    (out / "run").mkdir()
    (out / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 3.2}\n')
    place.refused(problems, "train", out, out / "run" / "metrics.jsonl")


def check_a_pipe_that_nobody_writes_to_is_no_input(place, problems):
    out = place.sandbox("train", with_own=False)
    for name in ("pipe.bin", "pipe.txt", "pipe.toml", "pipe.model"):
        os.mkfifo(out / name)
    shutil.copy(place.folder / "en.idx", out / "pipe.idx")
    prepare = ("prepare", "--out", out / "pair", "--tokenizer")
    for args in (("eval", place.run, "--data", f"a={out / 'pipe'}", *CPU), (*prepare, place.tokenizer, out / "pipe.txt"), (*prepare, out / "pipe.model", place.text),
                 ("plan", out / "pipe.toml"), ("inspect", out / "pipe.model")):
        place.refused(problems, args[0], out, "special file", args)


def check_the_recipe_may_lie_in_the_run(place, problems):
    out = place.sandbox("train", with_own=False)
    (out / "run").mkdir()
    recipe = out / "run" / "recipe.toml"
    shutil.copy(place.recipe, recipe)
    inode = recipe.stat().st_ino
    for _ in range(2):  # a new run, and one that goes on
        problems.ran(toy.evenkeel("train", recipe, "--out", out / "run", "--resume", *CPU))
        problems.equal(recipe.stat().st_ino, inode, "the recipe's inode")
    problems.equal(recipe.read_bytes(), place.recipe.read_bytes(), "the recipe")


def main():
    if not os.path.exists(toy.BINARY):
        sys.exit(f"outputs_test: got no {toy.BINARY}; need it built")
    (ELSEWHERE / "real").write_text("real")
    with tempfile.TemporaryDirectory(prefix="evenkeel-outputs-") as root:
        place = Place(pathlib.Path(os.path.realpath(root)))
        code = run_checks("outputs_test", [[(sys.modules[__name__], place)]], sys.argv[1:])
    shutil.rmtree(ELSEWHERE)
    return code


if __name__ == "__main__":
    sys.exit(main())

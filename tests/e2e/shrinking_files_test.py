#!/usr/bin/env python3
"""A file that gets shorter while evenkeel has it mapped: one line that names it and exit code 4, no signal.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import os
import pathlib
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks  # noqa: E402
from contract_train import CPU  # noqa: E402
from signal_test import end_of, has_steps, start, wait_until  # noqa: E402

MOST_TRIES = 20  # to meet a moment that is short


class Place:
    def __init__(self, folder):
        self.folder = folder
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        toy.write_dataset(folder / "much", toy.made_documents(3, 20_000))
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(toy.recipe_text(folder).replace("steps = 5", "steps = 100000"))
        self.run = folder / "whole"
        result = toy.evenkeel("train", self.recipe, "--out", self.run, *CPU, "--set", "phase.english.steps=5")
        if result.rc != 0:
            raise RuntimeError(result.err)


def said(problems, result, path, *words):
    if problems.ran(result, 4):
        line = result.error_lines()[0]
        problems.need(all(word in line for word in (str(path), "got ", " bytes", "need ", *words)), line)


def stopped_while_mapped(path, *args):
    """A process that was stopped as soon as it had mapped the file; None where it ended before."""
    process = start(*args)
    maps = pathlib.Path(f"/proc/{process.pid}/maps")
    name = str(path).encode()
    wait_until(lambda: name in maps.read_bytes(), process)
    process.send_signal(signal.SIGSTOP)
    if process.poll() is None and name in maps.read_bytes():
        return process
    process.send_signal(signal.SIGCONT)
    process.communicate()
    return None


def cut_while_read(place, problems, path, *args):
    """The file is cut to nothing as soon as it is mapped."""
    content = path.read_bytes()
    for _ in range(MOST_TRIES):
        process = stopped_while_mapped(path, *args)
        if process is None:
            continue
        os.truncate(path, 0)
        process.send_signal(signal.SIGCONT)
        result = end_of(process)
        path.write_bytes(content)
        if result.rc != 0:  # else all had been read
            return said(problems, result, path, "got 0 bytes")
    problems.append(f"{args[0]}: {path.name} was never met while it was read")


def check_data_of_a_training_run(place, problems):
    whole = (place.folder / "en.bin").read_bytes()
    for n_bytes in (0, len(whole) - 1):  # the second gives no fault: the rest of a last page reads as zeros
        run = place.folder / f"run-{n_bytes}"
        process = start("train", place.recipe, "--out", run, *CPU)
        wait_until(has_steps(run, 5), process)
        os.truncate(place.folder / "en.bin", n_bytes)
        result = end_of(process)
        said(problems, result, place.folder / "en.bin", f"got {n_bytes} bytes", f"need the {len(whole)}")
        problems.need("error: " + str(place.folder / "en.bin") in (run / "log.txt").read_text().splitlines()[-1], "log.txt ends without the error")
        problems.equal(toy.leftovers(run), [], "left behind")
        (place.folder / "en.bin").write_bytes(whole)
        problems.ran(toy.evenkeel("train", place.recipe, "--out", run, "--resume", "--max-hours", 0.1 / 3600, *CPU))


def check_data_of_an_arm(place, problems):
    study = place.folder / "study.toml"
    study.write_text('[study]\nbase = "recipe.toml"\narms = [{name = "first"}, {name = "second", train.seed = 4}]\n')
    whole = (place.folder / "en.bin").read_bytes()
    out = place.folder / "study"
    process = start("study", study, "--out", out, "--jobs", 2, "--threads", 2, "--device", "cpu")
    wait_until(lambda: has_steps(out / "arms" / "first", 5)() and has_steps(out / "arms" / "second", 5)(), process)
    os.truncate(place.folder / "en.bin", 0)
    result = end_of(process)
    (place.folder / "en.bin").write_bytes(whole)
    said(problems, result, place.folder / "en.bin", "error: arm ")


def check_data_of_an_evaluation(place, problems):
    cut_while_read(place, problems, place.folder / "much.bin", "eval", place.run, "--data", f"much={place.folder / 'much'}", "--json", *CPU)


def check_a_trace_of_an_analysis(place, problems):
    trace = place.folder / "much.safetensors"
    problems.ran(toy.evenkeel("trace", place.run, "--data", place.folder / "much", "--max-tokens", 200_000, "--out", trace, *CPU))
    cut_while_read(place, problems, trace, "analyze", "--trace", f"much={trace}", "--out", place.folder / "analysis", *CPU)
    problems.need(not (place.folder / "analysis").exists(), "a folder is left")


def check_weights(place, problems):
    wide = place.folder / "wide"
    problems.ran(toy.evenkeel("train", place.recipe, "--out", wide, *CPU, "--set", "model.d_model=256", "--set", "model.n_layers=4", "--set", "model.d_expert=512",
                              "--set", "train.sequence_length=4", "--set", "phase.english.steps=1", "--set", "phase.german.steps=1"))
    weights = toy.checkpoints(wide)[-1] / "model.safetensors"
    cut_while_read(place, problems, weights, "eval", wide, "--data", f"en={place.folder / 'en'}", "--json", *CPU)


def check_tokens_that_are_converted(place, problems):
    ids = place.folder / "ids.bin"
    ids.write_bytes(bytes([1, 0]) * 20_000_000)
    cut_while_read(place, problems, ids, "convert", ids, "--dtype", "u16", "--out", place.folder / "converted")
    problems.ran(toy.evenkeel("convert", ids, "--dtype", "u16", "--out", place.folder / "large"))
    cut_while_read(place, problems, place.folder / "large.bin", "convert", place.folder / "large", "--out", place.folder / "converted.npy")
    problems.equal([path.name for path in place.folder.glob("*converted*")], [], "what is left")


def main():
    if not os.path.exists(toy.BINARY):
        sys.exit(f"shrinking_files_test: got no {toy.BINARY}; need it built")
    with tempfile.TemporaryDirectory(prefix="evenkeel-shrinking-") as root:
        place = Place(pathlib.Path(os.path.realpath(root)))
        return run_checks("shrinking_files_test", [[(sys.modules[__name__], place)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""SIGINT and SIGTERM, a second signal, two writers and --max-hours: nothing is lost and nothing is half-written.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks, steps_of  # noqa: E402
from contract_train import CPU  # noqa: E402

N_STEPS = 400  # long enough to be met on the way


class Place:
    """A recipe of N_STEPS steps and its uninterrupted run, a study of it, and a tokenizer with much text."""

    def __init__(self, folder):
        self.folder = folder
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        recipe = toy.recipe_text(folder).replace("steps = 6", f"steps = {N_STEPS - 5}").replace('"3 steps"', '"1000 steps"').replace('"4 steps"', '"100 steps"')
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(recipe)
        self.study = folder / "study.toml"
        self.study.write_text('[study]\nbase = "recipe.toml"\narms = [{name = "a"}, {name = "b", train.seed = 4}]\n')
        self.text = folder / "text.txt"
        self.text.write_text(toy.made_text(1, 2000))
        self.tokenizer = folder / "tok.model"
        self.ready("tokenizer", "train", "--kind", "bpe", "--vocab-size", 320, "--out", self.tokenizer, self.text)
        (folder / "much.txt").write_bytes(self.text.read_bytes() * 60)
        self.whole = folder / "whole"
        self.ready("train", self.recipe, "--out", self.whole, *CPU)

    def ready(self, *args):
        result = toy.evenkeel(*args)
        if result.rc != 0:
            raise RuntimeError(result.err)

    def same_as_whole(self, run, problems):
        """The last checkpoint and the metrics are those of the run that was left alone."""
        last, wanted = toy.checkpoints(run)[-1], toy.checkpoints(self.whole)[-1]
        for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
            problems.need((last / name).read_bytes() == (wanted / name).read_bytes(), f"{last.name}/{name} differs")
        problems.need(toy.metrics_without_clock(run) == toy.metrics_without_clock(self.whole), "metrics.jsonl differs")
        problems.equal(toy.leftovers(run), [], "left behind")


def start(*args):
    return subprocess.Popen([toy.BINARY, *map(str, args)], env=toy.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def wait_until(holds, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None and not holds():
        time.sleep(0.002)


def has_steps(run, n):
    metrics = run / "metrics.jsonl"
    return lambda: metrics.exists() and metrics.read_bytes().count(b'"loss_terms"') >= n


def end_of(process):
    start = time.monotonic()
    out, err = process.communicate(timeout=60)
    return toy.Result(process.returncode, out.decode(), err.decode(), time.monotonic() - start)


def stopped(place, problems, number, name):
    """A run that is stopped by this signal on its way. It saves, and goes on to the same end."""
    run = place.folder / name
    process = start("train", place.recipe, "--out", run, *CPU)
    wait_until(has_steps(run, 20), process)
    process.send_signal(number)
    result = end_of(process)
    if not problems.ran(result, 130):
        return
    n_steps = len(steps_of(run))
    problems.need(20 <= n_steps < N_STEPS, f"{n_steps} steps before the stop")
    problems.equal(toy.checkpoints(run)[-1].name, f"step-{n_steps:08d}", "the checkpoint of the last step")
    problems.equal(toy.leftovers(run), [], "left behind")
    problems.ran(toy.evenkeel("verify", run))
    problems.ran(toy.evenkeel("train", place.recipe, "--out", run, "--resume", *CPU))
    shutil.rmtree(run / "checkpoints" / f"step-{n_steps:08d}", ignore_errors=True)
    place.same_as_whole(run, problems)


def check_sigint_saves_and_the_run_goes_on(place, problems):
    stopped(place, problems, signal.SIGINT, "sigint")


def check_sigterm_saves_and_the_run_goes_on(place, problems):
    stopped(place, problems, signal.SIGTERM, "sigterm")


def check_a_second_signal_ends_at_once(place, problems):
    run = place.folder / "twice"
    process = start("train", place.recipe, "--out", run, *CPU, "--set", "train.batch_size=4096", "--set", "train.micro_batch_size=4096",
                          "--set", "train.sequence_length=128")
    wait_until(lambda: (run / "log.txt").exists() and "phase english" in (run / "log.txt").read_text(), process)
    time.sleep(0.5)  # in its first step, which takes long
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    result = end_of(process)
    problems.equal(result.rc, 130, "exit code")
    problems.need(result.seconds < 1.0, f"it took {result.seconds:.1f} s to end")
    problems.equal(toy.leftovers(run), [], "left behind")


def check_two_writers_are_refused(place, problems):
    run = place.folder / "two"
    process = start("train", place.recipe, "--out", run, *CPU, "--set", "phase.german.steps=100000")
    wait_until(has_steps(run, 3), process)
    second = toy.evenkeel("train", place.recipe, "--out", run, "--resume", *CPU, "--set", "phase.german.steps=100000")
    problems.ran(second, 2)
    problems.need(str(run) in second.err and "another process" in second.err, f"the error: {second.err.strip()}")
    third = toy.evenkeel("train", place.recipe, "--out", run, *CPU)
    problems.ran(third, 2)
    problems.equal(process.poll(), None, "the first writer")
    process.send_signal(signal.SIGTERM)
    problems.ran(end_of(process), 130)
    problems.ran(toy.evenkeel("verify", run))


def check_max_hours_saves_and_exits_0(place, problems):
    run = place.folder / "hours"
    result = toy.evenkeel("train", place.recipe, "--out", run, *CPU, "--max-hours", 0.4 / 3600)
    problems.ran(result)
    n_steps = len(steps_of(run))
    problems.need(0 < n_steps < N_STEPS, f"{n_steps} steps in the time")
    problems.equal(toy.checkpoints(run)[-1].name, f"step-{n_steps:08d}", "the checkpoint of the last step")
    problems.need(not (run / "results.json").exists(), "a run that is not finished has results.json")
    problems.ran(toy.evenkeel("train", place.recipe, "--out", run, "--resume", *CPU))
    shutil.rmtree(run / "checkpoints" / f"step-{n_steps:08d}", ignore_errors=True)
    place.same_as_whole(run, problems)


def check_a_signal_to_a_whole_study_saves_its_arms(place, problems):
    for number, name in ((signal.SIGINT, "study-int"), (signal.SIGTERM, "study-term")):
        out = place.folder / name
        process = start("study", place.study, "--out", out, "--jobs", 2, "--threads", 2, "--device", "cpu")
        wait_until(lambda: has_steps(out / "arms" / "a", 15)() and has_steps(out / "arms" / "b", 15)(), process)
        os.killpg(process.pid, number)  # as a terminal does: parent and children get it
        result = end_of(process)
        if not problems.ran(result, 130):
            continue
        for arm in ("a", "b"):
            n_steps = len(steps_of(out / "arms" / arm))
            saved = [path.name for path in toy.checkpoints(out / "arms" / arm)]
            problems.need(saved and saved[-1] == f"step-{n_steps:08d}", f"{name}, arm {arm}: {n_steps} steps, saved {saved}")
        problems.equal(toy.leftovers(out), [], "left behind")
    problems.ran(toy.evenkeel("study", place.study, "--out", place.folder / "study-int", "--jobs", 2, "--threads", 2, "--device", "cpu", "--resume"))
    for path in toy.checkpoints(place.folder / "study-int" / "arms" / "a"):
        if path.name not in [whole.name for whole in toy.checkpoints(place.whole)]:
            shutil.rmtree(path)
    place.same_as_whole(place.folder / "study-int" / "arms" / "a", problems)


def check_a_killed_study_goes_on(place, problems):
    out = place.folder / "study-kill"
    arguments = ["study", place.study, "--out", out, "--jobs", 2, "--threads", 2, "--device", "cpu", "--set", 'train.checkpoint_every="10 steps"']
    process = start(*arguments)
    wait_until(lambda: has_steps(out / "arms" / "a", 15)() and has_steps(out / "arms" / "b", 15)(), process)
    process.kill()
    process.communicate()
    problems.ran(toy.evenkeel(*arguments, "--resume"))
    for path in toy.checkpoints(out / "arms" / "a"):
        if path.name not in [whole.name for whole in toy.checkpoints(place.whole)]:
            shutil.rmtree(path)
    place.same_as_whole(out / "arms" / "a", problems)
    problems.equal(toy.leftovers(out), [], "left behind")


def check_two_studies_in_one_folder_are_refused(place, problems):
    out = place.folder / "study-two"
    process = start("study", place.study, "--out", out, *CPU, "--set", "phase.german.steps=100000")
    wait_until(has_steps(out / "arms" / "a", 3), process)
    second = toy.evenkeel("study", place.study, "--out", out, "--resume", *CPU, "--set", "phase.german.steps=100000")
    problems.ran(second, 2)
    process.send_signal(signal.SIGINT)
    problems.ran(end_of(process), 130)


def check_commands_that_do_not_train_leave_no_temporary_files(place, problems):
    out = place.folder / "writing"
    out.mkdir()
    commands = {"prepare": ("--tokenizer", place.tokenizer, "--out", out / "much", place.folder / "much.txt", "--threads", 1),
                "tokenizer": ("train", "--kind", "unigram", "--vocab-size", 320, "--out", out / "much.model", place.text),
                "report": (place.whole, "--out", out / "page.html")}
    for command, args in commands.items():
        for number in (signal.SIGINT, signal.SIGTERM):
            process = start(command, *args)
            wait_until(lambda: any(".tmp" in path.name for path in out.iterdir()), process)
            process.send_signal(number)
            result = end_of(process)
            problems.equal([path.name for path in out.iterdir() if ".tmp" in path.name], [], f"{command}: left behind")
            if result.rc == 0 and command == "report":  # it takes a moment only
                continue
            problems.ran(result, 130)
            problems.equal([path.name for path in out.iterdir() if path.name != "page.html"], [], f"{command}: written")


def holds_signals(process):
    """Whether SIGINT is blocked or caught: what the loader of the libraries does before is not the program's."""
    masks = re.findall(r"Sig(?:Blk|Cgt):\s*([0-9a-f]+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())
    return any(int(mask, 16) & 1 << (signal.SIGINT - 1) for mask in masks)


def check_a_command_that_is_stopped_while_it_starts_says_so(place, problems):
    for command, args in {"bench": (place.recipe, "--steps", 1000), "plan": (place.recipe,)}.items():
        process = start(command, *args, *CPU)
        wait_until(lambda: holds_signals(process), process)
        process.send_signal(signal.SIGINT)
        result = end_of(process)
        problems.ran(result, 130)
        problems.equal(result.out, "", f"stdout of {command}")


def write_huge_dataset(prefix):
    """Zeros that take no place on the disk: 137 GB of 8-byte ids, which no machine reads in a second."""
    n, length = 8, 2**31 - 1
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 5, n, n + 1)
    prefix.with_suffix(".idx").write_bytes(header + struct.pack(f"<{n}i", *[length] * n) + struct.pack(f"<{n}q", *[8 * length * i for i in range(n)]) + struct.pack(f"<{n + 1}q", *range(n + 1)))
    with open(prefix.with_suffix(".bin"), "wb") as file:
        file.truncate(8 * length * n)


def check_the_look_at_a_huge_set_ends_at_a_signal(place, problems):
    huge, out = place.folder / "huge", place.folder / "of-huge"
    write_huge_dataset(huge)
    recipe = place.folder / "huge.toml"
    recipe.write_text(place.recipe.read_text().replace(str(place.folder / "de"), str(huge)))
    problems.need(str(huge) in recipe.read_text(), "the recipe has no huge set")
    commands = {"train": (recipe, "--out", out), "eval": (place.whole, "--data", f"huge={huge}"), "eval of a part": (place.whole, "--data", f"huge={huge}", "--max-tokens", 10**10)}
    for name, args in commands.items():
        process = start(name.split()[0], *args, *CPU)
        wait_until(lambda: "huge.bin" in pathlib.Path(f"/proc/{process.pid}/maps").read_text(), process)
        time.sleep(1)
        problems.equal(process.poll(), None, f"{name}: still reading")
        process.send_signal(signal.SIGINT)
        result = end_of(process)
        if problems.ran(result, 130):
            problems.need(result.seconds < 1, f"{name}: it took {result.seconds:.1f} s to end")
            problems.need("nothing half-written is left" in result.err, f"{name}: {result.err[-200:]!r}")
    problems.need(not out.exists(), "a run that was not begun has a folder")


def main():
    if not os.path.exists(toy.BINARY):
        sys.exit(f"signal_test: got no {toy.BINARY}; need it built")
    with tempfile.TemporaryDirectory(prefix="evenkeel-signal-") as root:
        place = Place(pathlib.Path(os.path.realpath(root)))
        return run_checks("signal_test", [[(sys.modules[__name__], place)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

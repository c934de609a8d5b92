#!/usr/bin/env python3
"""What a person sees: progress on a terminal of any width, the end of a command, warnings of arms, and what a signal says.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks, steps_of  # noqa: E402
from contract_train import CPU  # noqa: E402
from hostile_folders_cases import single  # noqa: E402

N_STEPS = 150
LONG_NAME = "日本語-größe-of-a-long-name"


class Place:
    """A recipe of N_STEPS steps whose router warns, with a phase of a wide name, and a study of it."""

    def __init__(self, folder):
        self.folder = folder
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        text = toy.recipe_text(folder, "top_k_jitter").replace("steps = 6", f"steps = {N_STEPS - 5}").replace('"3 steps"', '"1000 steps"').replace('"4 steps"', '"100 steps"')
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(text.replace('name = "german"', f'name = "{LONG_NAME}"'))
        self.study = folder / "study.toml"
        self.study.write_text('[study]\nbase = "recipe.toml"\narms = [{name = "first"}, {name = "unbalanced", model.balance = {loss = []}}]\n')
        self.short = ["--set", "phase.english.steps=2", "--set", f"phase.{LONG_NAME}.steps=2"]


def set_size(terminal, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_terminal(arguments, columns, at_bytes=None, with_stdout=False):
    """(exit code, what stderr got) of the binary with a terminal of this width as stderr; `at_bytes(terminal, text so far)` may resize it."""
    parent, child = pty.openpty()
    set_size(child, columns)
    process = subprocess.Popen([toy.BINARY, *map(str, arguments)], env=toy.environment(), stdin=subprocess.DEVNULL, stdout=child if with_stdout else subprocess.DEVNULL, stderr=child, start_new_session=True)
    os.close(child)
    text, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select.select([parent], [], [], 0.2)[0]:
            continue
        try:
            more = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        text += more
        if at_bytes is not None:
            at_bytes(parent, text, process)
    rc = process.wait(timeout=60)
    os.close(parent)
    return rc, text.decode("utf-8")


def bars(text):
    """The rows that a bar was drawn into, as they stand on the terminal: what follows a clear of the row."""
    return [re.split(r"[\r\n]", part)[0] for part in text.split("\r\033[K")[1:] if not part.startswith("evenkeel:")]


def columns_of(text):
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1) for c in text)


def check_progress_fits_the_terminal(place, problems):
    seen = {}
    for width in (40, 80, 200):
        rc, text = on_terminal(["train", place.recipe, "--out", place.folder / f"run-{width}", *CPU], width)
        problems.equal(rc, 0, f"exit code at {width} columns")
        rows = [row for row in bars(text) if row]
        problems.need(len(rows) >= 3, f"{width} columns: {len(rows)} rows drawn")
        widest = max(rows, key=columns_of)
        problems.need(columns_of(widest) < width, f"{width} columns: got {columns_of(widest)} in {widest!r}")
        problems.need(all("\033" not in row for row in rows), "a row has other control sequences")
        seen[width] = rows[-1]
    problems.need("100%" in seen[40] and "[" not in seen[40], f"at 40 columns: {seen[40]!r}")
    problems.need("[####" in seen[80] and "日本語" in seen[80], f"at 80 columns: {seen[80]!r}")
    problems.need(all(word in seen[200] for word in (" loss ", " MRI ", "(loss = ", " ce + ", " balance + ", "|g|", "tok/s")), f"at 200 columns: {seen[200]!r}")


def check_progress_follows_a_resize(place, problems):
    state = {"at": None}

    def shrink(terminal, text, process):
        if state["at"] is None and text.count(b"\r\033[K") >= 3:
            state["at"] = len(text)
            set_size(terminal, 50)

    rc, text = on_terminal(["train", place.recipe, "--out", place.folder / "resized", *CPU, "--set", f"phase.{LONG_NAME}.steps=1000"], 150, shrink)
    problems.equal(rc, 0, "exit code")
    before, after = text.encode()[:state["at"]].decode("utf-8", "ignore"), text.encode()[state["at"]:].decode("utf-8", "ignore")
    problems.need(any(columns_of(row) > 60 for row in bars(before)), "the first rows use the width")
    later = bars(after)[2:]  # one may have been under way
    problems.need(len(later) >= 2, f"{len(later)} rows after the resize")
    problems.need(all(columns_of(row) < 50 for row in later), f"after the resize: {max(later, key=columns_of)!r}")


def check_the_last_line_is_printed_once(place, problems):
    rc, text = on_terminal(["train", place.recipe, "--out", place.folder / "once", *CPU], 100)
    problems.equal(rc, 0, "exit code")
    screen = [line.split("\033[K")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    problems.equal(sum("training" in line and "100%" in line for line in screen), 1, "lines that stay with the whole progress")
    plain = toy.evenkeel("train", place.recipe, "--out", place.folder / "plain", *CPU, *place.short)
    problems.equal(len([line for line in plain.err.splitlines() if line.startswith("evenkeel: training")]), 1, "lines of progress without a terminal")
    problems.need("\r" not in plain.err and "\033" not in plain.err, "control characters without a terminal")


def check_the_bar_of_a_set_ends_before_its_result(place, problems):
    run = place.folder / "evaluated"
    problems.ran(toy.evenkeel("train", place.recipe, "--out", run, *CPU, *place.short))
    rc, text = on_terminal(["eval", run, *CPU, "--data", f"en={place.folder / 'en'}", f"de={place.folder / 'de'}"], 100, with_stdout=True)
    problems.equal(rc, 0, "exit code")
    screen = [line.split("\033[K")[-1] for line in text.replace("\r\n", "\n").strip().split("\n")]
    kinds = ["bar" if line.startswith("evaluating") and "100%" in line else "result" if " loss " in line else line for line in screen]
    problems.equal(kinds, ["bar", "result", "bar", "result"], f"rows of {screen}")


def check_import_and_export_show_bytes_and_rate(place, problems):
    model, checkpoint = place.folder / "model", place.folder / "imported"
    model.mkdir()
    for name, content in single("mixtral").items():
        (model / name).write_bytes(content)
    for label, arguments in (("importing", ["import", model, "--out", checkpoint]), ("exporting", ["export", checkpoint, "--out", place.folder / "exported"])):
        rc, text = on_terminal(arguments, 120)
        problems.equal(rc, 0, f"exit code of {arguments[0]}: {text[-300:]!r}")
        last = ([row for row in bars(text) if row.startswith(label)] or [""])[-1]
        size = r"[0-9.]+ (?:[KMG]i)?B"
        problems.need(re.fullmatch(rf"{label} \[#+\] 100%  took .*  ({size}) of \1  [0-9.]+ [KMGT]?B/s", last), f"the bar of {arguments[0]}: {last!r}")


def check_a_failed_command_ends_with_its_error(place, problems):
    text = place.folder / "damaged.txt"
    text.write_bytes(b"a line of words\n\n" * 200000 + b"\xff\n")
    train = place.folder / "words.txt"
    train.write_text("a line of words for the pieces of a tokenizer\n" * 50)
    tokenizer = place.folder / "tok.model"
    problems.ran(toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", 280, "--out", tokenizer, train))
    result = toy.evenkeel("prepare", "--tokenizer", tokenizer, "--out", place.folder / "out", text)
    problems.ran(result, 2)
    problems.need(result.err.startswith("evenkeel: error: ") and result.err.count("\n") == 1, f"stderr: {result.err!r}")


def check_commands_end_with_headlines_and_the_page(place, problems):
    for command, source, more in (("train", place.recipe, []), ("study", place.study, ["--jobs", 1])):
        out = place.folder / f"ends-{command}"
        result = toy.evenkeel(command, source, "--out", out, *CPU, *place.short, *more, "--set", f"phase.{LONG_NAME}.replay.fraction=0")
        problems.ran(result)
        last = result.err.strip().splitlines()
        problems.need(last[-1].endswith(f"page: {out / 'report.html'}"), f"{command}: the last line: {last[-1]!r}")
        problems.need(any("held-out loss on en" in line or "forget" in line or "MRI" in line for line in last[-6:-1]), f"{command}: no headline in {last[-6:]}")


def check_an_arms_warnings_carry_its_name(place, problems):
    result = toy.evenkeel("study", place.study, "--out", place.folder / "warned", *CPU, *place.short, "--jobs", 2)
    problems.ran(result)
    warnings = [line for line in result.err.splitlines() if "no balance loss" in line]
    problems.need(len(warnings) > 0, f"no warning in {result.err[-500:]!r}")
    problems.need(all(line.startswith("evenkeel: warning: arm unbalanced: ") for line in warnings), f"warnings: {warnings}")
    log = (place.folder / "warned" / "arms" / "unbalanced" / "log.txt").read_text()
    problems.need("no balance loss" in log, "the arm's own log has its warning")


def check_a_signal_is_no_error(place, problems):
    run = place.folder / "stopped"

    def stop(terminal, text, process):
        if text.count(b"\r\033[K") >= 3 and process.poll() is None:
            process.send_signal(signal.SIGINT)
            stop.sent = stop.sent or len(text)

    stop.sent = 0

    def stop_once(terminal, text, process):
        if not stop.sent:
            stop(terminal, text, process)

    rc, text = on_terminal(["train", place.recipe, "--out", run, *CPU], 80, stop_once)
    problems.equal(rc, 130, "exit code")
    last = text.replace("\r\n", "\n").strip().split("\n")[-1]
    problems.need(last.startswith("evenkeel: stopped by a signal: saved step ") and last.endswith("--resume goes on"), f"the last line: {last!r}")
    problems.need("error" not in text, "the word error")
    problems.need("error" not in (run / "log.txt").read_text(), "the word error in log.txt")
    problems.need(0 < len(steps_of(run)) < N_STEPS, "it stopped on its way")


def check_the_first_steps_seconds_are_those_of_the_step(place, problems):
    """Eight losses to look at cost eight backward passes before the first step; they are no part of it."""
    losses = ", ".join(f'{{loss = "{name}", coefficient = 0.01}}' for name in ("switch", "megatron", "hf", "megablocks", "flaxformer"))
    run = place.folder / "seconds"
    result = toy.evenkeel("train", place.recipe, "--out", run, *CPU, *place.short, "--set", f"model.balance={{loss = [{losses}]}}", "--set", "model.d_model=128",
                          "--set", "train.batch_size=16", "--set", "train.micro_batch_size=16", "--set", "train.sequence_length=64", "--set", "phase.english.eval.every=\"100 steps\"")
    if not problems.ran(result):
        return
    seconds = [line["seconds"] for line in steps_of(run)]
    problems.need(seconds[0] < 2.5 * max(seconds[1:]), f"seconds of the steps: {seconds}")


def main():
    if not os.path.exists(toy.BINARY):
        sys.exit(f"progress_test: got no {toy.BINARY}; need it built")
    with tempfile.TemporaryDirectory(prefix="evenkeel-progress-") as root:
        place = Place(pathlib.Path(os.path.realpath(root)))
        return run_checks("progress_test", [[(sys.modules[__name__], place)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Megabytes of text a second on one core: `evenkeel tokenize` against the `tokenizers` library, in turns on the same lines.

  bench/tokenizer_speed.py TOKENIZER.json TEXT [--megabytes 20] [--rounds 3]

The processor time of each is that of encoding: for evenkeel that of the command less that of one with an empty text. Writing the
ids, which the library does not do, counts for evenkeel.

  EVENKEEL  the binary (build/evenkeel)
"""
import argparse
import os
import pathlib
import resource
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

BINARY = os.environ.get("EVENKEEL", str(pathlib.Path(__file__).resolve().parents[1] / "build" / "evenkeel"))


def seconds_of_evenkeel(tokenizer, text):
    """Processor time of the command over a file of text."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(text, "rb") as source:
        subprocess.run([BINARY, "tokenize", "--tokenizer", tokenizer], stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_of_library(tokenizer, lines):
    begin = time.process_time()
    for line in lines:
        tokenizer.encode(line)
    return time.process_time() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer")
    parser.add_argument("text")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with open(options.text, "rb") as source:
        data = source.read(int(options.megabytes * 1e6)).decode("utf-8", "ignore").encode()
    tokenizer = Tokenizer.from_file(options.tokenizer)
    lines = [line.decode().rstrip("\r") for line in data.split(b"\n")]
    with tempfile.TemporaryDirectory() as folder:
        text, empty = pathlib.Path(folder) / "text", pathlib.Path(folder) / "empty"
        text.write_bytes(data)
        empty.write_bytes(b"")
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(seconds_of_evenkeel(options.tokenizer, text) - seconds_of_evenkeel(options.tokenizer, empty))
            theirs.append(seconds_of_library(tokenizer, lines))
    megabytes = len(data) / 1e6
    print(f"{megabytes:.1f} MB, best of {options.rounds}: evenkeel {megabytes / min(ours):.1f} MB/s, tokenizers {megabytes / min(theirs):.1f} MB/s, "
          f"{min(theirs) / min(ours):.1f} times as fast")  # fmt: skip


if __name__ == "__main__":
    main()

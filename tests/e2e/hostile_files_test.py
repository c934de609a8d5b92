#!/usr/bin/env python3
"""Traces, count files and texts that promise more than they hold are refused quickly and in little memory.

Each file of bad_input_analyze.py, and larger ones made here, ends `evenkeel analyze` with exit code 2 within 3 seconds of processor
time and 150 MB above what `evenkeel --version` takes (the libraries alone): the 5 million values of the largest take 80 MB once they are read, and the
allocator keeps for a while what was freed on the way. A small trace of large token ids is a good one, and as cheap. A line or
document of text may be 256 MiB long: what is longer ends `evenkeel prepare` in a memory of 1 GB, and in four times the 3 seconds that reading so much takes on a quiet core.

  EVENKEEL  the binary (build/evenkeel)
"""
import gzip
import lzma
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
import toy  # noqa: E402
from bad_input_analyze import COUNTS, HOSTILE_COUNTS, HOSTILE_TRACES, joined_trace, split_trace, with_value  # noqa: E402

MOST_SECONDS, MOST_BYTES = 3.0, 150e6
MOST_TEXT_SECONDS, MOST_TEXT_BYTES = 12.0, 1e9
MOST_WAIT, MOST_TEXT_WAIT = 30, 120  # seconds on the clock, of a machine that has other things to do; what waits for ever is killed then
CPU = ("--threads", "1", "--device", "cpu")
GOOD = "trace of token ids near 2^23, which is a good one"


def measured(*arguments, most_wait=MOST_WAIT):
    """(exit code, lines on stderr, processor seconds, peak bytes) of a command; one that takes longer is killed, and its code is -9."""
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen([toy.BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=err, env=toy.environment())
        killer = threading.Timer(most_wait, os.kill, (process.pid, signal.SIGKILL))
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        lines = err.read().decode("utf-8", "replace").splitlines()
    return process.returncode, lines, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def last_line(lines):
    return lines[-1] if lines else ""


def many_layers(good):
    """20,000 layers, each with its tensors, of one window of one token."""
    header, data = {"__metadata__": split_trace(good)[0]["__metadata__"]}, b""
    header["__metadata__"].update(n_experts="4", top_k="1")
    header["input_ids"] = {"dtype": "I64", "shape": [1, 1], "data_offsets": [0, 8]}
    at = 8
    for layer in range(20_000):
        for name, dtype in (("expert_ids", "I32"), ("weights", "F32")):
            header[f"layers.{layer}.{name}"] = {"dtype": dtype, "shape": [1, 1, 1], "data_offsets": [at, at + 4]}
            at += 4
    return joined_trace(header, bytes(at))


# What is large is written in pieces: a child process starts with the peak memory of its parent.


def in_pieces(*pieces):
    """A writer of byte strings, each (piece, times)."""
    def write(path):
        with open(path, "wb") as out:
            for piece, times in pieces:
                for _ in range(times):
                    out.write(piece)
    return write


def zeros_after(head, n_bytes):
    def write(path):
        path.write_bytes(head)
        os.truncate(path, len(head) + n_bytes)
    return write


def one_long_window(good):
    """A single window of 2^23 tokens."""
    n = 1 << 23
    header = {"__metadata__": dict(split_trace(good)[0]["__metadata__"], n_experts="0", top_k="0"), "input_ids": {"dtype": "I64", "shape": [1, n], "data_offsets": [0, 8 * n]}}
    return zeros_after(joined_trace(header, b""), 8 * n)


def padding_alone(good):
    header, data = split_trace(good)
    begin, end = header["is_padding"]["data_offsets"]
    return joined_trace(header, data[:begin] + b"\1" * (end - begin) + data[end:])


def large_ids(good):
    """Token ids spread over 2^23."""
    header, data = split_trace(good)
    header["__metadata__"]["vocab_size"] = str(1 << 23)
    data = bytearray(data)
    for name, code in (("input_ids", "<q"), ("predicted_ids", "<i")):
        begin, end = header[name]["data_offsets"]
        for i, place in enumerate(range(begin, end, struct.calcsize(code))):
            struct.pack_into(code, data, place, ((1 << 23) - 1 - 7919 * i) % (1 << 23))
    return joined_trace(header, bytes(data))


def packed_spaces(path):
    with lzma.open(path, "wb", preset=0) as out:
        for _ in range(300):
            out.write(b" " * 1_000_000)


def around(text, place, *pieces):
    """The text with pieces in place of a word."""
    before, after = text.encode().split(place.encode(), 1)
    return in_pieces((before, 1), *pieces, (after, 1))


def cases(good):
    for what, edit, _ in HOSTILE_TRACES:
        yield f"trace {what}", "t.safetensors", edit(good)
    yield GOOD, "t.safetensors", large_ids(good)
    yield "trace of 20,000 layers", "t.safetensors", many_layers(good)
    yield "trace of one window of 2^23 tokens", "t.safetensors", one_long_window(good)
    yield "trace with a header of NUL bytes", "t.safetensors", zeros_after(struct.pack("<Q", 50_000_000), 50_000_000)
    yield "trace with a deep header", "t.safetensors", in_pieces((struct.pack("<Q", 10_000_000), 1), (b"[" * 1000, 10_000))
    for what, shape, old, new, _ in HOSTILE_COUNTS:
        yield f"counts with {what}", "c.json", COUNTS[shape].replace(old, new, 1).encode()
    yield "trace of weights that are no numbers", "t.safetensors", with_value("layers.0.weights", "<f", float("nan"), 3)(good)
    yield "trace of padding alone", "t.safetensors", padding_alone(good)
    yield "counts of a million experts", "c.json", around(COUNTS["plain"].replace('"n_experts": 3', '"n_experts": 1048576').replace("[2, 4, 2]", "[1]"), "4, 3, 1", (b"1," * 1023, 1024), (b"1," * 1023 + b"1", 1))
    yield "counts of layers with other sums", "c.json", COUNTS["plain"].replace("[2, 4, 2]", "[2, 4, 1]").encode()
    yield "counts of a million brackets", "c.json", in_pieces((b"[" * 1000, 1000))
    yield "counts nested in a key that nobody reads", "c.json", in_pieces((b'{"source": ', 1), (b"[" * 1000, 1000))
    yield "counts packed out of proportion", "c.json.xz", packed_spaces
    yield "counts with a row of 5 million", "c.json", around(COUNTS["plain"], "4, 3, 1", (b"1," * 1000, 5000), (b"1", 1))
    yield "counts with a name of 20 MB", "c.json", around(COUNTS["plain"].replace("[4, 3, 1]", "[4, 3]"), '"a"', (b'"', 1), (b"a" * 1000, 20_000), (b'"', 1))
    yield "counts with 500,000 ids and one of -1", "c.json", around(COUNTS["ids"], '"11": 1, "5": 2', *((b'"%d": 1, ' % i, 1) for i in range(100, 500_100)), (b'"3": -1', 1))


def packed_lines(path):
    """300 MB of lines without a blank one."""
    with gzip.open(path, "wb", compresslevel=1) as out:
        for _ in range(3000):
            out.write((b"a" * 99 + b"\n") * 1000)


def long_line_between(path):
    """A good record, a line of 300 MB (longer than one may be), a good record."""
    record = b'{"text": "bada"}\n'
    zeros_after(record, 300_000_000)(path)
    with open(path, "ab") as out:
        out.write(b"\n" + record)


def text_cases():
    """(what, name, content, options of prepare, exit code)"""
    yield "text with a line of 10 GB", "t.txt", zeros_after(b"bada\n", 10_000_000_000), (), 2
    yield "text with a document of 10 GB", "t.txt", zeros_after(b"bada\n", 10_000_000_000), ("--document-separator", "none"), 2
    yield "text without a blank line in 300 MB", "t.txt.gz", packed_lines, (), 2
    yield "a record of 10 GB", "t.jsonl", zeros_after(b'{"text": "bada"}\n', 10_000_000_000), (), 2
    yield "a record of deep arrays", "t.ndjson", in_pieces((b'{"a": ', 1), (b"[" * 1000, 10_000)), (), 2
    yield "a line of 300 MB that is passed over", "t.jsonl", long_line_between, ("--skip-bad",), 0


def prepare_findings(folder, base):
    """Yields (what, seconds, bytes above the libraries, problems)."""
    (folder / "text.txt").write_text(toy.made_text(1))
    result = toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", 300, "--out", folder / "tok.model", folder / "text.txt")
    if result.rc != 0:
        sys.exit(f"hostile_files_test: {result.err}")
    for what, name, content, options, need in text_cases():
        path = folder / name
        content(path)
        before = sorted(folder.iterdir())
        code, lines, seconds, peak = measured("prepare", "--tokenizer", folder / "tok.model", "--out", folder / "out", "--threads", 1, *options, path, most_wait=MOST_TEXT_WAIT)
        line = last_line(lines)
        problems = [] if code == need and (need == 0 or line.startswith(f"evenkeel: error: {path}")) else [f"exit code {code}: {line[:300]!r}"]
        if need != 0 and sorted(folder.iterdir()) != before:
            problems.append("left a file behind")
        if peak - base > MOST_TEXT_BYTES:
            problems.append(f"{(peak - base) / 1e6:.0f} MB above the libraries; need at most {MOST_TEXT_BYTES / 1e6:.0f}")
        if seconds > MOST_TEXT_SECONDS:
            problems.append(f"{seconds:.1f} s; need at most {MOST_TEXT_SECONDS}")
        yield what, seconds, peak - base, problems
        path.unlink()


def main():
    failed = n = 0
    _, _, _, base = measured("--version")
    with tempfile.TemporaryDirectory(prefix="evenkeel-hostile-") as root:
        folder = pathlib.Path(root)
        toy.write_dataset(folder / "en", toy.made_documents(1))
        (folder / "recipe.toml").write_text(toy.recipe_text(folder).replace('name = "de", path = "' + str(folder) + '/de"', 'name = "de", path = "' + str(folder) + '/en"'))
        for arguments in (("train", folder / "recipe.toml", "--out", folder / "run", *CPU), ("trace", folder / "run", "--data", folder / "en", "--out", folder / "good.safetensors", *CPU)):
            result = toy.evenkeel(*arguments)
            if result.rc != 0:
                sys.exit(f"hostile_files_test: {result.err}")
        for what, name, content in cases((folder / "good.safetensors").read_bytes()):
            path = folder / name
            path.write_bytes(content) if isinstance(content, bytes) else content(path)
            source = ("--trace", f"x={path}") if name.startswith("t") else ("--counts", path)
            code, lines, seconds, peak = measured("analyze", *source, "--out", folder / "out", *CPU)
            line = last_line(lines)
            problems = []
            if what == GOOD:
                if code != 0:
                    problems.append(f"exit code {code}: {line[:300]!r}")
                shutil.rmtree(folder / "out", ignore_errors=True)
            elif code != 2 or not line.startswith("evenkeel: error: ") or len(line) > 2000:
                problems.append(f"exit code {code}: {line[:300]!r}")
            if seconds > MOST_SECONDS:
                problems.append(f"{seconds:.1f} s; need at most {MOST_SECONDS}")
            if peak - base > MOST_BYTES:
                problems.append(f"{(peak - base) / 1e6:.0f} MB above the libraries; need at most {MOST_BYTES / 1e6:.0f}")
            if (folder / "out").exists():
                problems.append("left a folder behind")
            failed += bool(problems)
            n += 1
            print(f"{'FAIL' if problems else 'ok  '} {what} ({seconds:.2f} s, {(peak - base) / 1e6:.0f} MB)", *problems, sep="\n       ", flush=True)
            path.unlink()
        for what, seconds, peak_bytes, problems in prepare_findings(folder, base):
            failed += bool(problems)
            n += 1
            print(f"{'FAIL' if problems else 'ok  '} {what} ({seconds:.2f} s, {peak_bytes / 1e6:.0f} MB)", *problems, sep="\n       ", flush=True)
    print(f"{n - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

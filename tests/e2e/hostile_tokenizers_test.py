#!/usr/bin/env python3
"""Tokenizer files that are damaged or made to harm end `evenkeel tokenize` with exit code 2 and one line that names the file or the
text, within 3 seconds of processor time.

  EVENKEEL  the binary (build/evenkeel)
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402

MOST_SECONDS = 3.0
HOSTILE_TEXT = "a" * 200_000 + "!b"


def tokenizer(**parts):
    """A tokenizer.json of three tokens with other parts in place of its own."""
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]} | parts.pop("model", {})
    return json.dumps({"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model} | parts)


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def nested(depth):
    part = {"type": "NFC"}
    for _ in range(depth):
        part = {"type": "Sequence", "normalizers": [part]}
    return part


# What it is, the file's content, what the line says, and the text to encode.
CASES = [
    ("merges that go round", tokenizer(model={"merges": ["a b", "ab a"]}), "got a merge with", "ab"),
    ("a merge that makes its own part", tokenizer(model={"vocab": {"": 0, "a": 1, "b": 2}, "merges": [["", "a"], ["a", ""], ["a", "b"]]}), "got a merge with", "a"),
    ("a merge of what is not there", tokenizer(model={"merges": ["a c"]}), "need tokens of the vocabulary", "a"),
    ("a merge of three", tokenizer(model={"merges": ["a b a"]}), "need two tokens with one space between them", "a"),
    ("a merge that is a number", tokenizer(model={"merges": [7]}), "model.merges[0]", "a"),
    ("an id far beyond the vocabulary", tokenizer(model={"vocab": {"a": 0, "b": 4_000_000_000}}), "need an id from 0 to", "a"),
    ("a negative id", tokenizer(model={"vocab": {"a": -1}}), "need an id from 0 to", "a"),
    ("an added id beyond the vocabulary", tokenizer(added_tokens=[{"id": 2_000_000_000, "content": "x"}]), "got id 2000000000", "a"),
    ("an id of the post-processor beyond the vocabulary", tokenizer(post_processor={"type": "BertProcessing", "cls": ["a", 0], "sep": ["x", 99]}), "got id 99", "a"),
    ("an unknown id beyond the vocabulary", tokenizer(model={"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 5}), "got 5; need an id", "a"),
    ("scores that are none", tokenizer(model={"type": "Unigram", "vocab": [["a", "b"]]}), "need number", "a"),
    ("dropout", tokenizer(model={"dropout": 0.5}), "got dropout 0.5, which evenkeel lacks", "a"),
    ("a regex that tries every way", tokenizer(pre_tokenizer=split("(a+)+$")), 'regex "(a+)+$"', HOSTILE_TEXT),
    ("a regex with nested repeats", tokenizer(pre_tokenizer=split("(?:(?:a|aa)+)+b")), "steps", HOSTILE_TEXT),
    ("a regex with references back", tokenizer(pre_tokenizer=split(r"(a*)*\1b")), "steps", HOSTILE_TEXT),
    ("a regex of many repeats", tokenizer(pre_tokenizer=split("(((a{1000}){1000}){1000}){1000}")), "need a pattern that PCRE2 compiles", "a"),
    ("a regex of 100,000 groups", tokenizer(pre_tokenizer=split("(" * 100_000)), "need at most", "a"),
    ("a regex of nested classes", tokenizer(pre_tokenizer=split("[" * 10_000)), "need classes nested less deep", "a"),
    ("a regex without its end", tokenizer(pre_tokenizer=split("[a-")), "got a class without an end", "a"),
    ("a recursion", tokenizer(pre_tokenizer=split("(?R)a")), "which evenkeel lacks", "a"),
    ("a normalizer that recurs", tokenizer(normalizer=nested(150)), "nested deeper than 200", "a"),
    ("JSON that is 100,000 deep", '{"model": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested deeper than 200", "a"),
    ("JSON that is 100,000 objects deep", '{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than 200", "a"),
    ("invalid UTF-8", b'{"model": {"type": "BPE", "vocab": {"\xff\xfe": 0}, "merges": []}}', "not JSON", "a"),
    ("a zero byte", b'{"model"\0: 1}', "zero byte", "a"),
    ("JSON that is cut", tokenizer()[:-20], "not JSON", "a"),
    ("no model", "{}", "got no key 'model'", "a"),
    ("a model of another kind", tokenizer(model={"type": "WordPiece"}), "which evenkeel lacks; need one of: BPE, Unigram", "a"),
    ("an added token of a megabyte", tokenizer(added_tokens=[{"id": 3, "content": "x" * 1_000_000}]), "need at most 1024", "a"),
    ("an added token that normalizes to nothing", tokenizer(normalizer={"type": "Strip", "strip_left": True, "strip_right": True},
     added_tokens=[{"id": 3, "content": " ", "normalized": True}]), "got nothing after its normalization", "a"),
    ("a map that is no base64", tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "????"}), "need one in base64", "a"),
    ("a map that says more than it holds", tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "/P///w=="}), "got a trie of", "a"),
    ("ranks out of order", "YQ== 1\nYg== 0\n", ":1: got rank 1; need 0", "a"),
    ("ranks of no encoding", "YQ== 0\nYg== 1\n", "which is no encoding that evenkeel knows", "a"),
    ("a rank that is none", "YQ== 0\nYg== x\n", ":2: got", "a"),
]  # fmt: skip


def check(folder, name, content, says, text):
    """What is wrong, or nothing."""
    path = folder / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as source:
        source.write(json.dumps(text).encode() + b"\n")
        source.seek(0)
        process = subprocess.Popen([toy.BINARY, "tokenize", "--strings", "--tokenizer", str(path)], stdin=source, stdout=subprocess.DEVNULL,
                                   stderr=err, env=toy.environment())  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        lines = err.read().decode("utf-8", "replace").splitlines()
    seconds = usage.ru_utime + usage.ru_stime
    problems = []
    if process.returncode != 2:
        problems.append(f"got exit code {process.returncode}; need 2")
    if len(lines) != 1 or not lines[0].startswith("evenkeel: error: ") or says not in lines[0]:
        problems.append(f"got {[line[:300] for line in lines[:3]]}; need one line with {says!r}")
    elif len(lines[0]) > 600:
        problems.append(f"got a line of {len(lines[0])} characters; need at most 600")
    if seconds > MOST_SECONDS:
        problems.append(f"got {seconds:.1f} s of processor time; need at most {MOST_SECONDS:.0f}")
    return [f"{name}: {problem}" for problem in problems]


def main():
    with tempfile.TemporaryDirectory() as name:
        problems = [problem for case in CASES for problem in check(pathlib.Path(name), *case)]
    for problem in problems:
        print(problem)
    print(f"{len(CASES)} hostile tokenizer files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

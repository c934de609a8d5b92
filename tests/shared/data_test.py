#!/usr/bin/env python3
"""Checks on real corpora and tokenizers that lie beside a checkout (not part of it).

usage: data_test.py DATA   where DATA has corpora/*.txt.xz, tokenizers/*.model, domains/*.txt.xz

- `tokenize` gives the ids of the PyPI sentencepiece library for every SentencePiece model on real lines of
  every corpus, and --decode gives the text back as that library does.
- `prepare` on real text of every corpus: the .bin decodes to the text, documents and tokens are counted,
  the hold-out is apart.
"""
import json
import lzma
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import sentencepiece

BINARY = os.environ.get("EVENKEEL", "build/evenkeel")
LINES = 200
BYTES = 300_000
checks = {"passed": 0, "failed": 0}


def check(what, holds, detail=""):
    checks["passed" if holds else "failed"] += 1
    print(("ok      " if holds else "FAILED  ") + what + ("" if holds else f"  {detail}"), flush=True)


def head(path, n_bytes):
    with lzma.open(path) as stream:
        text = stream.read(n_bytes).decode("utf-8", "ignore")
    return text[: text.rfind("\n") + 1]


def run(args, text=None):
    return subprocess.run([BINARY, *args], input=text, capture_output=True, text=True)


def tokenize_all(models, corpora):
    for model in models:
        reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
        for corpus in corpora:
            lines = [line for line in head(corpus, BYTES).split("\n") if line][:LINES]
            result = run(["tokenize", "--tokenizer", str(model)], "\n".join(lines) + "\n")
            ids = [json.loads(line) for line in result.stdout.splitlines()]
            wrong = [line for line, got in zip(lines, ids) if got != reference.encode(line)]
            check(f"tokenize {model.name} on {corpus.name}", result.returncode == 0 and len(ids) == len(lines) and not wrong,
                  f"{len(wrong)} of {len(lines)} lines differ: {wrong[:1]}")
            decoded = run(["tokenize", "--tokenizer", str(model), "--decode"], "\n".join(json.dumps(i) for i in ids) + "\n")
            texts = [json.loads(line) for line in decoded.stdout.splitlines()]
            check(f"decode {model.name} on {corpus.name}", texts == [reference.decode(i) for i in ids])


def read_tokens(prefix):
    index = prefix.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\0\0"
    code, n = index[17], struct.unpack_from("<Q", index, 18)[0]
    lengths = struct.unpack_from(f"<{n}i", index, 34)
    kind = {8: "H", 4: "i"}[code]
    data = prefix.with_suffix(".bin").read_bytes()
    tokens = struct.unpack(f"<{len(data) // struct.calcsize(kind)}{kind}", data)
    assert sum(lengths) == len(tokens)
    return lengths, tokens


def prepare_all(model, corpora, folder):
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for corpus in corpora:
        text = head(corpus, BYTES).replace('\r\n', '\n')  # blank lines of either kind are tested by themselves
        source = folder / (corpus.name.split(".")[0] + ".txt")
        source.write_text(text)
        prefix = folder / source.stem
        result = run(["prepare", "--tokenizer", str(model), "--out", str(prefix), str(source)])
        documents = [d.strip("\n") for d in text.split("\n\n") if d.strip("\n")]
        lengths, tokens = read_tokens(prefix)
        summary = json.loads(prefix.with_suffix(".json").read_text())
        check(f"prepare {corpus.name} counts", result.returncode == 0 and summary["tokens"] == len(tokens) and summary["documents"] == len(lengths) == len(documents),
              f"{summary['documents']} {len(lengths)} {len(documents)} {result.stderr[-300:]}")
        eos, at, same = reference.eos_id(), 0, True
        for length, document in zip(lengths, documents):
            ids = list(tokens[at:at + length])
            at += length
            same = same and ids[-1] == eos and reference.decode(ids[:-1]) == reference.decode(reference.encode(document))
        check(f"prepare {corpus.name} decodes to its documents", same)
        held = run(["prepare", "--tokenizer", str(model), "--out", str(prefix) + "-h", "--holdout", "0.1", str(source)])
        kept, out = (read_tokens(pathlib.Path(str(prefix) + s)) for s in ("-h", "-h-heldout"))
        total = len(kept[1]) + len(out[1])
        # a cut document gets an end-of-document id on both sides
        check(f"prepare {corpus.name} hold-out adds up", held.returncode == 0 and len(tokens) <= total <= len(tokens) + 2 * len(out[0]) + 2 and 0 < len(out[1]) < 0.5 * total,
              f"{len(tokens)} {total} {held.stderr[-300:]}")


def main():
    data = pathlib.Path(sys.argv[1])
    corpora = sorted(data.glob("corpora/*.txt.xz")) + sorted(data.glob("domains/*.txt.xz"))
    models = sorted(data.glob("tokenizers/*.model"))
    check("corpora and tokenizers are there", len(corpora) >= 3 and len(models) >= 1)
    tokenize_all(models, corpora)
    with tempfile.TemporaryDirectory() as folder:
        prepare_all([m for m in models if "llama" in m.name or "mixtral" in m.name][0], corpora, pathlib.Path(folder))
    print(f"{checks['passed']} passed, {checks['failed']} failed")
    return 1 if checks["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

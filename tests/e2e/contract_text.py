"""Checks of tokenizer train, tokenize and prepare against shared/spec/cli.md."""
import gzip
import hashlib
import json
import lzma
import pathlib
import random

import toy
from checks import documents_of


class Texts:
    """Two tokenizers and some text in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.text = toy.made_text(1)
        (folder / "text.txt").write_text(self.text)
        for kind in ("bpe", "unigram"):
            result = toy.evenkeel("tokenizer", "train", "--kind", kind, "--vocab-size", 320, "--out", folder / f"{kind}.model", folder / "text.txt")
            if result.rc != 0:
                raise RuntimeError(result.err)
        self.tokenizer = folder / "bpe.model"
        self.end = 2  # </s>, the end-of-text token that the model names

    def tokenize(self, lines, *options, tokenizer=None):
        result = toy.evenkeel("tokenize", "--tokenizer", tokenizer or self.tokenizer, *options, stdin="".join(line + "\n" for line in lines).encode())
        if result.rc != 0:
            raise RuntimeError(result.err)
        return [json.loads(line) for line in result.out.splitlines()]

    def prepare(self, name, inputs, *options):
        prefix = self.folder / name
        return prefix, toy.evenkeel("prepare", "--tokenizer", self.tokenizer, "--out", prefix, *inputs, *options)

    def ids(self, documents, end=True):
        """What a corpus of these texts must hold."""
        lines = [self.tokenize(text.split("\n")) for text in documents]
        newline = self.newline_id()
        out = []
        for parts in lines:
            ids = []
            for i, part in enumerate(parts):
                ids += ([newline] if i > 0 else []) + part
            out.append(ids + ([self.end] if end else []))
        return out

    def prepared(self, documents):
        """The same by way of prepare, one document a line."""
        source = self.folder / "lines.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
        prefix, result = self.prepare("lines", [source])
        if result.rc != 0:
            raise RuntimeError(result.err)
        return documents_of(prefix)[0]

    def prepared_kept(self, documents):
        """As prepared(), with the carriage returns of the documents."""
        source = self.folder / "kept.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
        prefix, result = self.prepare("kept", [source], "--keep-cr")
        if result.rc != 0:
            raise RuntimeError(result.err)
        return documents_of(prefix)[0]

    def newline_id(self):
        decoded = self.tokenize([f"[{number}]" for number in range(320)], "--decode")
        pieces = [number for number, text in enumerate(decoded) if text == "\n"]
        return pieces[0]  # its own piece; the byte's fallback comes later


def check_tokenizers_of_both_kinds_encode_and_decode(texts, problems):
    lines = [line for line in texts.text.splitlines() if line][:20] + ["Überraschung äöü ß €", "日本 🙂", "  two  spaces ", ""]
    for kind in ("bpe", "unigram"):
        arrays = texts.tokenize(lines, tokenizer=texts.folder / f"{kind}.model")
        problems.equal(len(arrays), len(lines), f"{kind}: arrays")
        problems.need(all(isinstance(i, int) and 0 <= i < 320 for ids in arrays for i in ids), f"{kind}: ids outside 0..319")
        decoded = texts.tokenize([json.dumps(ids) for ids in arrays], "--decode", tokenizer=texts.folder / f"{kind}.model")
        problems.equal(decoded, lines, f"{kind}: decoded")
        problems.equal(texts.tokenize(lines, "--no-special", tokenizer=texts.folder / f"{kind}.model"), arrays, f"{kind}: --no-special of a model without BOS")


def check_a_tokenizer_is_the_same_on_every_training(texts, problems):
    again = texts.folder / "again" / "bpe.model"  # its folder is made
    problems.ran(toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", 320, "--threads", 1, "--out", again, texts.folder / "text.txt"))
    problems.need(again.read_bytes() == texts.tokenizer.read_bytes(), "another training gave other bytes")


def check_a_folder_with_a_model_is_a_tokenizer(texts, problems):
    folder = texts.folder / "holder"
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(texts.tokenizer.read_bytes())
    problems.equal(texts.tokenize(["bada"], tokenizer=folder), texts.tokenize(["bada"]), "ids")


def check_a_folder_with_a_tokenizer_json_is_a_tokenizer(texts, problems):
    folder = texts.folder / "json"
    folder.mkdir()
    characters = {c: i for i, c in enumerate("abdu\u0120\u010a")}
    model = {"type": "BPE", "vocab": characters | {"ba": 6, "bada": 7, "da": 8, "\u0120d": 9}, "merges": ["b a", "d a", "ba da", "\u0120 d"]}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [10], "tokens": ["<s>"]}}}  # fmt: skip
    special = [{"id": 10 + i, "content": content, "special": True, "normalized": False} for i, content in enumerate(["<s>", "</s>"])]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False}
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": special, "pre_tokenizer": byte_level, "decoder": byte_level,
                                                       "post_processor": template, "model": model}))  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    problems.equal(texts.tokenize(["bada du", "</s>ab"], tokenizer=folder), [[10, 7, 9, 3], [10, 11, 0, 1]], "ids")
    problems.equal(texts.tokenize(["bada du"], "--no-special", tokenizer=folder), [[7, 9, 3]], "ids without BOS")
    problems.equal(texts.tokenize(['"ba\\nda"'], "--strings", tokenizer=folder), [[10, 6, 5, 8]], "ids of a JSON string")
    problems.equal(texts.tokenize(["[10, 7, 9, 3, 11]"], "--decode", tokenizer=folder), ["bada du"], "text")
    source = texts.folder / "json.txt"
    source.write_text("bada du\n\nab\n")
    prefix = texts.folder / "by-json"
    if problems.ran(toy.evenkeel("prepare", "--tokenizer", folder, "--out", prefix, source)):
        problems.equal(documents_of(prefix)[0], [[7, 9, 3, 11], [0, 1, 11]], "documents")
        description = json.loads(pathlib.Path(f"{prefix}.json").read_text())
        problems.equal(description["tokenizer_sha256"], hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest(), "tokenizer hash")


def check_documents_are_cut_at_each_kind_of_separator(texts, problems):
    content = "bada du\nke lo\n\nfe fi\n\n\nmo\n"
    source = texts.folder / "cut.txt"
    source.write_text(content)
    for separator, documents in [("blank-line", ["bada du\nke lo", "fe fi", "mo"]), ("newline", ["bada du", "ke lo", "fe fi", "mo"]),
                                 ("none", [content]), ("\n\nfe", ["bada du\nke lo", " fi\n\n\nmo\n"])]:
        prefix, result = texts.prepare("cut", [source], "--document-separator", separator)
        if problems.ran(result):
            problems.equal(documents_of(prefix)[0], texts.ids(documents), f"separator {separator!r}")
    prefix, result = texts.prepare("default", [source])
    problems.ran(result)
    problems.equal(len(documents_of(prefix)[0]), 3, "documents by default, which is blank-line")


def check_the_end_of_document_id(texts, problems):
    source = texts.folder / "eod.txt"
    source.write_text("bada\n\ndu\n")
    bare = texts.ids(["bada", "du"], end=False)
    for options, end in [((), [2]), (("--eod", "</s>"), [2]), (("--eod", "1"), [1]), (("--eod", "none"), [])]:
        prefix, result = texts.prepare("eod", [source], *options)
        if problems.ran(result):
            problems.equal(documents_of(prefix)[0], [ids + end for ids in bare], f"{options}")


def check_the_description_beside_a_pair(texts, problems):
    source = texts.folder / "text.txt"
    prefix, result = texts.prepare("described", [source])
    problems.ran(result)
    problems.equal(result.out, "", "stdout")
    documents, width = documents_of(prefix)
    description = json.loads(pathlib.Path(f"{prefix}.json").read_text())
    problems.equal(width, 2, "bytes an id")
    problems.equal(description["tokens"], sum(map(len, documents)), "tokens")
    problems.equal(description["documents"], len(documents), "documents")
    problems.equal(description["documents"], 120, "documents of the text")
    problems.equal(description["bytes"], sum(len(part.encode()) for part in texts.text.strip("\n").split("\n\n")), "bytes")
    problems.equal(description["tokenizer_sha256"], hashlib.sha256(texts.tokenizer.read_bytes()).hexdigest(), "tokenizer hash")
    problems.equal([entry["sha256"] for entry in description["inputs"]], [hashlib.sha256(source.read_bytes()).hexdigest()], "input hashes")


def check_packed_and_jsonl_inputs_give_the_same_tokens(texts, problems):
    documents = texts.text.strip("\n").split("\n\n")
    (texts.folder / "in.txt.gz").write_bytes(gzip.compress(texts.text.encode()))
    (texts.folder / "in.txt.xz").write_bytes(lzma.compress(texts.text.encode()))
    (texts.folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    (texts.folder / "body.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps({"text": 3, "body": text}) + "\n" for text in documents).encode()))
    want, result = texts.prepare("plain", [texts.folder / "text.txt"])
    problems.ran(result)
    for name, options in [("in.txt.gz", ()), ("in.txt.xz", ()), ("in.jsonl", ()), ("body.jsonl.gz", ("--text-field", "body"))]:
        prefix, result = texts.prepare("packed", [texts.folder / name], *options, "--threads", 1)
        if problems.ran(result):
            problems.need(documents_of(prefix) == documents_of(want), f"{name}: other tokens")


def check_json_lines_of_other_writers(texts, problems):
    records = [{"text": "bada du", "quality": float("nan")}, {"n": [float("inf"), float("-inf"), {"text": 3}], "text": "ke"}, {"text": "lo\ud83d\ud83d\ude00"}, {"text": "fe \r\n\u0000fi"}]
    lines = "".join(json.dumps(record) + "\r\n" for record in records)
    want = texts.prepared(["bada du", "ke", "lo\ufffd\U0001f600", "fe \n\u0000fi"])
    for name, content in [("py.jsonl", lines.encode()), ("py.ndjson", b"\xef\xbb\xbf" + lines.encode()), ("py.json", lines.encode()), ("py.json.gz", gzip.compress(lines.encode())),
                          ("py.jsonl.xz", lzma.compress(lines[:50].encode()) + b"\0" * 4 + lzma.compress(lines[50:].encode())), ("py.ndjson.gz", gzip.compress(lines[:50].encode()) + gzip.compress(lines[50:].encode()))]:
        (texts.folder / name).write_bytes(content)
        prefix, result = texts.prepare("py-tokens", [texts.folder / name])
        if problems.ran(result):
            problems.equal(documents_of(prefix)[0], want, name)
            problems.need("1 lone surrogate " in result.err and "1 line end CR LF read as LF" in result.err, f"{name}: {result.err.strip()}")


def check_records_without_text_are_counted(texts, problems):
    source = texts.folder / "empty.jsonl"
    source.write_text('{"text": ""}\n{"text": "bada"}\n\n{"text": ""}\n{"text": "du"}\n')
    prefix, result = texts.prepare("empty", [source])
    if problems.ran(result):
        problems.equal(documents_of(prefix)[0], texts.ids(["bada", "du"]), "documents")
        problems.need("read 2 documents " in result.err and "2 records without text: no document" in result.err, f"stderr: {result.err.strip()}")
        problems.need("read 2 documents (one a record), " in result.err, f"records alone are not cut at blank lines: {result.err.strip()}")
        read = json.loads(pathlib.Path(f"{prefix}.json").read_text())["read"]
        problems.equal((read["json_files"], read["text_files"], read["documents"], read["empty_records"], read["zero_bytes"]), (1, 0, 2, 2, 0), "counts in PREFIX.json")


def check_zero_bytes_are_counted(texts, problems):
    source = texts.folder / "zero.txt"
    source.write_bytes(b"bada du ke\0 lo\n\nfe fi\0\n")
    prefix, result = texts.prepare("zero", [source])
    if problems.ran(result):
        problems.need("2 zero bytes in the text" in result.err, f"stderr: {result.err.strip()}")
        problems.equal(json.loads(pathlib.Path(f"{prefix}.json").read_text())["read"]["zero_bytes"], 2, "zero_bytes in PREFIX.json")


def check_a_description_without_counts_is_read(texts, problems):
    """As an earlier version wrote it."""
    source = texts.folder / "older.txt"
    source.write_text("bada du ke lo\n")
    prefix, result = texts.prepare("older", [source])
    if problems.ran(result):
        path = pathlib.Path(f"{prefix}.json")
        description = json.loads(path.read_text())
        del description["read"]
        path.write_text(json.dumps(description))
        problems.ran(toy.evenkeel("inspect", prefix))
        problems.ran(texts.prepare("older", [source])[1])


def check_line_ends_are_normalised_unless_kept(texts, problems):
    source = texts.folder / "crlf.txt"
    source.write_bytes("bada du\r\nke lo\r\n\r\nfe fi\r\n".encode())
    for separator, documents in [("blank-line", ["bada du\nke lo", "fe fi"]), ("newline", ["bada du", "ke lo", "fe fi"]), ("none", ["bada du\nke lo\n\nfe fi\n"]), ("\n\n", ["bada du\nke lo", "fe fi\n"])]:
        prefix, result = texts.prepare("crlf", [source], "--document-separator", separator)
        if problems.ran(result):
            problems.equal(documents_of(prefix)[0], texts.ids(documents), f"separator {separator!r}")
            problems.need("4 line ends CR LF read as LF" in result.err, f"{separator!r}: {result.err.strip()}")
    prefix, result = texts.prepare("crlf-kept", [source], "--keep-cr")
    problems.ran(result)
    problems.equal(documents_of(prefix)[0], texts.prepared_kept(["bada du\r\nke lo", "fe fi"]), "--keep-cr")
    problems.need("4 line ends CR LF kept" in result.err, f"--keep-cr: {result.err.strip()}")
    plain = texts.tokenize(["bada du", "ke lo"])
    problems.equal(texts.tokenize(["bada du\r", "ke lo\r"]), plain, "tokenize of CR LF")
    problems.need(texts.tokenize(["bada du\r"], "--keep-cr") not in (plain[:1], []), "tokenize --keep-cr keeps the CR")
    (texts.folder / "mac.txt").write_bytes(b"bada du\rke lo\r\rfe fi\r")
    prefix, result = texts.prepare("mac", [texts.folder / "mac.txt"])
    if problems.ran(result):
        problems.equal(documents_of(prefix)[0], texts.ids(["bada du\nke lo", "fe fi"]), "a CR ends a line")
        problems.need("4 line ends CR read as LF" in result.err, f"line ends CR: {result.err.strip()}")
    (texts.folder / "crlf-text.txt").write_bytes(texts.text.replace("\n", "\r\n").encode())
    n = texts.text.count("\n")
    for options, same, words in [((), True, f"{n} line ends CR LF read as LF"), (("--keep-cr",), False, f"{n} line ends CR LF kept")]:
        model = texts.folder / "crlf.model"
        result = toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", 320, *options, "--out", model, texts.folder / "crlf-text.txt")
        problems.ran(result)
        problems.equal(model.read_bytes() == texts.tokenizer.read_bytes(), same, f"tokenizer train {options}: the model of the text with LF")
        problems.need(words in result.err, f"tokenizer train {options}: {result.err.strip()}")


def check_damaged_lines_are_passed_over_when_asked(texts, problems):
    source, text = texts.folder / "bad.jsonl", texts.folder / "bad.txt"
    content = b'{"text": "bada"}\n{"text": "du"\n{"text": 7}\n{"body": "x"}\n{"text": "a"}\0{"text": "b"}\n{"text": "\xff"}\n{"text": "ke"}\n'
    source.write_bytes(content)
    text.write_bytes(b"lo\xff\n\nfe\n")
    prefix, result = texts.prepare("bad", [source, text])
    problems.ran(result, 2)
    problems.need(not pathlib.Path(f"{prefix}.bin").exists(), "a pair of damaged lines")
    prefix, result = texts.prepare("bad", [source, text], "--skip-bad")
    if not problems.ran(result):
        return
    problems.equal(documents_of(prefix)[0], texts.prepared(["bada", "ke", "fe"]), "documents")
    problems.need("passed over 6 damaged lines" in result.err, f"stderr: {result.err.strip()}")
    lines = [json.loads(line) for line in pathlib.Path(f"{prefix}.skipped.jsonl").read_text().splitlines()]
    starts = [sum(len(line) + 1 for line in content.split(b"\n")[:i]) for i in range(1, 6)]
    problems.equal([(entry["path"], entry["line"], entry["byte"]) for entry in lines], [(str(source), i + 2, start) for i, start in enumerate(starts)] + [(str(text), 1, 0)], "places")
    problems.need(all(entry["reason"].startswith("got ") and "; need " in entry["reason"] for entry in lines), f"reasons: {lines}")
    problems.ran(texts.prepare("bad", [texts.folder / "text.txt"])[1])
    problems.need(not pathlib.Path(f"{prefix}.skipped.jsonl").exists(), "the list of an earlier call stays beside other tokens")


def check_prepare_says_what_it_made(texts, problems):
    source = texts.folder / "one.txt"
    source.write_text(texts.text.replace("\n\n", "\n"))
    prefix, result = texts.prepare("one", [source], "--holdout", "0.25")
    problems.ran(result)
    kept, held = (len(documents_of(f"{prefix}{suffix}")[0]) for suffix in ("", "-heldout"))
    for words in ("read 1 document, ", "1 input without a blank line", "in blocks of 4,096 tokens", f"the 1 document became {kept} part", f" and {held} in {prefix}-heldout"):
        problems.need(words in result.err, f"stderr lacks {words!r}: {result.err.strip()}")
    description = json.loads(pathlib.Path(f"{prefix}.json").read_text())
    problems.equal((description["holdout"], description["input_documents"]), ({"fraction": 0.25, "by": "blocks"}, 1), "PREFIX.json")


def check_a_hold_out_by_hash_of_documents(texts, problems):
    rng = random.Random(5)
    documents = [" ".join(rng.choice(["bada", "du", "ke", "lo", "fe"]) for _ in range(8)) + f" {i}" for i in range(3000)]
    source, shuffled = texts.folder / "many.txt", texts.folder / "shuffled.txt"
    source.write_text("\n".join(documents))
    shuffled.write_text("\n".join(rng.sample(documents, len(documents))))
    options = ("--document-separator", "newline", "--holdout", "0.1")
    prefix, result = texts.prepare("many", [source], *options)
    other, second = texts.prepare("many-shuffled", [shuffled], *options)
    if not (problems.ran(result) and problems.ran(second)):
        return
    kept, held = (documents_of(f"{prefix}{suffix}")[0] for suffix in ("", "-heldout"))
    problems.need(240 <= len(held) <= 360, f"{len(held)} of 3000 documents held out; need about 300")
    problems.equal(sorted(kept + held), sorted(texts.prepared(documents)), "the two pairs together")
    problems.equal(sorted(held), sorted(documents_of(f"{other}-heldout")[0]), "held out of the same documents in another order")
    for suffix in ("", "-heldout"):
        tokens = json.loads(pathlib.Path(f"{prefix}{suffix}.json").read_text())["tokens"]
        problems.equal(tokens, sum(map(len, kept if suffix == "" else held)), f"tokens of {suffix or 'the rest'}")


def check_a_hold_out_of_few_documents_is_by_blocks(texts, problems):
    prefix, result = texts.prepare("blocks", [texts.folder / "text.txt"], "--holdout", "0.25")
    whole, second = texts.prepare("blocks-whole", [texts.folder / "text.txt"])
    if not (problems.ran(result) and problems.ran(second)):
        return
    flat = [i for ids in documents_of(whole)[0] for i in ids]
    kept, held = ([i for ids in documents_of(f"{prefix}{suffix}")[0] for i in ids] for suffix in ("", "-heldout"))
    blocks = [flat[i:i + 4096] for i in range(0, len(flat), 4096)]
    sides, at = [], {"kept": 0, "held": 0}
    for block in blocks:
        side = "held" if held[at["held"]:at["held"] + len(block)] == block else "kept"
        side_ids = held if side == "held" else kept
        problems.need(side_ids[at[side]:at[side] + len(block)] == block, f"block {len(sides)} stands in neither pair")
        at[side] += len(block)
        sides.append(side)
    problems.equal((at["kept"], at["held"]), (len(kept), len(held)), "tokens of both pairs")
    problems.need(0 < sides.count("held") <= len(sides) / 2, f"blocks {sides}")

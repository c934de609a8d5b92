#!/usr/bin/env python3
"""`convert`: token files of numpy, of llm.c and of ids alone become a pair, and a pair becomes them again. numpy writes what is read and reads what is
written; a list that numpy saved comes back to the byte. Hostile files end in one line and leave nothing.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import hashlib
import json
import pathlib
import random
import struct
import sys

sys.dont_write_bytecode = True
import numpy as np  # noqa: E402
import toy  # noqa: E402
from checks import documents_of, run_in_folder  # noqa: E402

EOD = 0
GPT2, LLAMA3 = (20240520, 1, "<u2"), (20240801, 7, "<u4")
DTYPES = {"u8": "|u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "i64": "<i8"}


class Place:
    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(1)
        self.ids = rng.integers(1, 200, 5000)
        self.ids[rng.integers(0, 4998, 90)] = EOD
        self.ids[0], self.ids[-1] = 7, EOD  # a stream whose documents end with the id

    def npy(self, name, array):
        np.save(self.folder / name, array)
        return self.folder / name

    def raw(self, name, array):
        array.tofile(self.folder / name)
        return self.folder / name

    def llmc(self, name, ids, kind, n_tokens=None):
        magic, version, dtype = kind
        header = struct.pack("<3i", magic, version, len(ids) if n_tokens is None else n_tokens).ljust(1024, b"\0")
        return self.bytes(name, header + np.asarray(ids).astype(dtype).tobytes())

    def bytes(self, name, content):
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def convert(self, name, inputs, *options):
        """To a pair, or of one; returns the path that was to be written, and the result."""
        out = self.folder / name
        return out, toy.evenkeel("convert", *inputs, "--out", out, *options)


def description_of(prefix):
    return json.loads(pathlib.Path(f"{prefix}.json").read_text())


def cut(ids, mark):
    """The stream, cut at EOD; written apart from the code under test."""
    documents = [[]]
    for id in map(int, ids):
        if mark == "begins" and id == EOD and documents[-1]:
            documents.append([])
        documents[-1].append(id)
        if mark == "ends" and id == EOD:
            documents.append([])
    return [ids for ids in documents if ids]


def check_a_list_of_numpy_comes_back_to_the_byte(place, problems):
    for name, dtype in DTYPES.items():
        source = place.npy(f"{name}.npy", place.ids.astype(dtype))
        prefix, result = place.convert(f"pair-{name}", [source])
        if not problems.ran(result):
            continue
        problems.equal(documents_of(prefix), ([place.ids.tolist()], 2), f"{name}: the pair")
        back, result = place.convert(f"back-{name}.npy", [prefix], "--dtype", name)
        if problems.ran(result):
            problems.need(back.read_bytes() == source.read_bytes(), f"{name}: other bytes")
            problems.need(np.array_equal(np.load(back), place.ids) and np.load(back).dtype == np.dtype(dtype), f"{name}: numpy reads another list")
    _, result = place.convert("default.npy", [place.folder / "pair-i64"])
    if problems.ran(result):
        problems.equal(np.load(place.folder / "default.npy").dtype, np.dtype("<u2"), "the type by default")


def check_large_ids_take_four_bytes(place, problems):
    ids = place.ids * 640 + 1  # up to 127,361
    prefix, result = place.convert("large", [place.npy("large-in.npy", ids.astype("<u4"))])
    problems.ran(result)
    problems.equal(documents_of(prefix), ([ids.tolist()], 4), "the pair")
    back, result = place.convert("large-out.npy", [prefix])
    if problems.ran(result):
        problems.need(back.read_bytes() == (place.folder / "large-in.npy").read_bytes(), "other bytes")
    back, result = place.convert("large-u16.npy", [prefix], "--dtype", "u16")
    problems.ran(result, 2)
    problems.need(not back.exists(), "a file was left")


def check_every_version_of_numpys_format(place, problems):
    for version in ((1, 0), (2, 0), (3, 0)):
        path = place.folder / f"version-{version[0]}.npy"
        with open(path, "wb") as file:
            np.lib.format.write_array(file, place.ids.astype("<u2"), version=version)
        prefix, result = place.convert(f"version-{version[0]}", [path])
        if problems.ran(result):
            problems.equal(documents_of(prefix)[0], [place.ids.tolist()], f"version {version}")


def check_windows_stand_one_after_another(place, problems):
    prefix, result = place.convert("windows", [place.npy("windows.npy", place.ids.astype("<u2").reshape(50, 100))])
    if problems.ran(result):
        problems.equal(documents_of(prefix)[0], [place.ids.tolist()], "the stream")
        problems.need("1 input with windows, 50 in all" in result.err, f"not said: {result.err!r}")


def check_ids_alone_come_back_to_the_byte(place, problems):
    for name, dtype in DTYPES.items():
        source = place.raw(f"raw-{name}.npy", place.ids.astype(dtype))  # OLMo's files have this suffix and no header
        prefix, result = place.convert(f"raw-pair-{name}", [source], "--dtype", name)
        if not problems.ran(result):
            continue
        problems.equal(documents_of(prefix)[0], [place.ids.tolist()], name)
        back, result = place.convert(f"raw-back-{name}.bin", [prefix], "--to", "raw", "--dtype", name)
        if problems.ran(result):
            problems.need(back.read_bytes() == source.read_bytes(), f"{name}: other bytes")


def check_files_of_llm_c_come_back_to_the_byte(place, problems):
    for version, kind in (("gpt2", GPT2), ("llama3", LLAMA3)):
        ids = np.concatenate([[EOD], place.ids[:-1]]) if kind is GPT2 else np.concatenate([[EOD], place.ids[:-1] * 500])
        source = place.llmc(f"{version}.bin", ids, kind)
        prefix, result = place.convert(f"{version}-pair", [source], "--eod", EOD)
        if not problems.ran(result):
            continue
        problems.equal(documents_of(prefix)[0], cut(ids, "begins"), f"{version}: documents")
        problems.equal(description_of(prefix)["documents_by"], "begins", f"{version}: documents_by")
        back, result = place.convert(f"{version}-back.bin", [prefix], "--to", "llmc")
        if problems.ran(result):
            problems.need(back.read_bytes() == source.read_bytes(), f"{version}: other bytes")


def check_documents_are_cut_where_it_is_said(place, problems):
    source = place.npy("cut.npy", place.ids.astype("<u2"))
    for options, mark in (((), "none"), (("--documents", "none"), "none"), (("--eod", EOD), "ends"), (("--eod", EOD, "--documents", "ends"), "ends"),
                          (("--eod", EOD, "--documents", "begins"), "begins")):
        prefix, result = place.convert("cut", [source], *options)
        if problems.ran(result):
            problems.equal(documents_of(prefix)[0], cut(place.ids, mark), f"{options}: documents")
            description = description_of(prefix)
            problems.equal(description["documents_by"], mark, f"{options}: documents_by")
            problems.equal(description["documents"], len(cut(place.ids, mark)), f"{options}: their number")
            problems.equal("is it --documents ends?" in result.err, mark == "begins", f"{options}: a warning")


def check_several_inputs_are_one_stream(place, problems):
    rng, inputs, parts, first = random.Random(2), [], [], 0
    for i in range(6):
        end = len(place.ids) if i == 5 else rng.randint(first, 900 * (i + 1))
        part = place.ids[first:end]
        inputs.append(place.npy(f"part-{i}.npy", part.astype("<i4")) if i % 2 else place.raw(f"part-{i}.bin", part.astype("<i4")))
        parts.append(part)
        first = end
    prefix, result = place.convert("parts", inputs, "--eod", EOD, "--dtype", "i32")
    if problems.ran(result):
        problems.equal(documents_of(prefix)[0], cut(place.ids, "ends"), "documents")
        want = [{"path": str(path), "bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in inputs]
        problems.equal(description_of(prefix)["inputs"], want, "inputs")
    before = pathlib.Path(f"{prefix}.bin").read_bytes()
    prefix, result = place.convert("pattern", [place.folder / "part-*"], "--eod", EOD, "--dtype", "i32")
    problems.ran(result)
    problems.need(pathlib.Path(f"{prefix}.bin").read_bytes() == before, "a pattern gives another stream")
    prefix, result = place.convert("parts", inputs, "--dtype", "i32")  # its own output of before is replaced
    if problems.ran(result):
        problems.equal(documents_of(prefix)[0], [part.tolist() for part in parts if len(part)], "a document each")


def check_the_pair_serves_the_other_commands(place, problems):
    toy.write_dataset(place.folder / "en", toy.made_documents(1))
    toy.write_dataset(place.folder / "de", toy.made_documents(2))
    (place.folder / "recipe.toml").write_text(toy.recipe_text(place.folder))
    problems.ran(toy.evenkeel("train", place.folder / "recipe.toml", "--out", place.folder / "run", "--threads", 1, "--device", "cpu"))
    stream = [id for document in toy.made_documents(1) for id in document]
    prefix, result = place.convert("same", [place.npy("same.npy", np.array(stream, "<u2"))], "--eod", toy.END_OF_DOCUMENT, "--vocab-size", toy.VOCAB_SIZE)
    problems.ran(result)
    problems.equal(documents_of(prefix), documents_of(place.folder / "en"), "the pair")
    evaluate = lambda at: toy.evenkeel("eval", place.folder / "run", "--data", f"en={at}", "--json", "--threads", 1, "--device", "cpu")  # noqa: E731
    one, other = evaluate(place.folder / "en"), evaluate(prefix)
    problems.ran(other)
    problems.equal(json.loads(other.out), json.loads(one.out), "what eval prints")
    result = toy.evenkeel("inspect", prefix)
    problems.ran(result)
    problems.need("documents_by: \"ends\"" in result.out and "bytes: null" in result.out, f"inspect: {result.out}")


# Name, what is written (a function of the place), options, words of the line.
def hostile_files(place):
    ids = np.array([5, 6, 7, 8], "<u2")
    whole = place.npy("whole.npy", ids).read_bytes()
    (place.folder / "whole.npy").unlink()
    npy = lambda array, **options: lambda path: np.save(path, array, **options)  # noqa: E731
    data = lambda content: lambda path: path.write_bytes(content)  # noqa: E731
    llmc = lambda *numbers, body=b"", size=1024: data(struct.pack("<3i", *numbers).ljust(size, b"\0") + body)  # noqa: E731

    def shape(text):
        return data(whole.replace(b"(4,), }" + b" " * (len(text) - 4), text.encode() + b", }", 1))

    yield "a header that is cut", "a.npy", data(whole[:60]), (), ("numpy header",)
    yield "the magic alone", "a.npy", data(whole[:6]), (), ("numpy header",)
    yield "a body that is shorter", "a.npy", data(whole[:-2]), (), ("got 6 bytes behind the header", "4 ids")
    yield "a body that is longer", "a.npy", data(whole + b"\0\0"), (), ("got 10 bytes behind the header",)
    yield "an odd byte", "a.npy", data(whole[:-1]), (), ("got 7 bytes behind the header",)
    yield "a huge shape", "a.npy", shape("(9223372036854775807,)"), (), ("9223372036854775807 ids",)
    yield "a shape that overflows", "a.npy", shape("(4294967296, 4294967296)"), (), ("more than there can be",)
    yield "a shape below 0", "a.npy", shape("(-4,)"), (), ("damaged",)
    yield "an empty file", "a.npy", data(b""), (), ("need --dtype",)
    yield "an empty file of a type", "a.bin", data(b""), ("--dtype", "u16"), ("no tokens",)
    yield "an empty list", "a.npy", npy(ids[:0]), (), ("no tokens",)
    yield "big-endian ids", "a.npy", npy(ids.astype(">u2")), (), ("big-endian",)
    yield "a table of Fortran", "a.npy", npy(np.asfortranarray(ids.reshape(2, 2))), (), ("Fortran",)
    yield "three dimensions", "a.npy", npy(ids.reshape(2, 2, 1)), (), ("3 dimensions",)
    yield "a single number", "a.npy", npy(ids[0]), (), ("0 dimensions",)
    for dtype, word in (("f4", "floating-point"), ("f8", "floating-point"), ("u8", "'<u8'"), ("i1", "'|i1'"), ("i2", "'<i2'"), ("?", "'|b1'"), ("U3", "'<U3'")):
        yield f"ids of {dtype}", "a.npy", npy(ids.astype(dtype)), (), (word,)
    yield "objects of Python", "a.npy", npy(ids.astype(object), allow_pickle=True), (), ("objects of Python",)
    yield "records", "a.npy", npy(np.zeros(3, [("id", "<u2"), ("x", "<u4")])), (), ("several fields",)
    yield "numpy's archive", "a.npz", lambda path: np.savez(path, ids), ("--dtype", "u16"), ("packed",)
    yield "another type than the header's", "a.npy", npy(ids), ("--dtype", "u32"), ("--dtype", "u32", "u16")
    yield "an id beyond the vocabulary", "a.npy", npy(ids), ("--vocab-size", 8), ("got id 8 at token 3", "0..7")
    yield "an id below 0", "a.npy", npy(np.array([3, -1], "<i4")), (), ("got id -1 at token 1",)
    yield "an id beyond 31 bits", "a.npy", npy(np.array([3, 2**31], "<i8")), (), ("got id 2147483648 at token 1",)
    yield "a type that nobody has", "a.bin", data(b"1234"), ("--dtype", "u64"), ("--dtype", "u64", "i64")
    yield "no type", "a.bin", data(b"1234"), (), ("need --dtype",)
    yield "an odd number of bytes", "a.bin", data(b"12345"), ("--dtype", "u16"), ("got 5 bytes", "multiple of 2")
    yield "llm.c: a header that is cut", "a.bin", llmc(20240520, 1, 2, size=1000), (), ("1000 bytes", "1024")
    yield "llm.c: another version", "a.bin", llmc(20240520, 2, 2, body=b"1234"), (), ("version 2",)
    yield "llm.c: a body that is shorter", "a.bin", llmc(20240520, 1, 3, body=b"1234"), (), ("got 4 bytes", "3 ids of u16")
    yield "llm.c: ids of the other version", "a.bin", llmc(20240801, 7, 2, body=b"1234"), (), ("got 4 bytes", "2 ids of u32")
    yield "llm.c: fewer than none", "a.bin", llmc(20240520, 1, -1), (), ("-1 ids",)
    yield "llm.c: no ids", "a.bin", llmc(20240520, 1, 0), (), ("no tokens",)
    yield "llm.c: multiple choice", "a.bin", llmc(20240522, 1, 0), (), ("multiple-choice",)
    yield "an index", "a.idx", data(b"MMIDIDX\0\0" + bytes(40)), ("--dtype", "u16"), ("index of a pair",)


def check_hostile_files_are_refused_and_leave_nothing(place, problems):
    for what, name, make, options, words in hostile_files(place):
        path = place.folder / name
        make(path)
        before = sorted(place.folder.rglob("*"))
        _, result = place.convert("refused", [path], *options)
        if result.rc != 2 or len(result.error_lines()) != 1 or result.out:
            problems.append(f"{what}: exit code {result.rc}: {result.err[-300:]!r}")
            continue
        for word in ("got ", "need ", *words):
            problems.need(word in result.error_lines()[0], f"{what}: the line lacks {word!r}: {result.error_lines()[0]}")
        problems.equal(sorted(place.folder.rglob("*")), before, f"{what}: files")
        path.unlink()


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

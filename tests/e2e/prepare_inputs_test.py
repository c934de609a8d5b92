#!/usr/bin/env python3
"""What `prepare` reads: Parquet files that pyarrow wrote, patterns of files, fields inside records, BOS. The ids of a Parquet file are those of the same
text as JSON lines. Without pyarrow, or with a binary that was built without it, the checks of Parquet are left out, and that is said.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_in_folder  # noqa: E402

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    pa = None

READS_PARQUET = pa is not None and " with Arrow " in toy.evenkeel("--version").out
MOST_PEAK_BYTES = 150_000_000  # above that of --version, for 300 MB of text
TEXTS = ["bada du", "ke lo fe", "", "größe ✓ 漢字", "line\r\nend\rand\n", "x" * 3000, None, "zero\0byte", "bada du"] * 40


class Place:
    def __init__(self, folder):
        self.folder, self.tokenizer = folder, folder / "tok.model"
        rng = random.Random(1)
        words = ["".join(rng.choice(["ba", "du", "ke", "lo", "fe", "mi"]) for _ in range(rng.randint(1, 3))) for _ in range(400)]
        text = "\n".join(" ".join(rng.choice(words) for _ in range(8)) for _ in range(400))
        (folder / "train.txt").write_text(text)
        result = toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", "320", "--out", self.tokenizer, folder / "train.txt")
        if result.rc != 0:
            sys.exit(f"prepare_inputs_test: {result.err}")
        self.want, result = self.prepare("want", [self.json_lines("want.jsonl", TEXTS)])  # the pair of TEXTS
        if result.rc != 0:
            sys.exit(f"prepare_inputs_test: {result.err}")

    def prepare(self, name, inputs, *options):
        prefix = self.folder / name
        return prefix, toy.evenkeel("prepare", "--tokenizer", self.tokenizer, "--out", prefix, "--threads", "1", *options, *inputs)

    def json_lines(self, name, texts, field="text"):
        path = self.folder / name
        path.write_text("".join(json.dumps({field: text}) + "\n" for text in texts if text is not None))
        return path

    def parquet(self, name, table, **options):
        path = self.folder / name
        pq.write_table(table, path, **options)
        return path


def pair_of(prefix):
    return [pathlib.Path(f"{prefix}{suffix}").read_bytes() for suffix in (".bin", ".idx")]


def description_of(prefix):
    return json.loads(pathlib.Path(f"{prefix}.json").read_text())


def refused(problems, place, inputs, words, *options):
    """Exit code 2, one line that has these words, no file left."""
    before = sorted(place.folder.rglob("*"))
    _, result = place.prepare("refused", inputs, *options)
    problems.ran(result, 2)
    for word in words:
        problems.need(word in result.err, f"{inputs} {options}: the error lacks {word!r}: {result.err.strip()!r}")
    problems.equal(sorted(place.folder.rglob("*")), before, f"files after {inputs}")


def same_ids(problems, place, path, *options):
    """The pair of this file is that of TEXTS as JSON lines."""
    prefix, result = place.prepare("got", [path], *options)
    if problems.ran(result):
        problems.need(pair_of(prefix) == pair_of(place.want), f"{path.name}: other ids")
        read, of_json = description_of(prefix)["read"], description_of(place.want)["read"]
        for key in ("documents", "text_bytes", "crlf_line_ends", "cr_line_ends", "zero_bytes"):
            problems.equal(read[key], of_json[key], f"{path.name}: {key}")
        problems.equal(read["empty_records"], sum(not text for text in TEXTS), f"{path.name}: records without text")
        problems.equal((read["parquet_files"], read["json_files"], read["text_files"]), (1, 0, 0), f"{path.name}: files")
        problems.need("(one a row)" in result.err, f"{path.name}: {result.err.strip()!r}")


def kinds_of_column():
    strings = pa.array(TEXTS, pa.string())
    return {"string": strings, "large_string": strings.cast(pa.large_string()), "string_view": strings.cast(pa.string_view()), "dictionary": strings.dictionary_encode(),
            "binary": strings.cast(pa.binary()), "large_binary": strings.cast(pa.large_binary())}


def check_every_compression_and_layout_gives_the_ids_of_json_lines(place, problems):
    table = pa.table({"id": range(len(TEXTS)), "text": TEXTS, "other": [[1, 2]] * len(TEXTS)})
    for compression in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
        same_ids(problems, place, place.parquet("c.parquet", table, compression=compression))
    for options in ({"row_group_size": 7}, {"use_dictionary": False, "data_page_size": 512}, {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
                    {"use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}}, {"data_page_version": "2.0", "write_page_checksum": True}, {"version": "1.0"}):
        if "column_encoding" in options:
            options = {**options, "column_encoding": {"text": options["column_encoding"]["text"], "id": "PLAIN"}}
        same_ids(problems, place, place.parquet("l.parquet", table, **options))


def check_every_kind_of_string_column(place, problems):
    for kind, array in kinds_of_column().items():
        same_ids(problems, place, place.parquet(f"{kind}.parquet", pa.table({"text": array})))
    required = pa.schema([pa.field("text", pa.string(), nullable=False)])
    full = [text for text in TEXTS if text]
    want, _ = place.prepare("some", [place.json_lines("some.jsonl", full)])
    prefix, result = place.prepare("got", [place.parquet("required.parquet", pa.table({"text": full}, schema=required))])
    if problems.ran(result):
        problems.need(pair_of(prefix) == pair_of(want), "a column without nulls: other ids")


def check_fields_of_structs_and_names_with_dots(place, problems):
    inner = [{"body": {"raw.text": text, "n": 1}} for text in TEXTS]
    inner[5] = None  # null above the field
    path = place.parquet("nested.parquet", pa.table({"meta": inner, "a.b": TEXTS, "list": [["x"]] * len(TEXTS)}))
    same_ids(problems, place, path, "--text-field", "a.b")
    want, _ = place.prepare("some", [place.json_lines("some.jsonl", TEXTS[:5] + TEXTS[6:])])
    prefix, result = place.prepare("got", [path], "--text-field", "meta.body.raw.text")
    if problems.ran(result):
        problems.need(pair_of(prefix) == pair_of(want), "a field of a struct: other ids")
    refused(problems, place, [path], ("a list", "'list'"), "--text-field", "list")
    refused(problems, place, [path], ("a list", "'list'"), "--text-field", "list.list.element")
    refused(problems, place, [path], ("a struct", "'meta.body'"), "--text-field", "meta.body")
    refused(problems, place, [path], ("columns", "meta.body.raw.text", "'text'", "--text-field"))
    numbers = place.parquet("numbers.parquet", pa.table({"text": [1, 2]}))
    refused(problems, place, [numbers], ("a column of INT64", "'text'"))


def check_files_without_text(place, problems):
    empty = place.parquet("empty.parquet", pa.table({"text": pa.array([], pa.string())}))
    refused(problems, place, [empty], ("no documents",))
    nulls = place.parquet("nulls.parquet", pa.table({"text": pa.array([None] * 5, pa.string())}))
    refused(problems, place, [nulls], ("no documents",))
    some = place.json_lines("some.jsonl", ["bada"])
    prefix, result = place.prepare("got", [empty, some, nulls])
    if problems.ran(result):
        read = description_of(prefix)["read"]
        problems.equal((read["documents"], read["parquet_files"], read["json_files"], read["empty_records"]), (1, 2, 1, 5), "counts")


def check_damaged_rows(place, problems):
    path = place.parquet("latin1.parquet", pa.table({"text": [b"bada", "größe".encode("latin-1"), b"du"]}))
    refused(problems, place, [path], (f"{path}: row 2: got byte 0xf6 at byte 3", "--skip-bad"))
    prefix, result = place.prepare("got", [path], "--skip-bad")
    if problems.ran(result):
        problems.need("passed over 1 damaged row;" in result.err, f"stderr: {result.err.strip()!r}")
        lines = [json.loads(line) for line in pathlib.Path(f"{prefix}.skipped.jsonl").read_text().splitlines()]
        problems.equal([(line["path"], line["row"]) for line in lines], [(str(path), 2)], "the list of rows")
        problems.equal(description_of(prefix)["documents"], 2, "documents")
    pathlib.Path(f"{prefix}.skipped.jsonl").unlink(missing_ok=True)


def check_damaged_files(place, problems):
    whole = place.parquet("whole.parquet", pa.table({"text": TEXTS}), write_page_checksum=True, compression="zstd").read_bytes()
    path = place.folder / "damaged.parquet"
    for size in (0, 3, 11, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(problems, place, [path], (f"{path}: got {size} bytes", "need a whole one"))
    path.write_bytes(whole[:-4] + b"PARE")
    refused(problems, place, [path], ("encrypted",))
    page = bytearray(whole)
    page[len(whole) // 8] ^= 0x55  # in a page, which has a checksum
    path.write_bytes(page)
    refused(problems, place, [path], (str(path), "need a whole Parquet file"))
    footer = int.from_bytes(whole[-8:-4], "little")
    rng = random.Random(7)
    n_refused = 0
    for _ in range(20):  # any byte of the footer, most of which are names, statistics and a copy of the schema
        flipped = bytearray(whole)
        flipped[len(whole) - 8 - rng.randrange(footer)] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        _, result = place.prepare("flipped", [path])
        problems.need(result.rc in (0, 2) and len(result.error_lines()) == (result.rc == 2), f"a flipped footer: exit code {result.rc}, {result.err.strip()[-300:]!r}")
        n_refused += result.rc == 2
    problems.need(n_refused > 0, "no flipped footer is refused")
    gone = place.folder / "none.parquet"
    refused(problems, place, [gone], (str(gone), "no such file"))


def check_memory_does_not_grow_with_the_file(place, problems):
    """One row group of 300 MB of text."""
    rng = random.Random(3)
    words = [word for word in (place.folder / "train.txt").read_text().split()]
    parts = [" ".join(rng.choice(words) for _ in range(1500)) for _ in range(50)]
    column = [f"{parts[i % 50]} {i}" for i in range(300_000_000 // len(parts[0]))]
    path = place.parquet("large.parquet", pa.table({"text": column}), use_dictionary=False, compression="zstd", row_group_size=10**9)
    problems.need(sum(map(len, column)) > 280_000_000, "the text is too short")
    del column
    # `tokenizer train` reads all of it and keeps a sample. `prepare` reads in the same way, but encodes all, which takes minutes.
    script = ("import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
              "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024); print(done.stderr[-500:])")
    def peak(*args):
        done = subprocess.run([sys.executable, "-c", script, toy.BINARY, *map(str, args)], capture_output=True, text=True, timeout=300)
        first, _, rest = done.stdout.partition("\n")
        code, size = map(int, first.split())
        return code, size, rest
    _, base, _ = peak("--version")
    code, size, err = peak("tokenizer", "train", "--kind", "bpe", "--vocab-size", "300", "--max-sentences", "200", "--out", place.folder / "large.model", path)
    problems.equal(code, 0, f"exit code; stderr {err!r}")
    problems.need(size - base < MOST_PEAK_BYTES, f"{(size - base) / 1e6:.0f} MB above --version; need less than {MOST_PEAK_BYTES / 1e6:.0f}")
    path.unlink()


def check_a_tokenizer_is_trained_on_parquet(place, problems):
    texts = (place.folder / "train.txt").read_text().split("\n")
    for path in (place.parquet("train.parquet", pa.table({"text": texts})), place.json_lines("train.jsonl", texts)):
        problems.ran(toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", "320", "--out", f"{path}.model", path))
    models = [pathlib.Path(f"{place.folder}/train.{kind}.model") for kind in ("parquet", "jsonl")]
    problems.need(models[0].read_bytes() == models[1].read_bytes(), "other models of the same text")


def check_a_build_without_arrow_says_so(place, problems):
    """Only where it is one."""
    version = toy.evenkeel("--version").out
    problems.need(re.fullmatch(r"evenkeel [0-9.]+ (with Arrow [0-9.]+|without Arrow)\n", version), f"--version: {version!r}")
    if "without" in version:
        path = place.folder / "t.parquet"
        path.write_bytes(b"PAR1" * 4)
        refused(problems, place, [path], (str(path), "this build of evenkeel has no Arrow", "pyarrow"))


def check_fields_inside_json_records(place, problems):
    texts = [text for text in TEXTS if text]
    want, _ = place.prepare("some", [place.json_lines("some.jsonl", texts)])
    path = place.folder / "nested.jsonl"
    path.write_text("".join(json.dumps({"n": [{"a": 1}], "a": {"x": [], "b.c": {"d": text}}}) + "\n" for text in texts))
    prefix, result = place.prepare("got", [path], "--text-field", "a.b.c.d")
    if problems.ran(result):
        problems.need(pair_of(prefix) == pair_of(want), "other ids")
    refused(problems, place, [path], (f"{path}:1: got array in field 'n'; need an object",), "--text-field", "n.a")
    refused(problems, place, [path], (f"{path}:1: ", "'a.b.d'"), "--text-field", "a.b.d")


def check_patterns_stand_for_files_in_sorted_order(place, problems):
    data = place.folder / "data"
    (data / "more" / "deep").mkdir(parents=True)
    for name, text in (("b.jsonl", "bada"), ("a.jsonl", "du"), ("more/c.jsonl", "ke"), ("more/deep/d.jsonl", "lo"), ("e.txt", "fe")):
        (data / name).write_text(json.dumps({"text": text}) + "\n")
    def inputs_of(*arguments):
        prefix, result = place.prepare("globbed", arguments)
        problems.ran(result)
        return [os.path.relpath(entry["path"], data) for entry in description_of(prefix)["inputs"]]
    problems.equal(inputs_of(data / "*.jsonl"), ["a.jsonl", "b.jsonl"], "one folder")
    problems.equal(inputs_of(data / "**/*.jsonl"), ["a.jsonl", "b.jsonl", "more/c.jsonl", "more/deep/d.jsonl"], "all folders")
    problems.equal(inputs_of(data / "e.txt", data / "?.jsonl"), ["e.txt", "a.jsonl", "b.jsonl"], "a file and a pattern")
    refused(problems, place, [data / "*.xz"], (f"{data}/*.xz: got no file that matches this pattern",))
    refused(problems, place, [data], (f"{data}: got a folder", "**/*.jsonl"))
    result = toy.evenkeel("tokenizer", "train", "--kind", "bpe", "--vocab-size", "300", "--out", place.folder / "g.model", data / "*.none")
    problems.ran(result, 2)
    problems.need("*.none: got no file that matches this pattern" in result.err, f"stderr: {result.err!r}")


def check_bos_stands_before_each_document(place, problems):
    path = place.json_lines("bos.jsonl", ["bada du", "ke"])
    plain, result = place.prepare("plain", [path])
    problems.ran(result)
    with_bos, result = place.prepare("with", [path], "--bos")
    if problems.ran(result):
        problems.equal(description_of(plain)["bos"], None, "bos without --bos")
        problems.equal(description_of(with_bos)["bos"], 1, "bos")
        problems.equal(description_of(with_bos)["tokens"], description_of(plain)["tokens"] + 2, "tokens")
        problems.equal(description_of(with_bos)["bytes"], description_of(plain)["bytes"], "bytes of text")
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    (place.folder / "none").mkdir()
    (place.folder / "none" / "tokenizer.json").write_text(json.dumps({"model": model, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}))
    result = toy.evenkeel("prepare", "--tokenizer", place.folder / "none", "--out", place.folder / "refused", "--eod", "none", "--bos", path)
    problems.ran(result, 2)
    problems.need("--bos: got " in result.err and "name no BOS token" in result.err, f"stderr: {result.err!r}")


def main():
    module = sys.modules[__name__]
    if not READS_PARQUET:
        print("prepare_inputs_test: no pyarrow, or a binary without Arrow: the checks of Parquet are left out")
        for name in ("every_compression_and_layout_gives_the_ids_of_json_lines", "every_kind_of_string_column", "fields_of_structs_and_names_with_dots", "files_without_text",
                     "damaged_rows", "damaged_files", "memory_does_not_grow_with_the_file", "a_tokenizer_is_trained_on_parquet"):
            delattr(module, f"check_{name}")
    return run_in_folder(module, Place)


if __name__ == "__main__":
    sys.exit(main())

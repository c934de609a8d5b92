"""Cases of bad_input_test.py for trace and analyze: options, damaged and hostile trace files, count files."""
import json
import lzma
import struct

from bad_input_base import CPU, steps, write

HEAD = '{"model": "m", "n_experts": 3, "layers": [0, 7], '
COUNTS = {
    "domains": HEAD + '"domains": {"a": {"topk": [[4, 3, 1], [2, 4, 2]], "top1": [[3, 1, 0], [1, 2, 1]]}}}',
    "plain": '{"model": "m", "n_experts": 3, "domain": "a", "counts": [[4, 3, 1], [2, 4, 2]]}',
    "ids": '{"model": "m", "n_experts": 3, "domain": "a", "layers": [7], "top_k": 2, "layer_expert_token_counts": [{"2": {"11": 1, "5": 2}, "0": {"5": 2, "11": 2}, "1": {"11": 1}}]}',
}


def split_trace(content):
    size = struct.unpack_from("<Q", content)[0]
    return json.loads(content[8:8 + size]), content[8 + size:]


def joined_trace(header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def with_metadata(**changes):
    def edit(content):
        header, data = split_trace(content)
        header["__metadata__"].update({key: str(value) for key, value in changes.items()})
        return joined_trace(header, data)
    return edit


def without_metadata(key):
    def edit(content):
        header, data = split_trace(content)
        del header["__metadata__"][key]
        return joined_trace(header, data)
    return edit


def with_entry(name, **changes):
    def edit(content):
        header, data = split_trace(content)
        header[name].update(changes)
        return joined_trace(header, data)
    return edit


def with_value(name, code, value, place=0):
    """One number of a tensor replaced."""
    def edit(content):
        header, data = split_trace(content)
        data = bytearray(data)
        struct.pack_into(code, data, header[name]["data_offsets"][0] + place * struct.calcsize(code), value)
        return joined_trace(header, bytes(data))
    return edit


def renamed(old, new):
    def edit(content):
        header, data = split_trace(content)
        return joined_trace({new if name == old else name: entry for name, entry in header.items()}, data)
    return edit


HOSTILE_TRACES = [  # (what, edit of a good trace, words of the error)
    ("of 10^9 experts", with_metadata(n_experts=10**9), ("n_experts", "1000000000")),
    ("of a million experts and nothing of theirs", with_metadata(n_experts=10**6, top_k=10**6), ("expert_ids", "1000000")),
    ("of -4 experts", with_metadata(n_experts=-4), ("n_experts", "-4")),
    ("of no experts", with_metadata(n_experts=0, top_k=0), ("n_experts",)),
    ("of experts that are no number", with_metadata(n_experts="four"), ("n_experts", "four")),
    ("with k above E", with_metadata(top_k=5), ("top_k", "5")),
    ("with k 0", with_metadata(top_k=0), ("top_k", "0")),
    ("with k 1 for two experts", with_metadata(top_k=1), ("expert_ids",)),
    ("with a vocabulary of 10^12", with_metadata(vocab_size=10**12), ("vocab_size", str(10**12))),
    ("with a vocabulary of 3", with_metadata(vocab_size=3), ("input_ids", "0..2")),
    ("with batches of 0", with_metadata(batch_size=0), ("batch_size",)),
    ("with fewer experts than chosen", with_metadata(n_experts=3), ("expert", "0..2")),
    ("of another version", with_metadata(format_version=7), ("format_version", "7")),
    ("of another mode", with_metadata(mode="tset"), ("mode", "tset")),
    ("without n_experts", without_metadata("n_experts"), ("n_experts",)),
    ("without a version", without_metadata("format_version"), ("format_version",)),
    ("with a shape of 10^18", with_entry("input_ids", shape=[10**9, 10**9]), ("input_ids",)),
    ("with a shape that overflows", with_entry("input_ids", shape=[2**62, 2**62]), ("input_ids",)),
    ("with a negative shape", with_entry("input_ids", shape=[-1, 16]), ("input_ids", "-1")),
    ("with a flat shape", lambda c: with_entry("layers.0.weights", shape=[split_trace(c)[0]["layers.0.weights"]["data_offsets"][1] // 4 - split_trace(c)[0]["layers.0.weights"]["data_offsets"][0] // 4])(c), ("layers.0.weights",)),
    ("with offsets beyond the file", with_entry("input_ids", data_offsets=[0, 10**12]), ("input_ids",)),
    ("without input_ids", renamed("input_ids", "ids"), ("input_ids",)),
    ("without the weights of a layer", renamed("layers.0.weights", "layers.0.weight"), ("layers.0.weights",)),
    ("with layers of both forms", renamed("layers.0.expert_ids", "layers.0.assignments"), ("assignments",)),
    ("with a negative expert", with_value("layers.0.expert_ids", "<i", -1), ("expert -1",)),
    ("with expert 4 of 4", with_value("layers.1.expert_ids", "<i", 4, 7), ("expert 4", "0..3")),
    ("with a negative token id", with_value("input_ids", "<q", -9, 3), ("input_ids", "-9")),
    ("with a token id of 2^40", with_value("input_ids", "<q", 2**40, 3), ("input_ids", str(2**40))),
    ("with a predicted id of 2^30", with_value("predicted_ids", "<i", 2**30, 3), ("predicted_ids", str(2**30))),
    ("with padding that is no boolean", with_value("is_padding", "<B", 7), ("is_padding",)),
    ("empty", lambda content: b"", ()),
    ("of text", lambda content: b"hello\n" * 1000, ()),
    ("cut in its header", lambda content: content[:100], ()),
    ("cut in its data", lambda content: content[:-100], ()),
    ("with a header of 2^60 bytes", lambda content: struct.pack("<Q", 2**60) + content[8:], (str(2**60),)),
]

HOSTILE_COUNTS = [  # (what, shape, old, new, words)
    ("a negative count", "domains", "[2, 4, 2]", "[2, 4, -2]", ("topk[1][2]", "-2")),
    ("a count of 10^30", "plain", "[2, 4, 2]", "[2, 4, 1000000000000000000000000000000]", ("counts[1][2]",)),
    ("a fraction for a count", "plain", "[2, 4, 2]", "[2, 4, 1.5]", ("counts[1][2]", "1.5")),
    ("a text for a count", "ids", '{"11": 1}', '{"11": "x"}', ('"x"',)),
    ("10^9 experts", "plain", '"n_experts": 3', '"n_experts": 1000000000', ("n_experts", "1000000000")),
    ("no experts", "plain", '"n_experts": 3, ', "", ("n_experts",)),
    ("k above E", "ids", '"top_k": 2', '"top_k": 4', ("top_k", "4")),
    ("k 0", "ids", '"top_k": 2', '"top_k": 0', ("top_k", "0")),
    ("an expert outside", "ids", '"2": {', '"3": {', ("expert 3", "0..2")),
    ("a negative token id", "ids", '"11": 1, "5"', '"-11": 1, "5"', ("-11",)),
    ("rows of another length", "plain", "[4, 3, 1]", "[4, 3, 1, 0]", ("counts[0]", "4")),
    ("more layers than named", "domains", "[0, 7]", "[0]", ("layers",)),
    ("sums that disagree between layers", "domains", "[1, 2, 1]", "[2, 2, 1]", ("layer 7", "5")),
    ("assignments that are not k times the tokens", "domains", "[2, 4, 2]", "[2, 4, 3]", ("layer 7", "9")),
    ("an expert with more tokens than there are", "domains", "[4, 3, 1]", "[5, 2, 1]", ("expert 0", "4")),
    ("an id with an odd number of assignments", "ids", '"5": 2}, "0"', '"5": 3}, "0"', ("token id 5",)),
    ("none of the shapes", "plain", '"counts"', '"sums"', ("domains", "layer_expert_token_counts")),
    ("two of the shapes", "plain", '"counts"', '"domains": {}, "counts"', ("2 of the keys",)),
    ("no model", "plain", '"model": "m", ', "", ("model",)),
    ("another structure", "domains", "[[4, 3, 1], [2, 4, 2]]", "[4, 3, 1]", ("domains.a.topk",)),
    ("nothing but a bracket", "plain", COUNTS["plain"], "{", ("JSON",)),
    ("no JSON", "plain", "}", "", ("JSON",)),
]


def add_analyze(table, good):
    whole = (good / "en.safetensors").read_bytes() if (good / "en.safetensors").exists() else b""
    analyze = ["analyze", "--trace", "en={S}/t.safetensors", "--out", "{S}/out"]
    for what, edit, says in HOSTILE_TRACES:
        table.add(f"analyze: trace {what}", analyze, ("{S}/t.safetensors", *says), setup=write("t.safetensors", edit(whole)))
    table.add("analyze: trace that is a checkpoint's file", ["analyze", "--trace", "en={F}/ckpt/model.safetensors", "--out", "{S}/out"], ("model.safetensors", "trace"))
    table.add("analyze: trace missing", analyze, ("{S}/t.safetensors",))
    table.add("analyze: more than the memory", analyze, ("got analyses that take", "coactivation", "need at most the", "--analyses"), setup=write("t.safetensors", with_metadata(n_experts=10**6)(whole)))
    table.add("analyze: two traces, one of other layers", ["analyze", "--trace", "a={F}/en.safetensors", "b={S}/t.safetensors", "--out", "{S}/out"], ("{S}/t.safetensors", "MoE layers"),
              setup=write("t.safetensors", one_layer(whole)))
    for what, shape, old, new, says in HOSTILE_COUNTS:
        if old not in COUNTS[shape]:
            raise ValueError(f"the counts of shape {shape} have no {old!r}")
        text = COUNTS[shape].replace(old, new, 1)
        name = "c.json.xz" if shape == "ids" else "c.json"
        table.add(f"analyze: counts with {what}", ["analyze", "--counts", f"{{S}}/{name}", "--out", "{S}/out"], (f"{{S}}/{name}", *says),
                  setup=write(name, lzma.compress(text.encode()) if shape == "ids" else text))
    table.add("analyze: counts that are cut", ["analyze", "--counts", "{S}/c.json.xz", "--out", "{S}/out"], ("{S}/c.json.xz",), setup=write("c.json.xz", lzma.compress(COUNTS["ids"].encode())[:-9]))
    table.add("analyze: a domain twice", ["analyze", "--counts", "{S}/a.json", "{S}/b.json", "--out", "{S}/out"], ("{S}/b.json", "'a'"),
              setup=steps(write("a.json", COUNTS["plain"]), write("b.json", COUNTS["plain"])))
    add_options(table, good)


def one_layer(content):
    if not content:
        return content
    header, data = split_trace(content)
    return joined_trace({name.replace("layers.1.expert_ids", "layers.1.ids"): entry for name, entry in header.items()}, data)


def add_options(table, good):
    model = ["analyze", "{F}/run", "--data", "en={F}/en", "--out", "{S}/out", *CPU]
    for option, value, word in [("--sequence-length", "-1", "-1"), ("--batch-size", "0", "0"), ("--max-tokens", "-3", "-3"), ("--dtype", "fp8", "fp8"), ("--mode", "test", "test"), ("--analyses", "lod", "'load'"),
                                ("--ids", "64", "0 to 63"), ("--ids", "-1", "-1"), ("--ids", "1,x", "'x'"), ("--minimum-count", "-1", "-1"), ("--seed", "-1", "-1"), ("--top-k", "2", "--counts"),
                                ("--reference-trace", "en={F}/en.safetensors", "--trace"), ("--data", "{F}/de", "NAME=VALUE"), ("--data", "en={F}/de", "'en' twice")]:
        table.add(f"analyze: {option} {value}", [*model, option, value], (option, word))
    for option, value, word in [("--tokenizer", "{S}/none.model", "{S}/none.model"), ("--reference", "{S}/none", "{S}/none"), ("--data", "de={S}/none", "{S}/none"), ("--counts", "{S}/c.json", "several kinds")]:
        table.add(f"analyze: {option} {value}", [*model, option, value], (word,))
    table.add("analyze: --over-run and --reference", [*model, "--over-run", "--reference", "{F}/ckpt"], ("--over-run", "--reference"))
    table.add("analyze: --over-run of a checkpoint", ["analyze", "{F}/ckpt", "--data", "en={F}/en", "--out", "{S}/out", "--over-run"], ("--over-run", "{F}/ckpt", "0 saved checkpoints"))
    table.add("analyze: --over-run without what it repeats", [*model, "--over-run", "--analyses", "load"], ("--over-run", "saturation"))
    table.add("analyze: --over-run of a trace", ["analyze", "--trace", "en={F}/en.safetensors", "--out", "{S}/out", "--over-run"], ("--over-run", "MODEL"))
    table.add("analyze: nothing to analyse", ["analyze", "--out", "{S}/out"], ("MODEL", "--trace", "--counts"))
    table.add("analyze: a model without data", ["analyze", "{F}/run", "--out", "{S}/out"], ("--data",))
    table.add("analyze: data without a model", ["analyze", "--data", "en={F}/en", "--out", "{S}/out"], ("nothing",))
    table.add("analyze: no --out", ["analyze", "{F}/run", "--data", "en={F}/en"], ("--out",))
    table.add("analyze: a folder of something else", [*model[:4], "--out", "{S}/full"], ("{S}/full",), setup=write("full/mine.txt", "mine"))
    table.add("analyze: the folder of a run", [*model[:4], "--out", "{S}/run"], ("{S}/run",), setup=write("run/results.json", '{"kind": "run"}'))
    table.add("analyze: a file for a folder", [*model[:4], "--out", "{S}/file"], ("{S}/file",), setup=write("file", "mine"))
    table.add("analyze: a file above the folder", [*model[:4], "--out", "{S}/file/out"], ("{S}/file",), setup=write("file", "mine"))
    table.add("analyze: a reference trace of another name", ["analyze", "--trace", "en={F}/en.safetensors", "--reference-trace", "de={F}/en.safetensors", "--out", "{S}/out"], ("--reference-trace", "de"))
    table.add("analyze: a reference trace of other tokens", ["analyze", "--trace", "en={F}/en.safetensors", "--reference-trace", "en={F}/de.safetensors", "--out", "{S}/out"], ("de.safetensors", "other tokens"))
    table.add("analyze: full disk", ["analyze", "--counts", "{S}/c.json", "--out", "{S}/out"], ("{S}/out",), rc=4, max_file_bytes=100, setup=write("c.json", COUNTS["plain"]))

    trace = ["trace", "{F}/run", *CPU]
    out = ["--out", "{S}/t.safetensors"]
    data = ["--data", "{F}/en"]
    for option, value in [("--sequence-length", "-1"), ("--batch-size", "0"), ("--max-tokens", "-3"), ("--dtype", "fp8"), ("--mode", "test"), ("--seed", "-1")]:
        table.add(f"trace: {option} {value}", [*trace, *data, *out, option, value], (option,))
    table.add("trace: neither --data nor --tokens", [*trace, *out], ("--data", "--tokens"))
    table.add("trace: both --data and --tokens", [*trace, *data, "--tokens", "{S}/t.json", *out], ("--data", "--tokens"))
    table.add("trace: no --out", [*trace, *data], ("--out",))
    table.add("trace: data missing", [*trace, "--data", "{S}/none", *out], ("{S}/none",))
    table.add("trace: model missing", ["trace", "{S}/none", *CPU, *data, *out], ("{S}/none",))
    table.add("trace: a file above the output", [*trace, *data, "--out", "{S}/file/t.safetensors"], ("{S}/file",), setup=write("file", "mine"))
    table.add("trace: full disk", [*trace, *data, *out], ("{S}/t.safetensors",), rc=4, max_file_bytes=2000)
    for what, text, says in [("of two lengths", "[[1, 2], [3]]", ("sequence 1", "need 2")), ("with an id outside", "[[1, 64]]", ("64", "0..63")), ("with a negative id", "[[1, -1]]", ("-1",)),
                             ("with a fraction", "[[1, 2.5]]", ("2.5",)), ("that is flat", "[1, 2]", ("arrays",)), ("that is empty", "[]", ("no sequence",)), ("of empty arrays", "[[], []]", ("0 ids",)),
                             ("that is no JSON", "[[1, 2]", ("JSON",)), ("that is an object", "{}", ("object",))]:
        table.add(f"trace: tokens {what}", [*trace, "--tokens", "{S}/t.json", *out], ("{S}/t.json", *says), setup=write("t.json", text))

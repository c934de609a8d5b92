"""Cases of bad_input_test.py that show what a message says to type instead: what is planned, what stands in another's place, JSON that goes on."""
import json
import struct

from bad_input_base import CPU, copy, steps, write

HF_CONFIG = {"model_type": "llama", "vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


HEADER = b'{"w": {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 4]}}'


def zero(name, content):
    """A file of JSON with a zero byte and more behind it."""
    return write(name, json.dumps(content).encode() + b"\0{}")


def add_planned(table):
    for command in ("generate",):
        table.add(f"a command that is planned: {command}", [command], (command, "not there yet"))
    table.add("help of an unknown command", ["help", "trian"], ("trian", "train"))
    table.add("help of a planned command", ["help", "generate"], ("generate", "not there yet"))
    table.add("help of two commands", ["help", "train", "eval"], ("2 names", "help train"))
    for command, option, value in [("eval", "--task", "a=b"), ("eval", "--fewshot", "3")]:
        table.add(f"{command}: {option} is planned", [command, option, value], (option, "not there yet"))
    table.add("tokenizer: no action", ["tokenizer", "--vocab-size", "300", "--out", "{S}/out.model", "{F}/text.txt"], ("text.txt", "need train"))


def add_swapped(table):
    table.add("eval: no model", ["eval", "--data", "en={F}/en"], ("MODEL",))
    table.add("eval: a checkpoint's file for the model", ["eval", "{F}/ckpt/model.safetensors", "--data", "en={F}/en"], ("{F}/ckpt/model.safetensors", "need its folder, {F}/ckpt"))
    table.add("eval: a recipe for the model", ["eval", "{F}/recipe.toml", "--data", "en={F}/en"], ("{F}/recipe.toml", "got a file"))
    table.add("trace: a PREFIX for the model", ["trace", "{F}/en", "--data", "{F}/en", "--out", "{S}/t.safetensors"], ("{F}/en", "PREFIX of a data set"))
    for suffix in (".bin", ".idx"):
        table.add(f"eval: {suffix} for a PREFIX", ["eval", "{F}/run", *CPU, "--data", "en={F}/en" + suffix], ("{F}/en" + suffix, "need its PREFIX: {F}/en"))
        table.add(f"trace: {suffix} for a PREFIX", ["trace", "{F}/run", *CPU, "--data", "{F}/en" + suffix, "--out", "{S}/t.safetensors"], ("need its PREFIX: {F}/en",))
        table.add(f"analyze: {suffix} for a PREFIX", ["analyze", "{F}/run", *CPU, "--data", "en={F}/en" + suffix, "--out", "{S}/out"], ("need its PREFIX: {F}/en",))
        table.add(f"train: {suffix} for a PREFIX", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set", 'phase.english.data=[{{name="en", path="{F}/en' + suffix + '"}}]'], ("need its PREFIX: {F}/en",), leaves_run=True)
    table.add("eval: text for a PREFIX", ["eval", "{F}/run", *CPU, "--data", "en={F}/text.txt"], ("{F}/text.txt", "evenkeel prepare"))
    table.add("eval: a folder for a PREFIX", ["eval", "{F}/run", *CPU, "--data", "en={F}/run"], ("{F}/run", "got a folder"))
    for command in ("train", "study"):
        table.add(f"{command}: a run for the recipe", [command, "{F}/run", "--out", "{S}/out", *CPU], ("{F}/run", "got a folder", "{F}/run/recipe.toml"))
    table.add("bench: a run for the recipe", ["bench", "{F}/run"], ("{F}/run", "got a folder", "{F}/run/recipe.toml"))


def add_hugging_face(table):
    config = write("hf/config.json", json.dumps(HF_CONFIG))
    table.add("plan: a model with --set", ["plan", "{F}/run", "--set", "model.top_k=1"], ("--set", "model.top_k=1", "need a recipe"))
    table.add("plan: a folder that is no model", ["plan", "{S}/hf"], ("{S}/hf", "got a folder"), setup=write("hf/notes.txt", "x"))
    table.add("import: missing", ["import", "{S}/none", "--out", "{S}/out"], ("{S}/none", "config.json"))
    table.add("import: a checkpoint", ["import", "{F}/ckpt", "--out", "{S}/out"], ("{F}/ckpt", "need a Hugging Face folder"))
    table.add("import: no weights", ["import", "{S}/hf", "--out", "{S}/out"], ("{S}/hf/model.safetensors",), setup=config)
    table.add("import: --out is the folder", ["import", "{S}/hf", "--out", "{S}/hf"], ("{S}/hf", "another --out"), setup=config)
    table.add("import: a key that asks for more than there is", ["import", "{S}/hf", "--out", "{S}/out"], ("config.json", "scale_emb", "12"), setup=write("hf/config.json", json.dumps(HF_CONFIG | {"scale_emb": 12})))
    table.add("export: missing", ["export", "{S}/none", "--out", "{S}/out"], ("{S}/none",))
    table.add("export: a Hugging Face folder", ["export", "{S}/hf", "--out", "{S}/out"], ("{S}/hf", "need a checkpoint"), setup=config)
    table.add("export: a family that nobody has", ["export", "{F}/ckpt", "--out", "{S}/out", "--family", "mamba"], ("--family", "mamba", "qwen2_moe"))
    table.add("export: a family that cannot hold it", ["export", "{F}/ckpt", "--out", "{S}/out", "--family", "llama"], ("--family llama", "cannot express"))
    table.add("export: an unknown type", ["export", "{F}/ckpt", "--out", "{S}/out", "--dtype", "fp8"], ("--dtype", "fp8", "bf16"))
    table.add("export: --out is another's folder", ["export", "{F}/ckpt", "--out", "{S}/mine"], ("{S}/mine", "did not write"), setup=write("mine/notes.txt", "x"))


def add_convert(table):
    ids = write("ids.bin", struct.pack("<4H", 5, 0, 6, 0))
    raw = ["convert", "{S}/ids.bin", "--dtype", "u16", "--out", "{S}/out"]
    table.add("convert: no input", ["convert", "--out", "{S}/out"], ("INPUT",))
    table.add("convert: no --out", ["convert", "{F}/en"], ("--out",))
    table.add("convert: input missing", ["convert", "{S}/none.npy", "--out", "{S}/out"], ("{S}/none.npy",))
    table.add("convert: one of two inputs missing", [*raw, "{S}/none.npy"], ("{S}/none.npy",), setup=ids)
    table.add("convert: input is a folder", ["convert", "{F}/run", "--out", "{S}/out", "--dtype", "u16"], ("{F}/run: got a folder", "*.npy"))
    table.add("convert: a pattern of nothing", ["convert", "{S}/*.npy", "--out", "{S}/out"], ("{S}/*.npy",))
    table.add("convert: text for tokens", ["convert", "{F}/text.txt", "--out", "{S}/out"], ("{F}/text.txt", "need --dtype"))
    table.add("convert: an unknown option", [*raw, "--docments", "ends"], ("--docments", "--documents"), setup=ids)
    for option, value, says in [("--dtype", "float32", "u8, u16, u32, i32, i64"), ("--documents", "between", "ends, begins or none"), ("--eod", "-1", "0"), ("--eod", "x", "--eod"),
                                ("--eod", "7", "0..6"), ("--eod", "4", "stands nowhere"), ("--documents", "ends", "--eod"), ("--vocab-size", "0", "--vocab-size"), ("--to", "npy", "PREFIX"),
                                ("--vocab-size", "6", "got id 6 at token 2"), ("--tokenizer", "{S}/none.model", "none.model")]:
        args = raw if option != "--dtype" else ["convert", "{S}/ids.bin", "--out", "{S}/out"]
        table.add(f"convert: {option} {value}", [*args, option, value], (value if option != "--vocab-size" else "", says), setup=ids)
    for suffix in (".npy", ".bin", ".idx", ".json"):
        table.add(f"convert: a pair of the name {suffix}", [*raw[:-1], "{S}/out" + suffix], ("{S}/out" + suffix, "PREFIX"), setup=ids)
    table.add("convert: a part of a pair", ["convert", "{F}/en.bin", "--dtype", "u16", "--out", "{S}/out"], ("{F}/en.bin", "need its PREFIX: {F}/en"))
    pair = ["convert", "{F}/en", "--out", "{S}/out.npy"]
    for option, value in [("--eod", "0"), ("--documents", "ends"), ("--vocab-size", "64"), ("--tokenizer", "{F}/tok.model")]:
        table.add(f"convert: {option} of a pair", [*pair, option, value], (option, "{F}/en"))
    table.add("convert: two pairs", [*pair, "{F}/de"], ("2 inputs", "PREFIX"))
    table.add("convert: a pair and tokens", [*pair, "{S}/ids.bin"], ("2 inputs", "PREFIX"), setup=ids)
    table.add("convert: a kind that nobody has", [*pair, "--to", "parquet"], ("parquet", "npy, llmc, raw"))
    table.add("convert: a kind that is not said", ["convert", "{F}/en", "--out", "{S}/out.bin"], ("{S}/out.bin", "--to"))
    table.add("convert: ids alone of no type", [*pair, "--to", "raw"], ("--to raw", "--dtype"))
    table.add("convert: llm.c of another type", [*pair, "--to", "llmc", "--dtype", "i64"], ("--dtype", "i64"))
    table.add("convert: full disk", raw, ("{S}/out",), rc=4, setup=write("ids.bin", bytes(4000)), max_file_bytes=1000)
    table.add("convert: full disk for tokens", pair, ("{S}/out.npy",), rc=4, max_file_bytes=100)


def add_inspect(table):
    table.add("inspect: a page of another's", ["inspect", "{S}/p.html"], ("{S}/p.html", "did not write"), setup=write("p.html", "<html></html>"))
    cut = struct.pack("<Q", 64) + b'{"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}'.ljust(63) + b"}" + bytes(8)
    table.add("inspect: a folder whose weights are cut off", ["inspect", "{S}/hf"], ("{S}/hf/model.safetensors",),
              setup=steps(write("hf/config.json", json.dumps(HF_CONFIG)), write("hf/model.safetensors", cut)))
    table.add("inspect: metrics that are damaged", ["inspect", "{S}/metrics.jsonl"], ("{S}/metrics.jsonl", "line 1"), setup=write("metrics.jsonl", '{"phase": "a"}\n'))
    for what, text in [("a kind", {"schema": "evenkeel.results.v1", "tables": {}}), ("rows", {"schema": "evenkeel.results.v1", "kind": "run", "tables": {"load": {}}})]:
        table.add(f"inspect: results without {what}", ["inspect", "{S}/r/results.json"], ("{S}/r/results.json",), setup=write("r/results.json", json.dumps(text)))


def add_json(table, good):
    table.add("eval: config.json with a zero byte", ["eval", "{S}/hf", "--data", "en={F}/en"], ("config.json", "zero byte"), setup=zero("hf/config.json", {"model_type": "llama"}))
    for key in ("vocab_size", "rms_norm_eps"):
        table.add(f"eval: config.json with {key} null", ["eval", "{S}/hf", "--data", "en={F}/en"], ("config.json", f"{key}: got null"), setup=write("hf/config.json", json.dumps(HF_CONFIG | {key: None})))
    table.add("inspect: JSON with a zero byte", ["inspect", "{S}/a.json"], ("{S}/a.json", "zero byte"), setup=zero("a.json", {"format": "x"}))
    table.add("trace: tokens with a zero byte", ["trace", "{F}/run", *CPU, "--tokens", "{S}/t.json", "--out", "{S}/t.safetensors"], ("{S}/t.json", "zero byte"), setup=zero("t.json", [[1, 2]]))
    table.add("tokenize: --decode with a zero byte", ["tokenize", "--tokenizer", "{F}/tok.model", "--decode"], ("line 1", "zero byte"), stdin=b"[1]\0\n")
    for command, suffix in (("eval", '{"format": "evenkeel.data.v1"}'), ("trace", '{"format": "evenkeel.data.v1", "tokens": null}'), ("analyze", '{"format": "evenkeel.data.v1"}\0')):
        places = steps(copy(good, "en.bin", "d.bin"), copy(good, "en.idx", "d.idx"), write("d.json", suffix))
        tail = {"eval": ["--data", "en={S}/d"], "trace": ["--data", "{S}/d", "--out", "{S}/t.safetensors"], "analyze": ["--data", "en={S}/d", "--out", "{S}/out"]}[command]
        table.add(f"{command}: a description that is damaged", [command, "{F}/run", *CPU, *tail], ("{S}/d.json",), setup=places)


def add_values(table):
    """Values that people write: words that TOML does not have, numbers beyond what an option takes, names that are a folder's."""
    for text, says in [("null", ("d_model = null", "where the key has a default")), ("None", ("d_model = None", "where the key has a default")), ("True", ("d_model = True", "true or false")),
                       ("wide", ("d_model = wide", '"wide"')), ("400 steps", ("d_model = 400 steps", '"400 steps"'))]:
        table.add(f"plan: d_model = {text}", ["plan", "{S}/r.toml"], ("{S}/r.toml:2:11: got", *says), setup=write("r.toml", f"[model]\nd_model = {text}\n"))
    for option, value in [("--batch-size", "2147483648"), ("--batch-size", "99999999999999999999"), ("--sequence-length", "99999999999999999999"), ("--sequence-length", "3B")]:
        table.add(f"eval: {option} {value}", ["eval", "{F}/run", *CPU, "--data", "en={F}/en", option, value], (f"{option}: got {value}", " to 2147483647"))
    for name in ("..", ".", "none/.."):
        table.add(f"report: --out {name}", ["report", "{F}/run", "--out", "{S}/" + name], ("got a folder", "the name of a file"))
    for value in ("1e3", "8.0"):
        table.add(f"eval: config.json with num_hidden_layers {value}", ["eval", "{S}/hf", "--data", "en={F}/en"], ("config.json", "num_hidden_layers", "written without a point or an exponent"),
                  setup=write("hf/config.json", json.dumps(HF_CONFIG | {"num_hidden_layers": 0}).replace('"num_hidden_layers": 0', f'"num_hidden_layers": {value}')))
    table.add("eval: a number beyond a double in a safetensors header", ["inspect", "{S}/w.safetensors"], ("{S}/w.safetensors", "'shape': got 1e400"),
              setup=write("w.safetensors", struct.pack("<Q", len(HEADER)) + HEADER + b"0000"))


def add_messages(table, good):
    add_values(table)
    add_planned(table)
    add_swapped(table)
    add_hugging_face(table)
    add_convert(table)
    add_inspect(table)
    add_json(table, good)

"""The table of bad_input_test.py: a command, an input that is broken in one way, and what the error says."""
import gzip
import json
import struct

from bad_input_analyze import add_analyze
from bad_input_base import CPU, Table, change, copy, remove, steps, write
from bad_input_messages import add_messages


# ---- recipes ----


def replaced(old, new):
    def edit(recipe):
        if old not in recipe:
            raise ValueError(f"the toy recipe has no {old!r}")
        return recipe.replace(old, new, 1)
    return edit


NOT_RUNNABLE = [  # (what, edit of the recipe, words of the error)
    ("no vocab_size", replaced("vocab_size = 64\n", ""), ("vocab_size",)),
    ("no d_model", replaced("d_model = 16\n", ""), ("d_model",)),
    ("no n_layers", replaced("n_layers = 2\n", ""), ("n_layers",)),
    ("no n_heads", replaced("n_heads = 2\n", ""), ("n_heads",)),
    ("no top_k", replaced("top_k = 2\n", ""), ("top_k",)),
    ("no d_expert", replaced("d_expert = 16\n", ""), ("d_expert",)),
    ("no batch_size", replaced("\nbatch_size = 4\n", "\n"), ("batch_size",)),
    ("no sequence_length", replaced("sequence_length = 16\n", ""), ("sequence_length",)),
    ("a string for a number", replaced("d_model = 16", 'd_model = "wide"'), ("model.d_model", "wide")),
    ("a fraction for a count", replaced("n_layers = 2", "n_layers = 2.5"), ("model.n_layers", "2.5")),
    ("a list for a number", replaced("seed = 3", "seed = [3]"), ("train.seed",)),
    ("a number for a string", replaced('kind = "top_k"', "kind = 3"), ("kind", "3")),
    ("a string for a boolean", replaced('score = "softmax_pre"', 'score = "softmax_pre"\nrenormalize = "yes"'), ("renormalize", "yes")),
    ("a number for a table", replaced('[model.router]\nkind = "top_k"\nscore = "softmax_pre"\n', "router = 3\n"), ("router", "3")),
    ("d_model 0", replaced("d_model = 16", "d_model = 0"), ("model.d_model", "0")),
    ("d_model negative", replaced("d_model = 16", "d_model = -16"), ("model.d_model", "-16")),
    ("n_layers 0", replaced("n_layers = 2", "n_layers = 0"), ("model.n_layers", "0")),
    ("n_heads that do not divide", replaced("n_heads = 2", "n_heads = 3"), ("n_heads", "3")),
    ("n_kv_heads that do not divide", replaced("n_heads = 2", "n_heads = 2\nn_kv_heads = 3"), ("n_kv_heads", "3")),
    ("top_k above n_experts", replaced("top_k = 2", "top_k = 5"), ("model.top_k", "5", "4")),
    ("top_k 0", replaced("top_k = 2", "top_k = 0"), ("model.top_k", "0")),
    ("d_expert 0", replaced("d_expert = 16", "d_expert = 0"), ("model.d_expert", "0")),
    ("vocab_size 0", replaced("vocab_size = 64", "vocab_size = 0"), ("model.vocab_size", "0")),
    ("a model that cannot fit", replaced("d_model = 16", "d_model = 100000000"), ("model",)),
    ("a count beyond 64 bits", replaced("d_expert = 16", "d_expert = 99999999999999999999"), ("99999999999999999999",)),
    ("a count that overflows products", replaced("d_model = 16", "d_model = 9223372036854775806"), ("d_model", "9223372036854775806")),
    ("MoE layer outside", replaced("top_k = 2", "top_k = 2\nmoe_layers = [7]"), ("moe_layers", "7")),
    ("unknown activation", replaced("top_k = 2", 'top_k = 2\nactivation = "reluu"'), ("activation", "reluu")),
    ("norm_eps negative", replaced("top_k = 2", "top_k = 2\nnorm_eps = -1.0"), ("norm_eps", "-1")),
    ("rotary_fraction 2", replaced("top_k = 2", "top_k = 2\nrotary_fraction = 2.0"), ("rotary_fraction", "2")),
    ("unknown router", replaced('kind = "top_k"', 'kind = "topk"'), ("topk", "top_k")),
    ("unknown score", replaced("softmax_pre", "softmax_pree"), ("softmax_pree", "softmax_pre")),
    ("a key of another router", replaced('kind = "top_k"', 'kind = "sinkhorn"'), ("score",)),
    ("unknown sinkhorn variant", replaced('kind = "top_k"\nscore = "softmax_pre"', 'kind = "sinkhorn"\nvariant = "lag"'), ("variant", "lag")),
    ("two experts a token of a router that chooses one", replaced('kind = "top_k"\nscore = "softmax_pre"', 'kind = "base"'), ("model.top_k = 2", "need 1", "'base'")),
    ("a balance loss without logits", replaced('kind = "top_k"\nscore = "softmax_pre"', 'kind = "random"'), ("model.balance", "'random'", "no logits")),
    ("no round of the auction", replaced('kind = "top_k"\nscore = "softmax_pre"', 'kind = "base"\nmax_rounds = 0'), ("max_rounds = 0", "1..100000")),
    ("an expert's choice of more than all", replaced('kind = "top_k"\nscore = "softmax_pre"', 'kind = "expert_choice"\nfactor = 4.5'), ("factor = 4.5", "n_experts = 4")),
    ("unknown balancing of a hash table", replaced('kind = "top_k"\nscore = "softmax_pre"', 'kind = "hash"\nby = "cluster"'), ("by = 'cluster'", "need one of: ids, frequency")),
    ("unknown balance loss", replaced('loss = "switch"', 'loss = "swich"'), ("swich", "switch")),
    ("a balance key that contradicts its loss", replaced('loss = "switch"', 'loss = "hf"\nreduce = "mean"'), ("model.balance.reduce", "mean", "concatenated")),
    ("group_size of a loss without groups", replaced('loss = "switch"', 'loss = "switch"\ngroup_size = 64'), ("model.balance.group_size", "64")),
    ("batch_size 0", replaced("\nbatch_size = 4", "\nbatch_size = 0"), ("train.batch_size", "0")),
    ("micro batch that does not divide", replaced("micro_batch_size = 2", "micro_batch_size = 3"), ("micro_batch_size", "3", "4")),
    ("sequence_length 0", replaced("sequence_length = 16", "sequence_length = 0"), ("train.sequence_length", "0")),
    ("a duration with an unknown unit", replaced('"3 steps"', '"3 parsecs"'), ("checkpoint_every", "3 parsecs")),
    ("a duration without a unit", replaced('every = "4 steps"', 'every = "4"'), ("every", "4")),
    ("a negative duration", replaced('"3 steps"', '"-3 steps"'), ("checkpoint_every", "-3 steps")),
    ("betas above 1", replaced("[[phase]]", "[optimizer]\nbetas = [2.0, 0.95]\n[[phase]]"), ("optimizer.betas", "2")),
    ("weight decay negative", replaced("[[phase]]", "[optimizer]\nweight_decay = -1.0\n[[phase]]"), ("optimizer.weight_decay", "-1")),
    ("unknown optimizer", replaced("[[phase]]", '[optimizer]\nkind = "adamv"\n[[phase]]'), ("optimizer.kind", "adamv")),
    ("a key of another optimizer", replaced("[[phase]]", '[optimizer]\nkind = "adafactor"\nbetas = [0.9, 0.95]\n[[phase]]'), ("optimizer.betas",)),
    ("adafactor's momentum of 1", replaced("[[phase]]", '[optimizer]\nkind = "adafactor"\nmomentum = 1.0\n[[phase]]'), ("optimizer.momentum", "1")),
    ("label smoothing", replaced("micro_batch_size = 2", "micro_batch_size = 2\nlabel_smoothing = 0.1"), ("train.label_smoothing", "0.1", "left out")),
    ("a z-loss of the logits below 0", replaced("micro_batch_size = 2", "micro_batch_size = 2\nlogit_z_coefficient = -1"), ("train.logit_z_coefficient", "-1")),
    ("unknown section", replaced("[[phase]]", "[optimiser]\neps = 1e-8\n[[phase]]"), ("optimiser", "optimizer")),
    ("unknown key", replaced("micro_batch_size = 2", "micro_batchsize = 2"), ("micro_batchsize", "micro_batch_size", "recipe.toml:")),
    ("no phase", lambda recipe: recipe[:recipe.index("[[phase]]")], ("phase",)),
    ("a phase without length", replaced("steps = 5\n", ""), ("steps", "tokens")),
    ("a phase of 0 steps", replaced("steps = 5", "steps = 0"), ("steps", "0")),
    ("a phase without data", replaced('data = [{name = "en"', 'xdata = [{name = "en"'), ("xdata", "data")),
    ("two phases of one name", replaced('name = "german"', 'name = "english"'), ("english",)),
    ("unknown schedule", replaced('kind = "cosine"', 'kind = "cosin"'), ("cosin", "cosine")),
    ("lr_max negative", replaced("lr_max = 1e-2", "lr_max = -1e-2"), ("lr_max", "-0.01")),
    ("warm-up of two phases", replaced("warmup = 0.2", "warmup = 2.0"), ("warmup", "2")),
    ("a negative weight", replaced("weight = 1.0", "weight = -1.0"), ("weight", "-1")),
    ("weights that sum to 0", replaced("weight = 1.0", "weight = 0.0"), ("weight", "0")),
    ("replay above 1", replaced("fraction = 0.5", "fraction = 1.5"), ("replay.fraction", "1.5")),
    ("replay of an unknown phase", replaced('from = "english"', 'from = "englisch"'), ("englisch", "english")),
    ("unknown replay mode", replaced('mode = "fresh"', 'mode = "frsh"'), ("mode", "frsh")),
    ("start at a missing step", lambda r: r + 'start = {from = "english", step = 99}\n', ("start", "99")),
    ("a weight that is no number", replaced("weight = 1.0", "weight = nan"), ("weight", "nan")),
    ("an infinite weight", replaced("weight = 1.0", "weight = inf"), ("weight", "inf")),
    ("a source named like a replayed one", replaced('{name = "en"', '{name = "replay/en"'), ("replay/en",)),
    ("all parameters frozen", lambda r: r + 'freeze = ["*"]\n', ("german", "frozen")),
    ("a number that would become 0", replaced("lr_max = 1e-2", "lr_max = 1e-400"), ("recipe.toml:", "1e-400", "no double is near")),
    ("a number that would be infinite", replaced("lr_max = 1e-2", "lr_max = 1e999"), ("recipe.toml:", "1e999", "no double is near")),
    ("a number below 64 bits", replaced("seed = 3", "seed = -9223372036854775809"), ("-9223372036854775809", "64 bits")),
    ("a width beyond its bound", replaced("d_model = 16", "d_model = 2147483648"), ("model.d_model = 2147483648", "need 1..2147483647")),
    ("a batch beyond its bound", replaced("\nbatch_size = 4", "\nbatch_size = 2147483648"), ("train.batch_size = 2147483648", "need 1..2147483647")),
    ("a phase with a line break in its name", replaced('name = "german"', 'name = "ger\\nman"'), ("the name 'ger\\nman'", "without line breaks")),
    ("a source with an escape in its name", replaced('{name = "en"', '{name = "e\\u001b[31mn"'), ("the name 'e\\x1b[31mn'", "without line breaks")),
    ("a held-out set with a tab in its name", lambda r: r.replace('eval = {every = "4 steps", data = [{name = "en"', 'eval = {every = "4 steps", data = [{name = "e\\tn"'), ("the name 'e\\tn'", "without line breaks")),
    ("start from an unknown phase", lambda r: r + 'start = {from = "englisch"}\n', ("start", "englisch")),
]


def add_recipes(table, good):
    recipe = (good / "recipe.toml").read_text()
    train = ["train", "{S}/recipe.toml", "--out", "{S}/out", *CPU]
    for what, edit, says in NOT_RUNNABLE:
        table.add(f"train: recipe with {what}", train, says, setup=write("recipe.toml", edit(recipe)), leaves_run=True)
    commands = ("train", "plan", "bench", "study")
    for i, (what, content) in enumerate([("empty", ""), ("no TOML", "d_model == 3\n"), ("cut in a string", recipe[:recipe.index("softmax_pre") + 3]),
                          ("cut in a table", recipe[:recipe.index("lr_max")]), ("of NUL bytes", "\0" * 100), ("no UTF-8", b"seed = \xff\xfe\n"),
                          ("in UTF-16", recipe.encode("utf-16")), ("in UTF-16 without a mark", recipe.encode("utf-16-le")), ("in UTF-32", recipe.encode("utf-32")), ("with CR alone", recipe.replace("\n", "\r"))]):
        for command in commands[i % 2::2]:
            args = [command, "{S}/recipe.toml", *(["--json"] if command in ("plan", "bench") else ["--out", "{S}/out"])]
            args += ["--steps", "2"] if command == "bench" else []
            says = ("recipe.toml",) if content else ()
            says += ("UTF-8",) if what.startswith(("in UTF", "with CR")) else ()
            table.add(f"{command}: recipe {what}", args, says, setup=write("recipe.toml", content), leaves_run=True)
    for command in commands:
        tail = ["--json"] if command in ("plan", "bench") else ["--out", "{S}/out"]
        table.add(f"{command}: recipe missing", [command, "{S}/none.toml", *tail], ("{S}/none.toml",))
        table.add(f"{command}: recipe is a folder", [command, "{S}/dir.toml", *tail], ("{S}/dir.toml",),
                  setup=lambda sandbox: (sandbox / "dir.toml").mkdir())
        table.add(f"{command}: recipe is a tensor file", [command, "{F}/ckpt/model.safetensors", *tail], ("model.safetensors",))
    for assignment, says in [("train.sed=3", ("train.sed", "seed")), ("model.d_model=wide", ("d_model", "wide")),
                             ("phase.germn.steps=3", ("germn", "german")), ("train.seed", ("train.seed",)),
                             ("model.router.score=softmx", ("softmx",)), ("=3", ("=3",)),
                             ("model.init=foo", ("--set model.init: got 'foo'",)),
                             ("model.router.kind=topk", ("--set model.router.kind: got 'topk'",)), ("model.balance.loss=swich", ("--set model.balance.loss: got 'swich'",)),
                             ("model.router.kind=random", ("--set model.router.kind: got ",)), ("model.balance.coefficient=-1", ("--set model.balance.coefficient: got -1",)),
                             ("phase.german.replay.fraction=2", ("--set phase.german.replay.fraction: got replay.fraction = 2",)), ("phase.german.replay.from=german", ("--set phase.german.replay.from: got ", "the phase itself")),
                             ("optimizer.eps=0", ("--set optimizer.eps: got 0",)), ("phase.german.start.step=99", ("--set phase.german.start", "start.step = 99")),
                             ("phase.german.start.from=nowhere", ("--set phase.german.start", "start.from = 'nowhere'")),
                             ("phase.german.schedule.lr_max=1e-400", ("lr_max", "1e-400")), ("train.seed=\udcff", ("\\xff", "UTF-8")),
                             ("phase.german.name=a\nb", ("the name 'a\\nb'", "without line breaks"))]:
        table.add(f"train: --set {assignment!a}", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set", assignment], says, leaves_run=True)
        table.add(f"plan: --set {assignment!a}", ["plan", "{F}/recipe.toml", "--json", "--set", assignment], says)


# ---- data sets ----


def field_at(offset, code, value):
    def edit(content):
        content = bytearray(content)
        struct.pack_into(code, content, offset, value)
        return bytes(content)
    return edit


def broken_indexes(index, n):
    """(what, edit, words) for an index of n sequences; offsets as in docs/formats.md."""
    offsets, bounds = 34 + 4 * n, 34 + 12 * n
    out = [("magic", field_at(0, "<B", 0x58), ()), ("version 2", field_at(9, "<Q", 2), ("2",)),
           ("type code 99", field_at(17, "<B", 99), ("99",)), ("type code 4 for u16", field_at(17, "<B", 4), ()),
           ("10^9 sequences", field_at(18, "<Q", 10**9), ("1000000000",)), ("2^63 sequences", field_at(18, "<Q", 2**63), (str(2**63),)),
           ("2^61 document bounds", field_at(26, "<Q", 2**61), (str(2**61),)), ("0 document bounds", field_at(26, "<Q", 0), ("0",)),
           ("a negative length", field_at(34, "<i", -5), ("-5",)), ("a huge length", field_at(34, "<i", 2**31 - 1), ()),
           ("an offset that is no sum", field_at(offsets + 8, "<q", 3), ("3",)),
           ("a negative offset", field_at(offsets + 8, "<q", -8), ("-8",)),
           ("a document bound outside", field_at(bounds + 8, "<q", 10**12), (str(10**12),)),
           ("a document bound that falls", field_at(bounds + 16, "<q", 0), ("0",)),
           ("a byte too many", lambda content: content + b"\0", ()), ("text", lambda content: b"hello\n" * 100, ())]
    for size in (0, 5, 9, 17, 18, 26, 34, 36, offsets, offsets + 4, bounds, bounds + 4, len(index) - 1):
        out.append((f"cut to {size} bytes", lambda content, size=size: content[:size], ()))
    return out


def add_data(table, good):
    index = (good / "en.idx").read_bytes()
    n = struct.unpack_from("<Q", index, 18)[0]
    both = steps(copy(good, "en.idx", "bad.idx"), copy(good, "en.bin", "bad.bin"))
    train = ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set", 'phase.english.data=[{{name="en", path="{S}/bad"}}]']
    evaluate = ["eval", "{F}/run", "--data", "en={S}/bad", "--json", *CPU]
    for i, (what, edit, says) in enumerate(broken_indexes(index, n)):
        for command in (train,) if i % 3 else (train, evaluate):
            table.add(f"{command[0]}: .idx with {what}", command, ("{S}/bad.", *says), setup=steps(both, change("bad.idx", edit)), leaves_run=True)
    for command in (train, evaluate):
        name = command[0]
        table.add(f"{name}: .idx missing", command, ("{S}/bad.idx",), setup=steps(both, remove("bad.idx")), leaves_run=True)
        table.add(f"{name}: .bin missing", command, ("{S}/bad.bin",), setup=steps(both, remove("bad.bin")), leaves_run=True)
        table.add(f"{name}: .bin cut", command, ("{S}/bad.bin",), setup=steps(both, change("bad.bin", lambda b: b[:-1])), leaves_run=True)
        table.add(f"{name}: .bin empty", command, ("{S}/bad.bin",), setup=steps(both, change("bad.bin", lambda b: b"")), leaves_run=True)
        table.add(f"{name}: .idx and .bin swapped", command, ("{S}/bad.",),
                  setup=steps(copy(good, "en.idx", "bad.bin"), copy(good, "en.bin", "bad.idx")), leaves_run=True)
        table.add(f"{name}: an id outside the vocabulary", command, ("{S}/bad", "77", "64"),
                  setup=steps(both, change("bad.bin", field_at(6, "<H", 77))), leaves_run=True)
    table.add("train: a corpus shorter than a sequence", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set",
              'phase.english.data=[{{name="en", path="{F}/short"}}]'], ("{F}/short", "4", "17"), leaves_run=True)
    table.add("bench: --real-data missing", ["bench", "{F}/recipe.toml", "--steps", "2", "--real-data", "--json", *CPU, "--set",
              'phase.english.data=[{{name="en", path="{S}/bad"}}]'], ("{S}/bad",))


# ---- checkpoints ----


def with_header(header):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return lambda content: struct.pack("<Q", len(text)) + text + b"\0" * 16


def tensor(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


BROKEN_TENSORS = [
    ("empty", lambda content: b"", ("0",)), ("7 bytes", lambda content: content[:7], ("7",)),
    ("header length 0", lambda content: b"\0" * 8 + content[8:], ("0",)),
    ("header length 2^63", lambda content: struct.pack("<Q", 2**63) + content[8:], (str(2**63),)),
    ("header length 10^9", lambda content: struct.pack("<Q", 10**9) + content[8:], ("1000000000",)),
    ("header no JSON", with_header(b"{{}}"), ()), ("header an array", with_header(b"[1]"), ()),
    ("cut in the header", lambda content: content[:40], ()), ("cut in the data", lambda content: content[:-1], ()),
    ("a byte too many", lambda content: content + b"\0", ()), ("dtype F31", with_header(tensor(dtype="F31")), ("F31",)),
    ("a negative dim", with_header(tensor(shape=(-4,))), ("-4",)), ("a huge shape", with_header(tensor(shape=(2**40, 2**40))), (str(2**40),)),
    ("offsets outside", with_header(tensor(shape=(8,), offsets=(0, 32))), ("32",)),
    ("offsets reversed", with_header(tensor(offsets=(16, 0))), ("16",)), ("a wrong size", with_header(tensor(shape=(3,))), ("12", "16")),
    ("text", lambda content: b"not a tensor file, just text\n", ()),
]


def broken_manifests(content):
    files = json.loads(content)["files"]
    first = files[0]
    def listed(**changes):
        return json.dumps({"format": "evenkeel.manifest.v1", "files": [{**first, **changes}, *files[1:]]}).encode()
    return [("empty", b"", ()), ("cut", content[:len(content) // 2], ()), ("an array", b"[]", ()),
            ("of another format", content.replace(b"manifest.v1", b"manifest.v7"), ("manifest.v7",)),
            ("with a path upwards", listed(name="../../state.json"), ("../../state.json",)),
            ("with an absolute path", listed(name="/etc/passwd"), ("/etc/passwd",)),
            ("with a wrong type", listed(bytes="3"), ("bytes",)), ("with a negative size", listed(bytes=-3), ("-3",)),
            ("with a wrong size", listed(bytes=10**15), (str(10**15),)), ("with a short hash", listed(sha256="abc"), ("abc",)),
            ("with a wrong hash", listed(sha256="0" * 64), ("0" * 64,)), ("of 17 MB", b" " * 17_000_000, ("17000000",)),
            ("swapped with a tensor file", struct.pack("<Q", 2) + b"{}", ())]


def add_checkpoints(table, good):
    whole = copy(good, "ckpt")
    from_ckpt = ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set", 'model.from="{S}/ckpt"']
    evaluate = ["eval", "{S}/ckpt", "--data", "en={F}/en", "--json", *CPU]
    for i, (what, edit, says) in enumerate(BROKEN_TENSORS):
        broken = steps(whole, change("ckpt/model.safetensors", edit))
        table.add(f"inspect: tensor file {what}", ["inspect", "{S}/ckpt/model.safetensors"], ("model.safetensors", *says), setup=broken)
        if i % 4 == 0:
            for command in (["verify", "{S}/ckpt"], evaluate, from_ckpt):
                table.add(f"{command[0]}: tensor file {what}", command, ("model.safetensors",), setup=broken, leaves_run=True)
    for i, (what, content, says) in enumerate(broken_manifests((good / "ckpt" / "manifest.json").read_bytes())):
        broken = steps(whole, write("ckpt/manifest.json", content))
        says = says if "hash" in what or "size" in what and "negative" not in what else ("manifest.json", *says)
        table.add(f"verify: manifest {what}", ["verify", "{S}/ckpt"], says, setup=broken)
        if i % 3 == 0:
            table.add(f"eval: manifest {what}", evaluate, says, setup=broken)
    for name in ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"):
        says = "{S}/ckpt" if name == "manifest.json" else name  # without one it is no checkpoint
        table.add(f"verify: {name} missing", ["verify", "{S}/ckpt"], (says,), setup=steps(whole, remove(f"ckpt/{name}")))
    table.add("verify: a file that is not listed", ["verify", "{S}/ckpt"], ("extra.bin",), setup=steps(whole, write("ckpt/extra.bin", "x")))
    table.add("verify: model and optimizer swapped", ["verify", "{S}/ckpt"], ("model.safetensors",),
              setup=steps(whole, copy(good, "ckpt/optimizer.safetensors", "ckpt/model.safetensors")))
    table.add("eval: state.json no JSON", evaluate, ("state.json",), setup=steps(whole, write("ckpt/state.json", "{")))
    for command in ("verify", "inspect", "eval"):
        tail = ["--data", "en={F}/en", "--json", *CPU] if command == "eval" else []
        table.add(f"{command}: missing", [command, "{S}/none", *tail], ("{S}/none",))
        table.add(f"{command}: an empty folder", [command, "{S}/empty", *tail], ("{S}/empty",), setup=lambda s: (s / "empty").mkdir())
    for key, value in [("model.n_heads", "4"), ("model.top_k", "1"), ("model.activation", "geglu"), ("model.rope_theta", "77"), ("train.sequence_length", "8")]:
        table.add(f"train: start from a checkpoint with another {key}", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set",
                  'phase.english.start={{from="{F}/ckpt"}}', "--set", f"{key}={value}"], (key, value), leaves_run=False)
    table.add("train: a replay that neither the recipe nor the start has", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set",
              'phase.german.start={{from="{F}/ckpt"}}', "--set", 'phase.german.replay={{fraction=0.5,from="englsh"}}'], ("englsh",), leaves_run=False)
    table.add("train: from with another width", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set", 'model.from="{F}/ckpt"',
              "--set", "model.d_model=32"], ("d_model", "32", "16"), leaves_run=True)
    table.add("train: from missing", ["train", "{F}/recipe.toml", "--out", "{S}/out", *CPU, "--set", 'model.from="{S}/none"'], ("{S}/none",), leaves_run=True)


# ---- tokenizers and text ----


def add_tokenizers(table, good):
    model = (good / "tok.model").read_bytes() if (good / "tok.model").exists() else b""
    broken = [("missing", "none.model", None), ("empty", "bad.model", b""), ("text", "bad.model", b"hello, this is text\n" * 9),
              ("cut", "bad.model", model[:len(model) // 2 + 1]), ("JSON cut", "tokenizer.json", b'{"model": {'),
              ("JSON of another kind", "tokenizer.json", b'{"a": 1}'), ("an unknown model type", "tokenizer.json", b'{"model": {"type": "Wordy"}}'),
              ("a tensor file", "bad.model", (good / "en.idx").read_bytes()), ("a folder without one", "dir", "folder")]
    for what, name, content in broken:
        setup = None if content is None else (lambda s: (s / "dir").mkdir()) if content == "folder" else write(name, content)
        table.add(f"tokenize: tokenizer {what}", ["tokenize", "--tokenizer", "{S}/" + name], ("{S}/" + name,), setup=setup, stdin=b"bada\n")
        table.add(f"prepare: tokenizer {what}", ["prepare", "--tokenizer", "{S}/" + name, "--out", "{S}/out", "{F}/text.txt"],
                  ("{S}/" + name,), setup=setup)
    decode = ["tokenize", "--tokenizer", "{F}/tok.model", "--decode"]
    for what, line, says in [("no JSON", b"[1,\n", ()), ("no array", b'{"a": 1}\n', ()), ("a string for an id", b'["x"]\n', ()),
                             ("an id outside", b"[5, 99999]\n", ("99999",)), ("a negative id", b"[-1]\n", ("-1",))]:
        table.add(f"tokenize: --decode {what}", decode, says, stdin=line)
    train = ["tokenizer", "train", "--kind", "bpe", "--out", "{S}/out.model", "--vocab-size"]
    table.add("tokenizer train: input missing", [*train, "200", "{S}/none.txt"], ("{S}/none.txt",))
    table.add("tokenizer train: input empty", [*train, "200", "{S}/empty.txt"], ("{S}/empty.txt",), setup=write("empty.txt", ""))
    for size in ("0", "-5", "many", "1000000000", "3000"):
        table.add(f"tokenizer train: --vocab-size {size}", [*train, size, "{F}/text.txt"], (size,))
    extend = ["tokenizer", "extend", "{F}/tok.model", "--out", "{S}/out.model", "--vocab-size"]
    table.add("tokenizer extend: input missing", [*extend, "400", "{S}/none.txt"], ("{S}/none.txt",))
    table.add("tokenizer extend: input empty", [*extend, "400", "{S}/empty.txt"], ("{S}/empty.txt", "no text"), setup=write("empty.txt", ""))
    for size, says in (("0", ()), ("-5", ()), ("many", ()), ("2147483648", ()), ("300", ("need more than",)), ("100000", ("new piece", "need at most"))):
        table.add(f"tokenizer extend: --vocab-size {size}", [*extend, size, "{F}/text.txt"], ("--vocab-size", size, *says))
    table.add("tokenizer extend: no text", [*extend, "400"], ("1 argument ", "TOK"))
    table.add("tokenizer extend: --kind", [*extend, "400", "--kind", "bpe", "{F}/text.txt"], ("--kind", "bpe", "TOK"))
    table.add("tokenizer extend: --max-sentences", [*extend, "400", "--max-sentences", "9", "{F}/text.txt"], ("--max-sentences", "9"))
    table.add("tokenizer extend: a tokenizer of words", ["tokenizer", "extend", "{S}/tok.json", "--out", "{S}/out.json", "--vocab-size", "400", "{F}/text.txt"],
              ("{S}/tok.json", "WordLevel"), setup=write("tok.json", b'{"model": {"type": "WordLevel", "vocab": {"a": 0}}}'))
    table.add("tokenizer extend: the text for the tokenizer", ["tokenizer", "extend", "{F}/text.txt", "--out", "{S}/out.model", "--vocab-size", "400", "{F}/tok.model"],
              ("{F}/text.txt", "no SentencePiece model"))
    table.add("tokenizer extend: --out is TOK", ["tokenizer", "extend", "{S}/t.model", "--out", "{S}/t.model", "--vocab-size", "400", "{F}/text.txt"],
              ("{S}/t.model", "is the input"), setup=copy(good, "tok.model", "t.model"))
    table.add("tokenizer train: unknown kind", ["tokenizer", "train", "--kind", "bpee", "--vocab-size", "300", "--out", "{S}/out.model", "{F}/text.txt"],
              ("--kind", "bpee", "bpe"))


def add_text(table, good):
    prepare = ["prepare", "--tokenizer", "{F}/tok.model", "--out", "{S}/out", "--eod", "none"]
    line = json.dumps({"text": "bada du"}).encode() + b"\n"
    packed = gzip.compress((good / "text.txt").read_bytes())
    for what, name, content, says in [
            ("no JSON", "in.jsonl", line + b"{oops\n", ("2",)), ("no text field", "in.jsonl", line + b'{"body": "x"}\n', ("text",)),
            ("a number for text", "in.jsonl", line + b'{"text": 3}\n', ("text", "integer")), ("not gzip", "in.txt.gz", b"plain text", ()),
            ("gzip cut", "in.txt.gz", packed[:len(packed) // 2], ()), ("not xz", "in.txt.xz", b"plain text", ()),
            ("not zst", "in.jsonl.zst", b"plain text", ()), ("not parquet", "in.parquet", b"plain text", ("Parquet",)),
            ("a zero byte after a record", "in.jsonl", line.strip() + b"\0" + line, (":1", "zero byte", f"byte {len(line)}")),
            ("a zero byte at the end of a record", "in.ndjson", line + line.strip() + b"\0\n", (":2", "zero byte")),
            ("two records in a line", "in.jsonl", line.strip() + line, (":1", "byte")),
            ("a literal that is not one", "in.jsonl", b'{"text": "x", "q": nan}\n', (":1", "byte")),
            ("one array of records", "in.json", b'[{"text": "a"}, {"text": "b"}]\n', ("array", "jq -c '.[]'")),
            ("an array over several lines", "in.json", b'[\n{"text": "a"}\n]\n', (":1", "jq -c '.[]'")),
            ("a record over several lines", "in.json.gz", gzip.compress(b'{\n  "text": "a"\n}\n'), (":1", "jq -c .")),
            ("deep nesting", "in.jsonl", b'{"text": "a", "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", (":1", "deeper than 200")),
            ("UTF-16", "in.txt", "bada".encode("utf-16"), ("UTF-16", "iconv -f UTF-16 ")), ("UTF-16 without a mark", "in.txt", "bada".encode("utf-16-be"), ("UTF-16BE", "iconv -f UTF-16BE ")),
            ("UTF-32", "in.txt", "bada".encode("utf-32"), ("UTF-32", "iconv -f UTF-32 ")), ("UTF-32 without a mark", "in.txt", "badä".encode("utf-32-le"), ("UTF-32LE", "iconv -f UTF-32LE ")),
            ("gzip named .txt", "in.txt", packed, ("gzip", ".gz")),
            ("an ending behind .gz", "in.csv.gz", packed, (".csv.gz",)),
            ("an unknown ending", "in.docx", b"plain text", ())]:
        table.add(f"prepare: {what}", [*prepare, "{S}/" + name], ("{S}/" + name, *says), setup=write(name, content))
    keep = [*prepare, "--skip-bad", "{S}/in.jsonl"]
    table.add("prepare: --skip-bad where another's list stands", keep, ("{S}/out.skipped.jsonl", "did not write"), setup=steps(write("in.jsonl", line), write("out.skipped.jsonl", "mine\n")))
    table.add("prepare: --skip-bad of damage alone", keep, ("{S}/in.jsonl", "2 damaged lines"), setup=write("in.jsonl", b"oops\n{\n"))
    table.add("prepare: --skip-bad of a stream that is cut", [*prepare, "--skip-bad", "{S}/in.txt.gz"], ("{S}/in.txt.gz", "too early"), setup=write("in.txt.gz", packed[:-20]))
    table.add("prepare: its list of lines as an input", [*prepare, "{S}/out.skipped.jsonl"], ("{S}/out.skipped.jsonl", "is the input"), setup=write("out.skipped.jsonl", line))
    talk = json.dumps({"m": [{"role": "user", "content": "bada"}, {"role": "assistant", "content": "du"}]}).encode() + b"\n"
    talks = ["prepare", "--tokenizer", "{F}/tok.model", "--out", "{S}/out", "--messages", "m", "{S}/in.jsonl"]
    for what, args, content, says in [
            ("no template", talks, talk, ("tok.model", "no chat template beside it", "chatml, llama3, plain")),
            ("an unknown template", [*talks, "--template", "chatlm"], talk, ("--template", "chatlm", "chatml")),
            ("a template without its tokens", [*talks, "--template", "chatml"], talk, ("chatml", "tok.model", "no token '<|im_", "|>'")),
            ("no end for plain", [*talks, "--template", "plain", "--eod", "none"], talk, ("--template plain", "--eod none")),
            ("a template without messages", [*prepare, "--template", "plain", "{S}/in.jsonl"], talk, ("--template", "--messages")),
            ("a text field too", [*talks, "--template", "plain", "--text-field", "text2"], talk, ("--text-field", "text2", "--messages")),
            ("conversations in text", [*talks, "{F}/text.txt", "--template", "plain"], talk, ("text.txt", "records of JSON", "--messages")),
            ("conversations in Parquet", [*talks[:-1], "{S}/in.parquet", "--template", "plain"], talk, ("in.parquet",)),
            ("no field of messages", [*talks, "--template", "plain"], talk + b'{"text": "a"}\n', (":2", "need the field 'm' (--messages)")),
            ("no list of messages", [*talks, "--template", "plain"], talk + b'{"m": "a"}\n', (":2", "field 'm': got string", "--skip-bad")),
            ("no answer", [*talks, "--template", "plain"], talk + talk.replace(b"assistant", b"user"), (":2", "without a message of the assistant")),
            ("a role twice", [*talks, "--template", "plain"], talk + talk.replace(b"{\"role\"", b'{"role": "user", "role"'), (":2", "role")),
            ("a role of a tool", [*talks, "--template", "plain"], talk + talk.replace(b"user", b"tool"), (":2", 'role "tool" in message 1'))]:
        table.add(f"prepare --messages: {what}", args, says, setup=steps(write("in.jsonl", content), write("in.parquet", b"PAR1")))
    table.add("prepare --messages: another's file of that name", [*talks, "--template", "plain"], ("{S}/out.scored", "did not write"), setup=steps(write("in.jsonl", talk), write("out.scored", "mine")))
    table.add("tokenizer train: no text field", ["tokenizer", "train", "--vocab-size", "300", "--out", "{S}/out.model", "{S}/in.jsonl"], (":1", "--text-field"), setup=write("in.jsonl", b'{"body": "x"}\n'))
    table.add("prepare: input missing", [*prepare, "{S}/none.txt"], ("{S}/none.txt",))
    table.add("prepare: one of two inputs missing", [*prepare, "{F}/text.txt", "{S}/none.txt"], ("{S}/none.txt",))
    table.add("prepare: input is a folder", [*prepare, "{S}/in.txt"], ("{S}/in.txt",), setup=lambda s: (s / "in.txt").mkdir())
    for option, value in [("--holdout", "1.5"), ("--holdout", "-0.1"), ("--holdout", "half"), ("--eod", "<none-such>"), ("--eod", "99999")]:
        args = ["prepare", "--tokenizer", "{F}/tok.model", "--out", "{S}/out", option, value, "{F}/text.txt"]
        table.add(f"prepare: {option} {value}", args, (option, value))
    table.add("prepare: --text-field of another type", [*prepare, "--text-field", "id", "{S}/in.jsonl"], ("id",),
              setup=write("in.jsonl", b'{"id": [1], "text": "x"}\n'))


# ---- options, places and the machine ----


def add_options(table):
    for command, args in [("train", ["{F}/recipe.toml", "--out", "{S}/out"]), ("plan", ["{F}/recipe.toml"]), ("bench", ["{F}/recipe.toml"]),
                          ("eval", ["{F}/run"]), ("verify", ["{F}/run"]), ("inspect", ["{F}/run"]), ("tokenize", ["--tokenizer", "{F}/tok.model"]),
                          ("prepare", ["--tokenizer", "{F}/tok.model", "--out", "{S}/out", "{F}/text.txt"]), ("convert", ["{F}/en", "--out", "{S}/out.npy"]),
                          ("report", ["{F}/run", "--out", "{S}/out.html"]), ("study", ["{F}/recipe.toml", "--out", "{S}/out"])]:
        table.add(f"{command}: unknown option", [command, *args, "--frobnicate"], ("--frobnicate",))
    train = ["train", "{F}/recipe.toml", "--out", "{S}/out"]
    table.add("unknown command", ["trian"], ("trian", "train"))
    table.add("train: no recipe", ["train", "--out", "{S}/out"], ())
    table.add("train: no --out", ["train", "{F}/recipe.toml"], ("--out",))
    table.add("train: --out without a value", ["train", "{F}/recipe.toml", "--out"], ("--out",))
    table.add("train: --oout", ["train", "{F}/recipe.toml", "--oout", "{S}/out"], ("--oout", "--out"))
    for option, value in [("--threads", "x"), ("--threads", "-1"), ("--device", "tpu"), ("--device", "cuda:99"),
                          ("--max-hours", "-1"), ("--max-hours", "1e999"), ("--max-hours", "1e-400"), ("--max-hours", "inf"), ("--max-hours", "nan"), ("--seed", "1.5"), ("--seed", "-5")]:
        table.add(f"train: {option} {value}", [*train, option, value], (value,), leaves_run=True)
    evaluate = ["eval", "{F}/run", "--json", *CPU, "--data", "en={F}/en"]
    for option, value in [("--sequence-length", "-1"), ("--sequence-length", "long"), ("--batch-size", "0"), ("--dtype", "fp17"), ("--mode", "tset"),
                          ("--max-tokens", "-3")]:
        table.add(f"eval: {option} {value}", [*evaluate, option, value], (option, value))
    table.add("eval: data missing", ["eval", "{F}/run", "--json", *CPU, "--data", "en={S}/none"], ("{S}/none",))
    for value in ("0", "-2", "ten"):
        table.add(f"bench: --steps {value}", ["bench", "{F}/recipe.toml", "--json", *CPU, "--steps", value], ("--steps", value))


def add_places(table, good):
    train = ["train", "{F}/recipe.toml", *CPU, "--out"]
    a_file = write("file", "mine")
    table.add("train: a file where the run must be", [*train, "{S}/file"], ("{S}/file",), setup=a_file)
    table.add("train: a file above the run", [*train, "{S}/file/run"], ("{S}/file",), setup=a_file)
    table.add("train: a folder that is not empty", [*train, "{S}/full"], ("{S}/full",), setup=write("full/mine.txt", "mine"))
    a_study = write("study.toml", f'[study]\nbase = "{good}/recipe.toml"\narms = [{{name = "a"}}]\n')
    table.add("study: a recipe without [study]", ["study", "{F}/recipe.toml", "--out", "{S}/out"], ("recipe.toml", "[study]"))
    table.add("study: a file where the folder must be", ["study", "{S}/study.toml", "--out", "{S}/file", *CPU], ("{S}/file", "got a file"), setup=steps(a_file, a_study))
    table.add("study: a file above the folder", ["study", "{S}/study.toml", "--out", "{S}/file/out", *CPU], ("{S}/file",), setup=steps(a_file, a_study))
    table.add("prepare: a file above the output", ["prepare", "--tokenizer", "{F}/tok.model", "--eod", "none", "--out", "{S}/file/out", "{F}/text.txt"],
              ("{S}/file",), setup=a_file)
    table.add("report: a folder where the page must be", ["report", "{F}/run", "--out", "{S}/page"], ("{S}/page", "--out"), setup=lambda s: (s / "page").mkdir())
    table.add("report: a file above the output", ["report", "{F}/run", "--out", "{S}/file/out.html"], ("{S}/file",), setup=a_file)
    report = ["report", "{S}/run", "--out", "{S}/out.html"]
    table.add("report: folder missing", report, ("{S}/run",))
    table.add("report: no results.json", report, ("{S}/run",), setup=lambda s: (s / "run").mkdir())
    whole = (good / "run" / "results.json").read_text() if (good / "run" / "results.json").exists() else '{"tables": {}}'
    for what, content in [("empty", ""), ("cut", whole[:len(whole) // 2]), ("an array", "[]"), ("of another schema", '{"schema": "evenkeel.results.v99"}'),
                          ("with a wrong type", '{"schema": "evenkeel.results.v1", "arms": 3}')]:
        table.add(f"report: results.json {what}", report, ("{S}/run/results.json",), setup=write("run/results.json", content))
    for what, content, says in [("without [study]", "x = 1\n", ("study",)), ("without arms", '[study]\nbase = "{F}/recipe.toml"\n', ("arms",)),
                                ("with a missing base", '[study]\nbase = "none.toml"\narms = [{name = "a"}]\n', ("none.toml",)),
                                ("with an arm without a name", '[study]\nbase = "{F}/recipe.toml"\narms = [{"train.seed" = 2}]\n', ("name",)),
                                ("with two arms of one name", '[study]\nbase = "{F}/recipe.toml"\narms = [{name = "a"}, {name = "a"}]\n', ("a",)),
                                ("with an unknown key", '[study]\nbase = "{F}/recipe.toml"\narms = [{name = "a"}]\nmatrx = 3\n', ("matrx", "matrix"))]:
        table.add(f"study: {what}", ["study", "{S}/study.toml", "--out", "{S}/out"], says,
                  setup=write("study.toml", content.replace("{F}", str(good))), leaves_run=True)
    table.add("train: full disk", [*train, "{S}/out"], ("{S}/out",), rc=4, max_file_bytes=2000, leaves_run=True)
    table.add("prepare: full disk", ["prepare", "--tokenizer", "{F}/tok.model", "--eod", "none", "--out", "{S}/out", "{F}/text.txt"], ("{S}/out",),
              rc=4, max_file_bytes=100)
    table.add("tokenizer train: full disk", ["tokenizer", "train", "--kind", "bpe", "--vocab-size", "300", "--out", "{S}/out.model", "{F}/text.txt"],
              ("{S}/out.model",), rc=4, max_file_bytes=100)
    table.add("report: full disk", ["report", "{F}/run", "--out", "{S}/out.html"], ("{S}/out.html",), rc=4, max_file_bytes=100)


def all_cases(good):
    table = Table()
    add_recipes(table, good)
    add_data(table, good)
    add_checkpoints(table, good)
    add_tokenizers(table, good)
    add_text(table, good)
    add_options(table)
    add_messages(table, good)
    add_places(table, good)
    add_analyze(table, good)
    return table.cases

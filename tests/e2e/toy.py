"""Toy data sets, recipes and runs for the end-to-end tests. Standard library only."""
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("EVENKEEL", ROOT / "build" / "evenkeel"))
SHIM = os.path.abspath(os.environ.get("EVENKEEL_CRASH_SHIM", ROOT / "build" / "libcrash_shim.so"))

VOCAB_SIZE = 64
END_OF_DOCUMENT = 0

# Name -> the [model.router] table, and whether the router needs a balance loss.
ROUTERS = {
    "softmax_pre": ('kind = "top_k"\nscore = "softmax_pre"', True),
    "softmax_post": ('kind = "top_k"\nscore = "softmax_post"', True),
    "sigmoid": ('kind = "top_k"\nscore = "sigmoid"\nrenormalize = true', True),
    "sqrtsoftplus": ('kind = "top_k"\nscore = "sqrtsoftplus"\nrenormalize = true', True),
    "sinkhorn_log": ('kind = "sinkhorn"\nvariant = "log"', False),
    "sinkhorn_megatron": ('kind = "sinkhorn"\nvariant = "megatron"', False),
    "sinkhorn_neox": ('kind = "sinkhorn"\nvariant = "neox"', False),
    "sinkhorn_step": ('kind = "sinkhorn"\nscope = "step"', False),
    "top_k_jitter": ('kind = "top_k"\njitter = 0.01', True),
    "loss_free": ('kind = "loss_free"\nrate = 0.05', False),
    "quantile": ('kind = "quantile"', False),
    "expert_choice": ('kind = "expert_choice"', False),
    "expert_choice_sequence": ('kind = "expert_choice"\ngroup = "sequence"\nfactor = 1.5', False),
    "base": ('kind = "base"', False),
    "hash_ids": ('kind = "hash"', False),
    "hash_frequency": ('kind = "hash"\nby = "frequency"', False),
    "random": ('kind = "random"', False),
    "uniform": ('kind = "uniform"', False),
    "top_k_random_drops": ('kind = "top_k"\n[model.capacity]\nrule = "deepspeed-rts"\nfactor_train = 0.75\nminimum = 1', True),
}

TOP_ONE = ("base", "hash_ids", "hash_frequency")  # routers that choose one expert

RECIPE = """[model]
vocab_size = {vocab_size}
d_model = 16
n_layers = 2
n_heads = 2
n_experts = 4
top_k = {top_k}
d_expert = 16
[model.router]
{router}
{balance}[train]
batch_size = 4
micro_batch_size = 2
sequence_length = 16
seed = 3
checkpoint_every = "3 steps"
[[phase]]
name = "english"
steps = 5
data = [{{name = "en", path = "{data}/en", weight = 1.0}}]
schedule = {{kind = "cosine", lr_max = 1e-2, lr_min = 1e-3, warmup = 0.2}}
eval = {{every = "4 steps", data = [{{name = "en", path = "{data}/en"}}]}}
[[phase]]
name = "german"
steps = 6
data = [{{name = "de", path = "{data}/de", weight = 1.0}}]
schedule = {{kind = "constant", lr_max = 5e-3}}
replay = {{fraction = 0.5, from = "english", mode = "fresh"}}
"""
N_STEPS = 11

BALANCE = """[model.balance]
loss = "switch"
coefficient = 0.01
z_coefficient = 0.001
"""


def recipe_text(data, router="softmax_pre"):
    table, needs_balance = ROUTERS[router]
    return RECIPE.format(vocab_size=VOCAB_SIZE, data=data, router=table, balance=BALANCE if needs_balance else "", top_k=1 if router in TOP_ONE else 2)


def changed_recipe(recipe, path, changes):
    """Writes `recipe` to `path`, with each of `changes` (pattern, replacement) made; a pattern that is not there is an error."""
    text = pathlib.Path(recipe).read_text()
    for pattern, replacement in changes:
        text, n = re.subn(pattern, replacement, text)
        assert n > 0, f"{recipe} has no {pattern}"
    path.write_text(text)
    return path


def listed_routers():
    """The kinds of routers that `evenkeel plan --help` lists."""
    lines = evenkeel("plan", "--help").out.splitlines()
    start = lines.index("Routers (model.router.kind):") + 1
    return [line.split()[0] for line in lines[start:lines.index("", start)]]


def kind_of(router):
    """The kind of an entry of ROUTERS."""
    return re.search(r'kind = "(\w+)"', ROUTERS[router][0])[1]


def made_documents(seed, n_documents=60):
    """Documents of a seeded chain over the vocabulary, each ended by the end-of-document id."""
    rng = random.Random(seed)
    follow = [[rng.randrange(1, VOCAB_SIZE) for _ in range(3)] for _ in range(VOCAB_SIZE)]
    documents = []
    for _ in range(n_documents):
        ids = [rng.randrange(1, VOCAB_SIZE)]
        for _ in range(rng.randrange(5, 60)):
            ids.append(rng.choice(follow[ids[-1]]))
        documents.append(ids + [END_OF_DOCUMENT])
    return documents


def dataset_bytes(documents):
    """(.idx, .bin) of Megatron's format with u16 tokens, one sequence a document (docs/formats.md)."""
    lengths = [len(ids) for ids in documents]
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + 2 * length)
    n = len(documents)
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, n, n + 1)
    index += struct.pack(f"<{n}i", *lengths) + struct.pack(f"<{n}q", *starts[:-1])
    index += struct.pack(f"<{n + 1}q", *range(n + 1))
    return index, b"".join(struct.pack(f"<{len(ids)}H", *ids) for ids in documents)


def write_dataset(prefix, documents):
    index, tokens = dataset_bytes(documents)
    pathlib.Path(f"{prefix}.idx").write_bytes(index)
    pathlib.Path(f"{prefix}.bin").write_bytes(tokens)


def made_text(seed, n_paragraphs=120):
    """Paragraphs of made-up words, enough to train a small tokenizer on."""
    rng = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["".join(rng.choice(syllables) for _ in range(rng.randrange(1, 4))) for _ in range(300)]
    paragraphs = [" ".join(rng.choice(words) for _ in range(rng.randrange(10, 40))) + "." for _ in range(n_paragraphs)]
    return "\n\n".join(paragraphs) + "\n"


@dataclass
class Result:
    rc: int
    out: str
    err: str
    seconds: float

    def error_lines(self):
        return [line for line in self.err.splitlines() if line.startswith("evenkeel: error:")]


def environment(extra=None):
    env = {key: value for key, value in os.environ.items() if not key.startswith("EVENKEEL_CRASH")}
    env.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    env.update(extra or {})
    return env


def evenkeel(*args, cwd=None, env=None, stdin=b"", timeout=120, preexec_fn=None):
    """Runs the binary to its end; a hang is killed and reported as exit code 'timeout'."""
    start = time.monotonic()
    try:
        done = subprocess.run([BINARY, *map(str, args)], cwd=cwd, env=environment(env), input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, preexec_fn=preexec_fn)
        rc, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as expired:
        rc, out, err = "timeout", expired.stdout or b"", expired.stderr or b""
    return Result(rc, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), time.monotonic() - start)


def wait_for_cpu(process, seconds):
    """Until a process has taken this much CPU time: half a second is well past a command's start, which takes a fifth."""
    deadline = time.monotonic() + 60
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"exit code {process.poll()}: {process.stderr.read()}")
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") >= seconds:
            return
        time.sleep(0.01)


WALL_CLOCK = ("seconds", "tokens_per_second", "gemm_fraction")


def metrics_without_clock(run):
    """The lines of metrics.jsonl as objects, without what depends on the wall clock."""
    lines = []
    for line in (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        for key in WALL_CLOCK:
            values.pop(key, None)
        lines.append(values)
    return lines


def leftovers(folder):
    """Files and folders of unfinished writes."""
    return [str(path) for path in pathlib.Path(folder).rglob("*")
            if ".tmp" in path.name or path.name.startswith(".evenkeel-")]


def checkpoints(run):
    return sorted(path for path in (pathlib.Path(run) / "checkpoints").glob("step-*") if path.is_dir())


# ---- Hugging Face folders ----


def write_safetensors(path, tensors):
    header, content = {}, b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(content), len(content) + len(packed)]}
        content += packed
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + content)


def write_hf(folder, seed, nan_id=None, vocab_size=64):
    """A Hugging Face Llama of width 8; the embedding of `nan_id` is not a number."""
    draw = random.Random(seed)

    def normal(*shape):
        n = 1
        for size in shape:
            n *= size
        return list(shape), [draw.gauss(0, 0.1) for _ in range(n)]

    ones, layer = ([8], [1.0] * 8), "model.layers.0."
    tensors = {"model.embed_tokens.weight": normal(vocab_size, 8), layer + "input_layernorm.weight": ones, layer + "post_attention_layernorm.weight": ones, "model.norm.weight": ones, "lm_head.weight": normal(vocab_size, 8)}
    for name in ("q", "k", "v", "o"):
        tensors[layer + f"self_attn.{name}_proj.weight"] = normal(8, 8)
    for name in ("gate", "up", "down"):
        tensors[layer + f"mlp.{name}_proj.weight"] = normal(8, 8)
    if nan_id is not None:
        tensors["model.embed_tokens.weight"][1][nan_id * 8:nan_id * 8 + 8] = [float("nan")] * 8
    os.makedirs(folder, exist_ok=True)
    write_safetensors(f"{folder}/model.safetensors", tensors)
    json.dump({"model_type": "llama", "vocab_size": vocab_size, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}, open(f"{folder}/config.json", "w"))

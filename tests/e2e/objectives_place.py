"""Text, conversations and a recipe of UL2, then causal, then conversations, for the tests of objectives. Standard library only."""
import json
import pathlib

import checks
import toy

N_PIECES, VOCAB_SIZE, S = 400, 480, 64
PROMPTS = {"R": [400], "X": [401, 410], "S": [402]}  # beyond the tokenizer, as what follows
BOS, EOS, FIRST_SENTINEL = 403, 404, VOCAB_SIZE - 1
INPUTS, TARGETS = 40, 24
IDS = f"first_sentinel = {FIRST_SENTINEL}, bos = {BOS}, eos = {EOS}"
UL2 = f'{{kind = "ul2", inputs = {INPUTS}, targets = {TARGETS}, prompts = {{R = [400], X = [401, 410], S = [402]}}, {IDS}}}'
SPANS = f'{{kind = "span_corruption", mean_span = 3.0, density = 0.3, inputs = {INPUTS}, targets = {TARGETS}, {IDS}}}'
PREFIX_LM = '{kind = "prefix_lm"}'
CONVERSATION = '{kind = "conversation"}'
STEPS = {"ul2": 6, "causal": 4, "chat": 4}
N_STEPS, BATCH_SIZE = 14, 4

RECIPE = """[model]
vocab_size = {vocab_size}
d_model = 16
n_layers = 2
n_heads = 2
n_experts = 4
top_k = 2
d_expert = 16
balance = {{loss = "switch", coefficient = 0.01, z_coefficient = 0.001}}
[train]
batch_size = {batch_size}
micro_batch_size = 2
sequence_length = {length}
seed = 3
checkpoint_every = "3 steps"
[[phase]]
name = "ul2"
steps = 6
data = [{{name = "en", path = "{data}/en"}}]
objective = {ul2}
schedule = {{kind = "constant", lr_max = 1e-2}}
eval = {{data = [{{name = "en", path = "{data}/held"}}, {{name = "en-ul2", path = "{data}/held", objective = {ul2}}}]}}
[[phase]]
name = "causal"
steps = 4
data = [{{name = "en", path = "{data}/en"}}]
schedule = {{kind = "constant", lr_max = 1e-2}}
[[phase]]
name = "chat"
steps = 4
data = [{{name = "chat", path = "{data}/chat"}}]
objective = {{kind = "conversation"}}
schedule = {{kind = "constant", lr_max = 1e-2}}
eval = {{data = [{{name = "en", path = "{data}/held"}}, {{name = "chat", path = "{data}/chat", objective = {{kind = "conversation"}}}}]}}
"""


class Place:
    """A folder with a tokenizer, text (en, held), conversations (chat) and the recipe."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "en.txt").write_text(toy.made_text(1, 150))
        (folder / "held.txt").write_text(toy.made_text(2, 30))
        words = toy.made_text(3, 100).split()
        messages = [[{"role": "user", "content": " ".join(words[i:i + 3])}, {"role": "assistant", "content": " ".join(words[i + 3:i + 3 + i % 7 + 1])}] for i in range(0, 700, 10)]
        (folder / "chat.jsonl").write_text("".join(json.dumps({"messages": conversation}) + "\n" for conversation in messages))
        self.tokenizer = folder / "tok.model"
        self.run("tokenizer", "train", "--kind", "unigram", "--vocab-size", N_PIECES, "--out", self.tokenizer, folder / "en.txt")
        for name in ("en", "held"):
            self.run("prepare", "--tokenizer", self.tokenizer, "--out", folder / name, folder / f"{name}.txt")
        self.run("prepare", "--messages", "messages", "--template", "plain", "--tokenizer", self.tokenizer, "--out", folder / "chat", folder / "chat.jsonl")
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(self.text())

    def text(self):
        return RECIPE.format(vocab_size=VOCAB_SIZE, batch_size=BATCH_SIZE, length=S, data=self.folder, ul2=UL2)

    def run(self, *args):
        result = toy.evenkeel(*args)
        assert result.rc == 0, (args, result.err)

    def tokens(self, name):
        """The stream of a set: all of its documents, one after the other."""
        return [token for document in self.documents(name) for token in document]

    def documents(self, name):
        return checks.documents_of(self.folder / name)[0]

    def scored(self, name):
        """One number a token."""
        return list(pathlib.Path(f"{self.folder / name}.scored").read_bytes())

    def preview(self, problems, phase, n_sequences, *options):
        result = toy.evenkeel("preview", self.recipe, "--phase", phase, "--sequences", n_sequences, "--json", *options)
        return json.loads(result.out)["sequences"] if problems.ran(result) else []


# ---- what examples are made of, by their definition ----


def examples_of(sequence):
    """[(tokens, targets)] of the examples that are packed into a sequence; what they leave over is padding."""
    ids, out = sequence["document_ids"], []
    end = len(sequence["tokens"])
    while end > 0 and sequence["targets"][end - 1] == -1:
        end -= 1  # every example ends with a target
    for i in range(end):
        if i == 0 or ids[i] != ids[i - 1]:
            out.append(([], []))
        out[-1][0].append(sequence["tokens"][i])
        out[-1][1].append(sequence["targets"][i])
    return out


def padding_of(sequence):
    """Places behind the last example."""
    return len(sequence["tokens"]) - sum(len(tokens) for tokens, _ in examples_of(sequence))


def parts_of(tokens, targets):
    """(inputs, targets) of a decoder's example [bos] inputs targets-but-the-last, eos taken off both; the problem, where it is none."""
    first = next(i for i, target in enumerate(targets) if target >= 0)
    inputs, asked = tokens[1:first + 1], targets[first:]
    if tokens[0] != BOS or tokens[first + 1:] != asked[:-1] or -1 in asked:
        return None, f"no decoder's example: {tokens} {targets}"
    if inputs[-1] != EOS or asked[-1] != EOS:
        return None, f"inputs and targets do not end with eos: {inputs} {asked}"
    return (inputs[:-1], asked[:-1]), None


def split_at_sentinels(ids):
    """What stands before the first sentinel, then what stands behind each; the sentinels must count down from the first."""
    runs, n = [[]], 0
    for token in ids:
        if token == FIRST_SENTINEL - n:
            runs.append([])
            n += 1
        else:
            runs[-1].append(token)
    return runs


def text_of(inputs, asked, mode):
    """The text that an example was made of: whole where it was cut in two, else with each span in the place of its sentinel."""
    if mode == "S":
        return inputs + asked
    clean, noise = split_at_sentinels(inputs), split_at_sentinels(asked)
    if noise[0] or clean[-1] or len(clean) != len(noise):
        return None  # targets begin with a sentinel, inputs end with one, and both have as many
    return [token for i in range(len(clean) - 1) for token in clean[i] + noise[i + 1]]

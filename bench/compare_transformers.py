"""Training speed of evenkeel and of transformers' OlmoeForCausalLM: one size, one machine, turns taken.

    EVENKEEL=build/evenkeel python bench/compare_transformers.py [--rounds 3] [--steps 8] [--threads 2]

A step is forward, backward, clipping and AdamW (fused) in fp32 on random tokens, the balance loss included. Each
round runs evenkeel, then transformers with each way that it has to run experts on a CPU; each turn drops one warm-up
step. Prints one JSON document: medians over the turns of the median step, and `ratio` = evenkeel's tokens per second
over those of the fastest way of transformers, also by round. `load_average` tells whether the machine was quiet.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

EVENKEEL = os.environ.get("EVENKEEL", "build/evenkeel")
VOCABULARY, WIDTH, LAYERS, HEADS, EXPERTS, EXPERT_WIDTH, TOP_K = 4096, 128, 3, 4, 32, 96, 4
LENGTH, BATCH = 128, 16
EXPERT_CODE = ("grouped_mm", "eager")

RECIPE = f"""
[model]
vocab_size = {VOCABULARY}
d_model = {WIDTH}
n_layers = {LAYERS}
n_heads = {HEADS}
n_experts = {EXPERTS}
d_expert = {EXPERT_WIDTH}
top_k = {TOP_K}
qk_norm = true
[model.router]
kind = "top_k"
[model.balance]
loss = "hf"
coefficient = 0.01
[train]
batch_size = {BATCH}
sequence_length = {LENGTH}
[[phase]]
name = "bench"
steps = 100
data = [{{name = "random", path = "unused"}}]
schedule = {{kind = "constant", lr_max = 3e-4}}
"""


def make_model(expert_code):
    torch.manual_seed(1)
    config = transformers.OlmoeConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_experts=EXPERTS,
        intermediate_size=EXPERT_WIDTH, num_experts_per_tok=TOP_K, max_position_embeddings=LENGTH, router_aux_loss_coef=0.01,
        output_router_logits=True, pad_token_id=None, eos_token_id=0, use_cache=False)
    config._experts_implementation = expert_code
    return transformers.OlmoeForCausalLM(config).train()


class TransformersSide:
    def __init__(self, expert_code):
        self.model = make_model(expert_code)
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        vectors = [p for p in self.model.parameters() if p.ndim < 2]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                           lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)

    def step(self, tokens):
        targets = tokens[:, 1:].contiguous()
        out = self.model(input_ids=tokens[:, :-1], labels=targets, shift_labels=targets)
        self.optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return out.loss.item()

    def turn(self, n_steps):
        """Seconds of each step; the first, a warm-up, is left out."""
        seconds = []
        for _ in range(n_steps + 1):
            tokens = torch.randint(VOCABULARY, (BATCH, LENGTH + 1))
            start = time.perf_counter()
            self.step(tokens)
            seconds.append(time.perf_counter() - start)
        return seconds[1:]


def evenkeel(*arguments):
    done = subprocess.run([EVENKEEL, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"evenkeel {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="measured steps of a turn")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]

    with tempfile.TemporaryDirectory() as work:
        recipe = pathlib.Path(work) / "bench.toml"
        recipe.write_text(RECIPE)
        sides = {code: TransformersSide(code) for code in EXPERT_CODE}
        parameters = sum(p.numel() for p in sides[EXPERT_CODE[0]].model.parameters())
        planned = evenkeel("plan", recipe, "--json")["parameters"]["total"]
        if planned != parameters:
            raise SystemExit(f"the sizes differ: evenkeel {planned} parameters, transformers {parameters}")
        turns = {"evenkeel": []}
        seconds = {code: [] for code in EXPERT_CODE}
        for _ in range(options.rounds):
            measured = evenkeel("bench", recipe, "--steps", options.steps, "--json", "--threads", options.threads, "--device", "cpu")
            turns["evenkeel"].append(measured["tokens_per_second"])
            for code in EXPERT_CODE:
                seconds[code].append(sides[code].turn(options.steps))

    speed = BATCH * LENGTH
    theirs = {}
    for code in EXPERT_CODE:
        turns[code] = [speed / statistics.median(turn) for turn in seconds[code]]
        theirs[code] = statistics.median(turns[code])
    ours = statistics.median(turns["evenkeel"])
    print(json.dumps({
        "tokens_per_second": {"evenkeel": ours, **{f"transformers/{code}": value for code, value in theirs.items()}},
        "ratio": ours / max(theirs.values()),
        "ratio_by_round": [turns["evenkeel"][i] / max(turns[code][i] for code in EXPERT_CODE) for i in range(options.rounds)],
        "load_average": load,
        "turns": turns, "rounds": options.rounds, "steps": options.steps, "threads": options.threads, "parameters": parameters,
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
    }, indent=1))


if __name__ == "__main__":
    main()

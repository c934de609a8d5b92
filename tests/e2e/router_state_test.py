#!/usr/bin/env python3
"""A router's balancing state goes where its model goes: into the checkpoint, into `eval`, `inspect` and [model] from.

  EVENKEEL  the binary (build/evenkeel)
"""
import json
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import evaluations_of, floats, run_checks, tensors_of  # noqa: E402
from contract_train import CPU  # noqa: E402

STATES = {"loss_free": "bias", "quantile": "beta"}  # router of toy.py -> its state
PHASE_END = "step-00000005"  # the run evaluates there


def states_of(checkpoint, name):
    tensors = tensors_of(checkpoint / "optimizer.safetensors")
    return [floats(tensors[f"router_state.{layer}.{name}"]) for layer in range(2)]


def trained(folder, router):
    """A run of the router, made once; its checkpoint at the phase's end."""
    run = folder / router
    if not run.exists():
        (folder / f"{router}.toml").write_text(toy.recipe_text(folder, router))
        done = toy.evenkeel("train", folder / f"{router}.toml", "--out", run, *CPU)
        assert done.rc == 0, done.err
    return run, run / "checkpoints" / PHASE_END


def check_eval_runs_a_checkpoint_with_its_own_state(folder, problems):
    for router, name in STATES.items():
        run, checkpoint = trained(folder, router)
        moved = [max(map(abs, state)) for state in states_of(checkpoint, name)]
        problems.need(min(moved) > 0.01, f"{router}: a state that has hardly moved shows nothing: {moved}")
        need = next(line for line in evaluations_of(run) if line["step"] == 5)["eval"]["en"]
        done = toy.evenkeel("eval", checkpoint, "--data", f"en={folder}/en", "--batch-size", 3, "--json", *CPU)
        if not problems.ran(done):
            continue
        got = json.loads(done.out)["data"]["en"]
        problems.close(got["loss"], need["loss"], 1e-6, f"{router}: loss")  # another batch size: sums in another order
        for layer, wanted in zip(got["routing"], need["routing"]):
            problems.equal([layer["mri"], layer["load"]], [wanted["mri"], wanted["load"]], f"{router}: routing of layer {layer['layer']}")


def check_inspect_shows_the_state(folder, problems):
    for router, name in STATES.items():
        checkpoint = trained(folder, router)[1]
        done = toy.evenkeel("inspect", checkpoint)
        problems.ran(done)
        for layer, state in enumerate(states_of(checkpoint, name)):
            lines = [line for line in done.out.splitlines() if f"router_state.{layer}.{name} [4], from " in line]
            if problems.equal(len(lines), 1, f"{router}: lines of layer {layer}"):
                low, high = map(float, lines[0].split(" from ")[1].split(" to "))
                problems.close(low, min(state), 1e-4, f"{router}: least")
                problems.close(high, max(state), 1e-4, f"{router}: largest")


def check_a_model_taken_from_a_checkpoint_brings_its_state(folder, problems):
    for router, name in STATES.items():
        run, checkpoint = trained(folder, router)
        recipe = folder / f"{router}-from.toml"
        # At rate 0, and with an average that keeps the old value, the first checkpoint has the state that came along.
        keys = f'from = "{checkpoint}"\n[model.router]\nkind = "{router}"\n' + ("rate = 0.0\n" if router == "loss_free" else "ema = 0.999999\n")
        text = toy.recipe_text(folder, router)
        recipe.write_text("[model]\n" + keys + text[text.index("[train]"):])
        out = folder / f"{router}-from"
        if problems.ran(toy.evenkeel("train", recipe, "--out", out, "--set", "phase.english.steps=1", "--set", "phase.german.steps=1", *CPU)):
            for got, need in zip(states_of(out / "checkpoints" / "step-00000001", name), states_of(checkpoint, name)):
                for one, other in zip(got, need):
                    problems.close(one, other, 1e-4, f"{router}: state")


def main():
    with tempfile.TemporaryDirectory(prefix="evenkeel-router-state-") as folder:
        folder = pathlib.Path(folder)
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        return run_checks("router states", [[(sys.modules[__name__], folder)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

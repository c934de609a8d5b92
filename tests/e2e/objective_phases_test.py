#!/usr/bin/env python3
"""UL2, then causal, then conversations in one run: what it says of them, and the same bytes after a kill inside UL2, at a switch and inside the conversations.

  EVENKEEL            the binary (build/evenkeel)
  EVENKEEL_CRASH_SHIM the shim (build/libcrash_shim.so)
"""
import json
import os
import sys

sys.dont_write_bytecode = True
import checks  # noqa: E402
import toy  # noqa: E402
from checks import evaluations_of, rows_of, steps_of  # noqa: E402
from objectives_place import (BATCH_SIZE, CONVERSATION, FIRST_SENTINEL, N_STEPS, S, SPANS, STEPS, UL2, Place, examples_of, padding_of, parts_of,  # noqa: E402
                              text_of, PROMPTS)
from resume_test import Trial, first_write_after_save, kill_at_write, writes_of_save  # noqa: E402

CPU = ("--threads", "1", "--device", "cpu")
SAVES = {"inside UL2": 1, "at the switch to causal": 2, "inside causal": 3, "at the switch to conversations": 4, "inside the conversations": 5}  # steps 3, 6, 9, 10, 13


class Runs(Place):
    """With one run of the recipe, made where it is first asked for."""

    def __init__(self, folder):
        super().__init__(folder)
        self.trial = Trial(folder, "trial", self.text(), N_STEPS)
        self.problems = None

    def run_of(self, problems):
        if self.problems is None:
            self.problems = self.trial.train_whole()
        problems += self.problems
        return self.trial.whole

    def plan(self, problems, *options):
        result = toy.evenkeel("plan", self.recipe, "--json", "--no-measure", *options)
        return json.loads(result.out) if problems.ran(result) else None


def check_every_phase_says_its_objective_and_what_it_scores(place, problems):
    run = place.run_of(problems)
    for name, objective in (("ul2", "ul2"), ("causal", "causal"), ("chat", "conversation")):
        lines = steps_of(run, name)
        problems.equal(len(lines), STEPS[name], f"steps of {name}")
        problems.equal({line["objective"] for line in lines}, {objective}, f"objective of {name}")
        problems.equal({(line["scored_share"], line["padding_share"]) == (1, 0) for line in lines}, {name == "causal"}, f"shares of {name}")
    steps = steps_of(run)
    problems.equal([line["tokens"] for line in steps], [BATCH_SIZE * S * (i + 1) for i in range(N_STEPS)], "tokens, padding among them")
    problems.need(all(abs(sum(layer["load"]) - 1) < 1e-9 for line in steps for layer in line["routing"]), "loads sum to 1")
    results = json.loads((run / "results.json").read_text())
    phases = results["arms"][0]["phases"]
    problems.equal([phase["objective"] for phase in phases], ["ul2", "causal", "conversation"], "objectives in results.json")
    for phase, lines in zip(phases, (steps_of(run, name) for name in STEPS)):
        kept = [1 - line["padding_share"] for line in lines]
        problems.close(phase["padding_share"], 1 - sum(kept) / len(kept), 1e-12, "padding of a phase")
        problems.close(phase["scored_share"], sum(line["scored_share"] * share for line, share in zip(lines, kept)) / sum(kept), 1e-12, "scored of a phase")
    resolved = json.loads((run / "resolved.json").read_text())
    problems.equal([phase["objective"]["kind"] for phase in resolved["phase"]], ["ul2", "causal", "conversation"], "objectives in resolved.json")
    problems.ran(toy.evenkeel("verify", run))


def check_the_shares_are_those_of_the_sequences(place, problems):
    """Of the first step, by what preview shows of it."""
    run = place.run_of(problems)
    for phase in STEPS:
        sequences = place.preview(problems, phase, BATCH_SIZE)
        n_padding = sum(padding_of(sequence) for sequence in sequences) if phase == "ul2" else 0
        n_scored = sum(target >= 0 for sequence in sequences for target in sequence["targets"])
        line = steps_of(run, phase)[0]
        if phase != "chat":  # whose examples may end with what is not scored
            problems.close(line["padding_share"], n_padding / (BATCH_SIZE * S), 1e-12, f"padding of {phase}")
        problems.close(line["scored_share"], n_scored / (BATCH_SIZE * S * (1 - line["padding_share"])), 1e-12, f"scored of {phase}")


def check_held_out_sets_are_scored_by_their_own_objectives(place, problems):
    run = place.run_of(problems)
    evaluations = evaluations_of(run)
    problems.equal([list(line["eval"]) for line in evaluations], [["en", "en-ul2"], ["en", "en-ul2"], ["en", "chat"]], "sets")
    said = [{name: result.get("objective") for name, result in line["eval"].items()} for line in evaluations]
    problems.equal(said, [{"en": None, "en-ul2": "ul2"}] * 2 + [{"en": None, "chat": "conversation"}], "objectives")
    ul2 = [line["eval"]["en-ul2"] for line in evaluations[:2]]
    problems.equal(ul2[0]["tokens"], ul2[1]["tokens"], "tokens that UL2 scores, whatever the step")
    problems.need(ul2[0]["tokens"] < evaluations[0]["eval"]["en"]["tokens"] and ul2[0]["bits_per_byte"] is None, "UL2 scores a part, which is no text of so many bytes")
    n_scored = sum(place.scored("chat"))
    problems.need(0 < evaluations[2]["eval"]["chat"]["tokens"] <= n_scored, f"answers: {evaluations[2]['eval']['chat']['tokens']} tokens scored of {n_scored}")
    results = json.loads((run / "results.json").read_text())
    problems.equal(results["arms"][0]["scored_by"], {"en": "causal", "en-ul2": "ul2", "chat": "conversation"}, "scored_by")
    problems.need(any("the held-out loss on chat (scored by conversation) is" in sentence for sentence in results["headlines"]), f"headlines: {results['headlines']}")
    _, rows = rows_of(results, "forgetting", data="en")
    problems.equal([row["phase"] for row in rows], ["ul2", "causal", "chat"], "rows of forgetting")
    # The same set by the command `eval`, which is causal.
    result = toy.evenkeel("eval", run, "--data", f"en={place.folder / 'held'}", "--json", *CPU)
    if problems.ran(result):
        problems.close(json.loads(result.out)["data"]["en"]["loss"], evaluations[2]["eval"]["en"]["loss"], 1e-5, "loss of en by eval")  # fp32 in other batches


def check_a_kill_anywhere_ends_in_the_same_bytes(place, problems):
    place.run_of(problems)
    if problems:
        return
    for where, save in SAVES.items():
        if save in (1, 2, 5):
            problems += [f"{where}: {problem}" for problem in kill_at_write(place.trial, first_write_after_save(place.trial, save))]
    for save in (2, 5):  # in the middle of a save
        writes = writes_of_save(place.trial, save)
        problems += [f"in save {save}: {problem}" for problem in kill_at_write(place.trial, writes[len(writes) // 2])]


def check_another_split_of_the_batch_draws_the_same(place, problems):
    run = place.folder / "whole-batch"
    problems.ran(toy.evenkeel("train", place.recipe, "--out", run, *CPU, "--set", "train.micro_batch_size=4", "--set", "model.balance={loss = []}"))
    for ours, theirs in zip(steps_of(run), steps_of(place.run_of(problems))):
        for key in ("scored_share", "padding_share", "sources"):
            problems.equal(ours[key], theirs[key], f"{key} of step {ours['step']}")
    first = [steps_of(folder)[0]["loss_terms"]["cross_entropy"] for folder in (run, place.trial.whole)]
    problems.close(first[0], first[1], 1e-5, "cross-entropy of the first step")


def check_a_plan_tells_text_from_what_is_fed(place, problems):
    plan = place.plan(problems)
    uses = [phase["sources"][0] for phase in plan["phases"]]
    problems.equal([(use["objective"], use["is_estimate"]) for use in uses], [("ul2", True), ("causal", False), ("conversation", True)], "objectives")
    ul2, causal, talk = uses
    problems.need(0 < talk["text_tokens"] <= talk["tokens"], f"text of conversations is what is fed of them, {talk['text_tokens']} of {talk['tokens']}")
    n_text = (len(place.tokens("en")) - 1) // S * S
    problems.equal((ul2["tokens"], causal["tokens"], causal["text_tokens"]), (6 * BATCH_SIZE * S, 4 * BATCH_SIZE * S, 4 * BATCH_SIZE * S), "tokens fed, and of text")
    problems.close(causal["epochs"], causal["tokens"] / n_text, 1e-12, "epochs of causal")
    problems.close(ul2["epochs"], ul2["text_tokens"] / n_text, 1e-12, "epochs of UL2")
    problems.need(ul2["text_tokens"] < ul2["tokens"] and ul2["epoch_tokens"] > n_text, "a pass of UL2 feeds more than its text")
    drawn = 0
    for sequence in place.preview(problems, "ul2", 6 * BATCH_SIZE):
        for tokens, targets in examples_of(sequence):
            inputs, asked = parts_of(tokens, targets)[0]
            mode = next(mode for mode, prompt in PROMPTS.items() if inputs[:len(prompt)] == prompt)
            drawn += len(text_of(inputs[len(PROMPTS[mode]):], asked, mode))
    problems.close(ul2["text_tokens"], drawn, 0.15, "text of the phase, which is drawn by chance")
    said = toy.evenkeel("plan", place.recipe, "--no-measure").out
    problems.need("by ul2, about " in said and "by conversation, about " in said, f"plan says so: {said}")
    epoch = place.plan(problems, "--set", "phase.ul2.steps=\"1 epoch\"")
    problems.close(epoch["phases"][0]["sources"][0]["epochs"], 1, 0.1, "a phase of an epoch")
    problems.need(epoch["phases"][0]["tokens"] > n_text, "it feeds more tokens than the text has")


def check_bad_recipes_are_one_line_and_nothing_is_written(place, problems):
    out = place.folder / "bad"

    def refused(what, words, *settings):
        result = toy.evenkeel("train", place.recipe, "--out", out, *CPU, *(part for setting in settings for part in ("--set", setting)))
        problems.ran(result, 2)
        for word in words:
            problems.need(word in result.err, f"{what}: {result.err.strip()}")
        problems.need(not out.exists(), f"{what}: something was written")
    refused("conversations of data that do not say what is scored", ("en: got a pair that does not say which tokens are scored", "--messages"), f"phase.causal.objective={CONVERSATION}")
    refused("an evaluation of such data", ("does not say which tokens are scored",), f'phase.chat.eval={{data = [{{name = "x", path = "{place.folder}/held", objective = {CONVERSATION}}}]}}')
    piece = max(place.tokens("en"))  # of text, since it is in one
    refused("a sentinel that is a piece of text", (f"first_sentinel = {piece}", "tok.model", str(place.folder / "en")), f"phase.ul2.objective={SPANS.replace(f'first_sentinel = {FIRST_SENTINEL}', f'first_sentinel = {piece}')}")
    refused("a sentinel beyond the vocabulary", ("first_sentinel",), f"phase.ul2.objective={SPANS.replace(f'first_sentinel = {FIRST_SENTINEL}', 'first_sentinel = 480')}")
    refused("an unknown key", ("inptus", "did you mean 'inputs'"), f"phase.ul2.objective={UL2.replace('inputs', 'inptus')}")
    refused("inputs that leave no room for targets", ("targets",), f"phase.ul2.objective={UL2.replace('targets = 24', 'targets = 25')}")
    refused("one name, two objectives", ("with 'en' scored by", "need another name"), f'phase.chat.eval={{data = [{{name = "en", path = "{place.folder}/held", objective = {UL2}}}]}}')


def main():
    for path in (toy.BINARY, toy.SHIM):
        if not os.path.exists(path):
            sys.exit(f"objective_phases_test: got no {path}; need it built")
    return checks.run_in_folder(sys.modules[__name__], Runs)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""`evenkeel preview` is what the objectives say by their definition: each example gives back the text that it was made of, in the order of the stream.

  EVENKEEL  the binary (build/evenkeel)
"""
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios

sys.dont_write_bytecode = True
import checks  # noqa: E402
import toy  # noqa: E402
from objectives_place import (BATCH_SIZE, CONVERSATION, FIRST_SENTINEL, INPUTS, PREFIX_LM, PROMPTS, S, SPANS, STEPS, TARGETS, Place, examples_of, padding_of, parts_of,  # noqa: E402
                              text_of)

IN_ORDER = ("--set", "phase.ul2.shuffle=false", "--set", "phase.causal.shuffle=false")


def ul2_texts(problems, sequences):
    """The texts of the examples of UL2, in order, and how often each mode came."""
    texts, modes = [], {mode: 0 for mode in PROMPTS}
    for sequence in sequences:
        for tokens, targets in examples_of(sequence):
            parts, problem = parts_of(tokens, targets)
            if not problems.need(problem is None, problem):
                continue
            inputs, asked = parts
            mode = next((mode for mode, prompt in PROMPTS.items() if inputs[:len(prompt)] == prompt), None)
            if not problems.need(mode is not None, f"no prompt: {inputs}"):
                continue
            problems.need(len(inputs) + 1 <= INPUTS and len(asked) + 1 <= TARGETS, f"{len(inputs) + 1} inputs and {len(asked) + 1} targets")
            text = text_of(inputs[len(PROMPTS[mode]):], asked, mode)
            if problems.need(text is not None, f"sentinels of {mode}: {inputs} {asked}"):
                modes[mode] += 1
                texts.append(text)
    return texts, modes


def check_the_shape_is_that_of_the_contract(place, problems):
    for sequence in place.preview(problems, "ul2", 3):
        problems.equal(list(sequence), ["source", "objective", "tokens", "targets", "document_ids", "text"], "keys")
        problems.equal((sequence["source"], sequence["objective"]), ("en", "ul2"), "source and objective")
        problems.equal({len(sequence[key]) for key in ("tokens", "targets", "document_ids")}, {S}, "lengths")
        problems.need(isinstance(sequence["text"], str) and f"<{FIRST_SENTINEL}>" in sequence["text"] or all(f != FIRST_SENTINEL for f in sequence["tokens"]), f"text: {sequence['text']!r}")


def check_ul2_gives_back_its_text_in_order(place, problems):
    sequences = place.preview(problems, "ul2", 40, *IN_ORDER)
    texts, modes = ul2_texts(problems, sequences)
    whole = [token for text in texts for token in text]
    stream = place.tokens("en")
    n_text = (len(stream) - 1) // S * S
    problems.need(len(whole) < n_text, f"{len(whole)} tokens of text; need fewer than an epoch, {n_text}")
    problems.equal(whole, stream[:len(whole)], "text of all examples")
    problems.need(all(modes.values()), f"each mode comes: {modes}")
    problems.need(0.3 < modes["S"] / sum(modes.values()) < 0.7, f"half of the examples are cut in two: {modes}")


def check_sequences_hold_what_fits_of_the_examples_in_order(place, problems):
    sequences = place.preview(problems, "ul2", 20, *IN_ORDER)
    for sequence, later in zip(sequences, sequences[1:]):
        left, coming = padding_of(sequence), len(examples_of(later)[0][0])
        problems.need(left < coming, f"{left} places of padding, and the next example has {coming} tokens")
        problems.equal(sequence["targets"][S - left:], [-1] * left, "targets of padding")


def check_span_corruption_gives_back_its_text(place, problems):
    sequences = place.preview(problems, "ul2", 20, "--set", f"phase.ul2.objective={SPANS}", *IN_ORDER)
    whole = []
    for sequence in sequences:
        for tokens, targets in examples_of(sequence):
            parts, problem = parts_of(tokens, targets)
            if problems.need(problem is None, problem):
                whole += text_of(*parts, "R") or []
    problems.equal(whole, place.tokens("en")[:len(whole)], "text of all examples")
    problems.need(len(whole) > 20 * S / 2, f"{len(whole)} tokens of text")


def check_prefixes_are_not_scored(place, problems):
    stream = place.tokens("en")
    lengths = []
    for j, sequence in enumerate(place.preview(problems, "ul2", 30, "--set", f"phase.ul2.objective={PREFIX_LM}", *IN_ORDER)):
        problems.equal(sequence["tokens"], stream[j * S:(j + 1) * S], "tokens")
        prefix = 1 + sum(target == -1 for target in sequence["targets"])
        lengths.append(prefix)
        problems.equal(sequence["targets"], [-1] * (prefix - 1) + stream[j * S + prefix:(j + 1) * S + 1], "targets")
        problems.equal(sequence["document_ids"], None, "document_ids")
    problems.need(1 <= min(lengths) < S / 3 and 2 * S / 3 < max(lengths) < S, f"lengths of prefixes: {sorted(lengths)}")


def check_conversations_are_scored_by_their_answers(place, problems):
    stream, scored = place.tokens("chat"), place.scored("chat")
    starts, at = {}, 0
    for document in place.documents("chat"):
        starts[tuple(document)] = at
        at += len(document)
    seen = []
    for sequence in place.preview(problems, "chat", 8):
        for tokens, targets in examples_of_conversations(sequence):
            whole = next((document for document in starts if list(document[:len(tokens)]) == tokens and len(tokens) == min(len(document) - 1, S)), None)
            if not problems.need(whole is not None, f"no conversation of the set: {tokens}"):
                continue
            first = starts[whole]
            seen.append(first)
            need = [stream[first + i + 1] if scored[first + i + 1] else -1 for i in range(len(tokens))]
            problems.equal(targets, need, "targets")
    problems.need(len(seen) == len(set(seen)) and len(seen) >= 8, f"{len(seen)} conversations, each once")


def examples_of_conversations(sequence):
    """As examples_of, of examples that may end with what is not scored: the end of the document. What is alone of its document and without a target is padding."""
    ids, out = sequence["document_ids"], []
    for i in range(S):
        if i == 0 or ids[i] != ids[i - 1]:
            out.append(([], []))
        out[-1][0].append(sequence["tokens"][i])
        out[-1][1].append(sequence["targets"][i])
    return [(tokens, targets) for tokens, targets in out if any(target >= 0 for target in targets)]


def check_a_later_phase_goes_on_where_the_earlier_ones_end(place, problems):
    n_drawn = STEPS["ul2"] * BATCH_SIZE
    texts, _ = ul2_texts(problems, place.preview(problems, "ul2", n_drawn, *IN_ORDER))
    end = sum(map(len, texts))
    stream = place.tokens("en")
    for j, sequence in enumerate(place.preview(problems, "causal", 3, *IN_ORDER)):
        first = end + j * S
        problems.equal(sequence["tokens"], stream[first:first + S], "tokens of the causal phase")
        problems.equal(sequence["targets"], stream[first + 1:first + S + 1], "targets of the causal phase")


def check_more_sequences_go_beyond_the_phase_and_begin_alike(place, problems):
    n = STEPS["ul2"] * BATCH_SIZE
    long = place.preview(problems, "ul2", n + 5)
    problems.equal(len(long), n + 5, "sequences")
    problems.equal(place.preview(problems, "ul2", 3), long[:3], "the first ones")
    problems.need(place.preview(problems, "ul2", 3, "--seed", 4) != long[:3], "another seed draws others")


def shown_on_a_terminal(place, columns, extra):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = toy.environment({"TERM": "xterm", **extra})
    process = subprocess.Popen([toy.BINARY, "preview", place.recipe, "--phase", "ul2", "--sequences", "2"], stdout=child, stderr=subprocess.PIPE, env=env)
    os.close(child)
    out = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        out += part
    os.close(parent)
    process.communicate()
    return process.returncode, out.decode().replace("\r\n", "\n")


def check_the_view_for_people(place, problems):
    command = ("preview", place.recipe, "--phase", "ul2", "--sequences", 2)
    piped = toy.evenkeel(*command)
    problems.ran(piped)
    problems.need("sequence 1  source en  ul2  " in piped.out and "⟦" in piped.out and "\033" not in piped.out, f"marks where the output is no terminal: {piped.out[:300]!r}")
    problems.need(all(len(line) <= 100 for line in piped.out.splitlines()), "lines of at most 100 columns")
    rc, shown = shown_on_a_terminal(place, 60, {})
    plain = re.sub(r"\033\[[0-9;]*m", "", shown)
    problems.equal(rc, 0, "exit code on a terminal")
    problems.need("\033[1;32m" in shown and "⟦" not in shown, f"colours on a terminal: {shown[:300]!r}")
    widest = max((len(line) for line in plain.splitlines() if line[:5].strip().isdigit() or line.startswith("     ")), default=0)
    problems.need(40 < widest <= 60, f"{widest} columns of text; need at most the 60 of the terminal")
    rc, shown = shown_on_a_terminal(place, 60, {"NO_COLOR": "1"})
    problems.need(rc == 0 and "\033" not in shown and "⟦" in shown, f"NO_COLOR: {shown[:300]!r}")


def check_numbers_stand_where_there_is_no_tokenizer(place, problems):
    documents = toy.made_documents(1)
    toy.write_dataset(place.folder / "ids", documents)
    recipe = place.folder / "ids.toml"
    recipe.write_text(toy.recipe_text(place.folder).replace("/en\"", "/ids\"").replace("/de\"", "/ids\""))
    result = toy.evenkeel("preview", recipe, "--phase", "english", "--sequences", 1, "--json")
    problems.need(problems.ran(result) and '"text": null' in result.out, f"text: {result.out[-200:]!r}")
    problems.need("tokens stand as numbers" in result.err, f"it says so: {result.err!r}")


def check_nothing_is_written(place, problems):
    def files():
        return {path: path.stat().st_mtime_ns for path in place.folder.rglob("*")}
    before = files()
    place.preview(problems, "chat", 2)
    problems.equal(files(), before, "files")


def check_bad_calls_are_one_line(place, problems):
    def refused(words, *args):
        result = toy.evenkeel("preview", place.recipe, *args)
        problems.ran(result, 2)
        problems.need(words in result.err and result.out == "", f"{args}: {result.err.strip()}")
    refused("--phase: got 'ull2'; need a phase of the recipe: ul2, causal, chat", "--phase", "ull2", "--sequences", 1)
    refused("--sequences", "--phase", "ul2", "--sequences", 0)
    refused("--sequences", "--phase", "ul2", "--sequences", -1)
    refused("--phase", "--sequences", 1)
    refused("'ul3'; need one of: causal", "--phase", "ul2", "--set", 'phase.ul2.objective={kind = "ul3"}')
    refused("which tokens are scored", "--phase", "ul2", "--set", f"phase.ul2.objective={CONVERSATION}")
    missing = place.folder / "missing"
    refused(str(missing), "--phase", "causal", "--set", f'phase.ul2.data=[{{name = "en", path = "{missing}"}}]')
    result = toy.evenkeel("preview", missing, "--phase", "ul2")
    problems.ran(result, 2)


if __name__ == "__main__":
    sys.exit(checks.run_in_folder(sys.modules[__name__], Place))

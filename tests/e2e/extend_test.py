#!/usr/bin/env python3
"""`tokenizer extend` against the `tokenizers` and `sentencepiece` libraries: the file loads in the library of its kind, every old id
has its piece, ids of old text still mean it, evenkeel and the library agree, and new text takes fewer tokens.

Small tokenizers are trained here; those of ../shared/data/tokenizers are added where they are there.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import json
import random
import shutil
import sys

sys.dont_write_bytecode = True
import sentencepiece  # noqa: E402
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

import toy  # noqa: E402
from checks import run_in_folder  # noqa: E402

SHARED = toy.ROOT.parent / "shared" / "data" / "tokenizers"
N_NEW = 200
FACTOR = 0.6  # new text takes at most so many of the tokens that it took


def words_of(alphabet, seed, n=120):
    rng = random.Random(seed)
    return ["".join(rng.choice(alphabet) for _ in range(rng.randint(3, 9))) for _ in range(n)]


def text_of(words, seed, n_lines=250):
    """Lines of words, of which some are far more frequent than others."""
    rng = random.Random(seed)
    line = lambda: " ".join(words[min(int(rng.expovariate(0.05)), len(words) - 1)] for _ in range(9)) + rng.choice([".", ", 17!", "; (x)", ""])  # noqa: E731
    return "\n".join(line() for _ in range(n_lines)) + "\n"


OLD = text_of(words_of("abcdefghilmnoprstuv", 1), 2)
NEW = text_of(words_of("абвгдежзиклмнопрст", 3), 4) + text_of(words_of("äöüßabdeklnrst", 5), 6)  # one script is new, one language
CONTROL = ["<|end|>", "<|more|>"]


class SentencePiece:
    def __init__(self, path):
        self.library = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode(self, text):
        return self.library.encode(text)

    def decode(self, ids):
        return self.library.decode(ids)

    def pieces(self):
        return [(self.library.id_to_piece(i), self.library.is_control(i), self.library.is_byte(i), self.library.is_unknown(i)) for i in range(self.library.vocab_size())]


class TokenizerJson:
    def __init__(self, path):
        self.library = Tokenizer.from_file(str(path))

    def encode(self, text):
        return self.library.encode(text, add_special_tokens=False).ids

    def decode(self, ids):
        return self.library.decode(ids, skip_special_tokens=False)

    def pieces(self):
        added = {i: token.content for i, token in self.library.get_added_tokens_decoder().items()}
        return [(self.library.id_to_token(i), added.get(i)) for i in range(self.library.get_vocab_size(with_added_tokens=True))]


def library_of(path):
    return TokenizerJson(path) if path.suffix == ".json" else SentencePiece(path)


def trained_json(folder, name, model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for part, value in parts.items():
        setattr(tokenizer, part, value)
    tokenizer.train_from_iterator(OLD.splitlines(), trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL])
    path = folder / f"{name}.json"
    tokenizer.save(str(path))
    return path


class Place:
    def __init__(self, folder):
        self.folder = folder
        (folder / "old.txt").write_text(OLD)
        (folder / "new.txt").write_text(NEW)
        self.tokenizers = {}
        for kind in ("unigram", "bpe"):
            path = self.tokenizers[kind] = folder / f"{kind}.model"
            result = toy.evenkeel("tokenizer", "train", "--kind", kind, "--vocab-size", 400, "--out", path, folder / "old.txt")
            if result.rc != 0:
                raise RuntimeError(result.err)
        self.tokenizers["byte level"] = trained_json(
            folder, "bytes", models.BPE(), trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
            pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=decoders.ByteLevel())
        self.tokenizers["unigram json"] = trained_json(
            folder, "unigram", models.Unigram(), trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
            pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace())
        self.extended = {}
        for what, path in self.tokenizers.items():
            self.extended[what] = folder / f"extended-{path.name}"
            result = self.extend(path, self.extended[what])
            if result.rc != 0:
                raise RuntimeError(f"{what}: {result.err}")

    def extend(self, path, out, *options, n_new=N_NEW, text=None):
        return toy.evenkeel("tokenizer", "extend", path, "--vocab-size", len(library_of(path).pieces()) + n_new, "--out", out, *options, text or self.folder / "new.txt")


def check_every_old_id_keeps_its_piece(place, problems):
    for what, path in place.tokenizers.items():
        old, new = library_of(path).pieces(), library_of(place.extended[what]).pieces()
        problems.equal(len(new), len(old) + N_NEW, f"{what}: size")
        problems.equal(new[:len(old)], old, f"{what}: old pieces")
        problems.equal(len({piece[0] for piece in new}), len(new), f"{what}: pieces that differ")


def check_old_ids_decode_as_before(place, problems):
    for what, path in place.tokenizers.items():
        old, new = library_of(path), library_of(place.extended[what])
        for line in (OLD + "".join(CONTROL) + "\n" + NEW).splitlines():
            ids = old.encode(line)
            problems.equal(new.decode(ids), old.decode(ids), f"{what}: {line[:40]}")


def check_evenkeel_gives_the_ids_of_the_library(place, problems):
    lines = OLD.splitlines() + NEW.splitlines() + [f"a{CONTROL[0]}b {CONTROL[1]}", "日本 und жжж 12345 ..."]
    for what, path in place.extended.items():
        library = library_of(path)
        result = toy.evenkeel("tokenize", "--no-special", "--tokenizer", path, stdin="".join(line + "\n" for line in lines).encode())
        if problems.ran(result):
            for line, ids in zip(lines, map(json.loads, result.out.splitlines())):
                problems.equal(ids, library.encode(line), f"{what}: {line[:40]}")


def check_old_text_takes_no_more_tokens_and_new_text_far_fewer(place, problems):
    for what, path in place.tokenizers.items():
        old, new = library_of(path), library_of(place.extended[what])
        count = lambda tokenizer, text: sum(len(tokenizer.encode(line)) for line in text.splitlines())  # noqa: E731
        for line in OLD.splitlines():
            problems.need(len(new.encode(line)) <= len(old.encode(line)), f"{what}: more tokens of {line[:40]}")
        before, after = count(old, NEW), count(new, NEW)
        # Without bytes to fall back to, a run of unknown characters is one token: what is gained there is the text.
        if what == "unigram json":
            problems.need("<unk>" not in {new.library.id_to_token(i) for line in NEW.splitlines() for i in new.encode(line)}, f"{what}: unknown tokens")
        else:
            problems.need(after <= FACTOR * before, f"{what}: {after} tokens of new text, {before} before")


def check_new_pieces_stay_within_words(place, problems):
    for what, path in place.tokenizers.items():
        n_old = len(library_of(path).pieces())
        for piece, *_ in library_of(place.extended[what]).pieces()[n_old:]:
            sign = "Ġ" if what == "byte level" else "▁"
            problems.need(sign not in piece[1:], f"{what}: {piece}")


def check_the_threads_do_not_matter(place, problems):
    for what, path in place.tokenizers.items():
        for threads in (1, 2):
            out = place.folder / f"threads-{threads}-{path.name}"
            if problems.ran(place.extend(path, out, "--threads", threads)):
                problems.need(out.read_bytes() == place.extended[what].read_bytes(), f"{what}: --threads {threads} gave another file")


def check_extending_twice_goes_on(place, problems):
    """It may also replace its own output."""
    for what, path in place.extended.items():
        out = place.folder / f"twice-{path.name}"
        for n_new in (3, 5):
            if problems.ran(place.extend(path, out, n_new=n_new)):
                old, new = library_of(path).pieces(), library_of(out).pieces()
                problems.equal((len(new), new[:len(old)]), (len(old) + n_new, old), f"{what}: pieces")


def check_what_is_wrong_is_refused(place, problems):
    def refused(args, *words):
        out = place.folder / "refused"
        result = toy.evenkeel("tokenizer", "extend", *args[:1], "--out", out, *args[1:])
        lines = result.error_lines()
        problems.need(result.rc == 2 and len(lines) == 1 and all(str(word) in lines[0] for word in words), f"{args}: exit code {result.rc}, {result.err[-300:]}")
        problems.need(not out.exists(), f"{args}: left {out}")

    text = place.folder / "new.txt"
    for what, path in place.tokenizers.items():
        size = len(library_of(path).pieces())
        refused((path, "--vocab-size", size, text), "--vocab-size", size, "need more than")
        refused((path, "--vocab-size", 2**31 - 1, text), "--vocab-size", 2**31 - 1, "need at most", "new pieces")
        refused((path, "--vocab-size", 2**31, text), "--vocab-size", 2**31)
    ranks = place.folder / "ranks.tiktoken"
    ranks.write_text("YQ== 0\nYg== 1\n")
    refused((ranks, "--vocab-size", 500, text), ranks)
    level = place.folder / "level.json"
    Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>")).save(str(level))
    refused((level, "--vocab-size", 500, text), "WordLevel")
    for kind in ("word", "char"):
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(OLD.splitlines()), model_prefix=str(place.folder / kind), model_type=kind, vocab_size=25,
                                                 hard_vocab_limit=False, minloglevel=2)
        refused((place.folder / f"{kind}.model", "--vocab-size", 500, text), f"kind {kind}", "cannot be extended")


def check_published_tokenizers_can_be_extended(place, problems):
    for name in ("llama2.model", "t5-v1_1.model", "gpt2.tokenizer.json", "olmoe.tokenizer.json"):
        if not (SHARED / name).exists():
            continue
        path = place.folder / name
        shutil.copy(SHARED / name, path)
        out = place.folder / f"extended-{name}"
        if not problems.ran(place.extend(path, out)):
            continue
        old, new = library_of(path), library_of(out)
        problems.equal(new.pieces()[:len(old.pieces())], old.pieces(), f"{name}: old pieces")
        lines = OLD.splitlines()[:100] + NEW.splitlines()
        result = toy.evenkeel("tokenize", "--no-special", "--tokenizer", out, stdin="".join(line + "\n" for line in lines).encode())
        if problems.ran(result):
            problems.equal([json.loads(line) for line in result.out.splitlines()], [new.encode(line) for line in lines], f"{name}: ids")
        problems.need(sum(len(new.encode(line)) for line in lines) < sum(len(old.encode(line)) for line in lines), f"{name}: no fewer tokens")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

"""Ids of evenkeel against those of the `tokenizers` library, and the text that decoding gives.

The files of ../shared/data/tokenizers where they are there, over excerpts of the corpora and over strings that a grammar
makes; tokenizers of SentencePiece's origin that are made from the .model files there; and tokenizers that are drawn at
random (tokenizer_configs.py). Environment EVENKEEL: the binary. `--strings N` and `--configurations N` set the amount,
`--seed` another draw.
"""

import argparse
import base64
import itertools
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import sentencepiece
import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizer_configs import attempt, drawn_tokenizer

ROOT = Path(__file__).resolve().parents[2]
EVENKEEL = os.environ.get("EVENKEEL", str(ROOT / "build" / "evenkeel"))
SHARED = ROOT.parent / "shared" / "data"
ATOMS = [
    " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2009", "\u180e", "\u200b", "\u0085", "\u2028", "\ufeff", "\0",
    "the", "The", "THE", "don't", "I'LL", "we've", "'s", "'S", "\u017f", "'ſ", "hello", " world", "naïve", "nai\u0308ve", "Å", "A\u030a", "\u212b", "ﬁ", "①",
    "½", "²", "٣", "१२", "12345", "007", "3.14", "1e-5", "x_{i}^2", "\\frac{a}{b}", "#include <a>", "->", "::", "...", "!?", "—", "“”", "`", "$", "+",
    "^", "~", "def f(x):\n    return x", "{\n\t\"a\": 1}", "http://a.b/c?d=e", "你好", "世界。", "日本語", "ひらがな", "カタカナ", "한국어", "각", "\u1100\u1161\u11a8",
    "שָׁלוֹם", "مرحبا", "ทดสอบ", "नमस्ते", "ক্ষ", "😀", "👨\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f", "a\u0301\u0323", "a\u0323\u0301", "q\u0307\u0323", "\u0344", "\u0958", "ﷺ", "ﾊﾟ",
    "İ", "ı", "ß", "ẞ", "Σς", "ǅ", "K", "\u0378", "\ufdd0", "\U0010ffff", "\ue000", "\u32ff", "\U00011930", "\U00011935\U00011930", "\U00010d50", "\U0001ccf0",
    "\u0897", "\u1c89", "\U00031350", "\u2ffc", "\U0001fae9", "▁", "▁▁", "Ġ", "Ċ", "</w>", "##", "<unk>", "<s>", "</s>", "<0x0A>", "<|endoftext|>", "<|im_start|>",
    "<sep>", "<|begin_of_text|>", "|||IP_ADDRESS|||", "<|padding|>", "aaaaaaaaaaaaaaaa", "abababab", "______", "========", "𝒜", "𐍈", "\u1e9b\u0323", "\u0f73", "\u0f71\u0f72",
]  # fmt: skip


def grammar_string(rng):
    """A few atoms, words and random characters one after the other."""
    parts = []
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13])):
        draw = rng.random()
        if draw < 0.6:
            parts.append(rng.choice(ATOMS))
        elif draw < 0.75:
            parts.append(rng.choice(["", " "]) + "".join(rng.choice("aabcdefghiijklmnoopqrstuvwxyz") for _ in range(rng.randint(1, 9))))
        elif draw < 0.8:
            parts.append(rng.choice(ATOMS) * rng.randint(2, 6))
        elif draw < 0.95:
            low, high = rng.choice([(0, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0xDFF), (0x1E00, 0x2BFF), (0x3000, 0x33FF)])
            parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5))))
        else:
            parts.append("".join(chr(c) for c in (rng.randint(0, 0x10FFFF) for _ in range(rng.randint(1, 6))) if not 0xD800 <= c < 0xE000))
    return "".join(parts)


def random_bytes(rng, size):
    return bytes(rng.randrange(256) for _ in range(size)).decode("utf-8", "replace")


def long_strings(rng):
    """A megabyte without a space, and other texts that are hard on what is not linear."""
    return [
        "".join(rng.choice("abcdefgh") for _ in range(1_000_000)),
        "a" * 100_000,
        " " * 100_000,
        "\n" * 50_000 + "x",
        "".join(chr(rng.randint(0x4E00, 0x9FFF)) for _ in range(100_000)),
        "e" + "\u0301" * 20_000,
        "e" + "\u0301\u0323" * 20_000,
        random_bytes(rng, 100_000),
    ]


def run(arguments, lines):
    done = subprocess.run([EVENKEEL, "tokenize", *arguments], input="".join(lines).encode(), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{arguments}: exit code {done.returncode}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def reference_encodings(tokenizer, texts, special):
    """The ids, None where the library itself fails."""
    return [attempt(lambda text=text: tokenizer.encode(text, add_special_tokens=special).ids) for text in texts]


def compare(name, path, tokenizer, texts, special=True):
    """Returns the number of ids that were compared; ends the program at the first that differs."""
    need = reference_encodings(tokenizer, texts, special)
    texts, need = zip(*[pair for pair in zip(texts, need) if pair[1] is not None])
    got = run(["--tokenizer", str(path), "--strings"] + ([] if special else ["--no-special"]), [json.dumps(text) + "\n" for text in texts])
    assert len(got) == len(need), f"{name}: got {len(got)} lines; need {len(need)}"
    for text, mine, theirs in zip(texts, got, need):
        if mine != theirs:
            at = next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
            sys.exit(f"{name}: {path}: {text[:200]!r}: id {at}: got {mine[at:at + 8]}; need {theirs[at:at + 8]}, "
                     f"{[tokenizer.id_to_token(i) for i in theirs[max(0, at - 3):at + 8]]}")  # fmt: skip
    short = [ids for ids in need if len(ids) < 1000][:3000]
    texts_back = run(["--tokenizer", str(path), "--decode"], [json.dumps(ids) + "\n" for ids in short])
    for ids, text in zip(short, texts_back):
        assert text == tokenizer.decode(ids), f"{name}: decoding {ids}: got {text!r}; need {tokenizer.decode(ids)!r}"
    return sum(len(ids) for ids in need)


def shared_files(folder):
    for source in sorted((SHARED / "tokenizers").glob("*.tokenizer.json*")):
        data = lzma.open(source).read() if source.suffix == ".xz" else source.read_bytes()
        path = folder / source.name.removesuffix(".xz")
        path.write_bytes(data)
        yield source.name.split(".")[0], path


def excerpts(n_bytes):
    """Documents of the corpora and domains, cut at line ends."""
    for source in sorted([*(SHARED / "corpora").glob("*.xz"), *(SHARED / "domains").glob("*.xz")]):
        with lzma.open(source) as file:
            text = file.read(n_bytes).decode("utf-8", "ignore")
        yield text


def field_of(message, number):
    """The bytes of a length-delimited field of a protocol buffer's message; b"" without it."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            if key >> 3 == number:
                return message[at : at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += 4 if key & 7 == 5 else 8
    return b""


def from_sentencepiece(source):
    """A tokenizer.json for a .model, as converters write it."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(source))
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(len(processor))]
    charsmap = base64.b64encode(field_of(field_of(source.read_bytes(), 3), 2)).decode()
    if "<0x0A>" in dict(pieces):
        vocabulary = {piece: i for i, (piece, _) in enumerate(pieces)}
        merges = []
        for piece, score in pieces:
            cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocabulary and piece[i:] in vocabulary]
            merges += [(-score, vocabulary[a], vocabulary[b], a, b) for a, b in cuts]
        model = models.BPE(vocabulary, [(a, b) for *_, a, b in sorted(merges)], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
        return tokenizer
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=processor.unk_id(), byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")])
    tokenizer.decoder = decoders.Metaspace("▁", "always")
    text = json.loads(tokenizer.to_str())
    text["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    return Tokenizer.from_str(json.dumps(text))


def compare_ranks(folder, path, texts):
    """The ranks of a byte-level vocabulary as tiktoken's file, against the tokenizer that has them."""
    text = json.loads(path.read_text(encoding="utf-8"))
    printable = [byte for byte in range(256) if 33 <= byte <= 126 or (byte >= 161 and byte != 173)]
    others = [byte for byte in range(256) if byte not in printable]
    bytes_of = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
    lines = sorted((rank, bytes(bytes_of[c] for c in token)) for token, rank in text["model"]["vocab"].items())
    ranks = folder / "llama3.tiktoken"
    ranks.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in lines))
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.decoder = decoders.ByteLevel()
    return compare("llama3.tiktoken", ranks, tokenizer, texts, special=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--strings", type=int, default=50_000)
    parser.add_argument("--configurations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    fuzz = ATOMS + [grammar_string(rng) for _ in range(options.strings)]
    totals = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, path in shared_files(folder):
            tokenizer = Tokenizer.from_file(str(path))
            totals[kind] = compare(kind, path, tokenizer, [*fuzz, *long_strings(rng), *excerpts(300_000)])
            print(f"{kind}: {totals[kind]} ids", flush=True)
            if kind == "llama3":
                totals["tiktoken"] = compare_ranks(folder, path, [*fuzz, *excerpts(300_000)])
        for source in sorted((SHARED / "tokenizers").glob("*.model")):
            tokenizer = from_sentencepiece(source)
            path = folder / f"{source.stem}.json"
            tokenizer.save(str(path))
            some = [text[:20_000] for text in excerpts(20_000)]
            totals[source.stem] = compare(source.stem, path, tokenizer, [*fuzz[:20_000], *some, *long_strings(rng)[1:2]])
            print(f"{source.stem}: {totals[source.stem]} ids", flush=True)
        n_ids = n_made = 0
        for seed in itertools.count(options.seed * 1000):
            if n_made == options.configurations:
                break
            if (drawn := drawn_tokenizer(seed, fuzz[:3000])) is None:
                continue
            n_made += 1
            path = folder / "drawn.json"
            path.write_text(drawn, encoding="utf-8")
            texts = [text for text in ATOMS if text] + [grammar_string(rng) for _ in range(300)]
            n_ids += compare(f"configuration {seed}", path, Tokenizer.from_file(str(path)), texts)
        print(f"{options.configurations} configurations: {n_ids} ids", flush=True)
    print(f"{sum(totals.values()) + n_ids} ids are those of tokenizers {tokenizers.__version__}")


if __name__ == "__main__":
    main()

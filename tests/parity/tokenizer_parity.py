"""SentencePiece ids of evenkeel against the PyPI library, line by line and document by document.

Trains a unigram and a BPE tokenizer with the binary (environment EVENKEEL, default build/evenkeel) on made
text, then compares `evenkeel tokenize` and `evenkeel prepare` with sentencepiece.SentencePieceProcessor.
Models given as arguments are compared too, on the same lines.
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece

EVENKEEL = os.environ.get("EVENKEEL", str(Path(__file__).resolve().parents[2] / "build" / "evenkeel"))
SYLLABLES = ["ka", "lo", "mi", "ré", "su", "tan", "vel", "ös", "qu", "ny", "ba", "ter", "ing", "the"]
ODD_LINES = [
    "", " ", "   leading and trailing   ", "two  spaces", "tab\tand\t\ttab", "carriage\rreturn", "<s> </s> <unk> <0x0A> <pad>",
    "你好，世界。", "مرحبا بالعالم", "שלום", "ไม่มีช่องว่าง", "नमस्ते", "😀👨\u200d👩\u200d👧 flags 🇩🇪", "e\u0301 é ﬁ ① ½ Å",
    "\u00a0no-break\u3000ideographic\u2009thin", "\ufeffmark", "\u2581 lower block \u2585", "zero\u200bwidth", "ß ẞ ı İ",
    "123456 7.8e-9 0x1F", "$x_{i}^{2} = \\frac{a}{b}$", "a" * 3000, "\x01\x02 control \x7f", "\U0010ffff",
]


def run(*arguments, stdin=""):
    done = subprocess.run([EVENKEEL, *map(str, arguments)], input=stdin.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{arguments}: exit code {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def made_line(rng):
    words = ("".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(3, 14)))
    return " ".join(words) + rng.choice([".", "!", ", ", " 1984", ""])


def made_lines(seed, count):
    rng = random.Random(seed)
    return [made_line(rng) for _ in range(count)]


def mixed_lines(seed, count):
    """Characters of many blocks in between words; no line ends, no surrogates."""
    rng = random.Random(seed)
    blocks = [(0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x4E00, 0x4FFF), (0x1F600, 0x1F64F)]
    lines = []
    for _ in range(count):
        pieces = [made_line(rng)]
        for _ in range(rng.randint(0, 6)):
            low, high = rng.choice(blocks)
            pieces.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 9))))
        rng.shuffle(pieces)
        lines.append(rng.choice(["", " "]).join(pieces))
    return lines


def compare_lines(model, lines):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    out = run("tokenize", "--tokenizer", model, stdin="".join(line + "\n" for line in lines))
    ids = [json.loads(line) for line in out.splitlines()]
    assert len(ids) == len(lines), f"{model}: got {len(ids)} lines of ids for {len(lines)} lines"
    for line, got in zip(lines, ids):
        need = processor.encode(line)
        assert got == need, f"{model}: {line[:60]!r}: got {got[:20]}; need {need[:20]}"
    decoded = run("tokenize", "--tokenizer", model, "--decode", stdin=out)
    for line, got, text in zip(lines, ids, decoded.splitlines()):
        assert json.loads(text) == processor.decode(got), f"{model}: {line[:60]!r} decoded to {text[:60]}"


def compare_documents(model, folder, documents):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    text = folder / "documents.jsonl"
    text.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents), encoding="utf-8")
    run("prepare", "--keep-cr", "--tokenizer", model, "--out", folder / "pair", text)
    tokens = (folder / "pair.bin").read_bytes()
    stream = list(struct.unpack(f"<{len(tokens) // 2}H", tokens))
    begin = 0
    for document in documents:
        want = processor.encode(document) + [processor.eos_id()]
        got = stream[begin : begin + len(want)]
        begin += len(want)
        assert got == want, f"{model}: document {document[:60]!r}: got {got[:20]}; need {want[:20]}"
        assert got[-1] == processor.eos_id(), f"{model}: a document does not end with {processor.eos_id()}"
        plain = document.replace("\u2581", " ")  # the library's own sign for a space
        assert processor.decode(got[:-1]) == plain, f"{model}: {document[:60]!r} does not round-trip"
    assert begin == len(stream), f"{model}: got {len(stream)} tokens; need {begin}"


def main():
    lines = ODD_LINES + made_lines(1, 3000) + mixed_lines(2, 3000)
    documents = [
        "\n".join(mixed_lines(3, 40)),
        "\n\n  \n" + "\r\n".join(made_lines(4, 30)) + "\n",
        "\n".join(line for line in ODD_LINES),
        "\n".join(made_lines(5, 150)),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training = folder / "training.txt"
        training.write_text("\n".join(made_lines(6, 5000) + mixed_lines(7, 500)), encoding="utf-8")
        models = [Path(argument) for argument in sys.argv[1:]]
        for kind in ("unigram", "bpe"):
            model = folder / f"{kind}.model"
            run("tokenizer", "train", "--kind", kind, "--vocab-size", 2000, "--out", model, training)
            compare_documents(model, folder, documents)
            models.append(model)
        for model in models:
            compare_lines(model, lines)
    print(f"{len(models)} tokenizers, {len(lines)} lines: the ids are those of sentencepiece {sentencepiece.__version__}")


if __name__ == "__main__":
    main()

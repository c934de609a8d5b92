"""Ids of evenkeel for SentencePiece models against those of the PyPI library, whole documents and every id.

Models that the library trains here in many settings, some with pieces made unused afterwards, and the published ones of
../shared/data/tokenizers where they are there. Texts: a grammar's strings, random characters, a long text without a space,
and a document of 3 MB: excerpts of the corpora of ../shared/data, else made text. Environment EVENKEEL: the binary.
`--strings N` sets the amount, `--seed` another draw.
"""

import argparse
import io
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece
from tokenizer_json_parity import ATOMS, grammar_string
from tokenizer_parity import made_lines, mixed_lines

ROOT = Path(__file__).resolve().parents[2]
EVENKEEL = os.environ.get("EVENKEEL", str(ROOT / "build" / "evenkeel"))
SHARED = ROOT.parent / "shared" / "data"
DOCUMENT_BYTES = 3_000_000
USER_DEFINED = ["\n", "<sep>", "<|x|>", "kalo", "▁▁", "▁▁▁▁", "  ", "é"]
# What a model is trained with, besides its kind and size.
SETTINGS = [
    {},
    {"byte_fallback": True},
    {"byte_fallback": True, "normalization_rule_name": "identity", "add_dummy_prefix": False, "remove_extra_whitespaces": False, "user_defined_symbols": ["\n"]},
    {"normalization_rule_name": "nfkc_cf"},
    {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    {"treat_whitespace_as_suffix": True},
    {"treat_whitespace_as_suffix": True, "remove_extra_whitespaces": False, "byte_fallback": True},
    {"user_defined_symbols": USER_DEFINED},
    {"user_defined_symbols": USER_DEFINED, "normalization_rule_name": "identity", "add_dummy_prefix": False, "control_symbols": ["<ctl>", "я"]},
    {"split_by_whitespace": False},
    {"split_by_whitespace": False, "byte_fallback": True, "remove_extra_whitespaces": False, "normalization_rule_name": "identity"},
    {"split_digits": True, "split_by_unicode_script": False, "allow_whitespace_only_pieces": True, "remove_extra_whitespaces": False},
    {"character_coverage": 0.98, "unk_id": 3, "bos_id": 0, "eos_id": 1, "pad_id": 2},
]


def trained(kind, settings, lines):
    model = io.BytesIO()
    size = 800 + (256 if settings.get("byte_fallback") else 0)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=size, hard_vocab_limit=kind == "bpe", num_threads=1, minloglevel=2, **{"character_coverage": 0.985} | settings
    )
    return model.getvalue()


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def with_unused(model, every):
    """The model with every n-th of its longer pieces unused: a type, which is field 3 of a piece, put behind the others."""
    out, at, n_pieces = bytearray(), 0, 0
    while at < len(model):
        begin = at
        key, at = varint(model, at)
        assert key & 7 == 2, key
        size, at = varint(model, at)
        piece, at = model[at : at + size], at + size
        n_pieces += 1
        if key >> 3 != 1 or n_pieces < 20 or n_pieces % every or b"\x18" in piece[-2:-1] or piece[1] < 4:
            out += model[begin:at]
            continue
        piece += b"\x18\x05"
        assert len(piece) < 128
        out += bytes([0x0A, len(piece)]) + piece
    return bytes(out)


def document(rng):
    """3 MB of one text: the corpora's starts one after the other, else made lines."""
    corpora = sorted((SHARED / "corpora").glob("*.txt.xz"))
    parts = []
    for path in corpora:
        with lzma.open(path) as file:
            parts.append(file.read(DOCUMENT_BYTES // len(corpora)).decode(errors="ignore"))
    if not parts:
        lines = made_lines(rng.randint(0, 1 << 30), 30_000) + mixed_lines(rng.randint(0, 1 << 30), 10_000)
        while len("\n".join(parts).encode()) < DOCUMENT_BYTES:
            parts += rng.sample(lines, 10_000)
    return "\n".join(parts)


def random_text(rng):
    data = bytes(rng.choice([rng.randint(0, 255), rng.randint(32, 126)]) for _ in range(rng.randint(1, 60)))
    return data.decode(errors="replace")


def compare(name, path, texts):
    """Every id of every text; the number of ids."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([EVENKEEL, "tokenize", "--strings", "--tokenizer", path], input=lines.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: exit code {done.returncode}: {done.stderr.decode()}")
    got = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(got) == len(texts), f"{name}: got {len(got)} lines of ids for {len(texts)} texts"
    count = 0
    for text, ids in zip(texts, got):
        need = processor.encode(text)
        count += len(need)
        if ids == need:
            continue
        at = next((i for i, (a, b) in enumerate(zip(ids, need)) if a != b), min(len(ids), len(need)))
        sys.exit(f"{name}: {text[:80]!r}, {len(text)} characters: at id {at} got {ids[at : at + 9]}; need {need[at : at + 9]}")
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    lines = made_lines(options.seed, 1500) + mixed_lines(options.seed + 1, 100) + [" ".join(rng.sample(ATOMS, 9)).replace("\n", " ") for _ in range(100)]
    lines = [line.replace("\0", "") for line in lines]
    texts = ["", " ", "   ", "\n", "\u2581", "<s></s><unk><0x41>", "я <ctl> kalokalo  é<sep>\n\n<|x|>", "\u2047", "a" * 5000, "kalo" * 1000, " " * 3000]
    texts += ["\n".join(lines[:60]), *ATOMS]
    texts += [grammar_string(rng) for _ in range(options.strings)] + [random_text(rng) for _ in range(options.strings // 3)]
    texts.append("".join(rng.choice(lines) for _ in range(4000)).replace(" ", "")[:150_000])
    whole = document(rng)
    without_spaces = whole.replace(" ", "").replace("\n", "")[:1_000_000]
    n_models = n_ids = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.model"
        for kind in ("unigram", "bpe"):
            for i, settings in enumerate(SETTINGS):
                model = trained(kind, settings, lines)
                for variant, content in (("", model), (", with unused pieces", with_unused(model, 3) if i < 3 else None)):
                    if content is None:
                        continue
                    path.write_bytes(content)
                    long_texts = {0: [without_spaces], 2: [whole], 9: [whole[:500_000]]}.get(i, []) if not variant else []
                    n_ids += compare(f"{kind} {settings}{variant}", path, texts + long_texts)
                    n_models += 1
        for kind in ("char", "word"):
            path.write_bytes(trained(kind, {}, lines))
            n_ids += compare(kind, path, texts)
            n_models += 1
        for path in sorted((SHARED / "tokenizers").glob("*.model")):
            n_ids += compare(path.name, path, texts + [whole, without_spaces])
            n_models += 1
    print(f"{n_models} SentencePiece models, {n_ids} ids: all are those of sentencepiece {sentencepiece.__version__}")


if __name__ == "__main__":
    main()

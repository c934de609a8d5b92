#!/usr/bin/env python3
"""How fast a run looks at all of its token ids before it trains: GB/s of the pass that compares ids with the vocabulary and hashes contents.

  bench/vocabulary_scan.py [--gigabytes 1] [--rounds 5] [--binary build/evenkeel]

A run of one step over a large set, against the same run over a small one, in interleaved rounds: the difference in wall time is the pass over
what the large set has more. The files are in the page cache. One JSON document on stdout.
"""
import argparse
import array
import json
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

RECIPE = """[model]
vocab_size = 4096
d_model = 16
n_layers = 1
n_heads = 2
d_ff = 32
[train]
batch_size = 1
sequence_length = 16
[[phase]]
name = "one"
steps = 1
data = [{{name = "a", path = "{path}"}}]
schedule = {{kind = "constant", lr_max = 1e-3}}
"""
DOCUMENT_TOKENS = 1 << 20
TYPES = {"u16": (8, "H", 2), "i32": (4, "i", 4)}  # the code in .idx, the letter of struct, bytes


def write_pair(prefix, kind, n_documents):
    code, letter, width = TYPES[kind]
    document = array.array(letter, ((i * 2654435761 >> 7) % 4096 for i in range(DOCUMENT_TOKENS))).tobytes()
    with open(f"{prefix}.bin", "wb") as out:
        for _ in range(n_documents):
            out.write(document)
    with open(f"{prefix}.idx", "wb") as out:
        out.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, n_documents, n_documents + 1))
        out.write(array.array("i", [DOCUMENT_TOKENS] * n_documents).tobytes())
        out.write(array.array("q", range(0, n_documents * len(document), len(document))).tobytes())
        out.write(array.array("q", range(n_documents + 1)).tobytes())
    return n_documents * len(document)


def seconds_of(binary, folder, name, round_number):
    (folder / "recipe.toml").write_text(RECIPE.format(path=folder / name))
    begin = time.monotonic()
    subprocess.run([binary, "train", folder / "recipe.toml", "--out", folder / f"run-{name}-{round_number}"], check=True, capture_output=True)
    return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", default=pathlib.Path(__file__).resolve().parents[1] / "build" / "evenkeel")
    options = parser.parse_args()
    out = {}
    with tempfile.TemporaryDirectory(prefix="evenkeel-scan-") as root:
        folder = pathlib.Path(root)
        for kind, (_, _, width) in TYPES.items():
            small = write_pair(folder / f"small-{kind}", kind, 1)
            large = write_pair(folder / f"large-{kind}", kind, max(2, round(options.gigabytes * 1e9 / width / DOCUMENT_TOKENS)))
            rates = []
            for i in range(options.rounds):
                seconds = seconds_of(options.binary, folder, f"large-{kind}", i) - seconds_of(options.binary, folder, f"small-{kind}", i)
                rates.append((large - small) / 1e9 / seconds)
            out[kind] = {"gigabytes": large / 1e9, "gigabytes_per_second": statistics.median(rates), "rounds": rates}
    print(json.dumps(out, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

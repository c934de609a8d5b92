"""Writes golden files: fixed layout, fixed digits, so that regenerating reproduces the bytes.

Inputs are multiples of 1/1024 (exact in fp32), drawn without libm. Outputs are rounded to 12
significant digits, and to 15 decimals unless a file says otherwise, so that a last-bit
difference between C libraries does not show.
"""

import json
import math
import os
import random
import sys


class Source:
    """Numbers from random.Random(seed).random(), whose sequence Python guarantees."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def uniform(self):
        return self._random.random()

    def normal(self, std=1.0, mean=0.0):
        """Sum of 12 uniforms minus 6 (no libm), scaled, rounded to a multiple of 1/1024."""
        z = math.fsum(self._random.random() for _ in range(12)) - 6.0
        return round((mean + std * z) * 1024.0) / 1024.0

    def normals(self, count, std=1.0, mean=0.0):
        return [self.normal(std, mean) for _ in range(count)]

    def matrix(self, rows, columns, std=1.0):
        return [self.normals(columns, std) for _ in range(rows)]

    def integers(self, count, limit):
        return [int(self._random.random() * limit) for _ in range(count)]


def rounded(value, decimals=15):
    """The value as it is written: 12 significant digits, at most `decimals` decimals (None: any)."""
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, dict):
        return {key: rounded(item, decimals) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, decimals) for item in value]
    if decimals is not None:
        value = round(value, decimals)
    return float("%.11e" % value) + 0.0  # + 0.0 turns -0.0 into 0.0


def _is_leaf(value):
    return not isinstance(value, (dict, list, tuple))


def _text(value, indent):
    pad = "  " * indent
    if isinstance(value, dict) and value:
        if all(_is_leaf(item) for item in value.values()) and len(json.dumps(value)) < 90:
            return json.dumps(value, ensure_ascii=False)
        items = [f"{pad}  {json.dumps(key)}: {_text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + pad + "}"
    if isinstance(value, (list, tuple)) and any(not _is_leaf(item) for item in value):
        items = [f"{pad}  {_text(item, indent + 1)}" for item in value]
        return "[\n" + ",\n".join(items) + "\n" + pad + "]"
    return json.dumps(value, ensure_ascii=False)


def write(name, kind, source, inputs, outputs, rtol, atol, why, decimals=15):
    """Writes FOLDER/name, FOLDER being the script's only argument."""
    if kind not in ("paper", "reference"):
        raise ValueError(f"kind: got {kind}; need paper or reference")
    if len(sys.argv) != 2:
        raise SystemExit("usage: SCRIPT FOLDER")
    document = {
        "kind": kind,
        "source": source,
        "why": why,
        "rtol": rtol,
        "atol": atol,
        "inputs": inputs,
        "outputs": rounded(outputs, decimals),
    }
    with open(os.path.join(sys.argv[1], name), "w", encoding="utf-8", newline="\n") as file:
        file.write(_text(document, 0) + "\n")


def check_close(what, got, need, rtol, atol=0.0):
    if not abs(got - need) <= atol + rtol * abs(need):
        raise SystemExit(f"{what}: got {got!r}; need {need!r}")

"""One line a check, and a last line `N passed, N failed`. Standard library only."""
import concurrent.futures
import json
import math
import os
import pathlib
import struct
import sys
import tempfile
import time
import traceback

import toy


class Problems(list):
    """The sentences of one check; empty when it passed."""

    def need(self, holds, text):
        if not holds:
            self.append(text)
        return holds

    def equal(self, got, wanted, what):
        return self.need(got == wanted, f"{what}: got {shown(got)}; need {shown(wanted)}")

    def close(self, got, wanted, tolerance, what):
        """|got - wanted| <= tolerance · max(1, |wanted|); None only equals None."""
        if got is None or wanted is None:
            return self.equal(got, wanted, what)
        holds = math.isfinite(got) and abs(got - wanted) <= tolerance * max(1.0, abs(wanted))
        return self.need(holds, f"{what}: got {got!r}; need {wanted!r} within {tolerance:g}")

    def ran(self, result, rc=0):
        """The exit code, and one error line exactly where it is not 0; a stop by a signal (130) is no error and has a line that says so."""
        last = (result.err.strip().splitlines() or ["nothing on stderr"])[-1]
        self.need(result.rc == rc, f"exit code {result.rc}; need {rc}: {last[:300]}")
        self.need(len(result.error_lines()) == (0 if rc in (0, 130) else 1), f"{len(result.error_lines())} error lines: {result.err[-300:]!r}")
        self.need(rc != 130 or "evenkeel: stopped " in result.err, f"no line of the stop: {result.err[-300:]!r}")
        return result.rc == rc


def shown(value):
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def run_checks(title, columns, words=()):
    """Runs each `check_*` function of each module with its argument, the columns side by side; returns the exit code."""
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(columns)) as pool:
        outcomes = [passed for column in pool.map(lambda column: list(run_column(column, words)), columns) for passed in column]
    print(f"{title}: {time.monotonic() - start:.0f} s")
    print(f"{sum(outcomes)} passed, {len(outcomes) - sum(outcomes)} failed")
    return 0 if outcomes and all(outcomes) else 1


def run_in_folder(module, place):
    """The `check_*` functions of a test, given place(folder), a new folder that goes with them. The words of the command line choose among them."""
    title = pathlib.Path(module.__file__).stem
    if not os.path.exists(toy.BINARY):
        sys.exit(f"{title}: got no {toy.BINARY}; need it built")
    with tempfile.TemporaryDirectory(prefix=f"evenkeel-{title}-") as root:
        return run_checks(title, [[(module, place(pathlib.Path(os.path.realpath(root))))]], sys.argv[1:])


def run_column(column, words):
    """Yields whether each check passed."""
    for module, argument in column:
        for name, function in list(vars(module).items()):
            if not name.startswith("check_") or (words and not any(word in name for word in words)):
                continue
            began, problems = time.monotonic(), Problems()
            try:
                function(argument, problems)
            except Exception as error:  # a check that breaks is a failed check
                place = traceback.extract_tb(error.__traceback__)[-1]
                problems.append(f"{type(error).__name__}: {error} ({pathlib.Path(place.filename).name}:{place.lineno})")
            sentence = name[len("check_"):].replace("_", " ")
            lines = [f"{'FAIL' if problems else 'ok  '} {sentence} ({time.monotonic() - began:.1f} s)", *problems[:12]]
            print("\n       ".join(lines) + "\n", end="", flush=True)
            yield not problems


# ---- files ----


def read_lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def steps_of(run, phase=None):
    return [line for line in read_lines(pathlib.Path(run) / "metrics.jsonl") if "loss_terms" in line and phase in (None, line["phase"])]


def evaluations_of(run):
    return [line for line in read_lines(pathlib.Path(run) / "metrics.jsonl") if "eval" in line]


def tensors_of(path):
    """Name -> (dtype, shape, bytes) of a safetensors file."""
    content = pathlib.Path(path).read_bytes()
    size = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    data = content[8 + size:]
    return {name: (entry["dtype"], tuple(entry["shape"]), data[slice(*entry["data_offsets"])]) for name, entry in header.items()}


def floats(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


def documents_of(prefix):
    """The documents of a .bin/.idx pair as lists of ids (u16 or i32)."""
    index, tokens = (pathlib.Path(f"{prefix}{suffix}").read_bytes() for suffix in (".idx", ".bin"))
    assert index[:9] == b"MMIDIDX\x00\x00", index[:9]
    version, code, n, n_bounds = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1 and n_bounds == n + 1, (version, n, n_bounds)
    width, letter = {8: (2, "H"), 4: (4, "i")}[code]
    lengths = struct.unpack_from(f"<{n}i", index, 34)
    starts = struct.unpack_from(f"<{n}q", index, 34 + 4 * n)
    return [list(struct.unpack_from(f"<{length}{letter}", tokens, start)) for length, start in zip(lengths, starts)], width


def standard_error(tokens, means):
    """Of the mean over tokens, from clusters of so many; None for one."""
    total, n = sum(tokens), len(tokens)
    mean = sum(count * value for count, value in zip(tokens, means)) / total
    return math.sqrt(n / (n - 1) * sum((count * (value - mean)) ** 2 for count, value in zip(tokens, means))) / total if n > 1 else None


def rows_of(results, table, **where):
    """The names of the columns, and the rows in which those of `where` have these values, as dictionaries."""
    columns = [column["name"] for column in results["tables"][table]["columns"]]
    rows = [dict(zip(columns, row)) for row in results["tables"][table]["rows"]]
    return columns, [row for row in rows if all(row[name] == value for name, value in where.items())]

#!/usr/bin/env python3
"""Hugging Face folders that are damaged, or made to do harm, are refused quickly and in little memory.

A table of {header, offsets, index, config, dtype, mxfp4, fp8, openmoe} x {missing, truncated, wrong type, out of range, huge, cyclic, swapped}, made from good
folders of several families (hostile_folders_cases.py, hostile_packed_cases.py). Each ends `evenkeel import` with exit code 2 and one line that begins with
`evenkeel: error: ` and the folder, within 3 seconds of processor time and 200 MB above what `evenkeel --version` takes (the libraries alone),
and leaves nothing behind. The words of the command line choose among them.

  EVENKEEL  the binary (build/evenkeel)
"""
import collections
import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
from hostile_files_test import last_line, measured  # noqa: E402
from hostile_folders_cases import CASES, CONFIGS, FAULTS, sharded, single  # noqa: E402
from hostile_packed_cases import GOOD, PACKED_CASES  # noqa: E402

MOST_SECONDS, MOST_BYTES = 3.0, 200e6
TABLE = {**CASES, **PACKED_CASES}


def write(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        content(folder / name) if callable(content) else (folder / name).write_bytes(content)


def problems_of(folder, base, need):
    """(seconds, bytes above the libraries, problems) of an import."""
    out = folder.parent / "checkpoint"
    code, lines, seconds, peak = measured("import", folder, "--out", out)
    line, n_lines, problems = last_line(lines), len(lines), []
    if code != need or (need == 2 and (not line.startswith(f"evenkeel: error: {folder}") or len(line) > 2000 or n_lines != 1 or "\x1b" in line)):
        problems.append(f"exit code {code}, {n_lines} lines on stderr; need {need}: {line[:300]!r}")
    if need == 2 and [path.name for path in folder.parent.iterdir()] != [folder.name]:
        problems.append("left something behind")
    if seconds > MOST_SECONDS:
        problems.append(f"{seconds:.1f} s; need at most {MOST_SECONDS}")
    if peak - base > MOST_BYTES:
        problems.append(f"{(peak - base) / 1e6:.0f} MB above the libraries; need at most {MOST_BYTES / 1e6:.0f}")
    for path in folder.parent.iterdir():
        if path != folder:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return seconds, peak - base, problems


def main():
    failed = n = 0
    _, _, _, base = measured("--version")
    cells, words = collections.Counter(), sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="evenkeel-hostile-folders-") as root:
        folder = pathlib.Path(root) / "model"
        cases = [(f"good {what}", files, 0) for what, files in (*((family, single(family)) for family in CONFIGS), ("shards", sharded()), *GOOD.items())]
        for part, list_cases in TABLE.items():
            for fault, what, files in list_cases():
                cells[part, fault] += 1
                cases.append((f"{part}, {fault}: {what}", files, 2))
        for what, files, need in cases:
            if words and not any(word in what for word in words):
                continue
            write(folder, files)
            seconds, peak, problems = problems_of(folder, base, need)
            n += 1
            failed += bool(problems)
            print(f"{'FAIL' if problems else 'ok  '} {what} ({seconds:.2f} s, {peak / 1e6:.0f} MB)", *problems, sep="\n       ", flush=True)
    print(*(f"{part}: " + ", ".join(f"{fault} {cells[part, fault]}" for fault in FAULTS) for part in TABLE), sep="\n")
    empty = [cell for cell in ((part, fault) for part in TABLE for fault in FAULTS) if cells[cell] == 0]
    if empty or sum(cells.values()) < 150:
        failed += 1
        print(f"FAIL {sum(cells.values())} cases, none of {empty}; need 150 and some of each")
    print(f"{n - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Plants seeded errors into src/moe, src/optim and src/data, one at a time, and asks whether a test notices.

Works on a copy of the tree in build-mutate/tree, so the checkout is never touched. Each error is a sign, a term,
an index, a comparison or an off-by-one in a line of arithmetic; messages, comments, paths and buffer sizes are
left alone, because an error there changes no figure. Prints a line for each and exits 1 when too many survive.

    scripts/mutate.py                      20 errors, at least 18 to be caught
    scripts/mutate.py --list               every site
    scripts/mutate.py --only src/moe/x.cpp:12
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-mutate"
TREE = BUILD / "tree"
FOLDERS = {"moe": ["test_moe", "test_model"], "optim": ["test_optim", "test_model"], "data": ["test_data"]}
# What the copy needs: the layers below and beside the mutated ones, without those above.
LAYERS = ["core", "ops", "data", "optim", "moe", "model"]
COPIED = [*LAYERS, "pch.h"]
TEST_SECONDS = 300  # an endless loop counts as noticed

# (what, pattern, replacement); the pattern's match is replaced.
MUTATIONS = [
    ("sign", r"(?<=[\w\)\]]) \+ (?=[\w\(])", " - "),
    ("sign", r"(?<=[\w\)\]]) - (?=[\w\(])", " + "),
    ("sign", r"(?<= )\+= ", "-= "),
    ("sign", r"(?<=[=(,?:] )-(?=[a-z(])", ""),
    ("term", r"(?<=[\w\)\]]) \* (?=[\w\(])", " / "),
    ("term", r"(?<=[\w\)\]]) / (?=[\w\(])", " * "),
    ("term", r"\bstd::min\b", "std::max"),
    ("term", r"\bstd::max\b", "std::min"),
    ("term", r"\bat::mul\b", "at::div"),
    ("index", r"\bsize\(0\)", "size(1)"),
    ("index", r"\bsize\(1\)", "size(0)"),
    ("index", r"/\*dim=\*/0", "/*dim=*/1"),
    ("index", r"/\*dim=\*/1", "/*dim=*/0"),
    ("index", r"(?<=\w)\[0\]", "[1]"),
    ("index", r"(?<=\w)\[1\]", "[0]"),
    ("off by one", r"(?<=; )(\w+) < (?=[^;]+; (\+\+|\w+ \+=))", r"\1 + 1 < "),
    ("off by one", r"(?<=[\w\)]) \+ 1\b(?!\.)", ""),
    ("off by one", r"(?<=[\w\)]) - 1\b(?!\.)", ""),
    ("comparison", r"(?<=[\w\)\]]) < (?=[\w\(-])(?![^;]+; (\+\+|\w+ \+=))", " > "),
    ("comparison", r"(?<=[\w\)\]]) (<=) (?=[\w\(-])", " > "),
    ("comparison", r"(?<=[\w\)\]]) > (?=[\w\(-])", " <= "),
    ("comparison", r"(?<=[\w\)\]]) >= (?=[\w\(-])", " < "),
    ("comparison", r"(?<=[\w\)\]]) == (?=[\w\(-])", " != "),
]
# Lines whose errors change no figure: text, places, sizes of buffers, progress, numbers that only keep a
# divisor above zero, and the places that a fingerprint samples.
QUIET = re.compile(r'"|\bwhere\b|path|folder|suffix|[Bb]uffer|[Pp]rogress|reserve|kChunk|kBlock|log_|seconds|nearest|errno|static_assert|'
                   r"constexpr|template|operator|#|n_threads|grain|parallel_for|kEpsilon|kTiny|kSlack|kSample|1e-\d\d\b|known|text_bytes")


def code_lines(path):
    """(number, text) of the lines outside of comments and of require<>/fail<> statements."""
    in_message = False
    for number, line in enumerate(path.read_text().split("\n"), 1):
        code = line.split("//")[0].rstrip()
        starts = re.search(r"\b(require|fail|fail_kind|fail_unknown_key|throw)\b", code) is not None
        if in_message or starts:
            in_message = not code.endswith(";") and not code.endswith("}")
            continue
        if code and not QUIET.search(line):
            yield number, code


def find_sites(tree):
    sites = []
    for folder in FOLDERS:
        for path in sorted((tree / "src" / folder).rglob("*.cpp")):
            if path.name.endswith("_test.cpp"):
                continue
            for number, code in code_lines(path):
                for what, pattern, replacement in MUTATIONS:
                    for match in re.finditer(pattern, code):
                        changed = code[:match.start()] + match.expand(replacement) + code[match.end():]
                        sites.append((folder, path.relative_to(tree), number, what, code.strip(), changed))
    return sites


def choose(sites, count, seed):
    """A shuffled order in which folders take turns and no line comes twice."""
    rng = random.Random(seed)
    by_folder = {folder: [site for site in sites if site[0] == folder] for folder in FOLDERS}
    for group in by_folder.values():
        rng.shuffle(group)
    chosen, lines = [], set()
    while len(chosen) < count and any(by_folder.values()):
        for group in by_folder.values():
            while group:
                site = group.pop()
                if (site[1], site[2]) not in lines:
                    lines.add((site[1], site[2]))
                    chosen.append(site)
                    break
    return chosen


def copy_tree():
    BUILD.mkdir(exist_ok=True)
    # Unchanged files keep their times, so that a second run builds nothing anew.
    for name in ["CMakeLists.txt", "cmake", "docs/routers.md", "tests/golden", "tests/support", "tests/contract", "tests/e2e/crash_shim.cpp", *("src/" + folder for folder in COPIED)]:
        source, target = ROOT / name, TREE / name
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        wanted = {target / path.relative_to(source) if source.is_dir() else target for path in files}
        for path in files:
            copy = target / path.relative_to(source) if source.is_dir() else target
            if not copy.exists() or copy.read_bytes() != path.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        for stale in (path for path in target.rglob("*") if path.is_file() and path not in wanted):
            stale.unlink()


def build(target, log):
    with log.open("w") as out:
        return subprocess.run(["ninja", "-C", BUILD / "out", "-j2", target], stdout=out, stderr=subprocess.STDOUT).returncode == 0


def configure():
    python = ROOT / ".venv/bin/python"
    command = ["cmake", "-S", TREE, "-B", BUILD / "out", "-G", "Ninja", "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG",
               f"-DEVENKEEL_LAYERS={';'.join(LAYERS)}"]
    if python.exists():
        command.append(f"-DPython3_EXECUTABLE={python}")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def failing_test(binary):
    """The first failing test, or a word for how the binary ended; None when all pass."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", GTEST_FAIL_FAST="1")
    try:
        result = subprocess.run([BUILD / "out" / binary], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=TEST_SECONDS, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return f"{binary} (no end)"
    if result.returncode == 0:
        return None
    failed = re.search(r"\[  FAILED  \] ([\w/.]+)", result.stdout)
    return f"{binary} {failed.group(1)}" if failed else f"{binary} (ended with {result.returncode})"


def try_mutant(site):
    """How the error was noticed; "SURVIVED"; or None when it does not compile."""
    folder, name, number, _, _, changed = site
    path, log = TREE / name, BUILD / "build.log"
    original = path.read_bytes()
    lines = original.decode().split("\n")
    lines[number - 1] = changed
    try:
        path.write_text("\n".join(lines))
        for binary in FOLDERS[folder]:
            if not build(binary, log):
                return None
            failed = failing_test(binary)
            if failed:
                return failed
        return "SURVIVED"
    finally:
        path.write_bytes(original)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--need", type=int, default=18)
    parser.add_argument("--only", nargs="*", default=[], help="FILE:LINE")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        for _, name, number, what, code, changed in find_sites(ROOT):
            print(f"{name}:{number}: {what}: {code}  ->  {changed.strip()}")
        return 0
    copy_tree()
    configure()
    for binary in ["test_moe", "test_optim", "test_data", "test_model"]:
        if not build(binary, BUILD / "build.log"):
            sys.exit(f"mutate: {binary} does not build: see {BUILD / 'build.log'}")
        if failed := failing_test(binary):
            sys.exit(f"mutate: {failed} fails without a mutant")
    sites = find_sites(TREE)
    order = choose(sites, len(sites), options.seed)
    if options.only:
        order = [site for site in sites if f"{site[1]}:{site[2]}" in options.only]
    need = min(options.need, len(order)) if not options.only else len(order)
    count = min(options.count, len(order)) if not options.only else len(order)
    tried = caught = 0
    for site in order:
        if tried == count:
            break
        begin = time.monotonic()
        how = try_mutant(site)
        if how is None:
            continue  # no C++: the next site takes its place
        tried += 1
        caught += how != "SURVIVED"
        _, name, number, what, code, changed = site
        verdict = how if how == "SURVIVED" else f"caught by {how}"
        print(f"{tried:2d} {name}:{number}: {what}: {code}  ->  {changed.strip()}: {verdict} ({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{caught} of {tried} planted errors were caught")
    return 0 if caught >= need else 1


if __name__ == "__main__":
    sys.exit(main())

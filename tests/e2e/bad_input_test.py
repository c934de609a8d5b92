#!/usr/bin/env python3
"""Whatever a user or a file does wrong ends in one line that says where, what was got and what is needed.

Each case of bad_input_cases.py expects its exact exit code, one line `evenkeel: error: WHERE: got …; need …`
with the path or key and the offending value, nothing on stdout, and nothing half-written.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only cases whose name has one of them are run
"""
import concurrent.futures
import json
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import toy  # noqa: E402
from bad_input_base import CPU  # noqa: E402
from bad_input_cases import all_cases  # noqa: E402

N_WORKERS = 2
LONGEST_LINE = 2000


def make_good_inputs(folder):
    """Returns problems."""
    toy.write_dataset(folder / "en", toy.made_documents(1))
    toy.write_dataset(folder / "de", toy.made_documents(2))
    toy.write_dataset(folder / "short", [[1, 2, 3, 0]])
    (folder / "recipe.toml").write_text(toy.recipe_text(folder))
    (folder / "text.txt").write_text(toy.made_text(1))
    (folder / "task.jsonl").write_text(json.dumps({"question": "bada", "choices": ["du", "ke"], "answer": 0}) + "\n")
    problems = []
    for args in (("tokenizer", "train", "--kind", "bpe", "--vocab-size", "300", "--out", folder / "tok.model", folder / "text.txt"),
                 ("train", folder / "recipe.toml", "--out", folder / "run", *CPU),
                 *(("trace", folder / "run", "--data", folder / name, "--out", folder / f"{name}.safetensors", *CPU) for name in ("en", "de"))):
        result = toy.evenkeel(*args)
        if result.rc != 0:
            problems.append(f"{args[0]}: exit code {result.rc}: {result.err.strip().splitlines()[-1:]}")
    if not problems:
        shutil.copytree(toy.checkpoints(folder / "run")[-1], folder / "ckpt")
    return problems


def listing(folder):
    return {str(path.relative_to(folder)): path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


def remains(case, before, after):
    """What the command left behind and should not have."""
    problems = [f"removed or changed {name}" for name in before if after.get(name) != before[name]]
    for name in sorted(set(after) - set(before)):
        parts = pathlib.PurePath(name).parts
        in_run = case.leaves_run and parts[0] == "out"
        if not in_run or ".tmp" in name or ".evenkeel-" in name or any(part.startswith("step-") for part in parts):
            problems.append(f"left {name} behind")
    return problems


def problems_of(case, result, names):
    lines = result.err.splitlines()
    errors = result.error_lines()
    problems = []
    if result.rc != case.rc:
        problems.append(f"exit code {result.rc}; need {case.rc}")
    if len(errors) != 1 or not lines or lines[-1] != errors[-1]:
        problems.append(f"{len(errors)} error lines in {len(lines)}; need one, the last")
    problems += [f"a line that is not ours: {line[:200]!r}" for line in lines if not line.startswith("evenkeel: ")][:3]
    error = errors[0] if errors else ""
    for word in ("got ", "need ", *(name.format(**names) for name in case.says)):
        if word not in error:
            problems.append(f"the error line lacks {word!r}")
    if len(error) > LONGEST_LINE:
        problems.append(f"the error line has {len(error)} characters; need at most {LONGEST_LINE}")
    if result.out:
        problems.append(f"stdout has {result.out[:100]!r}; need nothing")
    return problems + ([f"stderr: {result.err.strip()[-600:]}"] if problems else [])


def limited(max_file_bytes):
    if max_file_bytes == 0:
        return None
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))


def run_case(case, good, folder, number):
    sandbox = folder / f"case-{number:04d}"
    sandbox.mkdir()
    names = {"S": str(sandbox), "F": str(good)}
    try:
        if case.setup is not None:
            case.setup(sandbox)
        before = listing(sandbox)
        args = [arg.format(**names) if "{S}" in arg or "{F}" in arg else arg for arg in case.args]
        result = toy.evenkeel(*args, cwd=sandbox, stdin=case.stdin, timeout=60, preexec_fn=limited(case.max_file_bytes))
        problems = problems_of(case, result, names) + remains(case, before, listing(sandbox))
    except Exception as error:  # a case that cannot be set up has failed
        problems = [f"{type(error).__name__}: {error}"]
    shutil.rmtree(sandbox, ignore_errors=True)
    return problems


def main():
    start = time.monotonic()
    if not os.path.exists(toy.BINARY):
        sys.exit(f"bad_input_test: got no {toy.BINARY}; need it built")
    n_failed = 0
    with tempfile.TemporaryDirectory(prefix="evenkeel-bad-") as root:
        folder = pathlib.Path(os.path.realpath(root))
        good = folder / "good"
        good.mkdir()
        problems = make_good_inputs(good)
        if problems:
            sys.exit("bad_input_test: the good inputs are refused:\n  " + "\n  ".join(problems))
        words = sys.argv[1:]
        cases = [case for case in all_cases(good) if not words or any(word in case.name for word in words)]
        with concurrent.futures.ThreadPoolExecutor(N_WORKERS) as pool:
            outcomes = pool.map(lambda pair: run_case(pair[1], good, folder, pair[0]), enumerate(cases))
            for case, problems in zip(cases, outcomes):
                n_failed += bool(problems)
                print(f"{'FAIL' if problems else 'ok  '} {case.name}", *problems, sep="\n       ", flush=True)
    print(f"bad_input_test: {time.monotonic() - start:.0f} s")
    print(f"{len(cases) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())

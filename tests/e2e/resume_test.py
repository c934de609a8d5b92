#!/usr/bin/env python3
"""A run that is killed, or meets a full disk, at any moment ends in the same bytes as one that is not.

For every router of the binary, in one form at least, and for adafactor: kill -9 at seeded moments, SIGKILL and ENOSPC at counted writes (crash_shim.cpp), each
followed by `train --resume` until the run is done, then compared with an uninterrupted run.

  EVENKEEL            the binary (build/evenkeel)
  EVENKEEL_CRASH_SHIM the shim (build/libcrash_shim.so)
  EVENKEEL_E2E_FULL=1 every write of every router in place of a sample (about an hour)
"""
import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import toy  # noqa: E402

FULL = os.environ.get("EVENKEEL_E2E_FULL") == "1"
THOROUGH_ROUTER = "softmax_pre"  # every write of one save, and more of everything else
N_STEPS = 20
N_WORKERS = 2
MAX_KILLS = 4  # by the clock, in one run
COMPARED = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


class Checks:
    def __init__(self):
        self.lock = threading.Lock()
        self.n_passed = 0
        self.failed = []

    def report(self, name, problems):
        """One line a check; `problems` is a list of sentences, empty when it passed."""
        with self.lock:
            print(f"{'ok  ' if not problems else 'FAIL'} {name}", flush=True)
            for problem in problems:
                print(f"       {problem}", flush=True)
            if problems:
                self.failed.append(name)
            else:
                self.n_passed += 1


class Trial:
    """One recipe and its uninterrupted run, that interrupted runs are compared with."""

    def __init__(self, folder, name, text, n_steps):
        self.router = name
        self.n_steps = n_steps
        self.folder = folder / name
        self.folder.mkdir()
        self.recipe = self.folder / "recipe.toml"
        self.recipe.write_text(text)
        self.whole = self.folder / "whole"
        self.writes = []  # "CALL PATH" of each counted write, the path relative to the run
        self.seconds = 0.0
        self.is_good = False

    def command(self, run, *options):
        words = (toy.BINARY, "train", self.recipe, "--out", run, "--threads", "1", "--device", "cpu", *options)
        return [str(word) for word in words]

    def train(self, run, *options, env=None):
        return toy.evenkeel(*self.command(run, *options)[1:], env=env)

    def shim(self, run, mode, at=0):
        return {"LD_PRELOAD": toy.SHIM, "EVENKEEL_CRASH_UNDER": str(run), "EVENKEEL_CRASH_MODE": mode,
                "EVENKEEL_CRASH_AT": str(at), "EVENKEEL_CRASH_LOG": str(run) + ".writes"}

    def train_whole(self):
        """The reference run, under the counting shim. Returns problems."""
        result = self.train(self.whole, env=self.shim(self.whole, "count"))
        self.seconds = result.seconds
        if result.rc != 0:
            return [f"exit code {result.rc}: {last_line(result.err)}"]
        log = pathlib.Path(str(self.whole) + ".writes")
        self.writes = [line.split(" ", 1)[1].replace(str(self.whole), "RUN") for line in log.read_text().splitlines()]
        problems = self.problems_of(self.whole)
        if len(self.writes) < 20:
            problems.append(f"only {len(self.writes)} writes counted: is the shim loaded?")
        return problems

    def resume(self, run):
        """Resumes until done. Returns problems."""
        result = self.train(run, "--resume")
        return [] if result.rc == 0 else [f"--resume: exit code {result.rc}: {last_line(result.err)}"]

    def problems_of(self, run):
        """Differences of a finished run from the uninterrupted one."""
        problems = [f"left behind: {path}" for path in toy.leftovers(run)]
        problems += [f"no {name}" for name in ("results.json", "report.html", "recipe.toml", "resolved.json") if not (run / name).exists()]
        names = [path.name for path in toy.checkpoints(run)]
        wanted = [path.name for path in toy.checkpoints(self.whole)]
        if names != wanted or not names or names[-1] != f"step-{self.n_steps:08d}":
            problems.append(f"checkpoints {names}; need {wanted}, the last step-{self.n_steps:08d}")
        for name in set(names) & set(wanted):
            for file in COMPARED:
                ours, theirs = (base / "checkpoints" / name / file for base in (run, self.whole))
                if not ours.exists() or ours.read_bytes() != theirs.read_bytes():
                    problems.append(f"{name}/{file} differs from the uninterrupted run's")
        try:
            problems += metrics_problems(toy.metrics_without_clock(run), toy.metrics_without_clock(self.whole), self.n_steps)
        except (OSError, ValueError) as error:
            problems.append(f"metrics.jsonl: {error}")
        return problems


def trial_of_router(folder, router, name=None):
    text = toy.recipe_text(folder / "data", router)
    return Trial(folder, name or router, text.replace("steps = 5", "steps = 9").replace("steps = 6", f"steps = {N_STEPS - 9}"), N_STEPS)


def trial_of_adafactor(folder):
    """Of the optimizer whose state has rows and columns of some matrices and all elements of others."""
    trial = trial_of_router(folder, "softmax_pre", "adafactor")
    trial.recipe.write_text(trial.recipe.read_text() + '[optimizer]\nkind = "adafactor"\nmin_factored = 8\nmomentum = 0.9\nweight_decay = 1e-4\n')
    return trial


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "(nothing on stderr)"


def metrics_problems(lines, wanted, n_steps):
    problems = []
    steps = [line["step"] for line in lines if "loss_terms" in line]
    if steps != list(range(1, n_steps + 1)):
        problems.append(f"metrics.jsonl has steps {steps}; need 1..{n_steps}, each once")
    if lines != wanted:
        first = next((i for i, (a, b) in enumerate(zip(lines, wanted)) if a != b), min(len(lines), len(wanted)))
        problems.append(f"metrics.jsonl differs from line {first + 1} on ({len(lines)} lines; need {len(wanted)})")
    return problems


def error_problems(result, rc, *needles):
    problems = []
    if result.rc != rc:
        problems.append(f"exit code {result.rc}; need {rc}: {last_line(result.err)}")
    if len(result.error_lines()) != 1:
        problems.append(f"{len(result.error_lines())} error lines; need 1: {result.err.strip()!r}")
    problems += [f"the error does not say {needle!r}: {last_line(result.err)}" for needle in needles
                 if needle not in "".join(result.error_lines())]
    return problems


# ---- the interruptions; each returns problems ----


def kill_by_the_clock(trial, seed):
    """kill -9 at seeded moments, resumed each time, then to the end."""
    rng = random.Random(f"{trial.router} {seed}")
    run = trial.folder / f"clock-{seed}"
    for _ in range(MAX_KILLS):
        process = subprocess.Popen(trial.command(run, "--resume"), env=toy.environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, start_new_session=True)
        try:
            _, err = process.communicate(timeout=trial.seconds * rng.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            continue
        if process.returncode != 0:
            return [f"--resume after kill -9: exit code {process.returncode}: {last_line(err.decode())}"]
        break
    return trial.resume(run) + trial.problems_of(run)


def kill_at_write(trial, at):
    run = trial.folder / f"kill-{at}"
    result = trial.train(run, env=trial.shim(run, "kill", at))
    if result.rc != -signal.SIGKILL:
        return [f"exit code {result.rc}; need {-signal.SIGKILL} (SIGKILL by the shim): {last_line(result.err)}"]
    problems = trial.resume(run) + trial.problems_of(run)
    if not problems:
        shutil.rmtree(run)
    return problems


def fail_at_write(trial, at):
    run = trial.folder / f"fail-{at}"
    result = trial.train(run, env=trial.shim(run, "fail", at))
    is_log = trial.writes[at - 1].endswith("log.txt")  # the log is a copy of stderr: losing its end is no error
    problems = [] if is_log and result.rc == 0 else error_problems(result, 4, "got", "need")
    problems += [f"left behind: {path}" for path in toy.leftovers(run)]
    problems += trial.resume(run) + trial.problems_of(run)
    if not problems:
        shutil.rmtree(run)
    return problems


def stop_by_signal(trial):
    """SIGTERM: exit code 130 after a clean save; the extra checkpoint is the only difference."""
    run = trial.folder / "sigterm"
    result = None
    for _ in range(3):
        shutil.rmtree(run, ignore_errors=True)
        process = subprocess.Popen(trial.command(run), env=toy.environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, start_new_session=True)
        wait_for_step(run, process, 1, seconds=60)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        result = toy.Result(process.returncode, "", err.decode(), 0.0)
        if result.rc != 0:  # 0: it was done before the signal came
            break
    if result.rc == 0:
        return []
    if result.rc != 130:
        return [f"exit code {result.rc}; need 130: {last_line(result.err)}"]
    problems = trial.resume(run)
    wanted = {path.name for path in toy.checkpoints(trial.whole)}
    for path in toy.checkpoints(run):
        if path.name not in wanted:
            shutil.rmtree(path)
    return problems + trial.problems_of(run)


def wait_for_step(run, process, step, seconds):
    """Until metrics.jsonl has `step` lines, the process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        metrics = run / "metrics.jsonl"
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= step:
            return
        time.sleep(0.005)


def damage_newest_checkpoint(trial, damage):
    """Killed after its second save, the newest checkpoint damaged: it goes on from the one before."""
    run = trial.folder / f"damaged-{damage}"
    at = first_write_after_save(trial, 2)
    trial.train(run, env=trial.shim(run, "kill", at))
    saved = toy.checkpoints(run)
    if len(saved) < 2:
        return [f"{len(saved)} checkpoints after a kill at write {at}; need 2"]
    file = saved[-1] / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[:-1]
    else:
        content[-1] ^= 1
    file.write_bytes(content)
    return trial.resume(run) + trial.problems_of(run)


def verify_sees_a_flipped_bit(trial):
    result = toy.evenkeel("verify", trial.whole)
    problems = [] if result.rc == 0 else [f"verify of a whole run: exit code {result.rc}: {last_line(result.err)}"]
    run = trial.folder / "flipped"
    for file in ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(trial.whole, run)
        path = toy.checkpoints(run)[-1] / file
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        problems += [f"{file}: {problem}" for problem in error_problems(toy.evenkeel("verify", run), 2, "got", "need")]
    return problems


def finished_run_is_left_alone(trial):
    run = trial.folder / "finished"
    shutil.copytree(trial.whole, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "log.txt"}
    problems = trial.resume(run)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "log.txt"}
    problems += [f"changed: {path}" for path in sorted(set(before) | set(after)) if before.get(path) != after.get(path)]
    problems += [f"without --resume: {problem}" for problem in error_problems(trial.train(run), 2, str(run))]
    changed = trial.train(run, "--resume", "--set", "optimizer.weight_decay=0.2")
    problems += [f"another recipe: {problem}" for problem in error_problems(changed, 2, "optimizer.weight_decay")]
    archived = trial.train(run, "--resume", env=trial.shim(run, "read_only"))
    if archived.rc != 0:
        problems.append(f"on a read-only disk: exit code {archived.rc}: {last_line(archived.err)}")
    new = trial.folder / "on-read-only-disk"
    problems += [f"a new run on a read-only disk: {problem}" for problem in error_problems(trial.train(new, env=trial.shim(new, "read_only")), 4, str(new))]
    return problems


def change_on_the_way(trial):
    """--resume --allow-change, killed before each of its writes, renames and removals, then called again: the bytes of one that was not."""
    first = trial.folder / "change-first"
    trial.train(first, env=trial.shim(first, "kill", first_write_after_save(trial, 2)))
    damaged = toy.checkpoints(first)[-1] / "model.safetensors"  # one to be put aside, too
    damaged.write_bytes(damaged.read_bytes()[:-1])
    change = ("--resume", "--allow-change", "--set", "optimizer.weight_decay=0.3")
    whole = trial.folder / "change-whole"
    shutil.copytree(first, whole)
    result = trial.train(whole, *change, env=trial.shim(whole, "count"))
    if result.rc != 0:
        return [f"--allow-change: exit code {result.rc}: {last_line(result.err)}"]
    writes = pathlib.Path(str(whole) + ".writes").read_text().splitlines()
    begin = next(i for i, write in enumerate(writes, 1) if "metrics.jsonl" in write)
    problems = []
    for at in range(1, begin + 16 if not FULL else len(writes) + 1):  # until training has begun
        run = trial.folder / "change-killed"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(first, run)
        killed = trial.train(run, *change, env=trial.shim(run, "kill", at))
        again = trial.train(run, *change)
        if killed.rc != -signal.SIGKILL or again.rc != 0:
            problems.append(f"write {writes[at - 1]}: exit codes {killed.rc}, {again.rc}: {last_line(again.err)}")
            continue
        same = all((run / "checkpoints" / path.name / file).read_bytes() == (path / file).read_bytes() for path in toy.checkpoints(whole) for file in COMPARED)
        if not same or toy.metrics_without_clock(run) != toy.metrics_without_clock(whole):
            problems.append(f"write {writes[at - 1]}: other bytes than without the kill")
    return problems


# ---- which writes ----


def ends_of_saves(trial):
    """The indices (from 1) of the renames that end a save."""
    return [i for i, write in enumerate(trial.writes, 1)
            if write.startswith("rename RUN/checkpoints/step-") and write.count("/") == 2]


def writes_of_save(trial, number):
    """The indices of the writes between the renames that end save number-1 and save `number`."""
    ends = ends_of_saves(trial)
    first = ends[number - 2] + 1 if number > 1 else 1
    return list(range(first, ends[number - 1] + 2))  # with the sync of the folder after the rename


def first_write_after_save(trial, number):
    return writes_of_save(trial, number)[-1] + 1


def sampled_writes(trial, what):
    every = range(1, len(trial.writes) + 1)
    if FULL:
        return list(every)
    rng = random.Random(f"{trial.router} {what}")
    if trial.router != THOROUGH_ROUTER:
        return sorted(rng.sample(every, 3 if what == "kill" else 1))
    if what == "kill":  # one save, and the end of the run: results and page
        return writes_of_save(trial, 2) + list(range(first_write_after_save(trial, len(ends_of_saves(trial))), len(trial.writes) + 1))
    return sorted(rng.sample(writes_of_save(trial, 1), 4) + rng.sample(writes_of_save(trial, 3), 4))


def interruptions(trial):
    """(name of the check, function that returns problems) for everything that is done to one trial."""
    out = [(f"{trial.router}: kill -9 by the clock, seed {seed}", lambda seed=seed: kill_by_the_clock(trial, seed))
           for seed in range(3 if trial.router == THOROUGH_ROUTER else 1)]
    for at in sampled_writes(trial, "kill"):
        out.append((f"{trial.router}: SIGKILL at write {at}/{len(trial.writes)} ({trial.writes[at - 1]})",
                    lambda at=at: kill_at_write(trial, at)))
    for at in sampled_writes(trial, "fail"):
        out.append((f"{trial.router}: ENOSPC from write {at}/{len(trial.writes)} ({trial.writes[at - 1]})",
                    lambda at=at: fail_at_write(trial, at)))
    if trial.router == THOROUGH_ROUTER:
        out += [(f"{trial.router}: SIGTERM", lambda: stop_by_signal(trial)),
                (f"{trial.router}: newest checkpoint cut", lambda: damage_newest_checkpoint(trial, "cut")),
                (f"{trial.router}: newest checkpoint flipped", lambda: damage_newest_checkpoint(trial, "flipped")),
                (f"{trial.router}: verify", lambda: verify_sees_a_flipped_bit(trial)),
                (f"{trial.router}: finished run", lambda: finished_run_is_left_alone(trial)),
                (f"{trial.router}: SIGKILL at each write of a changed resume", lambda: change_on_the_way(trial))]
    return out


def guarded(function):
    try:
        return function()
    except Exception as error:  # a check that breaks is a failed check
        return [f"{type(error).__name__}: {error}"]


def router_problems():
    """The registry and the list of routers that are tested here must agree."""
    listed, tested = set(toy.listed_routers()), {toy.kind_of(router) for router in toy.ROUTERS}
    problems = [f"{kind} is in no entry of toy.ROUTERS" for kind in sorted(listed - tested)]
    return problems + [f"{kind} of toy.ROUTERS is no router" for kind in sorted(tested - listed)]


def run_all(checks, folder):
    checks.report("every router that `evenkeel plan --help` lists is tested", guarded(router_problems))
    (folder / "data").mkdir()
    toy.write_dataset(folder / "data" / "en", toy.made_documents(1))
    toy.write_dataset(folder / "data" / "de", toy.made_documents(2))
    trials = [trial_of_router(folder, router) for router in toy.ROUTERS] + [trial_of_adafactor(folder)]
    with concurrent.futures.ThreadPoolExecutor(N_WORKERS) as pool:
        for trial, problems in zip(trials, pool.map(lambda trial: guarded(trial.train_whole), trials)):
            checks.report(f"{trial.router}: uninterrupted run, {len(trial.writes)} writes, {trial.seconds:.1f} s", problems)
            trial.is_good = not problems
        work = []
        for trial in trials:
            try:
                work += interruptions(trial) if trial.is_good else []
            except (IndexError, ValueError) as error:  # fewer saves or writes than the checks are made for
                checks.report(f"{trial.router}: choosing the writes to interrupt", [str(error)])
        futures = {pool.submit(guarded, function): name for name, function in work}
        for future in concurrent.futures.as_completed(futures):
            checks.report(futures[future], future.result())


def main():
    start = time.monotonic()
    for path in (toy.BINARY, toy.SHIM):
        if not os.path.exists(path):
            sys.exit(f"resume_test: got no {path}; need it built")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="evenkeel-resume-") as folder:
        run_all(checks, pathlib.Path(os.path.realpath(folder)))
    print(f"resume_test: {time.monotonic() - start:.0f} s")
    print(f"{checks.n_passed} passed, {len(checks.failed)} failed")
    return 1 if checks.failed or checks.n_passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""How the program starts: it sets how OpenMP's threads wait, itself, in the same process, and a user's own setting wins.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_in_folder  # noqa: E402

SETTING = "GOMP_SPINCOUNT"


class Place:
    def __init__(self, folder):
        self.folder, self.binary = folder, os.path.realpath(toy.BINARY)
        (folder / "recipe.toml").write_text(re.sub(r"^data = .*\n|^eval = .*\n", "", toy.recipe_text(folder), flags=re.MULTILINE))

    def started(self, env, look, **options):
        """What `look(process)` gives of a command that has begun its work, which is then killed."""
        args = [self.binary, "bench", str(self.folder / "recipe.toml"), "--steps", "1000000", "--threads", "1"]
        process = subprocess.Popen(options.pop("args", args), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            toy.wait_for_cpu(process, 0.5)
            return look(process)
        finally:
            process.kill()
            process.communicate()


def environ_of(process):
    return [entry for entry in pathlib.Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0") if entry]


def check_an_empty_environment_gets_the_setting(place, problems):
    def look(process):
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return environ_of(process), children, os.readlink(f"/proc/{process.pid}/exe"), pathlib.Path(f"/proc/{process.pid}/comm").read_text().rstrip("\n")
    environ, children, exe, comm = place.started({}, look)
    problems.need(len(environ) == 1 and re.fullmatch(rf"{SETTING}=[1-9]\d*", environ[0]), f"environment: {environ}")
    problems.equal((children, exe, comm), ([], place.binary, "evenkeel"), "children, program and name of the process")


def check_the_rest_of_the_environment_stays(place, problems):
    env = {"A": "1", "EMPTY": "", "OMP_NUM_THREADS": "1", "WITH": "a=b c", **{f"N{i}": "x" * 100 for i in range(500)}}
    environ = place.started(env, environ_of)
    problems.equal(environ[:-1], [f"{name}={value}" for name, value in env.items()], "variables")
    problems.need(environ[-1].startswith(f"{SETTING}="), f"the last variable: {environ[-1]}")


def check_a_setting_of_the_user_wins(place, problems):
    for name, value in (("OMP_WAIT_POLICY", "active"), ("OMP_WAIT_POLICY", "passive"), ("OMP_WAIT_POLICY", ""), ("GOMP_SPINCOUNT", "77"), ("KMP_BLOCKTIME", "200"), ("KMP_LIBRARY", "throughput")):
        problems.equal(place.started({name: value}, environ_of), [f"{name}={value}"], f"environment with {name}={value}")


def check_arguments_and_name_stay(place, problems):
    def look(process):
        cmdline = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        return cmdline, pathlib.Path(f"/proc/{process.pid}/comm").read_text().rstrip("\n")
    args = ["somewhere/a program of a long name", "bench", str(place.folder / "recipe.toml"), "--steps", "1000000", "--threads", "1", "--set", "train.seed=4", "--json"]
    cmdline, comm = place.started({}, look, args=args, executable=place.binary)
    problems.equal((cmdline, comm), (args, args[0].split("/")[1][:15]), "arguments and name of the process")
    link = place.folder / "link"
    link.symlink_to(place.binary)
    for args, options in ((["./link", "--version"], {"cwd": place.folder}), (["link", "--version"], {"env": {"PATH": str(place.folder)}}),
                          ([link, "tokenize", "", "--tokenizer"], {})):
        result = subprocess.run(args, **{"env": {}, "cwd": "/", **options}, capture_output=True, text=True, timeout=60)
        wanted = (0, "evenkeel ") if args[1] == "--version" else (2, "")
        problems.equal((result.returncode, result.stdout[:9]), wanted, f"{args}: exit code and stdout; stderr {result.stderr!r}")


def check_it_starts_where_it_cannot_replace_itself(place, problems):
    head = pathlib.Path(place.binary).read_bytes()[:65536]
    loader = re.search(rb"/lib[\w./-]*/ld-linux[\w.-]*", head).group().decode()
    result = subprocess.run([loader, place.binary, "--version"], env={}, capture_output=True, text=True, timeout=60)
    problems.equal((result.returncode, result.stdout[:9]), (0, "evenkeel "), f"started by the loader; stderr {result.stderr!r}")
    if os.geteuid() == 0 and shutil.which("unshare"):  # without /proc
        hidden = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" --version', place.binary], capture_output=True, text=True, timeout=60)
        if "unshare:" not in hidden.stderr and "mount:" not in hidden.stderr:
            problems.equal((hidden.returncode, hidden.stdout[:9]), (0, "evenkeel "), f"without /proc; stderr {hidden.stderr!r}")


if __name__ == "__main__":
    sys.exit(run_in_folder(sys.modules[__name__], Place))

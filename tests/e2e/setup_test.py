#!/usr/bin/env python3
"""scripts/setup.sh on made machines: stand-ins for apt-get, dpkg-query, apt-cache, id, sudo and python3 are all that it can call
beside a few basic tools, so nothing is installed. Seconds; no network.

  arguments: words; only checks whose name has one of them are run
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import run_checks  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ("bash", "env", "dirname", "cat", "grep", "tr", "cp", "cmp", "rm", "mkdir", "chmod", "basename")
LIBRARIES = ("libsentencepiece-dev", "libpcre2-dev", "libutf8proc-dev", "libtomlplusplus-dev", "nlohmann-json3-dev", "libcli11-dev", "libssl-dev", "zlib1g-dev", "liblzma-dev",
             "libzstd-dev")

# Each stand-in notes its call in $STATE/calls. $STATE/installed has a line for each package that is there.
STAND_INS = {
    # As on a machine of several architectures, a status may stand there twice without a line end between.
    "dpkg-query": """
package=${@: -1}
case $(cat "$STATE/installed") in
  *"<$package>"*) printf 'install ok installed' ;;
  *"<removed:$package>"*) printf 'deinstall ok config-files' ;;
  *) echo "dpkg-query: no packages found matching $package" >&2; exit 1 ;;
esac
""",
    # More than a pipe holds (64 KiB) follows the line that is looked for: whoever stops reading ends the writer by SIGPIPE.
    # Before an update there is no candidate, as in a fresh image.
    "apt-cache": """
note "apt-cache $*"
if [ ! -e "$STATE/updated" ]; then echo 'N: Unable to locate package chromium' >&2; exit 0; fi
if [ "$LC_ALL" = C ]; then word=Candidate; else word=Installationskandidat; fi
printf '%s:\\n  Installed: (none)\\n  %s: %s\\n  Version table:\\n' chromium "$word" "$(cat "$STATE/candidate")"
for ((i = 0; i < 4000; ++i)); do echo "     120.0.6099.$i-1~deb12u1 500 a line of the version table"; done
""",
    "apt-get": """
note "apt-get $*"
case $1 in
  update) if [ -e "$STATE/no-source" ]; then echo 'E: no source' >&2; exit 100; fi; > "$STATE/updated" ;;
  install)
    [ "$DEBIAN_FRONTEND" = noninteractive ] || { echo 'a question' >&2; exit 1; }
    if [ -e "$STATE/no-install" ]; then echo 'E: held' >&2; exit 100; fi
    for word; do case $word in install|-*) ;; *) echo "<$word>" >> "$STATE/installed" ;; esac; done ;;
esac
""",
    "id": 'cat "$STATE/user"\n',
    "sudo": 'note "sudo $1"\nunset DEBIAN_FRONTEND\nexec "$@"\n',
    "python3": """
note "python3 $*"
if [ "$1 $2" = '-m venv' ]; then mkdir -p "$3/bin"; cp "$STATE/venv-python" "$3/bin/python"; chmod +x "$3/bin/python"; fi
""",
}
SUDO = ("sudo",)  # only some machines have it


class Machine:
    """A copy of what set-up needs, and a PATH that leads to stand-ins and basic tools alone."""

    def __init__(self, folder, installed=(), user=0, candidate="120.0.6099.129-1~deb12u1", has_sudo=False, marks=()):
        self.folder, self.state = folder, folder / "state"
        (folder / "tree" / "scripts").mkdir(parents=True)
        self.state.mkdir()
        for name in ("setup.sh", "requirements.txt", "requirements-test.txt", "requirements-optional.txt"):
            shutil.copy(SOURCE / "scripts" / name, folder / "tree" / "scripts" / name)
        (self.state / "installed").write_text("".join(f"<{name}>\n" for name in installed))
        (self.state / "user").write_text(f"{user}\n")
        (self.state / "candidate").write_text(candidate)
        for mark in marks:
            (self.state / mark).touch()
        self.path = folder / "bin"
        self.path.mkdir()
        for tool in TOOLS:
            (self.path / tool).symlink_to(shutil.which(tool))
        for name, body in STAND_INS.items():
            if name not in SUDO or has_sudo:
                self.write(self.path / name, body)
        self.write(self.state / "venv-python", 'note "pip ${@: -1}"\n[ ! -e "$STATE/no-$(basename "${@: -1}")" ]\n')

    def write(self, path, body):
        path.write_text(f'#!{shutil.which("bash")}\nnote() {{ echo "$*" >> "$STATE/calls"; }}\n{body}')
        path.chmod(0o755)

    def set_up(self, *args, **env):
        """The result, and the calls of the stand-ins of this time."""
        (self.state / "calls").write_text("")
        start = time.monotonic()
        done = subprocess.run([self.path / "bash", "scripts/setup.sh", *args], cwd=self.folder / "tree", stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, env={"PATH": str(self.path), "STATE": str(self.state), "LANG": "de_DE.UTF-8", **env})
        result = toy.Result(done.returncode, done.stdout, done.stderr, time.monotonic() - start)
        return result, (self.state / "calls").read_text().splitlines()


class Machines:
    def __init__(self, folder):
        self.folder, self.n = folder, 0

    def new(self, **options):
        self.n += 1
        folder = self.folder / str(self.n)
        folder.mkdir()
        return Machine(folder, **options)


def packages_of(calls):
    install = [call for call in calls if call.startswith("apt-get install")]
    return [word for word in install[0].split()[2:] if not word.startswith("-")] if install else []


def needs(problems, result, words):
    """It ended with 4 and one line of error that has these words."""
    lines = [line for line in result.err.splitlines() if line.startswith("setup: error: ")]
    problems.equal((result.rc, len(lines)), (4, 1), f"exit code and error lines of {result.err!r}")
    for word in (": got ", "; need ", *words):
        problems.need(lines and word in lines[0], f"the error lacks {word!r}: {result.err!r}")


def check_a_machine_with_nothing_gets_everything_once(machines, problems):
    machine = machines.new()
    result, calls = machine.set_up("--tests")
    problems.equal((result.rc, result.out), (0, ""), f"exit code and stdout; stderr {result.err!r}")
    packages = packages_of(calls)
    for name in ("g++", "cmake", "ninja-build", "python3-venv", "libgtest-dev", "clang-format", "chromium", *LIBRARIES):
        problems.need(name in packages, f"{name} is not installed: {packages}")
    order = [" ".join(call.split()[:2]) for call in calls]
    problems.equal(order, ["apt-get update", "apt-cache policy", "apt-get install", "python3 -m", "pip scripts/requirements.txt", "pip scripts/requirements-test.txt", "pip scripts/requirements-optional.txt"], "calls")
    again, calls = machine.set_up("--tests")
    problems.equal((again.rc, again.err, calls), (0, "", []), "the second call, which has nothing to do")


def check_without_tests_no_browser_is_asked_for(machines, problems):
    result, calls = machines.new(candidate="(none)").set_up()
    problems.equal(result.rc, 0, f"exit code; stderr {result.err!r}")
    problems.need(not {"chromium", "clang-tidy"} & set(packages_of(calls)), f"packages of the tests: {calls}")
    problems.need("pip scripts/requirements-test.txt" not in calls, "requirements of the tests")


def check_a_machine_with_everything_installs_no_package(machines, problems):
    full = machines.new()
    full.set_up("--tests")
    installed = re.findall("<(.*)>", (full.state / "installed").read_text())
    for user in (0, 1000):
        result, calls = machines.new(installed=installed, user=user).set_up("--tests")
        problems.equal(result.rc, 0, f"exit code; stderr {result.err!r}")
        problems.equal([call for call in calls if call.startswith("apt")], [], f"calls of apt as user {user}")


def check_what_is_missing_is_installed_alone(machines, problems):
    full = machines.new()
    full.set_up("--tests")
    installed = re.findall("<(.*)>", (full.state / "installed").read_text())
    some = [f"removed:{name}" if name == "cmake" else name for name in installed if name != "ccache"]
    result, calls = machines.new(installed=some).set_up("--tests")
    problems.equal((result.rc, packages_of(calls)), (0, ["cmake", "ccache"]), f"exit code and packages; stderr {result.err!r}")


def check_without_rights_it_says_what_to_install(machines, problems):
    result, calls = machines.new(user=1000).set_up("--tests")
    needs(problems, result, ("no right", "apt-get install ", "g++", "chromium"))
    problems.equal(calls, [], "calls")


def check_sudo_is_used_where_it_is_there(machines, problems):
    result, calls = machines.new(user=1000, has_sudo=True).set_up("--tests")
    problems.equal(result.rc, 0, f"exit code; stderr {result.err!r}")
    problems.equal([call for call in calls if call.startswith("sudo")], ["sudo apt-get", "sudo env"], "calls through sudo")
    problems.need(packages_of(calls), f"nothing is installed: {calls}")
    refused, _ = machines.new(user=1000, has_sudo=True, marks=("no-source",)).set_up()
    needs(problems, refused, ("'sudo apt-get update'", "the right to use sudo"))


def check_without_a_package_of_chromium_it_names_the_way_out(machines, problems):
    machine = machines.new(candidate="(none)")
    result, calls = machine.set_up("--tests")
    needs(problems, result, ("no package 'chromium'", "CHROMIUM=PATH"))
    problems.equal(packages_of(calls), [], "packages installed before the error")
    result, calls = machine.set_up("--tests", CHROMIUM="/opt/browser")
    problems.equal(result.rc, 0, f"exit code with CHROMIUM; stderr {result.err!r}")
    problems.need("chromium" not in packages_of(calls) and "clang-tidy" in packages_of(calls), f"calls with CHROMIUM: {calls}")


def check_a_failure_of_apt_is_said(machines, problems):
    result, calls = machines.new(marks=("no-source",)).set_up("--tests")
    needs(problems, result, ("'apt-get update'", "package source"))
    problems.equal(calls, ["apt-get update -qq"], "calls")
    result, calls = machines.new(marks=("no-install",)).set_up("--tests")
    needs(problems, result, ("'apt-get install ", "g++"))
    problems.need(not any(call.startswith("python3") for call in calls), "it goes on to .venv")


def check_what_is_optional_is_tried_again_and_stops_nothing(machines, problems):
    machine = machines.new(marks=("no-requirements-optional.txt",))
    for call in ("first", "second"):
        result, calls = machine.set_up()
        problems.equal((result.rc, result.out), (0, ""), f"exit code and stdout of the {call} call; stderr {result.err!r}")
        said = [line for line in result.err.splitlines() if "Parquet" in line]
        problems.need(len(said) == 1 and said[0].startswith("setup: got a failure of pip") and "requirements-optional.txt" in said[0], f"stderr of the {call} call: {result.err!r}")
        problems.need("setup: error" not in result.err, f"an error of the {call} call: {result.err!r}")
        problems.equal(calls[-1:], ["pip scripts/requirements-optional.txt"], f"the last of the {call} call")
    (machine.state / "no-requirements-optional.txt").unlink()
    result, calls = machine.set_up()
    problems.equal((result.rc, calls), (0, ["pip scripts/requirements-optional.txt"]), "the call that gets it")
    problems.need("failure" not in result.err, f"stderr of the call that gets it: {result.err!r}")
    again, calls = machine.set_up()
    problems.equal((again.rc, again.err, calls), (0, "", []), "the call after it")


def check_a_failure_of_pip_is_an_error_for_what_is_needed(machines, problems):
    for name, args in (("requirements.txt", ()), ("requirements-test.txt", ("--tests",))):
        result, calls = machines.new(marks=(f"no-{name}",)).set_up(*args)
        needs(problems, result, ("a failure of pip", f"the packages of scripts/{name}"))
        problems.equal(calls[-1:], [f"pip scripts/{name}"], "the last call")


def piped_into_a_reader_that_stops(script):
    """The pipes of a shell script into `grep -q`, `grep -m` or `head`, which may end the writer by SIGPIPE."""
    text = re.sub(r"^\s*#.*$", "", script, flags=re.MULTILINE)
    return re.findall(r"(?<!\|)\|(?!\|)&?\s*\\?\s*(?:[A-Z_]+=\S* +)*(?:[ef]?grep\b[^|;&\n]*?\s(?:-[A-Za-z]*[qm]|--quiet|--silent|--max-count)|head\b)[^|;&\n]*", text)


def check_no_script_pipes_into_a_reader_that_stops(machines, problems):
    made = {"a | grep -q b": 1, "a |\n  grep -Eq b": 1, "a | LC_ALL=C grep -i -q b": 1, "a | egrep --quiet b": 1, "a | head -n 1": 1, "a | grep -m1 b": 1,
            "grep -q b file": 0, "a || grep -q b file": 0, "# a | grep -q b": 0, "a | grep -v b": 0, "a | grep -c -- x": 0}
    for script, n in made.items():
        problems.equal(len(piped_into_a_reader_that_stops(script)), n, f"pipes found in {script!r}")
    scripts = [path for pattern in ("*.sh", ".ci/*", "scripts/**/*.sh", "tests/**/*.sh") for path in SOURCE.glob(pattern) if path.is_file()]
    problems.need(len(scripts) >= 8, f"only {len(scripts)} scripts")
    for path in scripts:
        problems.equal(piped_into_a_reader_that_stops(path.read_text()), [], f"{path.relative_to(SOURCE)}")


def main():
    with tempfile.TemporaryDirectory(prefix="evenkeel-setup-") as root:
        return run_checks("setup_test", [[(sys.modules[__name__], Machines(pathlib.Path(os.path.realpath(root))))]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

"""What the tables of bad_input_test.py are made of: a case, and setups that put files into its folder."""
import shutil
from dataclasses import dataclass, field

CPU = ("--threads", "1", "--device", "cpu")


@dataclass
class Case:
    name: str
    args: list  # "{S}" is the case's own folder, "{F}" the one with good inputs
    says: tuple = ()  # what the error line contains; with {S} and {F} too
    rc: int = 2
    setup: object = None  # called with the case's folder
    stdin: bytes = b""
    leaves_run: bool = False  # "out" may be left as a run folder without checkpoints
    max_file_bytes: int = 0  # > 0: RLIMIT_FSIZE, as on a full disk


@dataclass
class Table:
    cases: list = field(default_factory=list)

    def add(self, *args, **kwargs):
        self.cases.append(Case(*args, **kwargs))


# ---- setups: what is put into a case's folder before it runs ----


def write(name, content):
    """A setup that makes one file (bytes or text) in the case's folder."""
    def setup(sandbox):
        path = sandbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return setup


def steps(*setups):
    def setup(sandbox):
        for one in setups:
            one(sandbox)
    return setup


def copy(good, source, name=None):
    def setup(sandbox):
        target = sandbox / (name or source)
        (shutil.copytree if (good / source).is_dir() else shutil.copy)(good / source, target)
    return setup


def change(name, edit):
    """A setup that rewrites a file's bytes."""
    def setup(sandbox):
        path = sandbox / name
        path.write_bytes(edit(path.read_bytes()))
    return setup


def remove(name):
    return lambda sandbox: (sandbox / name).unlink()

#!/usr/bin/env python3
"""Makes the demo's text: English and German documentation out of Debian packages.

  python3 scripts/demo_corpus.py --out DIR [--max-mb 12]

Manual pages, LibreOffice help and fortunes are downloaded and unpacked, not installed, stripped of
markup, filtered by language and de-duplicated by paragraph. DIR gets {en,de}.{train,heldout}.txt and
corpus.json. In a text file a line is a paragraph and an empty line ends a document. A page and its
translation are held out together, and a paragraph stands only once in the whole corpus. Documents in
both languages are preferred where a language has to be cut.

A folder made by this very script with the same options is left as it is, whatever versions the
archive offers by now: a run that is resumed reads the text that it began with.
Needs Python 3.10, apt and dpkg; no root. Exit status 2: a problem, told in one line.
"""
import argparse
import collections
import concurrent.futures
import gzip
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from demo_markup import LANGUAGES, SKIPPED_FORTUNES, fortune_paragraphs, html_paragraphs, man_paragraphs, reason_to_drop

SPLITS = ("train", "heldout")
HELDOUT_FRACTION = 0.05     # of the bytes of each kind
FORTUNE_CHUNK_BYTES = 6000  # fortunes are short: a document is some of them, in the file's order
MIN_DOCUMENT_CHARS = 200
BOILERPLATE_PAGES = 6       # a paragraph that stands in so many pages is part of none
# systemd and util-linux are there for their English manual pages: manpages-de translates them.
PACKAGES = {
    "man": {"en": ["manpages", "manpages-dev", "systemd", "util-linux"],
            "de": ["manpages-de", "manpages-de-dev"]},
    "help": {"en": ["libreoffice-help-en-us"], "de": ["libreoffice-help-de"]},
    "fortunes": {"en": ["fortunes", "fortunes-min"], "de": ["fortunes-de"]},
}


class CorpusError(Exception):
    """A problem of the machine or of a package; the message is what the user reads."""


def fingerprint(text):
    """Equal for paragraphs that differ only in case, digits, punctuation or spaces."""
    return hashlib.blake2b("".join(re.findall(r"[^\W\d_]+", text.lower())).encode(), digest_size=12).digest()


# ------------------------------------------------------------------------------------------ documents

def read_text(path):
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def extract(job):
    """(kind, language, page, path) -> (kind, language, page, [documents], dropped).

    dropped is a list of reasons: of paragraphs, or "document_mdoc", "document_other_language".
    """
    kind, language, page, path = job
    source = read_text(pathlib.Path(path))
    parse = {"man": man_paragraphs, "help": html_paragraphs, "fortunes": fortune_paragraphs}[kind]
    paragraphs = parse(source)
    if paragraphs is None:
        return kind, language, page, [], ["document_mdoc"]
    kept, dropped = [], []
    for paragraph in paragraphs:
        paragraph = paragraph.replace("\u00ad", "").replace("\u200b", "").strip()
        reason = reason_to_drop(paragraph, language)
        dropped.append(reason) if reason else kept.append(paragraph)
    if kind != "fortunes" and dropped.count("other_language") > len(kept):
        return kind, language, page, [], ["document_other_language"]
    return kind, language, page, (chunks(kept) if kind == "fortunes" else [kept]), dropped


def chunks(paragraphs):
    documents, size = [[]], 0
    for paragraph in paragraphs:
        if size >= FORTUNE_CHUNK_BYTES:
            documents.append([])
            size = 0
        documents[-1].append(paragraph)
        size += len(paragraph.encode())
    return documents


def find_pages(root, kind, language):
    """[(page, path)] in order; a page and its translation have the same name."""
    pages = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.is_symlink() or not path.is_file():
            continue
        if kind == "man":
            here = "/man/de/man" if language == "de" else "usr/share/man/man"
            if here in relative and path.suffix == ".gz":
                pages.setdefault(path.name.removesuffix(".gz"), path)
        elif kind == "help":
            found = re.search(r"/help/[^/]+/text/(.+)\.html$", relative)
            if found:
                pages.setdefault(found.group(1), path)
        elif "/games/fortunes/" in relative and not re.search(r"\.(dat|u8)$|/off/", relative):
            if path.name not in SKIPPED_FORTUNES:
                pages.setdefault(f"{language}/{path.name}", path)
    return sorted(pages.items())


class Document:
    def __init__(self, kind, language, page, paragraphs):
        self.kind, self.language, self.page, self.paragraphs = kind, language, page, paragraphs
        # Pages of one name in two sections (printf.1, printf.3) are held out together.
        name = re.sub(r"\.\w+$", "", page).lower() if kind == "man" else page
        self.group = f"{kind}/{name}"
        self.order = hashlib.sha256(f"{self.group} {page}".encode()).hexdigest()
        self.split = "train"

    def text(self):
        return "\n".join(self.paragraphs) + "\n"

    def size(self):
        return len(self.text().encode()) + 1


def deduplicate(documents, dropped):
    """Drops paragraphs of many pages, then all but the first of equal ones, then what is left too short.

    English documents come first: an English paragraph in a German document goes.
    """
    pages = collections.Counter()
    for document in documents:
        pages.update((document.language, mark) for mark in sorted({fingerprint(p) for p in document.paragraphs}))
    seen, kept = set(), []
    for document in sorted(documents, key=lambda d: (LANGUAGES.index(d.language), d.kind, d.page)):
        left = []
        for paragraph in document.paragraphs:
            mark = fingerprint(paragraph)
            if pages[document.language, mark] >= BOILERPLATE_PAGES:
                dropped[document.language]["boilerplate"] += 1
            elif mark in seen:
                dropped[document.language]["duplicate"] += 1
            else:
                seen.add(mark)
                left.append(paragraph)
        if sum(map(len, left)) >= MIN_DOCUMENT_CHARS:
            kept.append(Document(document.kind, document.language, document.page, left))
        else:
            dropped[document.language]["document_short"] += 1
    return kept


def cut_to_size(documents, limit_bytes, dropped):
    """Each language to at most limit_bytes; documents that are in one language only go first."""
    languages = collections.defaultdict(set)
    for document in documents:
        languages[document.kind, document.page].add(document.language)
    kept = []
    for language in LANGUAGES:
        size = 0
        own = [document for document in documents if document.language == language]
        for document in sorted(own, key=lambda d: (len(languages[d.kind, d.page]) == 1 and d.kind != "fortunes",
                                                   d.order)):
            if size + document.size() > limit_bytes:
                dropped[language]["document_over_limit"] += 1
                continue
            size += document.size()
            kept.append(document)
    return sorted(kept, key=lambda d: d.order)


def hold_out(documents):
    """Sets every document's split: of each kind whole groups, in the order of their hash.

    A group is a page's name: its translation and its other sections go with it. Call it after
    deduplicate(), which leaves each paragraph in one document only.
    """
    sizes, chosen = collections.Counter(), set()
    pools = collections.defaultdict(lambda: collections.defaultdict(int))
    for document in documents:
        pool = (document.kind, document.language if document.kind == "fortunes" else "")
        pools[pool][document.group] += document.size()
        sizes[pool] += document.size()
    for pool, groups in sorted(pools.items()):
        held_bytes = 0
        for group in sorted(groups, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
            if held_bytes + groups[group] <= HELDOUT_FRACTION * sizes[pool]:
                held_bytes += groups[group]
                chosen.add(group)
    for document in documents:
        document.split = "heldout" if document.group in chosen else "train"


# ------------------------------------------------------------------------------------------- packages

def run(command, **options):
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(command, capture_output=True, text=True, env=environment, **options)
    except FileNotFoundError:
        raise CorpusError(f"{command[0]}: not found; need a Debian or Ubuntu system with apt and dpkg") from None


def available_packages():
    """Those of PACKAGES that apt knows, {kind: {language: [name]}}; every kind in both languages or an error."""
    names = sorted(name for kinds in PACKAGES.values() for packages in kinds.values() for name in packages)
    policy = run(["apt-cache", "policy", *names]).stdout
    known = set(re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (?!\(none\))", policy, re.M))
    found = {kind: {language: [name for name in names if name in known] for language, names in packages.items()}
             for kind, packages in PACKAGES.items()}
    for kind, packages in found.items():
        for language in LANGUAGES:
            if not packages[language]:
                raise CorpusError(f"apt: got no package of {' '.join(PACKAGES[kind][language])}; "
                                  "run `apt-get update` as root (on Ubuntu with the component universe)")
    return found


def download(packages, folder):
    """Unpacks every package to folder/NAME; returns {name: version}."""
    names = sorted({name for kinds in packages.values() for names in kinds.values() for name in names})
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    result = run(["apt-get", *as_root, "-q", "-o", "Acquire::http::Timeout=20", "download", *names], cwd=folder)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("E:")] or ["E: no message"]
        raise CorpusError(f"apt-get download: got \"{errors[0][2:].strip()}\"; need the network and fresh lists: "
                          "run `apt-get update` as root, then this again")
    versions = {}
    for file in sorted(folder.glob("*.deb")):
        name, version = run(["dpkg-deb", "-W", "--showformat=${Package} ${Version}", str(file)]).stdout.split()
        if run(["dpkg-deb", "-x", str(file), str(folder / name)]).returncode:
            raise CorpusError(f"{file.name}: dpkg-deb cannot unpack it; need room under {folder.parent}")
        versions[name] = version
        file.unlink()
    return versions


# ------------------------------------------------------------------------------------------- the steps

def say(text):
    print(f"demo_corpus: {text}", flush=True)


def extract_all(packages, folder, dropped):
    jobs = []
    for kind, languages in packages.items():
        for language, names in languages.items():
            pages = {}
            for name in names:
                for page, path in find_pages(folder / name, kind, language):
                    pages.setdefault(page, path)
            if not pages:
                raise CorpusError(f"{' '.join(names)}: got no page of kind {kind}; need a package that holds some")
            jobs += [(kind, language, page, str(path)) for page, path in pages.items()]
    say(f"reading {len(jobs)} files")
    documents = []
    with concurrent.futures.ProcessPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for done, result in enumerate(pool.map(extract, jobs, chunksize=32), start=1):
            kind, language, page, texts, reasons = result
            dropped[language].update(reasons)
            for index, paragraphs in enumerate(texts):
                name = f"{page}/{index:03d}" if kind == "fortunes" else page
                documents.append(Document(kind, language, name, paragraphs))
            if done % 2000 == 0:
                say(f"read {done} of {len(jobs)} files")
    return documents


def write(out, documents, facts):
    """Texts and corpus.json, each whole or not at all; corpus.json last, it vouches for the texts."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "corpus.json").unlink(missing_ok=True)
    facts["files"] = {}
    for language in LANGUAGES:
        for split in SPLITS:
            chosen = [d for d in documents if d.language == language and d.split == split]
            data = "\n".join(document.text() for document in chosen).encode()
            kinds = collections.Counter()
            for document in chosen:
                kinds[document.kind] += document.size()
            name = f"{language}.{split}.txt"
            put(out / name, data)
            facts["files"][name] = {"documents": len(chosen), "paragraphs": sum(len(d.paragraphs) for d in chosen),
                                    "bytes": len(data), "bytes_by_kind": dict(sorted(kinds.items())),
                                    "sha256": hashlib.sha256(data).hexdigest()}
            say(f"{name}: {len(chosen)} documents, {len(data) / 1e6:.2f} MB")
    put(out / "corpus.json", (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())


def put(path, data):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def is_made(out, script, max_mb):
    try:
        facts = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
        return (facts["script"] == script and facts["max_mb"] == max_mb and len(facts["files"]) == 4 and
                all((out / name).stat().st_size == file["bytes"] for name, file in facts["files"].items()))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def make(out, max_mb):
    here = pathlib.Path(__file__)
    script = hashlib.sha256(here.read_bytes() + here.with_name("demo_markup.py").read_bytes()).hexdigest()[:16]
    if is_made(out, script, max_mb):
        say(f"{out}: already made, nothing to do")
        return
    start = time.monotonic()
    dropped = {language: collections.Counter() for language in LANGUAGES}
    with tempfile.TemporaryDirectory(prefix="evenkeel-corpus-") as name:
        folder = pathlib.Path(name)
        packages = available_packages()
        count = len({name for kinds in packages.values() for names in kinds.values() for name in names})
        say(f"downloading and unpacking {count} packages (about 20 MB, nothing is installed)")
        versions = download(packages, folder)
        documents = extract_all(packages, folder, dropped)
    say(f"de-duplicating {sum(len(d.paragraphs) for d in documents)} paragraphs")
    documents = cut_to_size(deduplicate(documents, dropped), max_mb * 1e6, dropped)
    hold_out(documents)
    write(out, documents, {
        "schema": "evenkeel.corpus.v1", "script": script, "max_mb": max_mb, "packages": versions,
        "dropped": {language: dict(sorted(counts.items())) for language, counts in dropped.items()}})
    say(f"done in {time.monotonic() - start:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the corpus")
    parser.add_argument("--max-mb", type=float, default=12.0, help="most megabytes of a language (default 12)")
    arguments = parser.parse_args()
    try:
        if not arguments.max_mb >= 0.1:
            raise CorpusError(f"--max-mb: got {arguments.max_mb}; need 0.1 or more")
        make(arguments.out, arguments.max_mb)
    except (CorpusError, OSError) as problem:
        print(f"demo_corpus: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

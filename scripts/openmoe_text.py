#!/usr/bin/env python3
"""Makes the code and the conversations of the OpenMoE studies, as JSON lines.

  python3 scripts/openmoe_text.py code --out code.jsonl [--max-mb 4]
  python3 scripts/openmoe_text.py dialogues FILE --out dialogues.jsonl [--max-mb 4]
  python3 scripts/openmoe_text.py sessions --out dialogues.jsonl

code: the library of this Python and the C++ headers of this machine's compiler, a file a record {"text"}, at most --max-mb of each
language, the same file once. dialogues: of a text whose conversations are apart by blank lines and whose lines begin with "User: " or
"System: " (also .xz, .gz), records {"messages": [{"role", "content"}, ...]}. sessions: the same of the interactive sessions in the
documentation of Python's library: what is typed is the user's, what Python answers the assistant's.

The order of records is that of the hashes of their text, so that a cut takes some of everything. Standard library only.
Exit status 2: a problem, told in one line.
"""
import argparse
import ast
import doctest
import gzip
import hashlib
import json
import lzma
import os
import pathlib
import re
import sys
import sysconfig

NOT_LIBRARY = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
HEADERS = pathlib.Path("/usr/include/c++")
ROLES = {"User": "user", "System": "assistant"}
SOURCE_FILE_CHARS = (200, 200_000)  # shorter ones are empty modules, longer ones tables


class TextError(Exception):
    """A problem of the machine or of a file; the message is what the user reads."""


def order(text):
    return hashlib.sha256(text.encode()).hexdigest()


def read_utf8(path):
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None  # the library has a few files in other encodings


def library_files():
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    return [path for path in sorted(root.rglob("*.py")) if not NOT_LIBRARY & set(path.relative_to(root).parts)]


def header_files(root=HEADERS):
    """Those of the newest version."""
    versions = sorted((path for path in root.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
    return sorted(path for path in versions[-1].rglob("*") if path.is_file()) if versions else []


def cut(texts, max_bytes):
    """Each text once, in the order of hashes, as many as there is room for."""
    kept, size = [], 0
    for _, text in sorted({order(text): text for text in texts}.items()):
        n_bytes = len(text.encode())
        if size + n_bytes <= max_bytes:
            size += n_bytes
            kept.append(text)
    return kept


def code_records(max_bytes):
    out = []
    for language, files, hint in (("Python", library_files(), "python3"), ("C++", header_files(), "g++")):
        texts = [text for text in map(read_utf8, files) if text is not None and SOURCE_FILE_CHARS[0] <= len(text) <= SOURCE_FILE_CHARS[1]]
        if not texts:
            raise TextError(f"code: got no {language} files on this machine; need those that come with {hint}")
        out += [{"text": text, "language": language} for text in cut(texts, max_bytes)]
    return sorted(out, key=lambda record: order(record["text"]))


def read_text(path):
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(pathlib.Path(path).suffix, open)
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            return file.read()
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise TextError(f"{path}: {error}; need a readable text, plain or as .xz or .gz") from None


def messages_of(conversation):
    """Neighbouring lines of one speaker are one message; None where a line has no speaker, or nobody answers."""
    messages = []
    for line in conversation.splitlines():
        speaker, colon, content = line.partition(": ")
        if not colon or speaker not in ROLES:
            return None
        role = ROLES[speaker]
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += "\n" + content.strip()
        else:
            messages.append({"role": role, "content": content.strip()})
    return messages if any(message["role"] == "assistant" for message in messages) else None


def dialogue_records(path, max_bytes):
    conversations = [part.strip() for part in re.split(r"\n\s*\n", read_text(path)) if part.strip()]
    found = [messages for messages in map(messages_of, cut(conversations, max_bytes)) if messages]
    if not found:
        raise TextError(f"{path}: got {len(conversations)} parts and no conversation; need lines that begin with 'User: ' or 'System: '")
    return [{"messages": messages} for messages in found]


def docstrings(source):
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, holders))
    return [text for text in found if text and ">>> " in text]


def session_of(docstring):
    """What is typed until there is an answer is one message."""
    messages, typed = [], []
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return None
    for example in examples:
        lines = example.source.rstrip("\n").split("\n")
        typed += [">>> " + lines[0]] + ["... " + line for line in lines[1:]]
        if example.want.strip():
            messages += [{"role": "user", "content": "\n".join(typed)}, {"role": "assistant", "content": example.want.rstrip("\n")}]
            typed = []
    return messages or None


def session_records():
    texts = [text for source in map(read_utf8, library_files()) if source for text in docstrings(source)]
    found = [messages for messages in map(session_of, cut(texts, sys.maxsize)) if messages]
    if not found:
        raise TextError("sessions: got none in Python's library; need a text of conversations instead")
    return [{"messages": messages} for messages in found]


def put(path, records):
    """Whole or not at all."""
    path = pathlib.Path(path)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    os.replace(temporary, path)
    print(f"openmoe_text: {path}: {len(records)} records, {path.stat().st_size / 1e6:.2f} MB", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("code", "dialogues", "sessions"))
    parser.add_argument("file", nargs="?", help="of dialogues: the text")
    parser.add_argument("--out", required=True)
    parser.add_argument("--max-mb", type=float, default=4, help="of code: of each language")
    given = parser.parse_args()
    max_bytes = int(given.max_mb * 1e6)
    try:
        if (given.what == "dialogues") != (given.file is not None):
            raise TextError(f"{given.what}: got {given.file or 'no file'}; need a file with dialogues, and none with the others")
        records = {"code": lambda: code_records(max_bytes), "dialogues": lambda: dialogue_records(given.file, max_bytes), "sessions": session_records}[given.what]()
        put(given.out, records)
    except TextError as error:
        print(f"openmoe_text: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

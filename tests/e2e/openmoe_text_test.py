#!/usr/bin/env python3
"""scripts/openmoe_text.py: code and conversations of this machine, on small inputs."""
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import openmoe_text as text  # noqa: E402


class Conversations(unittest.TestCase):
    def test_lines_of_one_speaker_are_one_message(self):
        self.assertEqual(text.messages_of("User: a\nUser: b: c\nSystem: d"), [{"role": "user", "content": "a\nb: c"}, {"role": "assistant", "content": "d"}])

    def test_other_speakers_and_unanswered_ones_are_none(self):
        for conversation in ("Chorus: a\nSystem: b", "no speaker", "User: a", ""):
            self.assertIsNone(text.messages_of(conversation), conversation)

    def test_a_text_is_cut_at_blank_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "talk.txt.xz"
            with lzma.open(path, "wt") as file:
                file.write("User: a\nSystem: b\n\nUser: c\nSystem: d\n\nUser: a\nSystem: b\n\nUser: alone\n")
            found = [record["messages"] for record in text.dialogue_records(path, 10**6)]
        self.assertEqual(sorted(messages[0]["content"] for messages in found), ["a", "c"])

    def test_what_is_typed_until_there_is_an_answer_is_one_message(self):
        session = text.session_of("Text.\n\n>>> a = 1\n>>> for i in range(2):\n...     print(i)\n0\n1\n\n>>> b = 2\n")
        self.assertEqual(session, [{"role": "user", "content": ">>> a = 1\n>>> for i in range(2):\n...     print(i)"}, {"role": "assistant", "content": "0\n1"}])
        self.assertIsNone(text.session_of("nothing\n"))

    def test_sessions_come_from_docstrings(self):
        self.assertEqual(text.docstrings('def f():\n    """>>> f()\n    1\n    """\nx = ">>> no"\n'), [">>> f()\n1"])
        self.assertEqual(text.docstrings("def ("), [])


class Code(unittest.TestCase):
    def test_each_text_once_and_no_more_than_there_is_room(self):
        texts = ["a" * 10, "b" * 10, "a" * 10, "c" * 10]
        self.assertEqual(sorted(text.cut(texts, 1000)), sorted(set(texts)))
        self.assertEqual(len(text.cut(texts, 25)), 2)
        self.assertEqual(text.cut(texts, 25), text.cut(texts[::-1], 25))

    def test_the_library_without_its_tests(self):
        files = text.library_files()
        self.assertIn("doctest.py", {path.name for path in files})
        self.assertFalse([path for path in files if {"test", "site-packages"} & set(path.parts[-3:-1])])

    def test_headers_are_those_of_the_newest_version(self):
        with tempfile.TemporaryDirectory() as folder:
            for version in ("9", "12"):
                (pathlib.Path(folder) / version / "bits").mkdir(parents=True)
                (pathlib.Path(folder) / version / "bits" / "x.h").write_text(version)
            self.assertEqual([path.read_text() for path in text.header_files(pathlib.Path(folder))], ["12"])

    def test_a_machine_without_headers_is_told_so(self):
        with mock.patch.object(text, "header_files", lambda: []):
            with self.assertRaisesRegex(text.TextError, "no C\\+\\+ files"):
                text.code_records(1000)


class Program(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run([sys.executable, ROOT / "scripts" / "openmoe_text.py", *map(str, arguments)], capture_output=True, text=True)

    def test_it_writes_json_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "code.jsonl"
            self.assertEqual(self.run_it("code", "--out", out, "--max-mb", "0.05").returncode, 0)
            records = [json.loads(line) for line in out.read_text().splitlines()]
            self.assertEqual({record["language"] for record in records}, {"Python", "C++"})
            self.assertLessEqual(sum(len(record["text"].encode()) for record in records), 100_000)

    def test_wrong_input_is_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "plain.txt").write_text("no speaker\n")
            for arguments in (("dialogues",), ("dialogues", f"{folder}/none.txt"), ("dialogues", f"{folder}/plain.txt"), ("code", f"{folder}/plain.txt")):
                done = self.run_it(*arguments, "--out", f"{folder}/out")
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
                self.assertFalse((pathlib.Path(folder) / "out").exists())


if __name__ == "__main__":
    unittest.main()

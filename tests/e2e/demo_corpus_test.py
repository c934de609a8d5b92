#!/usr/bin/env python3
"""Tests of scripts/demo_corpus.py on small inputs; no network, no packages."""
import collections
import contextlib
import gzip
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import demo_corpus as corpus  # noqa: E402
import demo_markup  # noqa: E402


def document(kind, language, page, *paragraphs):
    return corpus.Document(kind, language, page, list(paragraphs))


def counters():
    return {language: collections.Counter() for language in corpus.LANGUAGES}


class Troff(unittest.TestCase):
    def paragraphs(self, *lines):
        return corpus.man_paragraphs("\n".join(lines))

    def test_fonts_and_joined_arguments(self):
        self.assertEqual(self.paragraphs(".SH DESCRIPTION", "The", ".BR open (2)", "call reads", ".IR path ,",
                                         r"or \fB\-x\fP; a \(bu dot\&. \[u00E4]\(:u\*(Aq"),
                         ["The open(2) call reads path, or -x; a dot. äü'"])

    def test_items_carry_their_tag(self):
        self.assertEqual(self.paragraphs(".SH OPTIONS", ".TP", ".BR \\-a ,", ".TQ", "\\-\\-all", "List it.",
                                         ".IP \\(bu 2", "First.", '.IP "two words" 4', "Second.", ".PP", "Third."),
                         ["-a, --all: List it.", "First.", "two words: Second.", "Third."])

    def test_comments_tables_code_and_conditions_go(self):
        self.assertEqual(self.paragraphs('.\\" comment', "'\\\" t", ".SH NOTES", 'Before. \\" said', ".TS", "a;b", ".TE",
                                         ".nf", "code();", ".fi", ".EX", "more();", ".EE", ".ie n \\{\\",
                                         "\\h'-04'\\(bu\\c", ".\\}", ".el \\{\\", ".IP \\(bu 2.3", ".\\}", "After."),
                         ["Before.", "After."])

    def test_dropped_sections_end_at_the_next(self):
        self.assertEqual(self.paragraphs(".SH SYNOPSIS", ".nf", "int f(void);", ".SH BESCHREIBUNG", "Ein Satz.",
                                         ".SS", "Titel", "Noch einer.", '.SH "SIEHE AUCH"', "x(1)"),
                         ["Ein Satz.", "Noch einer."])

    def test_link_shows_its_text_or_else_its_address(self):
        self.assertEqual(self.paragraphs(".SH A", "See", ".UR http://x.org", "the page", ".UE ,", "or",
                                         ".UR http://y.org", ".UE ."), ["See the page, or http://y.org."])

    def test_mdoc_is_refused(self):
        self.assertIsNone(self.paragraphs(".Dd May 1", ".Dt X 1"))


class Html(unittest.TestCase):
    def test_menus_tables_headings_and_code_go(self):
        source = ('<p>header</p><div id="DisplayArea"><h1>Title</h1><p class="paragraph">One &amp; <b>two</b>.</p>'
                  '<div class="howtoget"><div><p>Choose A</p></div></div><table><tr><td>Key</td></tr></table>'
                  '<p class="code">f()</p><ul><li><p>Item.</p></li></ul></div>')
        self.assertEqual(corpus.html_paragraphs(source), ["One & two.", "Item."])

    def test_switch_takes_one_form_and_never_the_mac(self):
        source = ('<div id="DisplayArea"><p>Press <span class="switchinline"><span class="MAC">Command</span>'
                  '<span id="d">Ctrl</span><span>Alt</span></span>+Z.</p></div>')
        self.assertEqual(corpus.html_paragraphs(source), ["Press Ctrl+Z."])


class Fortunes(unittest.TestCase):
    def test_attribution_and_drawings(self):
        source = "A line\nand more.\n\t\t-- Somebody\n%\n+=======+\n| x |\n%\n__\x08\x08It is.\n%\n"
        self.assertEqual(corpus.fortune_paragraphs(source), ["A line and more. — Somebody", "It is."])

    def test_chunks_hold_every_paragraph_once(self):
        paragraphs = [f"{index} " + "x" * 998 for index in range(20)]
        documents = corpus.chunks(paragraphs)
        self.assertEqual(sum(documents, []), paragraphs)
        self.assertEqual([len(part) for part in documents], [6, 6, 6, 2])


class Language(unittest.TestCase):
    english = "The file is opened for reading if the flag is set by the caller."
    german = "Die Datei wird zum Lesen geöffnet, wenn der Schalter vom Aufrufer gesetzt ist."

    def test_each_language_only_in_its_own_set(self):
        self.assertEqual(corpus.reason_to_drop(self.english, "en"), "")
        self.assertEqual(corpus.reason_to_drop(self.german, "de"), "")
        self.assertEqual(corpus.reason_to_drop(self.english, "de"), "other_language")
        self.assertEqual(corpus.reason_to_drop(self.german, "en"), "other_language")

    def test_reasons(self):
        for text, reason in (("Too short.", "short"),
                             ("alpha beta gamma delta epsilon zeta eta theta iota kappa", "not_prose"),
                             ("The value is 0x1 | 0x2 | 0x4 | 0x8 | 0x10 & ~0x20 != (1 << 7) + 3", "not_prose"),
                             ("Choose the Format menu - the Cells dialog - the Borders.", "not_prose"),
                             ("This page was written by the author who is to be reached at a@b.org.", "boilerplate")):
            self.assertEqual(corpus.reason_to_drop(text, "en"), reason, text)

    def test_no_function_word_of_both(self):
        self.assertEqual(demo_markup.FUNCTION_WORDS["en"] & demo_markup.FUNCTION_WORDS["de"], frozenset())


class Documents(unittest.TestCase):
    def long(self, word):
        return " ".join(word + letter for letter in "abcdefghijklmnopqrstuvwxyz" * 3)

    def test_a_paragraph_stands_once_in_the_corpus(self):
        dropped = counters()
        kept = corpus.deduplicate([document("man", "de", "a.1", self.long("x").upper() + " 7", self.long("y")),
                                   document("man", "en", "a.1", self.long("x")),
                                   document("man", "en", "b.1", self.long("x"))], dropped)
        self.assertEqual([(d.language, d.page, d.paragraphs) for d in kept],
                         [("en", "a.1", [self.long("x")]), ("de", "a.1", [self.long("y")])])
        self.assertEqual(dropped["en"], {"duplicate": 1, "document_short": 1})
        self.assertEqual(dropped["de"], {"duplicate": 1})

    def test_what_stands_in_many_pages_goes_everywhere(self):
        pages = [document("man", "en", f"{letter}.1", self.long("same"), self.long(letter))
                 for letter in "abcdefgh"[:corpus.BOILERPLATE_PAGES]]
        dropped = counters()
        self.assertTrue(all(len(d.paragraphs) == 1 for d in corpus.deduplicate(pages, dropped)))
        self.assertEqual(dropped["en"], {"boilerplate": corpus.BOILERPLATE_PAGES})

    def test_translations_and_sections_are_held_out_together(self):
        pages = [document("man", language, f"page{index}.{section}", "x" * 1000)
                 for index in range(200) for section in (1, 3) for language in corpus.LANGUAGES]
        corpus.hold_out(pages)
        splits = collections.defaultdict(set)
        for page in pages:
            splits[page.page.split(".")[0]].add(page.split)
        self.assertTrue(all(len(split) == 1 for split in splits.values()))
        self.assertEqual(sum(page.split == "heldout" for page in pages), 10 * 4)  # 5 % of 200 names

    def test_a_cut_keeps_pages_of_both_languages(self):
        pages = [document("man", "en", f"{index}.1", "x" * 998) for index in range(10)]
        pages += [document("man", "de", f"{index}.1", "x" * 998) for index in range(5)]
        dropped = counters()
        kept = corpus.cut_to_size(pages, 5000, dropped)
        names = {language: sorted(d.page for d in kept if d.language == language) for language in corpus.LANGUAGES}
        self.assertEqual(names["en"], names["de"])
        self.assertEqual(dropped["en"], {"document_over_limit": 5})


def fake_download(packages, folder):
    """One manual page, help page and fortune file of each language, as the packages lay them out."""
    text = {"en": "The {} is opened for reading if the flag is set by the caller of the {} system.",
            "de": "Die {} wird zum Lesen geöffnet, wenn der Schalter vom Aufrufer der {} gesetzt ist."}
    layout = {"man": {"en": "manpages/usr/share/man/man1", "de": "manpages-de/usr/share/man/de/man1"},
              "help": {"en": "libreoffice-help-en-us/usr/share/libreoffice/help/en-US/text",
                       "de": "libreoffice-help-de/usr/share/libreoffice/help/de/text"},
              "fortunes": {"en": "fortunes/usr/share/games/fortunes", "de": "fortunes-de/usr/share/games/fortunes/de"}}
    for kind, paths in layout.items():
        for language, path in paths.items():
            (folder / path).mkdir(parents=True)
            lines = [text[language].format(kind + letter * 3, letter * 9) for letter in "abcdef"]
            if kind == "man":
                (folder / path / "x.1.gz").write_bytes(gzip.compress(("\n.PP\n".join([".SH A", *lines])).encode()))
            elif kind == "help":
                body = "".join(f"<p>{line}</p>" for line in lines)
                (folder / path / "x.html").write_text(f'<div id="DisplayArea">{body}</div>', encoding="utf-8")
            else:
                (folder / path / "x").write_text("\n%\n".join(lines), encoding="utf-8")
    return {"manpages": "1"}


class EndToEnd(unittest.TestCase):
    def call(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", ["demo_corpus.py", *arguments]), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = corpus.main()
        return status, out.getvalue(), err.getvalue()

    def test_makes_once_and_the_same_again(self):
        with tempfile.TemporaryDirectory() as name, mock.patch.object(corpus, "download", fake_download), \
                mock.patch.object(corpus, "available_packages", lambda: corpus.PACKAGES):
            status, _, err = self.call("--out", f"{name}/a")
            self.assertEqual((status, err), (0, ""))
            train = pathlib.Path(name, "a", "de.train.txt").read_text(encoding="utf-8")
            self.assertEqual([len(part.strip().split("\n")) for part in train.split("\n\n")], [6, 6, 6])
            self.assertIn("already made", self.call("--out", f"{name}/a")[1])
            self.assertEqual(self.call("--out", f"{name}/b")[0], 0)
            facts = [json.loads(pathlib.Path(name, folder, "corpus.json").read_text()) for folder in "ab"]
            self.assertEqual(facts[0], facts[1])
            pathlib.Path(name, "a", "en.train.txt").write_text("cut")
            self.assertNotIn("already made", self.call("--out", f"{name}/a")[1])

    def test_no_package_is_one_line_and_status_2(self):
        nothing = mock.Mock(stdout="manpages:\n  Installed: (none)\n  Candidate: (none)\n", returncode=0)
        with tempfile.TemporaryDirectory() as name, mock.patch.object(corpus, "run", lambda *_, **__: nothing):
            status, _, err = self.call("--out", f"{name}/a")
        self.assertEqual((status, err.count("\n")), (2, 1))
        self.assertIn("apt-get update", err)

    def test_refuses_a_limit_of_nothing(self):
        self.assertEqual(self.call("--out", "unused", "--max-mb", "0")[0], 2)


if __name__ == "__main__":
    unittest.main()

"""Markup to paragraphs of plain text: manual pages (troff), help pages (HTML), fortunes; and the rules that
tell prose of one language from everything else. Used by demo_corpus.py."""
import html
import re

LANGUAGES = ("en", "de")

# ---------------------------------------------------------------- manual pages (troff, man macros)

CHARACTERS = {
    "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "ha": "^", "ti": "~", "ga": "`",
    "em": "—", "en": "–", "hy": "-", "at": "@", "rs": "\\", "sl": "/", "co": "©", "rg": "®", "tm": "™",
    "mu": "×", "+-": "±", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←", "ra": "⟩", "la": "⟨",
    "de": "°", "sc": "§", "mc": "µ", "if": "∞", "is": "∫", "pd": "∂", "*m": "μ", "*p": "π", "*b": "β",
    "Fo": "«", "Fc": "»", "Bq": "„", "bq": "‚", "bu": "", "sd": "″", "fm": "′", "S2": "²", "S1": "¹",
    ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "ss": "ß", "'e": "é", "'a": "á",
    "^o": "ô", "`a": "à", "`e": "è", "eq": "=", "pl": "+", "mi": "-", "lB": "[", "rB": "]", "lC": "{",
    "rC": "}", "sh": "#", "Do": "$", "ba": "|", "bv": "|", "or": "|", "12": "½", "14": "¼",
}
STRINGS = {"Aq": "'", "lq": "“", "rq": "”", "L\"": "“", "R\"": "”", "R": "®", "C`": "", "C'": "", "--": "–"}
ESCAPE = re.compile(r"""\\(?:
      f(?:\[[^]]*\]|\(..|.)                             # font
    | s(?:[-+]?\[[^]]*\]|[-+]?'[^']*'|\([-+]?..|[-+]?\d) # size
    | [mFMgknYV](?:\[[^]]*\]|\([^ ]{2}|[+-]?.)          # colour, register …
    | [hvwlLDbRSHXAxB]'[^']*'                           # motion, width, drawing
    | N'(?P<code>\d+)' | o'(?P<over>[^']*)'
    | \*(?:\[(?P<s1>[^]]*)\]|\((?P<s2>..)|(?P<s3>.))    # string
    | \[(?P<c1>[^]]*)\] | \((?P<c2>..)                  # special character
    | \$(?:\[[^]]*\]|\(..|.)
    | (?P<one>.) )""", re.X)
SINGLE = {"-": "-", "e": "\\", "\\": "\\", " ": " ", "~": " ", "0": " ", "'": "'", "`": "`", "_": "_",
          ".": ".", "t": " ", "+": "+", "«": "«", "»": "»"}


def _expand(match):
    group = match.groupdict()
    name = group["c1"] or group["c2"]
    if name:
        if re.fullmatch(r"u[0-9A-F]{4,5}", name):
            return chr(int(name[1:], 16))
        return chr(int(name[4:])) if re.fullmatch(r"char\d{2,4}", name) else CHARACTERS.get(name, "")
    if group["code"]:
        return chr(int(group["code"]))
    if group["over"]:
        return group["over"][-1]
    string = group["s1"] or group["s2"] or group["s3"]
    return STRINGS.get(string, "") if string else SINGLE.get(group["one"] or "", "")


def expand_escapes(text):
    return ESCAPE.sub(_expand, text) if "\\" in text else text


def macro_arguments(rest):
    """`a "b c" d` -> [a, b c, d]; a doubled quote inside quotes is one, and `\\ ` splits nothing."""
    found = re.findall(r'"((?:[^"]|"")*)"?|((?:\\.|[^\s"\\])(?:\\.|[^\s\\])*)', rest)
    return [quoted.replace('""', '"') if not plain else plain for quoted, plain in found]


DROPPED_SECTIONS = re.compile(
    r"(SYNOPSIS|ÜBERSICHT|SYNTAX|LIBRARY|BIBLIOTHEK|ATTRIBUTES?|SEE ALSO|SIEHE AUCH|AUTHORS?|AUTOR(EN)?|"
    r"COPYRIGHT|COPYING|LICEN[CS]E|LIZENZ|URHEBERRECHT|COLOPHON|KOLOPHON|(REPORTING )?BUG(S| REPORTS)|"
    r"FEHLER( MELDEN|BERICHTE)?|ÜBERSETZUNG|DANKSAGUNGEN?|ACKNOWLEDGE?MENTS|AVAILABILITY|VERFÜGBARKEIT|"
    r"RESOURCES|RESSOURCEN|WWW|STANDARDS|CONFORMING TO|KONFORM ZU|HISTORY|GESCHICHTE|VERSIONS|VERSIONEN)")
SKIPPED_UNTIL = {"TS": {"TE"}, "EQ": {"EN"}, "PS": {"PE"}, "nf": {"fi", "SH", "SS"}, "EX": {"EE", "SH", "SS"},
                 "de": {"."}, "am": {"."}, "ig": {"."}, "de1": {"."}, "am1": {"."}}
BREAKS = {"PP", "P", "LP", "sp", "RS", "RE", "br", "HP", "in", "ti", "INDENT", "UNINDENT", "Pp"}
FONTS_SPACED = {"B", "I", "SM", "SB", "CW", "C", "T"}
FONTS_JOINED = {"BR", "IR", "BI", "RB", "RI", "IB"}


class ManPage:
    """The paragraphs of one manual page; conditional requests, tables and code are left out."""

    def __init__(self):
        self.paragraphs = []
        self.words = []        # lines of the paragraph that is being read
        self.tag = ""          # what a .TP or .IP item stands for
        self.expects = ""      # "tag", "heading" or "subheading": what the next line of text is
        self.is_dropped = False
        self.skip_until = None
        self.depth = 0         # open \{ of conditional requests
        self.link = ("", 0)    # the address of an open .UR, and where its text begins in words

    def end_paragraph(self):
        text = re.sub(r"\s+", " ", "".join(self.words)).strip()
        tag = re.sub(r"\s+", " ", self.tag).strip().rstrip(":")
        if text:
            if not self.is_dropped:
                self.paragraphs.append(f"{tag}: {text}" if tag else text)
            self.tag = ""
        self.words = []

    def add(self, raw):
        text = expand_escapes(raw)
        if self.expects == "heading":
            self.start_section(raw)
        elif self.expects == "subheading":
            self.expects = ""
        elif self.expects == "tag":
            self.tag = f"{self.tag.strip().rstrip(',')}, {text}" if self.tag else text
            self.expects = ""
        else:
            self.words.append(text + ("" if raw.endswith("\\c") else " "))

    def start_section(self, heading):
        self.expects = ""
        name = re.sub(r"\s+", " ", expand_escapes(heading)).strip().upper()
        self.is_dropped = bool(DROPPED_SECTIONS.fullmatch(name))

    def line(self, line):
        is_request = line[:1] in (".", "'")
        parts = re.match(r"[.']\s*([^\s\\]*)[ \t]*(.*)", line) if is_request else None
        name, rest = (parts.group(1), parts.group(2)) if parts else ("", line)
        if self.skip_until:
            if name not in self.skip_until:
                return
            self.skip_until = None
            if name not in ("SH", "SS"):
                self.end_paragraph()
                return
        if self.depth or (is_request and name in ("if", "ie", "el", "while")):
            self.depth = max(0, self.depth + line.count("\\{") - line.count("\\}"))
            return
        rest = re.sub(r'\\["#].*', "", rest)
        if not is_request:
            self.add(rest) if rest.strip() else self.end_paragraph()
        elif name in SKIPPED_UNTIL:
            self.end_paragraph()
            self.skip_until = SKIPPED_UNTIL[name]
        else:
            self.request(name, rest)

    def request(self, name, rest):
        arguments = macro_arguments(rest)
        if name in ("SH", "SS"):
            self.end_paragraph()
            self.tag = ""
            self.expects = "" if arguments else "heading" if name == "SH" else "subheading"
            if arguments and name == "SH":
                self.start_section(" ".join(arguments))
        elif name in ("TP", "TQ", "IP"):
            self.end_paragraph()
            if name != "TQ":
                self.tag = ""
            self.expects = "" if name == "IP" else "tag"
            if name == "IP" and arguments:
                tag = expand_escapes(arguments[0])
                self.tag = tag if re.search(r"[^\W\d_]{2}|^-", tag) else ""
        elif name in BREAKS:
            self.end_paragraph()
            if name in ("PP", "P", "LP"):
                self.tag = ""
        elif name in FONTS_SPACED and arguments:
            self.add(" ".join(arguments))
        elif name in FONTS_JOINED and arguments:
            self.add("".join(arguments))
        elif name in ("UR", "MT"):
            self.link = ((arguments or [""])[0], len(self.words))
        elif name in ("UE", "ME"):
            self.end_link((arguments or [""])[0])
        elif name == "URL" and len(arguments) > 1:
            self.add("".join(arguments[1:]))

    def end_link(self, punctuation):
        address, start = self.link
        if address and len(self.words) == start:
            self.words.append(expand_escapes(address) + " ")
        if punctuation and self.words:
            self.words[-1] = self.words[-1].rstrip() + expand_escapes(punctuation) + " "


def man_paragraphs(source):
    """Paragraphs of a page in man macros; None for one in mdoc macros, which are another language."""
    if re.search(r"^\.Dd\b", source, re.M):
        return None
    page = ManPage()
    for line in source.split("\n"):
        page.line(line.rstrip("\r"))
    page.end_paragraph()
    return page.paragraphs


# ---------------------------------------------------------------------------- LibreOffice help (HTML)

TOKEN = re.compile(r"<!--.*?-->|<(/?)([a-zA-Z][a-zA-Z0-9]*)([^>]*)>|([^<]+)|<", re.S)
VOID = {"br", "img", "meta", "link", "input", "hr", "base", "col", "wbr", "source"}
BLOCKS = {"p", "div", "li", "ul", "ol", "td", "th", "tr", "table", "dd", "dt", "section", "h1", "h2", "h3", "h4"}
SKIPPED_TAGS = {"script", "style", "nav", "header", "aside", "button", "table", "pre", "footer", "noscript",
                "h1", "h2", "h3", "h4", "h5", "h6", "label", "title", "head"}
SKIPPED_CLASSES = {"howtoget", "related", "relatedtopics", "relatedbody", "icontable", "noteicon", "code",
                   "bascode", "pycode", "smathcode", "sqlcode", "codeintable", "debug", "bug", "MAC",
                   "howtogetheader", "paragraphintable", "screenshot", "genericimage"}


def html_paragraphs(source):
    """Paragraphs of a help page's text; menus, tables, code, headings and link lists are left out.

    A passage that differs by application (class switchinline) is read in its first form.
    """
    start = source.find('<div id="DisplayArea"')
    paragraphs, words, open_tags = [], [], []  # open_tags: [tag, is_skipped, is_switch, has_case]

    def end_paragraph():
        text = re.sub(r"\s+", " ", "".join(words)).strip()
        if text:
            paragraphs.append(re.sub(r" ([.,])(?=\s|$)", r"\1", text))
        words.clear()

    for token in TOKEN.finditer(source, max(start, 0)):
        closing, tag, attributes, text = token.groups()
        if text is not None:
            if not (open_tags and open_tags[-1][1]):
                words.append(html.unescape(text))
            continue
        if tag is None:
            continue
        tag = tag.lower()
        if tag in BLOCKS or tag == "br":
            end_paragraph()
        if tag in VOID:
            continue
        if closing:
            if any(entry[0] == tag for entry in open_tags):
                while open_tags.pop()[0] != tag:
                    pass
            continue
        found = re.search(r'class="([^"]*)"', attributes)
        classes = set(found.group(1).split()) if found else set()
        parent = open_tags[-1] if open_tags else ["", False, False, False]
        is_skipped = parent[1] or tag in SKIPPED_TAGS or bool(classes & SKIPPED_CLASSES)
        if parent[2] and not is_skipped:  # the first form; a Mac's keys are no form of their own
            is_skipped, parent[3] = parent[3], True
        open_tags.append([tag, is_skipped, "switchinline" in classes, False])
    end_paragraph()
    return paragraphs


# ------------------------------------------------------------------------------------------- fortunes

SKIPPED_FORTUNES = {"ascii-art", "asciiart", "ethnic", "men-women", "drugs", "translations", "huhn", "zippy",
                    "offensive", "namen", "quiz", "knghtbrd", "channel-debian.fortunes"}


def fortune_paragraphs(source):
    """A fortune is a paragraph; who said it stands behind a dash. Rules and quotation bars go."""
    paragraphs = []
    for fortune in re.split(r"^%.*$", re.sub(r"_*\x08+|\x07", "", source), flags=re.M):
        if re.search(r"[^\s\w]{6,}|(\S {4,}\S.*\n.*){3}", fortune):  # a drawing or a table
            continue
        text = re.sub(r"^[ \t]*[>|][ \t]*", "", fortune, flags=re.M)
        text = re.sub(r"(^|\s)--+\s*(?=\S)", " — ", text)
        paragraphs.append(re.sub(r"\s+", " ", text).strip())
    return [paragraph for paragraph in paragraphs if paragraph]


# -------------------------------------------------------------------------- language, prose, boilerplate

FUNCTION_WORDS = {  # none that is a word of both languages (in, an, so, was, am, will, man, also, bin …)
    "en": frozenset("the of and to is for that with this are be it by from as not or if can which you when "
                    "has have on at used use all any may must will should does only but into than then each "
                    "other there its these their they he she his her your we i my one more no what who how "
                    "would been were do about out up such using where between after before a".split()),
    "de": frozenset("die der und das den des dem ist nicht ein eine einen einem einer eines wird werden mit "
                    "für auf von zu zum zur im als auch sie es sich oder wenn bei aus kann können dass daß wie "
                    "nur nach über sind durch falls diese dieser dieses diesen diesem alle ihre ihrer sein um "
                    "vom aber ich er wir hat haben bis noch unter vor ohne wurde zwischen muss keine kein nie "
                    "soll sollte ob denn mir mich ihr wer weil schon mehr immer beim ins wo ja nichts".split()),
}
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
BOILERPLATE = re.compile(
    r"copyright|©|licen[cs]e|lizenz|all rights reserved|alle rechte vorbehalten|permission is granted|"
    r"redistribut|merchantab|gewährleistung|übersetzung (dieser|wurde)|übersetzt von|translated by|"
    r"mailing ?list|[\w.+-]+@[\w-]+\.\w|report(ing)? bugs|fehlerbericht|this page is part of|diese seite ist teil|"
    r"generated by|this (manual )?page was written|handbuchseite wurde|free software|freie software|"
    r"^\S+\(\d\w*\) [—–]|texinfo|vollständige dokumentation unter|full documentation|https?://\S+$", re.I)


MENU_PATH = re.compile(r"(Choose|Select|Wählen Sie) [^.…,;]* [-–] [^.…,;]*[.…]*")
UNREADABLE = re.compile(r"[{}\x00-\x1f\x7f-\x9f\ufffd]|\S{60}|^<\w+>")  # code, broken bytes, chats


def language_of(words):
    """"en", "de" or "": the language that at least a tenth of the words are function words of."""
    counts = {language: sum(word in FUNCTION_WORDS[language] for word in words) for language in LANGUAGES}
    first, second = sorted(LANGUAGES, key=lambda language: -counts[language])
    return first if counts[first] * 10 >= len(words) and counts[first] > 2 * counts[second] else ""


def reason_to_drop(text, language):
    """Why a paragraph is no prose of the language; "" where it is."""
    words = WORD.findall(text.lower())
    if len(words) < 6 or len(text) < 40:
        return "short"
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    if letters < 0.82 * len(text) or UNREADABLE.search(text) or MENU_PATH.fullmatch(text):
        return "not_prose"
    if BOILERPLATE.search(text):
        return "boilerplate"
    found = language_of(words)
    return "" if found == language else "other_language" if found else "not_prose"

"""Tokenizers drawn at random and made by the `tokenizers` library, for tokenizer_json_parity.py."""

import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PATTERNS = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}", r"\s?\p{L}+", r"[一-龥぀-ゟ゠-ヿ]+", r"\s+$", r"\w+|[^\w\s]+", r"[\r\n]", r"\d", r"(?<=\s)\S", r"x*", r"\b",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|\p{N}+|\s+|.",
    r"[\p{Han}&&[^一]]+", r"\P{L}", r"[^\P{L}a-f]+", r"^.|.$", r"(?m:a.b)", r"\h+", r"(a|b)\1", r"a{,2}b", r"(?i)straße|k", r"[\w&&[^\d]]+",
    r"\p{^N}+", r"[[:digit:][:space:]]+", r"(?>a+)b", r"e\u0301|\x{1F600}",
]  # fmt: skip
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
REPLACEMENTS = [(" ", "▁"), ("``", '"'), ("a", ""), ("é", "e")]
REGEX_REPLACEMENTS = [(r"\s+", " "), (r"[\x{300}-\x{36f}]", ""), (r" {2,}", " "), (r"\d+", "0"), (r"^", ">")]


def drawn_normalizer(rng, depth=0):
    kinds = ["none", "nfc", "nfd", "nfkc", "nfkd", "prepend", "replace", "regex", "strip", "lower", "sequence"]
    kind = rng.choice(kinds if depth == 0 else kinds[1:-1])
    forms = {"nfc": normalizers.NFC, "nfd": normalizers.NFD, "nfkc": normalizers.NFKC, "nfkd": normalizers.NFKD}
    if kind in forms:
        return forms[kind]()
    if kind == "prepend":
        return normalizers.Prepend(rng.choice(["▁", " ", "ab"]))
    if kind == "replace":
        return normalizers.Replace(*rng.choice(REPLACEMENTS))
    if kind == "regex":
        pattern, content = rng.choice(REGEX_REPLACEMENTS)
        return normalizers.Replace(Regex(pattern), content)
    if kind == "strip":
        return normalizers.Strip(rng.random() < 0.7, rng.random() < 0.7)
    if kind == "lower":
        return normalizers.Lowercase()
    if kind == "sequence":
        return normalizers.Sequence([drawn_normalizer(rng, 1) for _ in range(rng.randint(1, 4))])
    return None


def drawn_pre_tokenizer(rng, depth=0):
    kinds = ["none", "split", "text", "byte_level", "metaspace", "digits", "punctuation", "whitespace", "space_split", "delimiter", "sequence"]
    kind = rng.choice(kinds + ["sequence", "split", "byte_level"] if depth == 0 else kinds[1:-1])
    if kind == "split":
        return pre_tokenizers.Split(Regex(rng.choice(PATTERNS)), rng.choice(BEHAVIORS), rng.random() < 0.2)
    if kind == "text":
        return pre_tokenizers.Split(rng.choice([" ", "a", "ab", "。", "."]), rng.choice(BEHAVIORS), rng.random() < 0.2)
    if kind == "byte_level":
        return pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.4, use_regex=rng.random() < 0.7)
    if kind == "metaspace":
        return pre_tokenizers.Metaspace("▁", rng.choice(["always", "first", "never"]), rng.random() < 0.7)
    if kind == "digits":
        return pre_tokenizers.Digits(rng.random() < 0.5)
    if kind == "punctuation":
        return pre_tokenizers.Punctuation(rng.choice(BEHAVIORS))
    if kind == "delimiter":
        return pre_tokenizers.CharDelimiterSplit(rng.choice([" ", "e", "。"]))
    if kind == "sequence":
        return pre_tokenizers.Sequence([drawn_pre_tokenizer(rng, 1) for _ in range(rng.randint(1, 3))])
    return {"whitespace": pre_tokenizers.Whitespace, "space_split": pre_tokenizers.WhitespaceSplit}.get(kind, lambda: None)()


def drawn_decoder(rng):
    return rng.choice([
        None, decoders.ByteLevel(), decoders.Metaspace("▁", rng.choice(["always", "first", "never"])), decoders.Fuse(),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
        decoders.BPEDecoder("</w>"), decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]),
    ])  # fmt: skip


def drawn_added_token(rng):
    content = rng.choice(["<sep>", "<|im_start|>", "  ", "    ", "the", "é", "Ｆull", "ab", "abc", "\n\n", " x", "中文", "1", "ﬁ"])
    return AddedToken(
        content,
        single_word=rng.random() < 0.25,
        lstrip=rng.random() < 0.25,
        rstrip=rng.random() < 0.25,
        normalized=rng.random() < 0.5,
        special=rng.random() < 0.4,
    )


def drawn_unigram(rng, texts, parts):
    """Pieces of the words that the other parts make of the texts, with drawn scores."""
    normalizer, pre_tokenizer = parts
    pieces = {"<unk>": 0.0, "<s>": 0.0, "</s>": 0.0}
    for text in texts:
        text = normalizer.normalize_str(text) if normalizer else text
        for word, _ in pre_tokenizer.pre_tokenize_str(text) if pre_tokenizer else [(text, None)]:
            for _ in range(4):
                begin = rng.randrange(len(word) + 1)
                pieces.setdefault(word[begin : begin + rng.choice([1, 1, 1, 2, 2, 3, 4, 6, 9])], -rng.choice([rng.uniform(1, 14), rng.randint(2, 12)]))
    pieces.pop("", None)
    return {"type": "Unigram", "unk_id": 0, "vocab": [[piece, score] for piece, score in pieces.items()], "byte_fallback": False}


def drawn_model(rng, texts, tokenizer_parts):
    """A model that is made of the texts with the other parts, so that its pieces are those that come up."""
    if rng.random() < 0.35:
        return drawn_unigram(rng, texts, tokenizer_parts)
    alphabet = pre_tokenizers.ByteLevel.alphabet() if rng.random() < 0.5 else []
    affixes = rng.choice([{}, {}, {}, {"end_of_word_suffix": "</w>"}, {"continuing_subword_prefix": "##"}])
    trainer = trainers.BpeTrainer(vocab_size=rng.choice([600, 1200]), special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet,
                                  show_progress=False, limit_alphabet=rng.choice([80, 200, 1000]), **affixes)  # fmt: skip
    tokenizer = Tokenizer(models.BPE(fuse_unk=rng.random() < 0.5, **affixes, **rng.choice([{}, {"unk_token": "<unk>"}])))
    normalizer, pre_tokenizer = tokenizer_parts
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def attempt(action):
    """What the action returns, None where the library fails; its panics are no Exception."""
    try:
        return action()
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return None


def drawn_tokenizer(seed, texts):
    """The text of a tokenizer.json that the library has read and written; None where it cannot train the draw."""
    rng = random.Random(seed)
    parts = drawn_normalizer(rng), drawn_pre_tokenizer(rng)
    sample = rng.sample(texts, 300)
    if (model := attempt(lambda: drawn_model(rng, sample, parts))) is None:
        return None
    if rng.random() < 0.3:
        model["byte_fallback"] = True
        names = [f"<0x{byte:02X}>" for byte in range(256) if rng.random() < 0.998]
        if model["type"] == "BPE":
            model["vocab"].update({name: len(model["vocab"]) + i for i, name in enumerate(names) if name not in model["vocab"]})
        else:
            model["vocab"] += [[name, -12.5] for name in names]
    if model["type"] == "BPE":
        model["ignore_merges"] = rng.random() < 0.3
        if rng.random() < 0.3:
            model["merges"] = [" ".join(pair) for pair in model["merges"] if not any(" " in part for part in pair)]
    frame = Tokenizer(models.BPE())
    if parts[0]:
        frame.normalizer = parts[0]
    if parts[1]:
        frame.pre_tokenizer = parts[1]
    if decoder := drawn_decoder(rng):
        frame.decoder = decoder
    if rng.random() < 0.5:
        single = rng.choice(["<s> $A </s>", "<s> $A", "$A </s>", "<s>:0 $A:0 </s>:0 </s>:0"])
        template = processors.TemplateProcessing(single=single, pair="$A $B", special_tokens=[("<s>", 1), ("</s>", 2)])
        frame.post_processor = rng.choice([template, processors.Sequence([processors.ByteLevel(), template])])
    text = json.loads(frame.to_str())
    text["model"] = model
    tokenizer = Tokenizer.from_str(json.dumps(text))
    for name in ["<unk>", "<s>", "</s>"]:
        tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False)])
    forms = set()
    for _ in range(rng.randint(0, 6)):
        token = drawn_added_token(rng)
        form = parts[0].normalize_str(token.content) if parts[0] and token.normalized else token.content
        if not form or (form, token.normalized) in forms:
            continue  # it would be found between all characters; of two that are equal the library finds either, by chance
        forms.add((form, token.normalized))
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer.to_str()

"""Examples of the training objectives: noise masks, span corruption, UL2's mixtures, prefixes, conversations, packing.

Lengths and masks as T5 has them (arXiv 1910.10683; google-research/text-to-text-transfer-transformer,
t5/data/preprocessors.py: random_spans_helper, random_spans_noise_mask, noise_span_to_unique_sentinel,
nonnoise_span_to_unique_sentinel), the mixtures of OpenMoE (arXiv 2402.01739, table 2) and UL2 (arXiv 2205.05131).

  n = round(t * density) within 1 .. t-1, spans = round(n / mean_span) within 1 .. min(n, t - n)
  inputs = prompt + t - n + spans + eos, targets = n + spans + eos; t is the largest for which both fit
  decoder: [bos] inputs targets[:-1], scored from the first target on

Random numbers are those of rng.py by (seed, purpose, number of the example). Writes objectives.json.
"""

from record import write
from rng import Stream

OPENMOE = [("R", 3, 0.15, 0.1), ("R", 8, 0.15, 0.1), ("X", 3, 0.5, 0.1), ("X", 8, 0.5, 0.1), ("X", 64, 0.5, 0.1),
           ("S", None, "anywhere", 0.5)]
UL2 = [("R", 3, 0.15, 0.8 / 6), ("R", 8, 0.15, 0.8 / 6), ("X", 3, 0.5, 0.8 / 6), ("X", 8, 0.5, 0.8 / 6),
       ("X", 64, 0.15, 0.8 / 6), ("X", 64, 0.5, 0.8 / 6), ("S", None, 0.25, 0.2)]
PUBLISHED = {(3, 0.15): (1137, 229), (8, 0.15): (1178, 200), (3, 0.5): (1534, 1024), (8, 0.5): (1818, 1024),
             (64, 0.5): (2014, 1024)}


def within(low, value, high):
    return max(low, min(value, high))


def noise_counts(length, density, mean_span):
    noise = within(1, round(length * density), length - 1)
    return noise, within(1, round(noise / mean_span), min(noise, length - noise))


def parts(items, count, stream):
    """`count` non-empty parts of `items`: count - 1 of the items - 1 places between two items are borders."""
    borders, needed = [], count - 1
    for place in range(1, items):
        if stream.below(items - place) < needed:
            borders.append(place)
            needed -= 1
    edges = [0] + borders + [items]
    return [right - left for left, right in zip(edges, edges[1:])]


def noise_mask(length, noise, spans, stream):
    noisy = parts(noise, spans, stream)
    clean = parts(length - noise, spans, stream)
    mask = []
    for without, having in zip(clean, noisy):
        mask += [False] * without + [True] * having
    return mask


def replaced(text, mask, first_sentinel, value):
    """The text with each run whose mask is `value` as one sentinel."""
    out, runs = [], 0
    for i, (token, is_noise) in enumerate(zip(text, mask)):
        if is_noise != value:
            out.append(token)
        elif i == 0 or mask[i - 1] != value:
            out.append(first_sentinel - runs)
            runs += 1
    return out


def feed(inputs, targets, bos, prefix_attention):
    whole = inputs + targets
    out = {"tokens": [bos] + whole[:-1], "targets": [-1] * len(inputs) + targets}
    if prefix_attention:
        out["is_prefix"] = [1] * (len(inputs) + 1) + [0] * (len(targets) - 1)
    return out


class Denoisers:
    def __init__(self, options, denoisers):
        self.options, self.denoisers = options, denoisers

    def chosen(self, seed, number):
        if len(self.denoisers) == 1:
            return self.denoisers[0]
        left = (Stream(seed, "denoiser", number).next() >> 11) * 2.0**-53
        for denoiser in self.denoisers[:-1]:
            if left < denoiser[3]:
                return denoiser
            left -= denoiser[3]
        return self.denoisers[-1]

    def prompt(self, denoiser):
        return self.options["prompts"].get(denoiser[0], [])

    def text_tokens(self, denoiser):
        mode, mean_span, density, _ = denoiser
        prompt = len(self.prompt(denoiser))
        if mode == "S":
            return self.options["inputs"] - 1 - prompt
        best = None
        for length in range(2, 4 * (self.options["inputs"] + self.options["targets"])):
            noise, spans = noise_counts(length, density, mean_span)
            if (prompt + length - noise + spans + 1 <= self.options["inputs"]
                    and noise + spans + 1 <= self.options["targets"]):
                best = length
        return best

    def example(self, seed, number, text):
        denoiser = self.chosen(seed, number)
        mode, mean_span, density, _ = denoiser
        if mode == "S":
            least = max(1, len(text) + 1 - self.options["targets"])
            if density == "anywhere":
                split = least + Stream(seed, "split of a text", number).below(len(text) - least)
            else:
                split = max(least, len(text) - within(1, round(len(text) * density), len(text) - 1))
            inputs, targets = text[:split], text[split:]
        else:
            noise, spans = noise_counts(len(text), density, mean_span)
            mask = noise_mask(len(text), noise, spans, Stream(seed, "spans of noise", number))
            inputs = replaced(text, mask, self.options["first_sentinel"], True)
            targets = replaced(text, mask, self.options["first_sentinel"], False)
        eos = self.options["eos"]
        return feed(self.prompt(denoiser) + inputs + [eos], targets + [eos], self.options["bos"],
                    self.options["prefix_attention"])


def prefix_lm(seed, number, text, following, prefix_attention):
    prefix = 1 + Stream(seed, "length of a prefix", number).below(len(text) - 1)
    out = {"tokens": text, "targets": [-1] * (prefix - 1) + following[prefix - 1:]}
    if prefix_attention:
        out["is_prefix"] = [1] * prefix + [0] * (len(text) - prefix)
    return out


def packed(examples, sequence_length):
    """Rows of whole examples, in order; each row as (tokens, targets, document_ids), padded by a document of its own."""
    rows, row = [], []
    for example in examples:
        if row and sum(len(e["tokens"]) for e in row) + len(example["tokens"]) > sequence_length:
            rows.append(row)
            row = []
        row.append(example)
    rows.append(row)
    out = []
    for row in rows:
        tokens, targets, documents = [], [], []
        for number, example in enumerate(row):
            tokens += example["tokens"]
            targets += example["targets"]
            documents += [number] * len(example["tokens"])
        rest = sequence_length - len(tokens)
        out.append({"tokens": tokens + [0] * rest, "targets": targets + [-1] * rest,
                    "document_ids": documents + [len(row)] * rest})
    return out


def conversations(documents, scored, sequence_length):
    out = []
    for tokens, marks in zip(documents, scored):
        fed = min(len(tokens) - 1, sequence_length)
        if any(marks[1:fed + 1]):
            out.append({"tokens": tokens[:fed],
                        "targets": [tokens[i + 1] if marks[i + 1] else -1 for i in range(fed)]})
    return packed(out, sequence_length)


def stream_rows(denoisers, seed, n_rows, sequence_length):
    """Rows of the endless text 20, 21, 22, ... (from 20 again after 119), and where the text of each example begins."""
    def text(begin, length):
        return [20 + (begin + i) % 100 for i in range(length)]
    examples, begins, position, rows = [], [], 0, []
    while True:
        number = len(examples)
        length = denoisers.text_tokens(denoisers.chosen(seed, number))
        begins.append(position)
        examples.append(denoisers.example(seed, number, text(position, length)))
        position += length
        rows = packed(examples, sequence_length)
        if len(rows) > n_rows:
            return {"rows": rows[:n_rows], "text_begins": begins[:-1]}


def main():
    def options_of(inputs, targets, prompts=None, prefix_attention=False):
        return {"inputs": inputs, "targets": targets, "first_sentinel": 199, "prompts": prompts or {}, "bos": 2, "eos": 1,
                "prefix_attention": prefix_attention}

    for (mean_span, density), (length, targets) in PUBLISHED.items():
        one = Denoisers(options_of(1024, 1024), [("X", mean_span, density, 1)])
        noise, spans = noise_counts(length, density, mean_span)
        if one.text_tokens(one.denoisers[0]) != length or noise + spans + 1 != targets:
            raise SystemExit(f"mean span {mean_span}, density {density}: got {one.text_tokens(one.denoisers[0])}")

    masks = [{"n_tokens": n, "density": density, "mean_span": mean_span, "seed": 7, "number": number}
             for number, (n, density, mean_span) in enumerate(
                 [(2, 0.5, 3), (3, 0.15, 3), (17, 0.15, 3), (40, 0.5, 3), (41, 0.5, 8), (64, 0.9, 1), (100, 0.15, 8)])]
    mask_outputs = []
    for case in masks:
        noise, spans = noise_counts(case["n_tokens"], case["density"], case["mean_span"])
        stream = Stream(case["seed"], "a mask", case["number"])
        mask = noise_mask(case["n_tokens"], noise, spans, stream)
        assert sum(mask) == noise and not mask[0] and mask[-1]
        mask_outputs.append({"noise": noise, "spans": spans, "is_noise": [int(value) for value in mask]})

    prompts = {"R": [3, 4], "X": [5, 6, 7], "S": [8]}
    single = [(3, 0.15, options_of(32, 32)), (3, 0.5, options_of(24, 32, {"X": prompts["X"]})),
              (12, 0.15, options_of(40, 24, {"X": prompts["X"]}, True)), (2, 0.4, options_of(30, 12))]
    span_inputs, span_outputs = [], []
    for mean_span, density, options in single:
        mode = "X" if mean_span >= 12 or density >= 0.3 else "R"
        one = Denoisers(options, [(mode, mean_span, density, 1)])
        length = one.text_tokens(one.denoisers[0])
        for number, n_tokens in ((0, length), (1, length), (2, 5)):
            text = [20 + i for i in range(n_tokens)]
            span_inputs.append({"mean_span": mean_span, "density": density, "options": options, "seed": 9,
                                "number": number, "text": text})
            span_outputs.append({"text_tokens": length, **one.example(9, number, text)})

    mixture_inputs, mixture_outputs = [], []
    for name, denoisers in (("openmoe", OPENMOE), ("ul2", UL2)):
        for options in (options_of(32, 32), options_of(40, 24, prompts, True)):
            mixture = Denoisers(options, denoisers)
            for number in range(12):
                length = mixture.text_tokens(mixture.chosen(11, number))
                text = [20 + i for i in range(length)]
                mixture_inputs.append({"mixture": name, "options": options, "seed": 11, "number": number, "text": text})
                mixture_outputs.append({"mode": mixture.chosen(11, number)[0], **mixture.example(11, number, text)})

    prefix_inputs, prefix_outputs = [], []
    for number, (n_tokens, prefix_attention) in enumerate([(2, False), (8, False), (8, True), (31, True), (64, False)]):
        text = [20 + i for i in range(n_tokens)]
        following = text[1:] + [150]
        prefix_inputs.append({"seed": 13, "number": number, "text": text, "following": following,
                              "prefix_attention": prefix_attention})
        prefix_outputs.append(prefix_lm(13, number, text, following, prefix_attention))

    documents, scored, token = [], [], 20
    for length in (4, 7, 1, 3, 12, 5, 9, 2, 2, 6):
        documents.append(list(range(token, token + length)))
        scored.append([1 if (position + len(documents)) % 3 == 0 else 0 for position in range(length)])
        token += length
    packs = {"seed": 5, "n_rows": 6, "sequence_length": 96, "options": options_of(40, 24, prompts)}
    write("objectives.json", "reference",
          "T5 (arXiv 1910.10683), UL2 (arXiv 2205.05131), OpenMoE (arXiv 2402.01739): lengths, masks, sentinels and "
          "mixtures in plain Python",
          {"masks": masks, "span_corruption": span_inputs, "ul2": mixture_inputs, "prefix_lm": prefix_inputs,
           "conversation": {"documents": documents, "scored": scored, "sequence_length": 8}, "packing": packs},
          {"masks": mask_outputs, "span_corruption": span_outputs, "ul2": mixture_outputs, "prefix_lm": prefix_outputs,
           "conversation": conversations(documents, scored, 8),
           "packing": stream_rows(Denoisers(packs["options"], OPENMOE), packs["seed"], packs["n_rows"],
                                  packs["sequence_length"])},
          0, 0,
          "Whole numbers, compared exactly. Random numbers are those of rng.py, by seed, purpose and number of the "
          "example. The published lengths at 1,024 inputs and 1,024 targets are checked where the file is written.")


if __name__ == "__main__":
    main()

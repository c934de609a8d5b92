// Objectives that take parts out of a text and ask for them: span corruption and the mixtures of UL2 (arXiv
// 2205.05131), fed to a decoder. What they share: their keys, one denoiser, and the objective of one or several.
#pragma once

#include "data/objectives/objective.h"

namespace evenkeel::data {

// R: short spans. X, extreme: long spans, or many. S, sequential: the end of the text.
enum class DenoiserMode { R, X, S };

struct Denoiser {
  DenoiserMode mode = DenoiserMode::R;
  double mean_span = 3;            // tokens; of S it means nothing
  double density = 0.15;           // share of the text that is noise
  bool is_split_anywhere = false;  // of S: the text before the split is 1 .. n-1 tokens, each as probable as the others
  double rate = 1;                 // share of the examples
};

// The ids in front of the inputs, by mode.
struct Prompts {
  std::vector<int64_t> R = {}, X = {}, S = {};
  static void visit_fields(auto& prompts, auto&& field) {
    field("R", prompts.R, "ids in front of the inputs of short spans");
    field("X", prompts.X, "ids in front of the inputs of spans of 12 tokens or more, or of a density of 0.3 or more");
    field("S", prompts.S, "ids in front of the inputs of a text that is cut in two");
  }
  const std::vector<int64_t>& of(DenoiserMode mode) const {
    return mode == DenoiserMode::R ? R : mode == DenoiserMode::X ? X : S;
  }
};

struct DenoisingOptions {
  int64_t inputs = 0, targets = 0;
  int64_t first_sentinel = 0;
  Prompts prompts = {};
  int64_t bos = 0, eos = 1;
  bool prefix_attention = false;
  static void visit_fields(auto& options, auto&& field) {
    field(
        "inputs", options.inputs,
        {"the most inputs of an example: prompt, text, sentinels and eos", "tokens", "half of train.sequence_length"});
    field("targets", options.targets,
          {"the most targets of an example: sentinels, text and eos", "tokens", "what inputs leaves of a sequence"});
    field("first_sentinel", options.first_sentinel,
          {"id that stands for the first span of an example; the next ones are one lower each", "id",
           "model.vocab_size - 1"});
    field("prompts", options.prompts, {"ids in front of the inputs: {R = [...], X = [...], S = [...]}", "", "none"});
    field("bos", options.bos, {"id in front of each example", "id"});
    field("eos", options.eos, {"id behind the inputs, and behind the targets", "id"});
    field("prefix_attention", options.prefix_attention, "the inputs see each other, later ones too");
  }
};

// How much text the longest examples of a denoiser have: as much as its inputs and targets may be.
int64_t longest_text(const Denoiser& denoiser, const DenoisingOptions& options);

// Packed examples of one or several denoisers, drawn by their rates.
struct DenoisingKind {
  Json::Object options = {};  // those of the kind itself, `kind` first
  std::vector<Denoiser> denoisers = {};
};
// Completes `options` with what was not given in `config`. ConfigError, naming the key, for ids that the model has not,
// sentinels of the longest example that would be below 0 or are bos, eos or of a prompt, prompts of a mode that no
// denoiser has, and lengths that are too short for a text of two tokens, or together longer than a sequence.
std::unique_ptr<Objective> make_denoising(const ObjectivePlace& place, DenoisingKind kind, DenoisingOptions options,
                                          const ConfigNode& config);

}  // namespace evenkeel::data

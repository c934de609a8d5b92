#include "data/objectives/denoising.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "data/noise_mask.h"
#include "data/span_corruption.h"

namespace evenkeel::data {
namespace {

// Of inputs and of targets, eos included.
struct Lengths {
  int64_t inputs, targets;
};

bool cuts(const Denoiser& denoiser) { return denoiser.mode == DenoiserMode::S; }

int64_t n_prompt(const Denoiser& denoiser, const DenoisingOptions& options) {
  return static_cast<int64_t>(options.prompts.of(denoiser.mode).size());
}

// Of a text of n_tokens whose noise is in spans.
Lengths lengths_of(const Denoiser& denoiser, const DenoisingOptions& options, int64_t n_tokens) {
  const auto noise = noise_counts(n_tokens, denoiser.density, denoiser.mean_span);
  return {n_prompt(denoiser, options) + n_tokens - noise.tokens + noise.spans + 1, noise.tokens + noise.spans + 1};
}

// Tokens of a text that stay in front of the split.
int64_t split_of(const Denoiser& denoiser, const DenoisingOptions& options, const ExampleId& id, int64_t n_tokens) {
  const int64_t least = std::max<int64_t>(1, n_tokens + 1 - options.targets);
  if (!denoiser.is_split_anywhere)
    return std::max(least, n_tokens - noise_counts(n_tokens, denoiser.density, 1).tokens);
  RngStream rng(id.seed, "split of a text", static_cast<uint64_t>(id.number));
  return least + static_cast<int64_t>(rng.below(static_cast<uint64_t>(n_tokens - least)));
}

InputsAndTargets pair_of(const Denoiser& denoiser, const DenoisingOptions& options, const ExampleId& id,
                         const std::vector<int64_t>& text) {
  const auto n_tokens = static_cast<int64_t>(text.size());
  if (cuts(denoiser)) {
    const auto split = text.begin() + split_of(denoiser, options, id, n_tokens);
    return {{text.begin(), split}, {split, text.end()}};
  }
  RngStream rng(id.seed, "spans of noise", static_cast<uint64_t>(id.number));
  const auto noise = noise_counts(n_tokens, denoiser.density, denoiser.mean_span);
  return corrupted(text, random_spans_mask(n_tokens, noise, rng), options.first_sentinel);
}

class Denoising : public Objective {
 public:
  Denoising(DenoisingKind kind, const DenoisingOptions& options, int64_t n_sentinels)
      : kind_(std::move(kind)), options_(options), n_sentinels_(n_sentinels) {
    for (const auto& denoiser : kind_.denoisers) text_tokens_.push_back(longest_text(denoiser, options_));
  }
  int64_t text_tokens(const ExampleId& id) const override { return text_tokens_[number_of(id)]; }
  int64_t least_text_tokens() const override { return 2; }
  int64_t length(const ExampleId& id, int64_t n_tokens) const override {
    const Denoiser& denoiser = kind_.denoisers[number_of(id)];
    if (cuts(denoiser)) return n_prompt(denoiser, options_) + n_tokens + 2;
    const auto [inputs, targets] = lengths_of(denoiser, options_, n_tokens);
    return inputs + targets;
  }
  Example example(const ExampleId& id, const Text& text) const override {
    const Denoiser& denoiser = kind_.denoisers[number_of(id)];
    auto pair = pair_of(denoiser, options_, id, text.tokens);
    const auto& prompt = options_.prompts.of(denoiser.mode);
    pair.inputs.insert(pair.inputs.begin(), prompt.begin(), prompt.end());
    pair.inputs.push_back(options_.eos);
    pair.targets.push_back(options_.eos);
    return decoder_example(pair, {options_.bos, options_.prefix_attention});
  }
  bool packs() const override { return true; }
  bool needs_masks() const override { return true; }
  void check_set(const IndexedDataset& set, const std::string& where) const override;
  AddedIds added_ids() const override;
  Json options() const override {
    Json out = Json(kind_.options);
    const Json shared = evenkeel::to_json(options_);
    for (const auto& [key, value] : shared.as_object()) out[key] = value;
    return out;
  }

 private:
  size_t number_of(const ExampleId& id) const {
    if (kind_.denoisers.size() == 1) return 0;
    double left = RngStream(id.seed, "denoiser", static_cast<uint64_t>(id.number)).uniform();
    size_t number = 0;
    while (number + 1 < kind_.denoisers.size() && left >= kind_.denoisers[number].rate)
      left -= kind_.denoisers[number++].rate;
    return number;
  }
  DenoisingKind kind_;
  DenoisingOptions options_;
  int64_t n_sentinels_;               // that the longest example takes
  std::vector<int64_t> text_tokens_;  // of each denoiser
};

AddedIds Denoising::added_ids() const {
  AddedIds out{.lowest_sentinel = options_.first_sentinel - n_sentinels_ + 1,
               .highest_sentinel = options_.first_sentinel,
               .markers = {{"bos", options_.bos}, {"eos", options_.eos}}};
  for (const int64_t id : options_.prompts.R) out.markers.push_back({"prompts.R", id});
  for (const int64_t id : options_.prompts.X) out.markers.push_back({"prompts.X", id});
  for (const int64_t id : options_.prompts.S) out.markers.push_back({"prompts.S", id});
  return out;
}

// A text that has a sentinel's id would be read as if a span were taken out there.
void Denoising::check_set(const IndexedDataset& set, const std::string& where) const {
  const AddedIds added = added_ids();
  const int64_t first = added.lowest_sentinel, last = added.highest_sentinel;
  const Contents& contents = set.contents();
  if (!added.has_sentinels() || contents.largest_id < first || contents.smallest_id > last) return;
  constexpr int64_t kTokens = int64_t{1} << 20;
  std::vector<int64_t> ids;
  for (int64_t at = 0; at < set.n_tokens(); at += kTokens) {
    ids.resize(static_cast<size_t>(std::min(kTokens, set.n_tokens() - at)));
    set.copy(at, static_cast<int64_t>(ids.size()), ids.data());
    set.release(at, static_cast<int64_t>(ids.size()));
    const auto found = std::find_if(ids.begin(), ids.end(), [&](int64_t id) { return id >= first && id <= last; });
    require<DataError>(found == ids.end(), where, ": got ", set.prefix().string(), " with id ",
                       found == ids.end() ? 0 : *found, " at token ", at + (found - ids.begin()), "; need none of ",
                       first, "..", last, ", the sentinels of phase.objective.first_sentinel");
  }
}

// ---- what the keys may be ----

struct KeyCheck {
  const ConfigNode& config;
  template <class... Need>
  void operator()(bool holds, const char* key, int64_t value, const Need&... need) const {
    require<ConfigError>(holds, got_at(place_of(config, key), join_path(kObjectiveTable.path, key)), value, "; need ",
                         need...);
  }
};

void complete(DenoisingOptions& options, const ObjectivePlace& place, const ConfigNode& config) {
  if (config.find("inputs") == nullptr) options.inputs = place.sequence_length / 2;
  if (config.find("targets") == nullptr) options.targets = std::max<int64_t>(place.sequence_length - options.inputs, 0);
  if (config.find("first_sentinel") == nullptr) options.first_sentinel = place.vocab_size - 1;
}

void check_lengths(const DenoisingOptions& options, const DenoisingKind& kind, const ObjectivePlace& place,
                   const KeyCheck& check) {
  constexpr int64_t kLeast = 3;  // a token of the text, its sentinel, eos
  int64_t longest_prompt = 0;
  for (const auto& denoiser : kind.denoisers) longest_prompt = std::max(longest_prompt, n_prompt(denoiser, options));
  const int64_t least = kLeast + longest_prompt, most = place.sequence_length - kLeast;
  require<ConfigError>(least <= most, check.config.where, ": got a phase.objective of inputs and targets with ",
                       "train.sequence_length = ", place.sequence_length, "; need at least ", least + kLeast,
                       " (prompt, a token of the text, its sentinel and eos; a sentinel, its token and eos)");
  check(options.inputs >= least && options.inputs <= most, "inputs", options.inputs, least, "..", most,
        " (prompt, a token of the text, its sentinel and eos at least; what leaves ", kLeast,
        " targets of train.sequence_length at most)");
  check(options.targets >= kLeast && options.targets <= place.sequence_length - options.inputs, "targets",
        options.targets, kLeast, "..", place.sequence_length - options.inputs,
        " (a sentinel, its token and eos at least; train.sequence_length - inputs at most, which is ",
        place.sequence_length, " - ", options.inputs, ")");
}

// A prompt that no example has would be passed over without a word.
void check_prompts(const DenoisingOptions& options, const DenoisingKind& kind, const KeyCheck& check) {
  const auto check_mode = [&](DenoiserMode mode, const char* key) {
    const auto& prompt = options.prompts.of(mode);
    const bool is_used = std::any_of(kind.denoisers.begin(), kind.denoisers.end(),
                                     [&](const Denoiser& denoiser) { return denoiser.mode == mode; });
    check(is_used || prompt.empty(), key, prompt.empty() ? 0 : prompt[0],
          "none: this objective has no examples of that mode (by mean_span and density spans are those of R or of X)");
  };
  check_mode(DenoiserMode::R, "prompts.R");
  check_mode(DenoiserMode::X, "prompts.X");
  check_mode(DenoiserMode::S, "prompts.S");
}

// The ids that it adds to a text: they are of the model's, and the sentinels are no others.
void check_ids(const DenoisingOptions& options, int64_t n_sentinels, const ObjectivePlace& place,
               const KeyCheck& check) {
  const int64_t last = options.first_sentinel, first = last - n_sentinels + 1;
  check(first >= 0 && last < place.vocab_size, "first_sentinel", last, std::max<int64_t>(n_sentinels - 1, 0), "..",
        place.vocab_size - 1, " (the longest example takes ", n_sentinels,
        " sentinels, each one lower than the one before, and model.vocab_size is ", place.vocab_size, ")");
  const auto check_id = [&](const char* key, int64_t id) {
    check(id >= 0 && id < place.vocab_size, key, id, "0..", place.vocab_size - 1, " (model.vocab_size - 1)");
    check(n_sentinels == 0 || id < first || id > last, key, id, "none of ", first, "..", last,
          ", which are the sentinels (first_sentinel, and one for each span of the longest example)");
  };
  check_id("bos", options.bos);
  check_id("eos", options.eos);
  for (const int64_t id : options.prompts.R) check_id("prompts.R", id);
  for (const int64_t id : options.prompts.X) check_id("prompts.X", id);
  for (const int64_t id : options.prompts.S) check_id("prompts.S", id);
}

}  // namespace

int64_t longest_text(const Denoiser& denoiser, const DenoisingOptions& options) {
  if (cuts(denoiser)) return options.inputs - 1 - n_prompt(denoiser, options);
  const auto fits = [&](int64_t n_tokens) {
    const auto [inputs, targets] = lengths_of(denoiser, options, n_tokens);
    return inputs <= options.inputs && targets <= options.targets;
  };
  int64_t out = 2;  // neither length becomes less with more text
  while (fits(out + 1)) ++out;
  return out;
}

std::unique_ptr<Objective> make_denoising(const ObjectivePlace& place, DenoisingKind kind, DenoisingOptions options,
                                          const ConfigNode& config) {
  const KeyCheck check{config};
  complete(options, place, config);
  check_prompts(options, kind, check);
  check_lengths(options, kind, place, check);
  int64_t n_sentinels = 0;
  for (const auto& denoiser : kind.denoisers)
    if (!cuts(denoiser))
      n_sentinels = std::max(n_sentinels,
                             noise_counts(longest_text(denoiser, options), denoiser.density, denoiser.mean_span).spans);
  check_ids(options, n_sentinels, place, check);
  return std::make_unique<Denoising>(std::move(kind), options, n_sentinels);
}

}  // namespace evenkeel::data

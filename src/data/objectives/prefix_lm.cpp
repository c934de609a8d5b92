// Next-token prediction behind a prefix of random length, which is not scored.
#include <algorithm>

#include "core/rng.h"
#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

struct PrefixLmOptions {
  bool prefix_attention = false;
  static void visit_fields(auto& options, auto&& field) {
    field("prefix_attention", options.prefix_attention, "the tokens of the prefix see each other, later ones too");
  }
};

class PrefixLm : public Objective {
 public:
  PrefixLm(int64_t sequence_length, bool prefix_attention)
      : sequence_length_(sequence_length), prefix_attention_(prefix_attention) {}
  int64_t text_tokens(const ExampleId&) const override { return sequence_length_; }
  int64_t least_text_tokens() const override { return 2; }
  // Of n tokens the first 1 .. n-1 are the prefix, each number as probable as the others. Its last token is scored by
  // the first of the rest.
  Example example(const ExampleId& id, const Text& text) const override {
    RngStream rng(id.seed, "length of a prefix", static_cast<uint64_t>(id.number));
    const size_t prefix = 1 + rng.below(text.tokens.size() - 1);
    Example out{.tokens = text.tokens, .targets = text.following, .document_ids = text.documents};
    std::fill_n(out.targets.begin(), prefix - 1, -1);
    if (!prefix_attention_) return out;
    out.is_prefix.resize(text.tokens.size());
    std::fill_n(out.is_prefix.begin(), prefix, true);
    return out;
  }
  bool needs_masks() const override { return prefix_attention_; }
  Json options() const override { return Json::Object{{"kind", "prefix_lm"}, {"prefix_attention", prefix_attention_}}; }

 private:
  int64_t sequence_length_;
  bool prefix_attention_;
};

std::unique_ptr<Objective> make(const ObjectivePlace& place, PrefixLmOptions options, const ConfigNode& config) {
  require<ConfigError>(place.sequence_length >= 2, config.where,
                       ": got phase.objective.kind = 'prefix_lm' with train.sequence_length = ", place.sequence_length,
                       "; need at least 2, a token of the prefix and one of the rest");
  return std::make_unique<PrefixLm>(place.sequence_length, options.prefix_attention);
}

}  // namespace

ObjectiveFactory prefix_lm_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data

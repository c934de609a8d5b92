// A made-up objective, to show what a new one takes: this file, and the line in data/objectives/registry.cpp that CMake
// adds for this test. A sequence begins with a prefix of random length, whose tokens all see each other and of which
// nothing is scored; `text` tokens of text are taken, and what is left of the sequence is padding.
#include "core/rng.h"
#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

struct TailOptions {
  int64_t text = 0;
  static void visit_fields(auto& options, auto&& field) {
    field("text", options.text, {"tokens of text in a sequence; 0 = as many as it is long", "tokens"});
  }
};

class Tail : public Objective {
 public:
  explicit Tail(int64_t n_tokens) : n_tokens_(n_tokens) {}
  int64_t text_tokens(const ExampleId&) const override { return n_tokens_; }
  Example example(const ExampleId& id, const Text& text) const override {
    RngStream rng(id.seed, "tail objective", static_cast<uint64_t>(id.number));
    const auto n_tokens = static_cast<size_t>(n_tokens_);
    const size_t prefix = 1 + rng.below(n_tokens - 1);
    Example out;
    for (size_t i = 0; i < n_tokens; ++i) {
      out.tokens.push_back(text.tokens[i]);
      out.targets.push_back(i + 1 < prefix ? -1 : text.following[i]);  // the prefix's last token is scored
      out.is_prefix.push_back(i < prefix);
      if (!text.documents.empty()) out.document_ids.push_back(text.documents[i]);
    }
    return out;
  }
  bool needs_masks() const override { return true; }
  Json options() const override { return Json::Object{{"kind", "tail"}, {"text", n_tokens_}}; }

 private:
  int64_t n_tokens_;
};

std::unique_ptr<Objective> make(const ObjectivePlace& place, TailOptions options, const ConfigNode& config) {
  const int64_t n_tokens = options.text == 0 ? place.sequence_length : options.text;
  const ConfigNode* text = config.find("text");
  require<ConfigError>(n_tokens >= 2 && n_tokens <= place.sequence_length, text != nullptr ? text->where : config.where,
                       ": got phase.objective.text = ", n_tokens, "; need 2..", place.sequence_length,
                       " (train.sequence_length)");
  return std::make_unique<Tail>(n_tokens);
}

}  // namespace

ObjectiveFactory tail_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data

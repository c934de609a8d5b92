// Next-token prediction: each token is scored by the one that follows it, the last by the one after the text.
#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

class Causal : public Objective {
 public:
  explicit Causal(int64_t sequence_length) : sequence_length_(sequence_length) {}
  int64_t text_tokens(const ExampleId&) const override { return sequence_length_; }
  Example example(const ExampleId&, const Text& text) const override {
    Example out;
    out.tokens.assign(text.tokens.begin(), text.tokens.end() - 1);
    out.targets.assign(text.tokens.begin() + 1, text.tokens.end());
    if (!text.documents.empty()) out.document_ids.assign(text.documents.begin(), text.documents.end() - 1);
    return out;
  }
  Json options() const override { return Json::Object{{"kind", "causal"}}; }

 private:
  int64_t sequence_length_;
};

struct CausalOptions {
  static void visit_fields(auto&, auto&&) {}
};

std::unique_ptr<Objective> make(const ObjectivePlace& place, CausalOptions, const ConfigNode&) {
  return std::make_unique<Causal>(place.sequence_length);
}

}  // namespace

ObjectiveFactory causal_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data

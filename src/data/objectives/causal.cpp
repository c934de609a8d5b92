// Next-token prediction: each token is scored by the one that follows it in the file, the last too.
#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

class Causal : public Objective {
 public:
  explicit Causal(int64_t sequence_length) : sequence_length_(sequence_length) {}
  int64_t text_tokens(const ExampleId&) const override { return sequence_length_; }
  Example example(const ExampleId&, const Text& text) const override {
    return {.tokens = text.tokens, .targets = text.following, .document_ids = text.documents};
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

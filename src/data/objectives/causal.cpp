// Next-token prediction. Documents are numbered from that of a row's first token, so that the numbers fit and do not
// depend on the file's size.
#include <ATen/ops/empty.h>

#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

class Causal : public Objective {
 public:
  Batch rows(int64_t n_rows, int64_t length, bool document_ids) const override {
    Batch batch;
    batch.tokens = at::empty({n_rows, length}, at::kLong);
    batch.targets = at::empty({n_rows, length}, at::kLong);
    if (document_ids) batch.document_ids = at::empty({n_rows, length}, at::kInt);
    return batch;
  }

  void fill(const Text& text, int64_t row, Batch& batch) const override {
    const auto& [dataset, first] = text;
    const int64_t length = batch.tokens.size(1);
    dataset.copy(first, length, batch.tokens.mutable_data_ptr<int64_t>() + row * length);
    dataset.copy(first + 1, length, batch.targets.mutable_data_ptr<int64_t>() + row * length);
    if (!batch.document_ids.defined()) return;
    const int64_t base = dataset.document_of(first);
    int32_t* ids = batch.document_ids.mutable_data_ptr<int32_t>() + row * length;
    for (int64_t i = 0; i < length; ++i) ids[i] = static_cast<int32_t>(dataset.document_of(first + i) - base);
  }

  Json options() const override { return Json::Object{{"kind", "causal"}}; }
};

struct CausalOptions {
  static void visit_fields(auto&, auto&&) {}
};

std::unique_ptr<Objective> make(const ObjectivePlace&, CausalOptions, const ConfigNode&) {
  return std::make_unique<Causal>();
}

}  // namespace

ObjectiveFactory causal_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data

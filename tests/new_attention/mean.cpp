// A made-up kind of attention, to show what a new one takes: this file, and the line in model/attention/registry.cpp
// that CMake adds for this test. Each position gets the mean of the values up to its own, times `gain`; nothing is
// rotated, and documents are not kept apart.
#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>

#include "model/attention/attention.h"

namespace evenkeel::model {
namespace {

struct MeanOptions {
  double gain = 1;
  static void visit_fields(auto& options, auto&& field) { field("gain", options.gain, "factor on the mean"); }
};

class MeanAttention : public Attention {
 public:
  MeanAttention(const ModelConfig& config, MeanOptions options) : width_(config.d_model), options_(options) {
    value_ = add("attention.value.weight", {width_, width_}, Role::attention_in);
    out_ = add("attention.out.weight", {width_, width_}, Role::attention_out);
  }
  at::Tensor forward(PartTensors params, const at::Tensor& x, const Pass&) const override {
    const auto counts = at::arange(1, x.size(1) + 1, x.options()).unsqueeze(1);  // [S, 1]
    const auto mean = at::linear(x, params[value_]).cumsum(1) / counts;
    return at::linear(mean * options_.gain, params[out_]);
  }
  Json options() const override { return Json::Object{{"kind", "mean"}, {"gain", options_.gain}}; }
  int64_t cache_floats(int64_t) const override { return width_; }  // a running sum is enough
  ActivationFloats activations() const override {
    const auto H = static_cast<double>(width_);
    return {.kept = 2 * H, .backward = 4 * H, .forward = 4 * H};
  }

 private:
  int64_t width_;
  MeanOptions options_;
  size_t value_, out_;
};

std::unique_ptr<Attention> make(const AttentionPlace& place, MeanOptions options, const ConfigNode& config) {
  const ConfigNode* gain = config.find("gain");
  require<ConfigError>(options.gain > 0, gain != nullptr ? gain->where : config.where,
                       ": got model.attention.gain = ", options.gain, "; need more than 0");
  return std::make_unique<MeanAttention>(place.config, options);
}

}  // namespace

AttentionFactory mean_attention() { return kind_factory(kAttentionTable, make); }

}  // namespace evenkeel::model

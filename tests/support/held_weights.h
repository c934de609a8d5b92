// For tests: weights in memory that are handed out as if they were stored, and how often.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "model/stored_weights.h"
#include "ops/params.h"

namespace evenkeel::testing {

class HeldWeights : public model::StoredWeights {
 public:
  explicit HeldWeights(const ops::Params& params) : params_(params) {}
  at::Device device() const override { return at::kCPU; }
  at::Tensor parameter(size_t index) const override {
    ++n_whole_[params_.name(index)];
    return params_.tensor(index).clone();
  }
  at::Tensor expert(size_t index, int64_t expert) const override {
    const std::lock_guard lock(mutex_);
    ++n_of_experts_[params_.name(index)];
    return params_.tensor(index)[expert].clone();
  }
  int64_t n_whole(const std::string& name) const { return n_whole_[name]; }
  int64_t n_of_experts(const std::string& name) const { return n_of_experts_[name]; }

 private:
  const ops::Params& params_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, int64_t> n_whole_, n_of_experts_;
};

}  // namespace evenkeel::testing

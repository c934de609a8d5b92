#include "ops/params.h"

#include <stdexcept>

namespace evenkeel::ops {

void Params::add(std::string name, at::Tensor tensor) {
  if (find(name) != nullptr) throw std::logic_error("parameter added twice: " + name);
  entries_.emplace_back(std::move(name), std::move(tensor));
}

const at::Tensor* Params::find(const std::string& name) const {
  for (const auto& [entry_name, tensor] : entries_)
    if (entry_name == name) return &tensor;
  return nullptr;
}

const at::Tensor& Params::at(const std::string& name) const {
  const at::Tensor* found = find(name);
  if (found == nullptr) throw std::logic_error("no parameter named " + name);
  return *found;
}

std::vector<at::Tensor> Params::in_order(const std::vector<std::string>& names) const {
  std::vector<at::Tensor> out;
  out.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const bool stands_here = i < entries_.size() && entries_[i].first == names[i];
    out.push_back(stands_here ? entries_[i].second : at(names[i]));
  }
  return out;
}

int64_t Params::n_elements() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : entries_) total += tensor.numel();
  return total;
}

}  // namespace evenkeel::ops

// The parameters of a model: an ordered list of names and tensors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

class Params {
 public:
  void add(std::string name, at::Tensor tensor);          // the name must be new
  const at::Tensor& at(const std::string& name) const;    // std::logic_error when absent: our own bug
  const at::Tensor* find(const std::string& name) const;  // nullptr when absent
  // The tensors of these names, in their order; quick where that is the order in here. std::logic_error when one is
  // absent.
  std::vector<at::Tensor> in_order(const std::vector<std::string>& names) const;
  const at::Tensor& tensor(size_t index) const { return entries_.at(index).second; }  // by its place in the list
  const std::string& name(size_t index) const { return entries_.at(index).first; }
  size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  int64_t n_elements() const;

 private:
  std::vector<std::pair<std::string, at::Tensor>> entries_;
};

}  // namespace evenkeel::ops

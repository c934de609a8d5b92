// Ways in which a class of transformers computes what a model of evenkeel's computes though it has no key for it: the
// model is written as another one, and some of its tensors are changed, so that both give the same. What a detour did
// is undone when the folder is read.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/families/tensor_map.h"

namespace evenkeel::checkpoint {

struct Detour {
  const char* name;
  const char* notice;                         // what it does, for whoever exports
  bool (*apply)(model::ModelConfig& config);  // false: there is nothing to do
  // What it does to a tensor: `tensor` is evenkeel's name without its layer, `before` the model that it was applied to.
  void (*change)(const model::ModelConfig& before, const std::string& tensor, Piece& piece) = nullptr;
};
const std::vector<Detour>& detours();  // in the order in which they are applied
const Detour& detour_named(const std::string& name, const std::string& where);

}  // namespace evenkeel::checkpoint

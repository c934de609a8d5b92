// Which foreign tensors make up which of evenkeel's, piece by piece: the rules of a family, expanded for a model.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {

// A tensor that a model keeps: a parameter, or the bias of a balancing router ("layers.3.router_state.bias").
struct OwnTensor {
  std::string name;
  std::vector<int64_t> shape;
  bool is_state() const { return name.ends_with(".router_state.bias"); }
};
std::vector<OwnTensor> tensors_of(const model::ModelConfig& config);
// "layers.7.ffn_norm.weight" -> {"layers.{i}.ffn_norm.weight", 7}; other names stay as they are, -1.
std::pair<std::string, int64_t> split_layer(const std::string& name);
std::string with_layer(std::string pattern, int64_t layer);

// A foreign tensor, and what it holds of one of evenkeel's.
struct Piece {
  std::string name;
  std::vector<int64_t> shape;
  Rows rows = Rows::all;
  int64_t expert = -1;              // first index of evenkeel's tensor; -1: that has no such dimension of its own
  int64_t row = 0;                  // its first row there
  std::vector<int64_t> order = {};  // in each run of so many rows, foreign row j is row order[j]; empty: as they are
  double factor = 1;                // foreign = evenkeel's * factor
  bool is_zero = false;             // evenkeel has no such tensor: it holds zeros
  bool is_stacked = false;          // the first index is the expert; what follows holds of each
  bool is_transposed = false;       // evenkeel's rows are its columns
  int64_t n_rows() const { return shape[(is_stacked ? 1U : 0U) + (is_transposed ? 1U : 0U)]; }  // of evenkeel's
};

// The layouts of one of evenkeel's tensors, the one that is written first. Empty where the family has no such tensor.
std::vector<std::vector<Piece>> layouts_of(const Family& family, const model::ModelConfig& config,
                                           const OwnTensor& tensor);

}  // namespace evenkeel::checkpoint

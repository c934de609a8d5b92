// A family of Hugging Face models: how its config.json and its tensor names map to evenkeel's. The names are
// data: one rule for each of evenkeel's parameters. To add a family: its file in checkpoint/families, one
// line in checkpoint/families.cpp, its test beside.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/families/hf_config.h"
#include "model/config.h"

namespace evenkeel::checkpoint {

// Which rows of evenkeel's tensor a foreign tensor holds: all of them, the queries (n_heads * head_dim),
// the keys or the values (n_kv_heads * head_dim each), or one half of them (gate, up).
enum class Rows { all, queries, keys_or_values, half };

struct Part {
  std::string name;  // foreign; "{i}" = layer, "{e}" = expert: one tensor an expert, stacked
  Rows rows = Rows::all;
};

// `ours` is its parts, one below the other. Several rules for one name are layouts to choose from, the usual
// one first.
struct TensorRule {
  std::string ours;  // "layers.{i}.attention.qkv.weight"
  std::vector<Part> parts;
};

struct Family {
  const char* model_type;
  const char* architecture;             // the class of transformers
  int64_t default_max_sequence_length;  // where config.json has no max_position_embeddings
  std::vector<TensorRule> rules;
  std::vector<std::string> derived;  // foreign tensors that follow from the configuration; not read
  void (*read_config)(const HfConfig& config, model::ModelConfig& out);
};

// Rules of embedding, attention, norms and head; the FFN is left to the family.
std::vector<TensorRule> decoder_rules();
const std::string& tied_head_name();  // foreign name of the head, which a tied model may store as a copy

}  // namespace evenkeel::checkpoint

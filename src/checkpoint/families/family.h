// A family of Hugging Face models: how its config.json and its tensor names map to evenkeel's, for both ways. The names
// are data: one rule for each of evenkeel's tensors. To add a family: its file in checkpoint/families, one line in
// checkpoint/families/list.cpp, its test beside.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/families/hf_keys.h"
#include "model/config.h"

namespace evenkeel::checkpoint {

// Which rows of evenkeel's tensor a foreign tensor holds: all of them, the queries (n_heads * head_dim),
// the keys or the values (n_kv_heads * head_dim each), or a share of them (gate, up).
enum class Rows { all, queries, keys, values, half, third, two_thirds };

struct Part {
  std::string name;  // foreign; "{i}" = layer, "{e}" = expert: one tensor an expert, stacked
  Rows rows = Rows::all;
  bool is_transposed = false;   // the matrix, or each expert's, is [in, out]
  bool is_interleaved = false;  // rows of gate and up take turns
};

// `ours` is its parts, one below the other. Several rules for one name are layouts to choose from, layer by layer, the
// one that is written first. A router's bias goes by the name "layers.{i}.router_state.bias".
struct TensorRule {
  std::string ours;  // "layers.{i}.attention.qkv.weight"
  std::vector<Part> parts;
};

// A tensor of a class that holds nothing, but is to be there.
struct EmptyTensor {
  std::string name;  // "{i}" = layer with experts
  std::vector<int64_t> shape;
};

struct Family {
  const char* model_type;    // the family's name
  const char* architecture;  // the class of transformers
  std::vector<TensorRule> rules;
  void (*keys)(HfKeys& keys);
  std::vector<std::string> derived = {};  // foreign tensors that follow from the configuration; not read
  bool has_extra_layers = false;          // layers behind the last for multi-token prediction, which are passed over
  bool is_remote = false;                 // the class is no part of transformers: its code lies in the folder
  // Where config.json has the model_type of another family: that, and a key by which it is known all the same.
  const char* written_type = nullptr;
  const char* mark = nullptr;
  // What the class has in layers with experts where the model has no shared ones.
  std::vector<EmptyTensor> (*empty_shared)(const model::ModelConfig& config) = nullptr;
};

const std::vector<Family>& families();
const Family& family_named(const std::string& name, const std::string& where);  // CheckpointError lists them
const Family* find_family(const Json& config);                                  // of a config.json; nullptr: unknown
const Family& family_of(const HfConfig& config);                                // CheckpointError lists them

// ---- rules that families share ----
using Rules = std::vector<TensorRule>;
Rules joined(std::vector<Rules> lists);
Rules stream_rules();                                      // embedding, final norm, head
Rules norm_rules(const char* attention, const char* ffn);  // of a layer, by their names behind model.layers.{i}
Rules attention_rules();                                   // with biases
Rules latent_attention_rules();
Rules qk_norm_rules();
Rules dense_rules();  // mlp.gate_proj ..., with biases
// Router and experts one by one, or stacked as transformers 5 may write them.
Rules expert_rules();
Rules shared_rules(const std::string& name);  // "mlp.shared_experts."
Rules bias_rules();                           // e_score_correction_bias
std::vector<EmptyTensor> empty_shared_experts(const model::ModelConfig& config);

const std::string& tied_head_name();  // foreign name of the head, which a tied model may store as a copy

}  // namespace evenkeel::checkpoint

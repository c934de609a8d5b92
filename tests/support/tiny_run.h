// Tiny data sets, recipes and run folders for the tests of train, study and checkpoint.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config_tree.h"
#include "core/rng.h"
#include "data/indexed_dataset.h"
#include "support/files.h"
#include "train/inputs.h"

namespace evenkeel::testing {

constexpr int64_t kTinyVocabulary = 16;

// A data set of documents of 7 tokens; token t is followed by t + 1 more often than not, so that there is
// something to learn. Returns its prefix.
inline std::string write_tiny_data(const TemporaryFolder& folder, const std::string& name, int64_t n_tokens,
                                   uint64_t seed = 1) {
  RngStream rng(seed, "tiny data");
  data::IndexedDatasetWriter writer(folder / name, kTinyVocabulary);
  int32_t token = 0;
  for (int64_t first = 0; first < n_tokens; first += 7) {
    std::vector<int32_t> ids;
    for (int64_t i = first; i < std::min(first + 7, n_tokens); ++i) {
      token = static_cast<int32_t>(rng.below(4) > 0 ? (static_cast<uint64_t>(token) + 1) % kTinyVocabulary
                                                    : rng.below(kTinyVocabulary));
      ids.push_back(token);
    }
    writer.add_document(ids);
  }
  writer.commit();
  return (folder / name).string();
}

// Sets "a", "b" of 161 tokens (20 samples of 8) and "a-heldout" of 50.
inline void write_tiny_sets(const TemporaryFolder& folder) {
  write_tiny_data(folder, "a", 161, 1);
  write_tiny_data(folder, "b", 161, 2);
  write_tiny_data(folder, "a-heldout", 50, 3);
}

// Two phases of 6 and 4 steps of 4 sequences of 8 tokens; two MoE layers of 4 experts, top 2.
inline const char* tiny_recipe_text() {
  return R"([model]
vocab_size = 16
d_model = 8
n_layers = 2
n_heads = 2
d_ff = 12
n_experts = 4
top_k = 2
d_expert = 6
balance = {loss = "switch", coefficient = 0.01, z_coefficient = 0.001}
[train]
batch_size = 4
sequence_length = 8
[[phase]]
name = "one"
steps = 6
data = [{name = "a", path = "a"}]
schedule = {kind = "constant", lr_max = 1e-2}
eval = {data = [{name = "held", path = "a-heldout"}]}
[[phase]]
name = "two"
steps = 4
data = [{name = "b", path = "b"}]
schedule = {kind = "cosine", lr_max = 1e-2, lr_min = 1e-3}
)";
}

// Overrides that make the tiny model dense.
inline const std::vector<std::string> kTinyDense = {"model.balance={loss = []}",
                                                    "model={n_experts = 0, top_k = 0, d_expert = 0}"};

// The recipe as a tree, with overrides as for --set; a whole table ("model={...}") is merged into the recipe's.
inline ConfigNode tiny_recipe(const std::filesystem::path& folder, const std::vector<std::string>& overrides = {}) {
  ConfigNode root = parse_toml(tiny_recipe_text(), "r.toml", folder.string());
  for (const auto& assignment : overrides) {
    const bool is_table = assignment.find('.') > assignment.find('=');
    if (is_table) merge_config(root, parse_toml(assignment, "changes", folder.string()));
    if (!is_table) apply_override(root, assignment);
  }
  return root;
}
inline train::RunConfig tiny_config(const std::filesystem::path& folder,
                                    const std::vector<std::string>& overrides = {}) {
  return train::open_run_config(tiny_recipe(folder, overrides));
}

// Those of `named` by the names of parameters, 1 for the others.
inline optim::RateFactors factors_of(const ops::Params& params, const std::map<std::string, double>& named) {
  optim::RateFactors out;
  for (const auto& [name, tensor] : params) out.values.push_back(named.contains(name) ? named.at(name) : 1.0);
  return out;
}

}  // namespace evenkeel::testing

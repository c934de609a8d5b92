// Named models. The counts of each are asserted in presets_test.cpp from the table that allocates.
#include <map>

#include "model/config.h"

namespace evenkeel::model {
namespace {

// 2503.05029 (spec: 24 layers, width 1024, Llama-3 vocabulary, rotary fraction 0.25, GeGLU).
constexpr const char* kPaperBase = R"(
vocab_size = 128000
d_model = 1024
n_layers = 24
n_heads = 16
d_ff = 2816
rotary_fraction = 0.25
activation = "geglu"
)";
constexpr const char* kPaperSwitch = R"(
n_experts = 8
top_k = 1
d_expert = 2816
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "switch"
coefficient = 0.01
z_coefficient = 0.001
)";
constexpr const char* kPaperGranular = R"(
n_experts = 31
n_shared_experts = 1
top_k = 3
d_expert = 704
[router]
kind = "top_k"
score = "softmax_pre"
renormalize = true
[balance]
loss = "switch"
coefficient = 0.01
z_coefficient = 0.001
)";
// experiments.md: FLOP-matched at laptop scale.
constexpr const char* kTinyBase = R"(
vocab_size = 4096
d_model = 128
n_layers = 3
n_heads = 4
d_ff = 384
activation = "geglu"
)";
constexpr const char* kTinySwitch = R"(
n_experts = 8
top_k = 1
d_expert = 384
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "switch"
coefficient = 0.01
z_coefficient = 0.001
)";
constexpr const char* kTinyGranular = R"(
n_experts = 31
n_shared_experts = 1
top_k = 3
d_expert = 96
[router]
kind = "top_k"
score = "softmax_pre"
renormalize = true
[balance]
loss = "switch"
coefficient = 0.01
z_coefficient = 0.001
)";
// 2409.02060, Table 10 and the released configuration.
constexpr const char* kOlmoe = R"(
vocab_size = 50304
d_model = 2048
n_layers = 16
n_heads = 16
n_experts = 64
top_k = 8
d_expert = 1024
qk_norm = true
init = "truncated_normal"
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "hf"
coefficient = 0.01
z_coefficient = 0.001
)";

const std::map<std::string, std::string>& presets() {
  static const std::map<std::string, std::string> table = {
      {"paper/dense-570m", kPaperBase},
      {"paper/switch-2b", std::string(kPaperBase) + kPaperSwitch},
      {"paper/granular-2b", std::string(kPaperBase) + kPaperGranular},
      {"tiny/dense", kTinyBase},
      {"tiny/switch", std::string(kTinyBase) + kTinySwitch},
      {"tiny/granular", std::string(kTinyBase) + kTinyGranular},
      {"olmoe-1b-7b", kOlmoe},
  };
  return table;
}

}  // namespace

const std::string& preset_toml(const std::string& name, const std::string& where) {
  const auto found = presets().find(name);
  if (found == presets().end()) {
    const std::string nearest = nearest_name(name, preset_names());
    std::string all;
    for (const auto& known : preset_names()) add_to_list(all, known);
    fail<ConfigError>(got_at(where, "model.preset"), "'", name, "'; need one of ", all,
                      nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
  }
  return found->second;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, toml] : presets()) names.push_back(name);
  return names;
}

}  // namespace evenkeel::model

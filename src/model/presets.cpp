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

// Layers first..last as a list.
std::string layers(int first, int last) {
  std::string out = "moe_layers = [";
  for (int layer = first; layer <= last; ++layer) out += (layer > first ? ", " : "") + std::to_string(layer);
  return out + "]\n";
}

// 2401.04088 and the released configuration.
constexpr const char* kMixtral = R"(
vocab_size = 32000
d_model = 4096
n_layers = 32
n_heads = 32
n_kv_heads = 8
rope_theta = 1e6
n_experts = 8
top_k = 2
d_expert = 14336
[router]
kind = "top_k"
score = "softmax_pre"
renormalize = true
[balance]
loss = "hf"
coefficient = 0.02
)";
// 2401.06066 and the released configuration of the 16B model.
const std::string kDeepseekMoe = R"(
vocab_size = 102400
d_model = 2048
n_layers = 28
n_heads = 16
d_ff = 10944
n_experts = 64
n_shared_experts = 2
top_k = 6
d_expert = 1408
norm_eps = 1e-6
)" + layers(1, 27) + R"(
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "deepseek_sequence"
coefficient = 0.001
)";
// 2405.04434, the Lite model; its released configuration.
const std::string kDeepseekV2Lite = R"(
vocab_size = 102400
d_model = 2048
n_layers = 27
n_heads = 16
head_dim = 192
d_ff = 10944
n_experts = 64
n_shared_experts = 2
top_k = 6
d_expert = 1408
norm_eps = 1e-6
rope_pairs = "interleaved"
rope_scaling = {kind = "yarn", factor = 40.0, original_length = 4096, mscale = 0.707, mscale_all_dim = 0.707}
)" + layers(1, 26) + R"(
[attention]
kind = "latent"
kv_rank = 512
rope_dim = 64
value_dim = 128
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "deepseek_sequence"
coefficient = 0.001
)";
// 2412.19437 and the released configuration, without the layer for multi-token prediction.
const std::string kDeepseekV3 = R"(
vocab_size = 129280
d_model = 7168
n_layers = 61
n_heads = 128
head_dim = 192
d_ff = 18432
n_experts = 256
n_shared_experts = 1
top_k = 8
d_expert = 2048
norm_eps = 1e-6
rope_pairs = "interleaved"
rope_scaling = {kind = "yarn", factor = 40.0, original_length = 4096, mscale = 1.0, mscale_all_dim = 1.0}
)" + layers(3, 60) + R"(
[attention]
kind = "latent"
kv_rank = 512
q_rank = 1536
rope_dim = 64
value_dim = 128
[router]
kind = "loss_free"
score = "sigmoid"
renormalize = true
scaling = 2.5
n_groups = 8
groups_per_token = 4
)";
// Qwen1.5-MoE-A2.7B's released configuration (2407.10671, section 2.2).
constexpr const char* kQwen15Moe = R"(
vocab_size = 151936
d_model = 2048
n_layers = 24
n_heads = 16
rope_theta = 1e6
norm_eps = 1e-6
n_experts = 60
top_k = 4
d_expert = 1408
n_shared_experts = 1
d_shared = 5632
shared_gate = true
[attention]
kind = "grouped"
qkv_bias = true
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "hf"
coefficient = 0.001
)";
// 2505.09388 and the released configuration.
constexpr const char* kQwen3Moe = R"(
vocab_size = 151936
d_model = 2048
n_layers = 48
n_heads = 32
n_kv_heads = 4
head_dim = 128
rope_theta = 1e6
qk_norm = "per_head"
norm_eps = 1e-6
n_experts = 128
top_k = 8
d_expert = 768
[router]
kind = "top_k"
score = "softmax_pre"
renormalize = true
[balance]
loss = "hf"
coefficient = 0.001
)";

// 2508.10925 and the released configuration of the 20B model.
constexpr const char* kGptOss20b = R"(
vocab_size = 201088
d_model = 2880
n_layers = 24
n_heads = 64
n_kv_heads = 8
head_dim = 64
rope_theta = 150000.0
rope_scaling = {kind = "yarn", factor = 32.0, original_length = 4096, truncate = false}
n_experts = 32
top_k = 4
d_expert = 2880
activation = "swiglu_clamped"
expert_bias = true
router_bias = true
[attention]
kind = "grouped"
qkv_bias = true
out_bias = true
window = 128
window_layers = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]
sinks = true
[router]
kind = "top_k"
score = "softmax_post"
)";
// 2402.01739; sizes of the released configurations, not of the paper's table, which counts fewer.
constexpr const char* kOpenmoe = R"(
vocab_size = 256384
top_k = 2
activation = "swiglu_double"
norm_eps = 1e-6
[attention]
kind = "grouped"
scale = 1.0
[router]
kind = "top_k"
score = "softmax_pre"
[balance]
loss = "flaxformer"
coefficient = 0.01
z_coefficient = 0.0001
z_reduce = "mean"
[capacity]
rule = "colossalai"
)";
constexpr const char* kOpenmoeBase = R"(
d_model = 768
n_layers = 12
n_heads = 12
head_dim = 64
d_ff = 2048
d_expert = 2048
d_extra = 2048
n_experts = 16
moe_layers = "every 4"
)";
constexpr const char* kOpenmoe8b = R"(
d_model = 2048
n_layers = 24
n_heads = 24
head_dim = 128
d_ff = 8192
d_expert = 8192
d_extra = 8192
n_experts = 32
moe_layers = "every 6"
)";
constexpr const char* kOpenmoe34b = R"(
d_model = 3072
n_layers = 32
n_heads = 24
head_dim = 128
d_ff = 12288
d_expert = 12288
d_extra = 12288
n_experts = 32
moe_layers = "every 4"
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
      {"mixtral-8x7b", kMixtral},
      {"deepseek-moe-16b", kDeepseekMoe},
      {"deepseek-v2-lite", kDeepseekV2Lite},
      {"deepseek-v3", kDeepseekV3},
      {"qwen1.5-moe-a2.7b", kQwen15Moe},
      {"qwen3-30b-a3b", kQwen3Moe},
      {"gpt-oss-20b", kGptOss20b},
      {"openmoe-base", std::string(kOpenmoeBase) + kOpenmoe},
      {"openmoe-8b", std::string(kOpenmoe8b) + kOpenmoe},
      {"openmoe-34b", std::string(kOpenmoe34b) + kOpenmoe},
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

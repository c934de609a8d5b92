// The list of kinds of attention. To add one: its file in model/attention, one line here, its test beside.
#include "model/attention/attention.h"

#define EVENKEEL_ATTENTIONS(X)                                                                \
  X(grouped, "heads of their own, or groups of them that share keys and values (n_kv_heads)") \
  X(latent, "keys and values from one narrow latent vector a token (MLA of DeepSeek-V2)")

namespace evenkeel::model {

#define X(name, help) AttentionFactory name##_attention();
EVENKEEL_ATTENTIONS(X)
#undef X

const std::vector<AttentionKind>& attention_kinds() {
#define X(name, help) {#name, help, name##_attention()},
  static const std::vector<AttentionKind> kinds = {EVENKEEL_ATTENTIONS(X)};
#undef X
  return kinds;
}

std::unique_ptr<Attention> make_attention(const ModelConfig& config, int64_t layer) {
  return chosen_kind(attention_kinds(), kAttentionTable, config.attention)
      .factory.make({config, layer}, config.attention);
}

bool takes_masks(const ModelConfig& config) {
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    if (!make_attention(config, layer)->sight()) return false;
  return true;
}

std::vector<ConfigKey> attention_keys(const std::string& path) { return keys_of_kinds(attention_kinds(), path); }

}  // namespace evenkeel::model

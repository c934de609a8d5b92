// Kinds of attention. A kind is one file in model/attention and one line in its registry.
// Legend: B sequences, S positions, H width.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/kinds.h"
#include "model/config.h"
#include "model/layer_part.h"
#include "model/pass.h"

namespace evenkeel::model {

class Attention : public LayerPart {
 public:
  // x [B, S, H], normalised -> [B, S, H], to be added to the stream. Differentiable in x and the parameters.
  virtual at::Tensor forward(PartTensors params, const at::Tensor& x, const Pass& pass) const = 0;
  // What it asks of the pass. Nothing: it rotates nothing (Pass::rotary).
  virtual std::optional<ops::Rotation> rotation() const { return std::nullopt; }
  // Nothing: it takes no mask (Pass::mask), so that it can keep neither documents apart nor show a prefix to itself;
  // recipes that ask for these are refused.
  virtual std::optional<ops::Sight> sight() const { return std::nullopt; }
  virtual Json options() const = 0;  // every option with its value, for resolved.json
  // What generation keeps of the n_tokens of a sequence that it has seen, in floats.
  virtual int64_t cache_floats(int64_t n_tokens) const = 0;
};

// The layer that a kind is made for.
struct AttentionPlace {
  const ModelConfig& config;
  int64_t layer = 0;
};
using AttentionFactory = KindFactory<Attention, AttentionPlace>;
using AttentionKind = Kind<Attention, AttentionPlace>;
inline constexpr KindTable kAttentionTable{"model.attention", "grouped"};

const std::vector<AttentionKind>& attention_kinds();  // in the order of the registry
// Of config.attention, the [model.attention] table. ConfigError names unknown kinds and keys.
std::unique_ptr<Attention> make_attention(const ModelConfig& config, int64_t layer);
// Whether every layer takes a mask, so that documents can be kept apart and a prefix shown to itself.
bool takes_masks(const ModelConfig& config);
std::vector<ConfigKey> attention_keys(const std::string& path);  // of all kinds

}  // namespace evenkeel::model

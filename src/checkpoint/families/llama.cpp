// LlamaForCausalLM: dense, grouped queries, gated FFN.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void read_config(const HfConfig& config, model::ModelConfig& out) {
  read_decoder_config(config, /*default_norm_eps=*/1e-6, out);
  out.d_ff = config.size("intermediate_size");
}

}  // namespace

Family llama_family() {
  auto rules = decoder_rules();
  rules.push_back(
      {"layers.{i}.ffn.gate_up.weight",
       {{"model.layers.{i}.mlp.gate_proj.weight", Rows::half}, {"model.layers.{i}.mlp.up_proj.weight", Rows::half}}});
  rules.push_back({"layers.{i}.ffn.down.weight", {{"model.layers.{i}.mlp.down_proj.weight"}}});
  return {"llama",    "LlamaForCausalLM", 2048, std::move(rules), {"model.layers.{i}.self_attn.rotary_emb.inv_freq"},
          read_config};
}

}  // namespace evenkeel::checkpoint

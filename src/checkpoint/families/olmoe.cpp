// OlmoeForCausalLM (arXiv 2409.02060): every layer has experts, queries and keys are normalised whole.
#include "checkpoint/families/family.h"
#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

void read_config(const HfConfig& config, model::ModelConfig& out) {
  read_decoder_config(config, /*default_norm_eps=*/1e-5, out);
  config.require_only("head_dim", out.d_model / out.n_heads);  // the class sizes its norms so
  out.qk_norm = model::QkNorm::whole;
  out.n_experts = config.size("num_experts");
  out.top_k = config.size("num_experts_per_tok");
  out.d_expert = config.size("intermediate_size");
  const bool renormalize = config.flag("norm_topk_prob", false);
  require<CheckpointError>(
      !renormalize || out.top_k > 1, config.where(),
      ": norm_topk_prob: got true with num_experts_per_tok = 1; need false: the weight would be the constant 1");
  out.router = config_table(config.where());
  out.router.set("kind", {std::string("top_k"), config.where(), ""});
  out.router.set("score", {std::string("softmax_pre"), config.where(), ""});
  out.router.set("renormalize", {renormalize, config.where(), ""});
  const double coefficient = config.number("router_aux_loss_coef", 0.01);
  require<CheckpointError>(coefficient >= 0, config.where(), ": router_aux_loss_coef: got ", coefficient,
                           "; need at least 0");
  if (coefficient > 0) out.balance.terms = {{"hf", coefficient}};
}

}  // namespace

Family olmoe_family() {
  const std::string expert = "model.layers.{i}.mlp.experts.{e}.", fused = "model.layers.{i}.mlp.experts.";
  auto rules = decoder_rules();
  rules.push_back({"layers.{i}.attention.q_norm.weight", {{"model.layers.{i}.self_attn.q_norm.weight"}}});
  rules.push_back({"layers.{i}.attention.k_norm.weight", {{"model.layers.{i}.self_attn.k_norm.weight"}}});
  rules.push_back({"layers.{i}.router.weight", {{"model.layers.{i}.mlp.gate.weight"}}});
  rules.push_back({"layers.{i}.experts.gate_up",
                   {{expert + "gate_proj.weight", Rows::half}, {expert + "up_proj.weight", Rows::half}}});
  rules.push_back({"layers.{i}.experts.down", {{expert + "down_proj.weight"}}});
  // transformers 5, save_original_format=False
  rules.push_back({"layers.{i}.experts.gate_up", {{fused + "gate_up_proj"}}});
  rules.push_back({"layers.{i}.experts.down", {{fused + "down_proj"}}});
  return {"olmoe", "OlmoeForCausalLM", 4096, std::move(rules), {}, read_config};
}

}  // namespace evenkeel::checkpoint

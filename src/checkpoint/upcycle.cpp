#include "checkpoint/upcycle.h"

#include <map>

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "checkpoint/families.h"
#include "checkpoint/families/tensor_map.h"
#include "checkpoint/import.h"
#include "checkpoint/manifest.h"
#include "checkpoint/open_weights.h"
#include "checkpoint/origin.h"
#include "checkpoint/router_states.h"
#include "checkpoint/tokenizer_places.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/rng.h"
#include "core/units.h"
#include "data/tokenizer.h"
#include "model/init.h"
#include "model/layout.h"
#include "model/transformer.h"

namespace evenkeel::checkpoint {
namespace {

// The expert that a new one is a copy of: the old ones in turn.
int64_t model_of(int64_t expert, int64_t n_old) { return expert % n_old; }

std::vector<TensorSpec> stored_tensors(const ModelSource& source) {
  if (!source.is_checkpoint()) return HfTensors(source.folder, read_hf_config(source.folder)).parameters();
  const fs::path file = source.folder / "model.safetensors";
  return checked_tensors(SafetensorsFile(file), file, source.config);
}

// The parameters of the grown model, each made when it is asked for.
class Grown {
 public:
  Grown(const ModelSource& parent, const UpcyclePlan& plan, const UpcycleOptions& options)
      : plan_(plan),
        options_(options),
        stored_(open_weights(parent, {})),
        table_(model::parameter_table(plan.config)),
        n_blocks_(plan.config.gated_form().gate_up_width(1)) {
    for (const auto& spec : stored_tensors(parent)) parents_.emplace(spec.name, Stored{parents_.size(), spec});
    for (const auto& spec : table_) specs_.push_back({spec.name, type_of(spec.name), spec.shape});
  }
  const std::vector<TensorSpec>& specs() const { return specs_; }

  at::Tensor make(size_t index) const {
    const TensorSpec& spec = specs_[index];
    const auto old = parents_.find(spec.name);
    if (old != parents_.end() && old->second.spec.shape == spec.shape)
      return stored_->parameter(old->second.index).to(spec.dtype);
    return plan_.adds_experts ? with_more_rows(spec, old->second) : of_network(index);
  }

 private:
  struct Stored {
    size_t index;
    TensorSpec spec;
  };

  at::ScalarType type_of(const std::string& name) const {
    const auto found = parents_.find(name);
    if (found != parents_.end()) return found->second.spec.dtype;
    return parents_.at(with_layer("layers.{i}.ffn.down.weight", split_layer(name).second)).spec.dtype;
  }
  at::Tensor network(const std::string& name, int64_t layer) const {
    return stored_->parameter(parents_.at(with_layer("layers.{i}.ffn." + name, layer)).index);
  }

  // ---- of a dense parent ----

  // How many parts the output of a neuron of this part of the network is divided into: each shared expert that has it,
  // and the routed ones together.
  double parts_of(int64_t shard) const {
    const int64_t n_shared = options_.n_shared_experts, g = options_.granularity;
    return static_cast<double>(1 + n_shared / g + (shard < n_shared % g ? 1 : 0));
  }

  at::Tensor of_network(size_t index) const {
    const TensorSpec& spec = specs_[index];
    const auto [pattern, layer] = split_layer(spec.name);
    const std::string part = pattern.substr(std::string("layers.{i}.").size());
    if (part == "router.weight") return router(table_[index]).to(spec.dtype);
    if (part == "shared.gate_up.weight" || part == "shared.down.weight") return shared(spec, part, layer);
    const bool is_bias = part.ends_with("_bias");
    const std::string of = part == "experts.gate_up"        ? "gate_up.weight"
                           : part == "experts.gate_up_bias" ? "gate_up.bias"
                           : part == "experts.down"         ? "down.weight"
                                                            : "down.bias";
    const auto whole = network(of, layer);
    auto out = at::empty(spec.shape, at::TensorOptions(spec.dtype));
    for (int64_t expert = 0; expert < spec.shape[0]; ++expert)
      out[expert].copy_(is_bias ? expert_bias(whole, of, {layer, expert}) : expert_matrix(whole, of, {layer, expert}));
    return out;
  }

  at::Tensor expert_matrix(const at::Tensor& whole, const std::string& of, const ExpertPlace& place) const {
    const int64_t g = options_.granularity, shard = place.expert % g;
    const double m = plan_.multiplier;
    if (of == "gate_up.weight")
      return changed_gate_up(shard_of_gate_up(whole, n_blocks_, shard, g).to(at::kDouble) * m, n_blocks_,
                             options_.change(), place);
    const auto down = shard_of_down(whole, shard, g).to(at::kDouble) * (m / parts_of(shard));
    return changed_down(down, options_.change(), place);
  }

  // That of `down` is the same of all experts, and not scaled: the weights of a token sum to 1, or to W.
  at::Tensor expert_bias(const at::Tensor& whole, const std::string& of, const ExpertPlace& place) const {
    const int64_t g = options_.granularity;
    if (of == "down.bias") return whole.to(at::kDouble) / (plan_.has_fixed_sum ? plan_.weights_sum : 1.0);
    return changed_bias(shard_of_gate_up(whole, n_blocks_, place.expert % g, g).to(at::kDouble) * plan_.multiplier,
                        n_blocks_, options_.change(), place);
  }

  // The shared experts stand side by side in one network; the i-th is part i mod g of the dense one.
  at::Tensor shared(const TensorSpec& spec, const std::string& part, int64_t layer) const {
    const bool is_down = part == "shared.down.weight";
    const int64_t n_shared = options_.n_shared_experts, g = options_.granularity, inner = plan_.config.d_expert;
    const auto whole = network(is_down ? "down.weight" : "gate_up.weight", layer);
    auto out = at::empty(spec.shape, at::TensorOptions(spec.dtype));
    for (int64_t i = 0; i < n_shared; ++i) {
      const int64_t shard = i % g;
      if (is_down) {
        out.narrow(1, i * inner, inner).copy_(shard_of_down(whole, shard, g).to(at::kDouble) / parts_of(shard));
        continue;
      }
      const auto rows = shard_of_gate_up(whole, n_blocks_, shard, g);
      for (int64_t block = 0; block < n_blocks_; ++block)
        out.narrow(0, (block * n_shared + i) * inner, inner).copy_(rows.narrow(0, block * inner, inner));
    }
    return out;
  }

  // Megatron's virtual groups: a row for each g experts, which thereby have one logit.
  at::Tensor router(model::ParamSpec spec) const {
    const int64_t g = options_.granularity, layer = split_layer(spec.name).second;
    spec.shape[0] /= g;
    const auto seed = static_cast<uint64_t>(options_.seed);
    const auto rows = options_.router_init == RouterInit::normal
                          ? model::initial_parameter(plan_.config, spec, seed).to(at::kDouble)
                          : drawn_router(options_.router_init, spec.shape[0], spec.shape[1],
                                         combine_bits(seed, static_cast<uint64_t>(layer)));
    return rows.repeat_interleave(g, /*dim=*/0);
  }

  // ---- of a parent with experts ----

  // [E, …] of routers and experts. The old rows keep their bits.
  at::Tensor with_more_rows(const TensorSpec& spec, const Stored& old) const {
    const auto [pattern, layer] = split_layer(spec.name);
    const bool is_expert = pattern.find(".experts.") != std::string::npos;
    const int64_t n_old = old.spec.shape[0];
    const auto whole = is_expert ? at::Tensor() : stored_->parameter(old.index);
    auto out = at::empty(spec.shape, at::TensorOptions(spec.dtype));
    for (int64_t expert = 0; expert < spec.shape[0]; ++expert) {
      const int64_t from = model_of(expert, n_old);
      const auto row = is_expert ? stored_->expert(old.index, from) : whole[from];
      out[expert].copy_(expert < n_old ? row : new_row(pattern, row, {layer, expert}));
    }
    return out;
  }

  at::Tensor new_row(const std::string& pattern, const at::Tensor& row, const ExpertPlace& place) const {
    const auto change = options_.change();
    if (pattern.ends_with("router.weight"))
      return noised_row(row, options_.router_noise, static_cast<uint64_t>(options_.seed), place);
    if (pattern.ends_with("experts.gate_up")) return changed_gate_up(row, n_blocks_, change, place);
    if (pattern.ends_with("experts.gate_up_bias")) return changed_bias(row, n_blocks_, change, place);
    if (pattern.ends_with("experts.down")) return changed_down(row, change, place);
    return row;  // biases of logits and of outputs
  }

  const UpcyclePlan& plan_;
  const UpcycleOptions& options_;
  std::shared_ptr<const model::StoredWeights> stored_;
  std::vector<model::ParamSpec> table_;
  int64_t n_blocks_;
  std::map<std::string, Stored> parents_;
  std::vector<TensorSpec> specs_;
};

// Balancing states of the grown routers. What has a value for each expert gets more of them; what counts steps or
// tokens goes on.
std::vector<ops::Params> grown_states(const ModelSource& parent, const UpcyclePlan& plan, int64_t seed) {
  auto states = model::Transformer(plan.config).initial_router_states(static_cast<uint64_t>(seed));
  if (!plan.adds_experts) return states;
  const auto old_states = load_router_states(parent, model::Transformer(parent.config));
  const int64_t n_old = parent.config.n_experts, n_new = plan.config.n_experts;
  for (size_t layer = 0; layer < states.size(); ++layer) {
    ops::Params grown;
    for (const auto& [name, tensor] : old_states[layer]) {
      const bool has_experts = tensor.dim() == 1 && tensor.size(0) == n_old && states[layer].at(name).size(0) == n_new;
      std::vector<at::Tensor> parts = {tensor};
      for (int64_t expert = n_old; has_experts && expert < n_new; ++expert)
        parts.push_back(tensor.narrow(0, model_of(expert, n_old), 1));
      grown.add(name, at::cat(parts));
    }
    states[layer] = std::move(grown);
  }
  return states;
}

Json state_of(const ModelSource& parent, const UpcyclePlan& plan, const UpcycleOptions& options) {
  Json out = untrained_state(plan.config, parent.sequence_length);
  out["separate_documents"] = parent.separate_documents;
  Json upcycled = Json::object(), tokenizers = Json::array(), files = Json::array();
  upcycled["from"] = fs::absolute(parent.folder).lexically_normal().string();
  upcycled["kind"] = parent.kind;
  if (const Json* step = parent.state.find("step")) upcycled["step"] = *step;
  upcycled["options"] = evenkeel::to_json(options);
  upcycled["options"]["top_k"] = plan.config.top_k;
  upcycled["scale"] = plan.scale;
  upcycled["multiplier"] = plan.multiplier;
  upcycled["max_sequence_length"] = parent.longest_sequence;
  for (const auto& sha256 : tokenizers_of(parent)) tokenizers.push_back(sha256);
  for (const auto& file : tokenizer_places(parent)) files.push_back(file);
  upcycled["tokenizers"] = std::move(tokenizers);
  upcycled["tokenizer_files"] = std::move(files);
  out[kUpcycledKey] = std::move(upcycled);
  return out;
}

// What the parent has of its origin. A run that began from nothing has no tokenizer there: the sets that it drew from
// say where it lies.
void keep_origin_of(const ModelSource& parent, const fs::path& checkpoint) {
  const fs::path origin = origin_of(parent.folder);
  const bool has_tokenizer = !origin.empty() && !data::tokenizer_files(origin).empty();
  keep_origin(origin, checkpoint, has_tokenizer ? "" : largest_tokenizer(parent));
}

}  // namespace

void upcycle(const ModelSource& parent, const UpcyclePlan& plan, const UpcycleOptions& options,
             const fs::path& checkpoint) {
  require_own_outputs({{checkpoint, OutputKind::checkpoint}}, {parent.folder});
  const Grown grown(parent, plan, options);
  const auto states = grown_states(parent, plan, options.seed);
  const auto& specs = grown.specs();
  double total = 0, done = 0;
  for (const auto& spec : specs) total += static_cast<double>(spec.n_bytes());
  Progress progress("upcycling", total, "GB", 1e9);
  const std::map<std::string, std::string> metadata = {{"format", kCheckpointFormat}};
  save_folder(checkpoint, [&](const fs::path& temporary) {
    write_safetensors(temporary / "model.safetensors", specs, metadata, [&](size_t index) {
      auto out = grown.make(index);
      done += static_cast<double>(specs[index].n_bytes());
      progress.update(done, human_bytes(done) + " of " + human_bytes(total));
      return out;
    });
    NamedTensors balancing;
    for (size_t layer = 0; layer < states.size(); ++layer)
      for (const auto& [name, tensor] : states[layer]) balancing.emplace_back(router_state_name(layer, name), tensor);
    write_safetensors(temporary / "optimizer.safetensors", balancing, metadata);
    write_file_atomically(temporary / "state.json", state_of(parent, plan, options).dump(1) + "\n");
    keep_origin_of(parent, temporary);
  });
}

}  // namespace evenkeel::checkpoint

#include "train/new_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "checkpoint/origin.h"
#include "core/errors.h"
#include "data/tokenizer.h"
#include "data/tokenizer_growth.h"
#include "model/init.h"
#include "model/layout.h"
#include "train/tokenizer_uses.h"

namespace evenkeel::train {
namespace {

constexpr const char* kPieces = "model.new_embeddings: got 'pieces'";
constexpr const char* kOthers = ", or mean, normal or zero";

// The file of the one tokenizer that the source was trained with.
std::string old_tokenizer(const checkpoint::ModelSource& source) {
  const std::string folder = source.folder.string();
  const auto uses = tokenizer_uses("model.from", source);
  require<DataError>(uses.size() == 1, kPieces, " and ", folder, ", of which ", uses.empty() ? "no" : "more than one",
                     " tokenizer is known; need one", kOthers);
  std::string places;
  for (const auto& file : uses[0].files) add_to_list(places, file);
  const std::string file = data::tokenizer_file(uses[0]);
  require<DataError>(!file.empty(), kPieces, " and ", folder, ", whose tokenizer, of SHA-256 ",
                     uses[0].sha256.substr(0, 12), "…, is not in ", places.empty() ? "its folder" : places,
                     "; need its file", kOthers);
  return file;
}

std::vector<std::vector<int32_t>> parts_of_new_rows(const RunConfig& config, const checkpoint::ModelSource& source) {
  const std::string old = old_tokenizer(source), larger = largest_tokenizer(config);
  require<DataError>(!larger.empty(), kPieces,
                     " and sets whose descriptions name no tokenizer that is there; need sets "
                     "that 'evenkeel prepare' made with the new one",
                     kOthers);
  require<DataError>(data::extends(*data::open_tokenizer(larger), *data::open_tokenizer(old)), kPieces, " and ", larger,
                     ", which does not extend ", old, "; need one that 'evenkeel tokenizer extend' made of that",
                     kOthers);
  return data::parts_of_pieces(larger, old, source.config.vocab_size, config.model.vocab_size);
}

at::Tensor new_rows_of(const NewRows& rows, const model::ModelConfig& config, const model::ParamSpec& spec,
                       const at::Tensor& old, uint64_t seed) {
  const int64_t n_new = spec.shape[0] - rows.n_old;
  if (rows.how == model::NewEmbeddings::zero) return at::zeros({n_new, spec.shape[1]}, at::kFloat);
  if (rows.how == model::NewEmbeddings::normal)
    return model::initial_parameter(config, spec, seed).narrow(0, rows.n_old, n_new);
  const auto mean = old.mean({0}, /*keepdim=*/false, at::kDouble);  // [H]
  auto out = at::empty({n_new, spec.shape[1]}, at::kFloat);
  for (int64_t i = 0; i < n_new; ++i) {
    const bool has_parts = static_cast<size_t>(i) < rows.parts.size() && !rows.parts[static_cast<size_t>(i)].empty();
    if (!has_parts) {
      out[i].copy_(mean);
      continue;
    }
    const auto ids = at::tensor(rows.parts[static_cast<size_t>(i)], at::TensorOptions(at::kInt));
    out[i].copy_(old.index_select(0, ids).mean({0}, /*keepdim=*/false, at::kDouble));
  }
  return out;
}

}  // namespace

NewRows new_rows(const RunConfig& config, const checkpoint::ModelSource& source) {
  NewRows out{config.new_embeddings.value_or(model::NewEmbeddings::mean), source.config.vocab_size};
  if (out.how == model::NewEmbeddings::pieces) out.parts = parts_of_new_rows(config, source);
  const std::filesystem::path origin = checkpoint::origin_of(source.folder);
  if (const auto larger = largest_tokenizer(config); !origin.empty() && !larger.empty())
    checkpoint::require_free_ids(origin, larger);
  return out;
}

ops::Params with_new_rows(const model::ModelConfig& config, const NewRows& rows, const ops::Params& params,
                          uint64_t seed) {
  ops::Params out;
  for (const auto& spec : model::parameter_table(config)) {
    const auto& old = params.at(spec.name);
    const bool is_of_vocabulary = spec.role == model::Role::embedding || spec.role == model::Role::head;
    out.add(spec.name, is_of_vocabulary ? at::cat({old, new_rows_of(rows, config, spec, old, seed)}) : old);
  }
  return out;
}

std::vector<ops::Params> with_new_ids(const std::vector<ops::Params>& states, const std::vector<ops::Params>& initial) {
  std::vector<ops::Params> out;
  for (size_t layer = 0; layer < states.size(); ++layer) {
    ops::Params grown;
    for (const auto& [name, tensor] : states[layer]) {
      const auto& begin = initial.at(layer).at(name);
      const int64_t n_old = tensor.size(0), n_new = begin.size(0) - n_old;
      grown.add(name, n_new > 0 ? at::cat({tensor, begin.narrow(0, n_old, n_new)}) : tensor);
    }
    out.push_back(std::move(grown));
  }
  return out;
}

}  // namespace evenkeel::train

#include "train/new_rows.h"

#include <algorithm>

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

// The tokenizer that the source was trained with, and a larger one.
struct Tokenizers {
  std::string old, larger;
};

Tokenizers require_tokenizers(const RunConfig& config, const checkpoint::ModelSource& source) {
  const Tokenizers out{old_tokenizer(source), largest_tokenizer(config)};
  require<DataError>(!out.larger.empty(), kPieces,
                     " and sets whose descriptions name no tokenizer that is there; need sets "
                     "that 'evenkeel prepare' made with the new one",
                     kOthers);
  require<DataError>(data::extends(*data::open_tokenizer(out.larger), *data::open_tokenizer(out.old)), kPieces, " and ",
                     out.larger, ", which does not extend ", out.old,
                     "; need one that 'evenkeel tokenizer extend' made of that", kOthers);
  return out;
}

// As above; none where something of it is missing.
std::optional<Tokenizers> find_tokenizers(const RunConfig& config, const checkpoint::ModelSource& source) {
  try {
    return require_tokenizers(config, source);
  } catch (const DataError&) {
    return std::nullopt;
  }
}

void find_padding(const Tokenizers& tokenizers, int64_t vocab_size, NewRows& rows) {
  const auto size = [](const std::string& file) { return data::open_tokenizer(file)->vocab_size(); };
  rows.first = std::min(size(tokenizers.old), rows.n_old);
  rows.n_in_padding = std::min({size(tokenizers.larger), vocab_size, rows.n_old}) - rows.first;
}

// Rows first, first + 1, ... of all that the model has.
at::Tensor rows_from_first(const NewRows& rows, const model::ModelConfig& config, const model::ParamSpec& spec,
                           const at::Tensor& old, uint64_t seed) {
  const int64_t n_new = spec.shape[0] - rows.first;
  if (rows.how == model::NewEmbeddings::zero) return at::zeros({n_new, spec.shape[1]}, at::kFloat);
  if (rows.how == model::NewEmbeddings::normal)
    return model::initial_parameter(config, spec, seed).narrow(0, rows.first, n_new);
  const auto mean = old.narrow(0, 0, rows.first).mean({0}, /*keepdim=*/false, at::kDouble);  // [H]
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

// Old pieces, new pieces where padding was, what stays padding, and rows that the weights did not have.
at::Tensor grown(const NewRows& rows, const at::Tensor& old, const at::Tensor& from_first) {
  const int64_t n_padding = rows.n_old - rows.first, behind = rows.first + rows.n_in_padding;
  return at::cat({old.narrow(0, 0, rows.first), from_first.narrow(0, 0, rows.n_in_padding),
                  old.narrow(0, behind, rows.n_old - behind),
                  from_first.narrow(0, n_padding, from_first.size(0) - n_padding)});
}

}  // namespace

NewRows new_rows(const RunConfig& config, const checkpoint::ModelSource& source) {
  NewRows out{config.new_embeddings.value_or(model::NewEmbeddings::mean), source.config.vocab_size};
  const bool by_pieces = out.how == model::NewEmbeddings::pieces;
  const auto tokenizers = by_pieces ? require_tokenizers(config, source) : find_tokenizers(config, source);
  if (tokenizers) find_padding(*tokenizers, config.model.vocab_size, out);
  require<ConfigError>(config.model.vocab_size > out.n_old || out.n_in_padding > 0, "model.new_embeddings: got '",
                       name_of(out.how), "'; need a model.vocab_size beside it that is more than ", out.n_old,
                       " as in ", source.folder.string(),
                       ", or sets of a tokenizer that extends the model's, for whose new pieces it has rows already");
  if (by_pieces)
    out.parts = data::parts_of_pieces(tokenizers->larger, tokenizers->old, out.first, config.model.vocab_size);
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
    out.add(spec.name, is_of_vocabulary ? grown(rows, old, rows_from_first(rows, config, spec, old, seed)) : old);
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

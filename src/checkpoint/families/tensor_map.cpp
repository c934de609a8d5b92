#include "checkpoint/families/tensor_map.h"

#include "model/layout.h"

namespace evenkeel::checkpoint {
namespace {

std::string replaced(std::string text, const std::string& mark, const std::string& value) {
  const size_t at = text.find(mark);
  return at == std::string::npos ? text : text.replace(at, mark.size(), value);
}

int64_t part_rows(const model::ModelConfig& config, Rows rows, int64_t all) {
  switch (rows) {
    case Rows::queries: return config.n_heads * config.head_dim;
    case Rows::keys:
    case Rows::values: return config.n_kv_heads * config.head_dim;
    case Rows::half: return all / 2;
    case Rows::third: return all / 3;
    case Rows::two_thirds: return all / 3 * 2;
    case Rows::all: break;
  }
  return all;
}

// Foreign rows that take turns: gate, up, gate, ... in `rows` of which evenkeel has first all of gate.
std::vector<int64_t> turns(int64_t rows) {
  std::vector<int64_t> out;
  for (int64_t row = 0; row < rows; ++row) out.push_back(row / 2 + row % 2 * (rows / 2));
  return out;
}

// The foreign tensors that make up one of evenkeel's under a rule.
std::vector<Piece> pieces_of(const TensorRule& rule, int64_t layer, const OwnTensor& tensor,
                             const model::ModelConfig& config) {
  const bool is_of_experts = rule.ours.find(".experts.") != std::string::npos;
  const bool is_by_expert = rule.parts[0].name.find("{e}") != std::string::npos;
  const std::vector<int64_t> shape(tensor.shape.begin() + (is_of_experts ? 1 : 0), tensor.shape.end());
  std::vector<Piece> out;
  for (int64_t expert = 0; expert < (is_by_expert ? tensor.shape[0] : 1); ++expert) {
    int64_t row = 0;
    for (const auto& part : rule.parts) {
      Piece piece{replaced(with_layer(part.name, layer), "{e}", std::to_string(expert)), shape, part.rows,
                  is_by_expert ? expert : -1, row};
      piece.shape[0] = part_rows(config, part.rows, shape[0]);
      row += piece.shape[0];
      if (part.is_interleaved) piece.order = turns(piece.shape[0]);
      piece.is_transposed = part.is_transposed;
      if (part.is_transposed) std::swap(piece.shape[0], piece.shape[1]);
      piece.is_stacked = is_of_experts && !is_by_expert;
      if (piece.is_stacked) piece.shape.insert(piece.shape.begin(), tensor.shape[0]);
      out.push_back(std::move(piece));
    }
  }
  return out;
}

}  // namespace

std::vector<OwnTensor> tensors_of(const model::ModelConfig& config) {
  std::vector<OwnTensor> out;
  for (auto& spec : model::parameter_table(config)) out.push_back({std::move(spec.name), std::move(spec.shape)});
  if (!config.is_moe()) return out;
  const auto router = moe::make_router(config.router_shape(), config.router);
  if (router->options().at("kind") != Json("loss_free")) return out;
  for (const int64_t layer : layers_with_experts(config))
    out.push_back({with_layer("layers.{i}.router_state.bias", layer), {config.n_experts}});
  return out;
}

std::pair<std::string, int64_t> split_layer(const std::string& name) {
  const std::string start = "layers.";
  if (!name.starts_with(start)) return {name, -1};
  const size_t end = name.find('.', start.size());
  return {start + "{i}" + name.substr(end), std::stoll(name.substr(start.size(), end - start.size()))};
}

std::string with_layer(std::string pattern, int64_t layer) {
  return replaced(std::move(pattern), "{i}", std::to_string(layer));
}

std::vector<std::vector<Piece>> layouts_of(const Family& family, const model::ModelConfig& config,
                                           const OwnTensor& tensor) {
  const auto [pattern, layer] = split_layer(tensor.name);
  std::vector<std::vector<Piece>> out;
  for (const auto& rule : family.rules)
    if (rule.ours == pattern) out.push_back(pieces_of(rule, layer, tensor, config));
  return out;
}

}  // namespace evenkeel::checkpoint

#include "checkpoint/families.h"

#include <algorithm>
#include <set>

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include "checkpoint/safetensors_header.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"

namespace evenkeel::checkpoint {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t size : shape) add_to_list(out, std::to_string(size));
  return "[" + out + "]";
}

void check_entry(const WeightsFolder& folder, const std::string& where, const Piece& piece) {
  const auto* entry = folder.find(piece.name);
  require<CheckpointError>(entry != nullptr, where, ": got no tensor ", shown_name(piece.name), "; need it, of shape ",
                           shape_text(piece.shape));
  require<CheckpointError>(entry->shape == piece.shape, where, ": tensor ", shown_name(piece.name), ": got shape ",
                           shape_text(entry->shape), "; need ", shape_text(piece.shape), " (config.json)");
  const bool is_float = entry->dtype == at::kFloat || entry->dtype == at::kBFloat16 || entry->dtype == at::kHalf;
  require<CheckpointError>(is_float, where, ": tensor ", shown_name(piece.name), ": got ", dtype_name(entry->dtype),
                           "; need F32, BF16 or F16");
}

// The narrowest type that holds both exactly.
at::ScalarType wider(at::ScalarType left, at::ScalarType right) { return left == right ? left : at::kFloat; }

// Rows of a foreign tensor in evenkeel's order, and the other way round.
at::Tensor reordered(const at::Tensor& tensor, const std::vector<int64_t>& order, bool to_foreign) {
  if (order.empty()) return tensor;
  std::vector<int64_t> index = order;
  if (!to_foreign)
    for (size_t row = 0; row < order.size(); ++row) index[static_cast<size_t>(order[row])] = static_cast<int64_t>(row);
  const auto n = static_cast<int64_t>(order.size());
  const auto ids = at::empty({n}, at::kLong);
  std::copy(index.begin(), index.end(), ids.mutable_data_ptr<int64_t>());
  auto by_head = tensor.reshape({tensor.size(0) / n, n, -1});
  return by_head.index_select(1, ids).reshape(tensor.sizes());
}

}  // namespace

at::Tensor to_foreign(const at::Tensor& own, const Piece& piece) {
  auto out = reordered(own, piece.order, /*to_foreign=*/true);
  if (piece.factor != 1) out = out * piece.factor;
  return piece.is_transposed ? out.t() : out;
}

at::Tensor to_own(const at::Tensor& foreign, const Piece& piece) {
  auto out = reordered(piece.is_transposed ? foreign.t() : foreign, piece.order, /*to_foreign=*/false);
  return piece.factor == 1 ? out : out / piece.factor;
}

// ---- config.json ----

bool is_hf_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(folder / "config.json", ignored)) return false;
  return !HfConfig(folder).text("model_type", "").empty();
}

namespace {

// The folder is one of evenkeel's: its model in evenkeel's own terms, where config.json is still that of the export.
void undo_detours(const fs::path& folder, const ReadConfig& read, HfModel& model) {
  const fs::path path = folder / kExportName;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return;
  const std::string where = path.string();
  Json json;
  try {
    json = read_json(path);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  with_path_as<CheckpointError>(where, json, [&] {
    require<CheckpointError>(json.at("format") == Json(kExportFormat), where, ": format: got ",
                             json.at("format").dump(), "; need \"", kExportFormat, "\"");
    auto config = model::model_config_from_json(json.at("model"), where);
    std::vector<std::string> names;
    for (const auto& name : json.at("detours").as_array()) names.push_back(name.as_string());
    Home home = home_with(as_evaluated(config, where), *read.family, names, read.max_sequence_length, where);
    const auto differences = runtime_differences(runtime_form(read.model), runtime_form(home.foreign));
    if (!differences.empty()) {
      model.notices.push_back(where + ": got another model than that of config.json beside it (" + differences[0] +
                              " there); config.json holds");
      return;
    }
    model.config = std::move(config);
    model.home = std::move(home);
  });
}

}  // namespace

HfModel read_hf_config(const fs::path& folder) {
  const HfConfig config(folder);
  const Family& family = family_of(config);
  config.require_architecture(family.architecture);
  auto read = read_with(family, config);
  HfModel model{family.model_type, read.model, read.max_sequence_length, {}, read.notices};
  model.home.family = &family;
  model.home.foreign = read.model;
  model.home.max_sequence_length = read.max_sequence_length;
  undo_detours(folder, read, model);
  return model;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const auto& family : families()) names.emplace_back(family.model_type);
  return names;
}

// ---- tensors ----

// The first layout that the folder has something of, else the one that is written; its tensors are there as they
// should.
std::vector<Piece> HfTensors::chosen_layout(const HfModel& model, const OwnTensor& tensor, bool is_own) {
  auto layouts = layouts_of(model.home, tensor, is_own);
  if (layouts.empty()) throw std::logic_error("no rule for " + tensor.name + " in family " + model.family);
  const auto is_there = [&](const std::vector<Piece>& layout) {
    return std::any_of(layout.begin(), layout.end(), [&](const Piece& piece) { return folder_.contains(piece.name); });
  };
  const auto found = std::find_if(layouts.begin(), layouts.end(), is_there);
  auto& pieces = found == layouts.end() ? layouts.front() : *found;
  if (is_own && &pieces != &layouts.front()) foreign_layouts_[tensor.name] = pieces[0].name;
  if (tensor.name == "embedding.weight" && is_tied_ && !folder_.contains(pieces[0].name) &&
      folder_.contains(tied_head_name()))
    pieces[0].name = tied_head_name();  // of the two the one that is there
  for (const auto& piece : pieces) check_entry(folder_, where_, piece);
  return std::move(pieces);
}

void HfTensors::add(const HfModel& model, const OwnTensor& tensor) {
  auto pieces = chosen_layout(model, tensor, /*is_own=*/true);
  at::ScalarType dtype = folder_.find(pieces[0].name)->dtype;
  for (const auto& piece : pieces) dtype = wider(dtype, folder_.find(piece.name)->dtype);
  if (tensor.is_state()) dtype = at::kFloat;
  for (const auto& piece : pieces)
    if (const auto stored = folder_.find(piece.name)->dtype; stored != dtype)
      foreign_types_[piece.name] = dtype_name(stored);
  if (tensor.is_state()) return biases_.push_back(std::move(pieces[0]));
  parameters_.push_back({tensor.name, dtype, tensor.shape});
  pieces_.push_back(std::move(pieces));
}

void HfTensors::check_rest(const HfModel& model) {
  const Family& family = *model.home.family;
  const int64_t n_layers = model.config.n_layers;
  std::set<std::string> used;
  for (const auto& pieces : pieces_)
    for (const auto& piece : pieces)
      require<CheckpointError>(used.insert(piece.name).second, where_, ": tensor ", shown_name(piece.name),
                               ": got it for two of evenkeel's; need one");
  for (const auto* others : {&biases_, &zeros_})
    for (const auto& piece : *others) used.insert(piece.name);
  for (const auto& pattern : family.derived)
    for (int64_t layer = 0; layer < n_layers; ++layer) used.insert(with_layer(pattern, layer));
  if (is_tied_) used.insert(tied_head_name());  // compared with the embedding when read
  std::string left_over;
  int64_t n_left_over = 0;
  for (const auto& [name, entry] : folder_.entries()) {
    const bool is_empty = std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end();
    if (used.contains(name) || is_empty) continue;  // what is empty says nothing
    const bool is_extra = family.has_extra_layers && name.starts_with("model.layers.") &&
                          std::atoll(name.c_str() + std::string_view("model.layers.").size()) >= n_layers;
    if (is_extra) {
      skipped_.push_back(name);
    } else if (++n_left_over <= 3) {
      add_to_list(left_over, shown_name(name));
    }
  }
  require<CheckpointError>(n_left_over == 0, where_, ": got ", counted(n_left_over, "tensor"), " that a ",
                           family.model_type, " of this config.json does not have: ", left_over,
                           n_left_over > 3 ? ", ..." : "", "; need none");
}

HfTensors::HfTensors(const fs::path& folder, const HfModel& model)
    : folder_(folder), where_(folder.string()), is_tied_(model.config.tie_embeddings) {
  std::set<std::string> own;
  for (const auto& tensor : tensors_of(model.config)) {
    add(model, tensor);
    own.insert(tensor.name);
  }
  for (const auto& tensor : tensors_of(model.home.foreign)) {
    if (own.contains(tensor.name)) continue;
    const auto pieces = chosen_layout(model, tensor, /*is_own=*/false);
    zeros_.insert(zeros_.end(), pieces.begin(), pieces.end());
  }
  check_rest(model);
}

void HfTensors::check_values() const {
  if (has_tied_copy()) {
    const auto head = folder_.load(tied_head_name()), embedding = folder_.load(pieces_[0][0].name);
    require<CheckpointError>(
        head.sizes() == embedding.sizes() && at::equal(head.to(at::kFloat), embedding.to(at::kFloat)), where_,
        ": tensor ", shown_name(tied_head_name()),
        ": got other values than the embedding; need the same (tie_word_embeddings = true)");
  }
  for (const auto& piece : zeros_)
    require<CheckpointError>(!folder_.load(piece.name).any().item<bool>(), where_, ": tensor ", shown_name(piece.name),
                             ": got other values than 0; need 0, as ", kExportName,
                             " says (without that file the folder is read as what config.json says)");
}

at::Tensor HfTensors::parameter(size_t index, at::ScalarType dtype) const {
  const auto& pieces = pieces_[index];
  if (pieces.size() == 1 && pieces[0].expert < 0 && !pieces[0].is_stacked)
    return to_own(folder_.load(pieces[0].name), pieces[0]).to(dtype);
  auto out = at::empty(parameters_[index].shape, at::TensorOptions().dtype(dtype).device(at::kCPU));
  const auto put = [](const at::Tensor& place, const Piece& piece, const at::Tensor& foreign) {
    place.narrow(0, piece.row, piece.n_rows()).copy_(to_own(foreign, piece));
  };
  for (const auto& piece : pieces) {
    if (!piece.is_stacked) put(piece.expert < 0 ? out : out.select(0, piece.expert), piece, folder_.load(piece.name));
    for (int64_t expert = 0; piece.is_stacked && expert < out.size(0); ++expert)
      put(out.select(0, expert), piece, folder_.load_slice(piece.name, expert));
  }
  return out;
}

std::vector<std::string> HfTensors::stored_in(Packing packing) const {
  std::vector<std::string> out;
  for (const auto& pieces : pieces_)
    for (const auto& piece : pieces)
      if (folder_.find(piece.name)->packing == packing) out.push_back(piece.name);
  return out;
}

std::vector<at::Tensor> HfTensors::biases() const {
  std::vector<at::Tensor> out;
  for (const auto& piece : biases_) out.push_back(to_own(folder_.load(piece.name), piece).to(at::kFloat));
  return out;
}

void log_notices(const HfModel& model, const HfTensors& tensors, const fs::path& folder) {
  for (const auto& notice : model.notices) log_warning(notice);
  for (const auto& [packing, what] : {std::pair(Packing::mxfp4, "MXFP4"), {Packing::fp8, "fp8"}})
    if (const auto names = tensors.stored_in(packing); !names.empty())
      log_info(folder.string(), ": ", counted(static_cast<int64_t>(names.size()), "tensor"), " of ", what,
               " decoded to bf16: ", names.front(), names.size() > 1 ? ", ..." : "");
  if (!tensors.skipped().empty())
    log_warning(folder.string(), ": passed over ", counted(static_cast<int64_t>(tensors.skipped().size()), "tensor"),
                " of layers for multi-token prediction, which evenkeel does not have: ", tensors.skipped().front(),
                tensors.skipped().size() > 1 ? ", ..." : "");
}

ops::Params read_hf_params(const fs::path& folder, const HfModel& model) {
  const HfTensors tensors(folder, model);
  tensors.check_values();
  ops::Params params;
  for (size_t i = 0; i < tensors.parameters().size(); ++i)
    params.add(tensors.parameters()[i].name, tensors.parameter(i, at::kFloat));
  log_notices(model, tensors, folder);
  return params;
}

std::vector<at::Tensor> read_hf_biases(const fs::path& folder, const HfModel& model) {
  return HfTensors(folder, model).biases();
}

}  // namespace evenkeel::checkpoint

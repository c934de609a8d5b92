#include "checkpoint/families.h"

#include <algorithm>
#include <charconv>
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

// The layer that a foreign name says; -1 where it says none.
int64_t layer_of(std::string_view name) {
  constexpr std::string_view kStart = "model.layers.";
  if (!name.starts_with(kStart)) return -1;
  name.remove_prefix(kStart.size());
  int64_t layer = -1;
  std::from_chars(name.data(), name.data() + name.size(), layer);
  return name.starts_with(std::to_string(layer) + ".") ? layer : -1;
}

}  // namespace

void for_row_blocks(const Piece& piece, const std::function<void(const RowBlock& block)>& visit) {
  constexpr int64_t kBlockElements = int64_t{4} << 20;
  const int64_t run_rows = std::max<int64_t>(1, static_cast<int64_t>(piece.order.size()));
  int64_t run_size = run_rows;
  for (size_t i = piece.is_stacked ? 2 : 1; i < piece.shape.size(); ++i) run_size *= piece.shape[i];
  const int64_t n_rows = piece.n_rows();
  const int64_t most =
      piece.is_transposed ? n_rows : std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, run_size)) * run_rows;
  for (int64_t index = 0; index < (piece.is_stacked ? piece.shape[0] : 1); ++index)
    for (int64_t first = 0; first < n_rows; first += most)
      visit({piece.is_stacked ? index : piece.expert, first, std::min(most, n_rows - first)});
}

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
    const auto pass_over = [&](const std::string& difference) {
      model.notices.push_back(where + ": got another model than that of config.json beside it (" + difference +
                              " there); config.json holds");
    };
    if (json.at("family").as_string() != read.family->model_type)
      return pass_over(join_parts("model_type = \"", read.family->model_type, "\""));
    std::vector<std::string> names;
    for (const auto& name : json.at("detours").as_array()) names.push_back(name.as_string());
    Home home = home_with(as_evaluated(config, where), *read.family, names, read.max_sequence_length, where);
    const auto differences = runtime_differences(runtime_form(read.model), runtime_form(home.foreign));
    if (!differences.empty()) return pass_over(differences[0]);
    model.config = std::move(config);
    model.home = std::move(home);
  });
}

// How many layers for multi-token prediction stand behind the last; hub folders that have one may leave the key out.
int64_t extra_layers(const HfConfig& config) {
  int64_t most = 0;
  bool is_said = false;
  for (const char* key : {"num_nextn_predict_layers", "num_mtp_layers"}) {
    is_said = is_said || config.find(key) != nullptr;
    most = std::max(most, config.count(key, 0));
  }
  return is_said ? most : 1;
}

}  // namespace

HfModel read_hf_config(const fs::path& folder) {
  const HfConfig config(folder);
  const Family& family = family_of(config);
  config.require_architecture(family.architecture);
  auto read = read_with(family, config);
  HfModel model{.family = family.model_type,
                .config = read.model,
                .max_sequence_length = read.max_sequence_length,
                .home = {},
                .n_extra_layers = family.has_extra_layers ? extra_layers(config) : 0,
                .notices = read.notices};
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
  if (tied_head() == "copy") {
    check_entry(folder_, where_, {tied_head_name(), pieces_[0][0].shape});
    if (const auto type = folder_.find(tied_head_name())->dtype; type != parameters_[0].dtype)
      foreign_types_[tied_head_name()] = dtype_name(type);
  }
  std::string left_over;
  int64_t n_left_over = 0;
  for (const auto& [name, entry] : folder_.entries()) {
    if (used.contains(name)) continue;
    const int64_t layer = layer_of(name);
    if (layer >= n_layers && layer < n_layers + model.n_extra_layers) {
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

std::string HfTensors::tied_head() const {
  if (!is_tied_ || !folder_.contains(tied_head_name())) return "";
  return pieces_[0][0].name == tied_head_name() ? "alone" : "copy";
}

void HfTensors::check_values() const {
  if (tied_head() == "copy")
    for_row_blocks(pieces_[0][0], [&](const RowBlock& block) {
      const auto rows_of = [&](const std::string& name) {
        return folder_.load_rows(name, block.first, block.count).to(at::kFloat);
      };
      require<CheckpointError>(at::equal(rows_of(tied_head_name()), rows_of(pieces_[0][0].name)), where_, ": tensor ",
                               shown_name(tied_head_name()),
                               ": got other values than the embedding; need the same (tie_word_embeddings = true)");
    });
  for (const auto& piece : zeros_)
    for_row_blocks(piece, [&](const RowBlock& block) {
      require<CheckpointError>(!load_block(piece, block).any().item<bool>(), where_, ": tensor ",
                               shown_name(piece.name), ": got other values than 0; need 0, as ", kExportName,
                               " says (without that file the folder is read as what config.json says)");
    });
}

// Into the tensor that it is a part of, or its expert.
void HfTensors::put_block(const Piece& piece, const RowBlock& block, const at::Tensor& out) const {
  out.narrow(0, piece.row + block.first, block.count).copy_(to_own(load_block(piece, block), piece));
}

at::Tensor HfTensors::parameter(size_t index, at::ScalarType dtype) const {
  auto out = at::empty(parameters_[index].shape, at::TensorOptions().dtype(dtype).device(at::kCPU));
  for (const auto& piece : pieces_[index])
    for_row_blocks(piece, [&](const RowBlock& block) {
      put_block(piece, block, block.expert < 0 ? out : out.select(0, block.expert));
    });
  return out;
}

at::Tensor HfTensors::expert(size_t index, int64_t expert, at::ScalarType dtype) const {
  const auto& shape = parameters_[index].shape;
  const std::vector<int64_t> of_one(shape.begin() + 1, shape.end());
  auto out = at::empty(of_one, at::TensorOptions().dtype(dtype).device(at::kCPU));
  for (const auto& piece : pieces_[index]) {
    if (!piece.is_stacked && piece.expert != expert) continue;
    auto one = piece;  // its blocks of this expert
    one.expert = expert;
    one.is_stacked = false;
    if (piece.is_stacked) one.shape.erase(one.shape.begin());
    for_row_blocks(one, [&](const RowBlock& block) { put_block(piece, block, out); });
  }
  return out;
}

// As it is stored.
at::Tensor HfTensors::load_block(const Piece& piece, const RowBlock& block) const {
  if (piece.is_stacked && piece.is_transposed) return folder_.load_rows(piece.name, block.expert, 1).squeeze(0);
  if (piece.is_transposed) return folder_.load(piece.name);
  if (piece.is_stacked) return folder_.load_inner_rows(piece.name, block.expert, block.first, block.count);
  return folder_.load_rows(piece.name, block.first, block.count);
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

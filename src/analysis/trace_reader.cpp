#include "analysis/trace_reader.h"

#include <charconv>
#include <set>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>

#include "checkpoint/safetensors_header.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

// Beyond these a file is taken for damaged.
constexpr int64_t kMostIds = 1 << 24, kMostLength = 1 << 22, kMostLayers = 10'000;
constexpr int64_t kMostTokensAtOnce = 1 << 20;  // of a batch that is read
constexpr int64_t kAssignmentRows = 1 << 16;    // of a list of assignments

// "layers.12.expert_ids" -> 12, "expert_ids"; nothing for names of another form.
std::optional<std::pair<int64_t, std::string>> split_layer_name(const std::string& name) {
  constexpr std::string_view kPrefix = "layers.";
  if (name.rfind(kPrefix, 0) != 0) return std::nullopt;
  int64_t layer = -1;
  const char* begin = name.data() + kPrefix.size();
  const auto [end, error] = std::from_chars(begin, name.data() + name.size(), layer);
  if (error != std::errc() || layer < 0 || *end != '.' || trace_tensor(layer, end + 1) != name) return std::nullopt;
  return std::pair(layer, std::string(end + 1));
}

int64_t rows_at_once(int64_t length) { return std::max<int64_t>(1, kMostTokensAtOnce / length); }

// The windows of one batch that have the same length without padding.
struct Group {
  int64_t first = 0, count = 0;  // rows of the file
  int64_t length = 0;            // places that are no padding, from the start
  at::Tensor is_padding;         // [count, length] where it is not at the ends alone
};

class TraceSource : public ObservationSource {
 public:
  TraceSource(std::shared_ptr<const checkpoint::SafetensorsFile> file, const TraceInfo& info, int64_t n_tokens,
              std::string where)
      : file_(std::move(file)),
        info_(info),
        n_tokens_(n_tokens),
        where_(std::move(where)),
        cursors_(info.layers.size(), 0) {}
  int64_t n_tokens() const override { return n_tokens_; }
  int64_t n_clusters() const override {
    const int64_t together = info_.mode == "train" ? info_.batch_size : 1;
    return (info_.n_windows + together - 1) / together;
  }
  bool next(Observation& batch) override;

 private:
  Group next_group();
  at::Tensor read(const std::string& name, const Group& group) const;
  at::Tensor read_ids(const std::string& name, const Group& group, int64_t least) const;
  moe::RoutingDecision read_layer(size_t index, const Group& group);
  void read_choices(moe::RoutingDecision& decision, const Group& group) const;
  void read_assignments(moe::RoutingDecision& decision, size_t index, const Group& group);
  void check_experts(const moe::RoutingDecision& decision) const;
  void check_weights(const moe::RoutingDecision& decision, const Group& group) const;
  void check_end() const;

  std::shared_ptr<const checkpoint::SafetensorsFile> file_;
  TraceInfo info_;
  int64_t n_tokens_;
  std::string where_;
  int64_t row_ = 0, batch_end_ = 0;  // of the file
  std::vector<int64_t> cursors_;     // rows read of each layer's assignments
};

// The next windows up to the end of their batch that are alike; count 0 at the end of the file.
Group TraceSource::next_group() {
  while (row_ < info_.n_windows) {
    if (row_ == batch_end_)
      batch_end_ = std::min(info_.n_windows, row_ + std::min(info_.batch_size, rows_at_once(info_.length)));
    Group group{row_, 0, info_.length, {}};
    if (file_->find("is_padding") == nullptr) {
      group.count = batch_end_ - row_;
      row_ = batch_end_;
      return group;
    }
    const auto is_padding = file_->load_rows("is_padding", row_, batch_end_ - row_);
    const bool* padding = is_padding.const_data_ptr<bool>();
    // Length of a row without the padding at its end; -1 where there is other padding.
    const auto length_of = [&](int64_t row) {
      const bool* begin = padding + row * info_.length;
      const auto n_counted = std::count(begin, begin + info_.length, false);
      return std::find(begin, begin + info_.length, true) - begin == n_counted ? n_counted : int64_t{-1};
    };
    const int64_t length = length_of(0);
    while (group.count < is_padding.size(0) && length_of(group.count) == length) ++group.count;
    row_ += group.count;
    if (length == 0) continue;
    if (length > 0) group.length = length;
    if (length < 0) group.is_padding = is_padding.narrow(0, 0, group.count).contiguous();
    return group;
  }
  return {};
}

// [count, S, ...] cut to [count, length, ...].
at::Tensor TraceSource::read(const std::string& name, const Group& group) const {
  return file_->load_rows(name, group.first, group.count).narrow(1, 0, group.length).contiguous();
}

// Ids from `least` on, below the vocabulary; what is padding becomes `least`.
at::Tensor TraceSource::read_ids(const std::string& name, const Group& group, int64_t least) const {
  auto ids = read(name, group).to(at::kLong);
  if (group.is_padding.defined()) ids = ids.masked_fill(group.is_padding, least);
  const int64_t* values = ids.const_data_ptr<int64_t>();
  const auto* wrong =
      std::find_if(values, values + ids.numel(), [&](int64_t id) { return id < least || id >= info_.vocab_size; });
  if (wrong != values + ids.numel()) {
    const int64_t place = wrong - values;
    fail<DataError>(where_, ": ", name, " of window ", group.first + place / group.length, ", place ",
                    place % group.length, ": got ", *wrong, "; need ", least, "..", info_.vocab_size - 1);
  }
  return ids;
}

void TraceSource::check_experts(const moe::RoutingDecision& decision) const {
  const int64_t* experts = decision.expert_ids.const_data_ptr<int64_t>();
  const int64_t* tokens = decision.token_ids.const_data_ptr<int64_t>();
  std::vector<int64_t> last_token(static_cast<size_t>(info_.n_experts), -1);
  for (int64_t n = 0; n < decision.expert_ids.size(0); ++n) {
    const bool is_expert = experts[n] >= 0 && experts[n] < info_.n_experts;
    if (is_expert && std::exchange(last_token[static_cast<size_t>(experts[n])], tokens[n]) != tokens[n]) continue;
    fail<DataError>(where_, ": layer ", decision.layer, ": got expert ", experts[n],
                    is_expert ? " twice for a token" : "", "; need different experts of 0..", info_.n_experts - 1);
  }
}

void TraceSource::read_choices(moe::RoutingDecision& decision, const Group& group) const {
  const int64_t k = info_.top_k;
  auto expert_ids = read(trace_tensor(decision.layer, "expert_ids"), group).to(at::kLong);  // [count, length, k]
  if (group.is_padding.defined())
    expert_ids = at::where(group.is_padding.unsqueeze(2), at::arange(k, at::kLong), expert_ids);
  decision.expert_ids = expert_ids.reshape({-1}).contiguous();
  decision.token_ids =
      at::arange(decision.n_tokens, at::kLong).unsqueeze(1).expand({decision.n_tokens, k}).reshape({-1}).contiguous();
  decision.weights = read(trace_tensor(decision.layer, "weights"), group).to(at::kFloat).reshape({-1});
  const std::string dropped = trace_tensor(decision.layer, "dropped");
  if (file_->find(dropped) != nullptr) decision.dropped = read(dropped, group).reshape({-1});
}

void TraceSource::check_weights(const moe::RoutingDecision& decision, const Group& group) const {
  require<DataError>(at::isfinite(decision.weights).all().item<bool>(), where_, ": layer ", decision.layer,
                     ", weights of windows from ", group.first,
                     " on: got a value that is not finite; need finite weights");
}

// The rows (flat token, expert, rank) of the group's tokens, which follow those read before.
void TraceSource::read_assignments(moe::RoutingDecision& decision, size_t index, const Group& group) {
  const std::string name = trace_tensor(decision.layer, "assignments");
  const int64_t n_rows = file_->find(name)->shape[0], begin = group.first * info_.length,
                end = (group.first + group.count) * info_.length;
  const int64_t first_row = cursors_[index];
  std::vector<int64_t> tokens, experts;
  int64_t last_token = begin, rank = -1;
  for (bool is_done = false; !is_done && cursors_[index] < n_rows;) {
    const auto rows =
        file_->load_rows(name, cursors_[index], std::min(kAssignmentRows, n_rows - cursors_[index])).to(at::kInt);
    const int32_t* row = rows.const_data_ptr<int32_t>();
    for (int64_t i = 0; i < rows.size(0) && !is_done; ++i, row += 3) {
      is_done = row[0] >= end;
      if (is_done) break;
      rank = row[0] == last_token ? rank + 1 : 0;
      const int64_t place = row[0] % info_.length;
      const bool is_counted =
          place < group.length &&
          (!group.is_padding.defined() || !group.is_padding[row[0] / info_.length - group.first][place].item<bool>());
      require<DataError>(row[0] >= last_token && row[2] == rank && is_counted, where_, ": ", name, ", row ",
                         cursors_[index], ": got token ", row[0], " with rank ", row[2],
                         "; need tokens in ascending order, none of them padding, and their ranks from 0 on");
      last_token = row[0];
      tokens.push_back((row[0] / info_.length - group.first) * group.length + place);
      experts.push_back(row[1]);
      ++cursors_[index];
    }
  }
  const auto as_tensor = [](const std::vector<int64_t>& values) {
    auto out = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
    std::copy(values.begin(), values.end(), out.mutable_data_ptr<int64_t>());
    return out;
  };
  decision.token_ids = as_tensor(tokens);
  decision.expert_ids = as_tensor(experts);
  const auto read_rows = [&](const char* tensor) {
    const std::string full_name = trace_tensor(decision.layer, tensor);
    return file_->find(full_name) != nullptr ? file_->load_rows(full_name, first_row, cursors_[index] - first_row)
                                             : at::Tensor();
  };
  decision.weights = read_rows("assignment_weights");
  decision.dropped = read_rows("assignment_dropped");
}

moe::RoutingDecision TraceSource::read_layer(size_t index, const Group& group) {
  moe::RoutingDecision decision;
  decision.layer = info_.layers[index];
  decision.n_tokens = group.count * group.length;
  decision.n_experts = info_.n_experts;
  decision.top_k = info_.top_k;
  decision.n_sequences = group.count;
  decision.score = info_.score;
  if (info_.exactly_k) {
    read_choices(decision, group);
  } else {
    read_assignments(decision, index, group);
  }
  check_experts(decision);
  if (decision.weights.defined()) check_weights(decision, group);
  if (info_.is_dropless() && decision.dropped.defined() && !decision.dropped.any().item<bool>())
    decision.dropped = at::Tensor();
  if (group.is_padding.defined()) decision.is_padding = group.is_padding.view({-1});
  const std::string capacity = trace_tensor(decision.layer, "capacity"),
                    logits = trace_tensor(decision.layer, "router_logits");
  if (file_->find(capacity) != nullptr)
    decision.capacity = file_->load_rows(capacity, group.first, group.count).max().item<int64_t>();
  require<DataError>(decision.capacity >= 0, where_, ": ", capacity, ": got ", decision.capacity, "; need 0 or more");
  if (!info_.has_router_logits) return decision;
  decision.logits = read(logits, group).to(at::kFloat).view({decision.n_tokens, info_.n_experts});
  require<DataError>(at::isfinite(decision.logits).all().item<bool>(), where_, ": ", logits, " of windows from ",
                     group.first, " on: got a value that is not finite; need finite logits");
  return decision;
}

// Every assignment belongs to a token that was observed.
void TraceSource::check_end() const {
  for (size_t i = 0; i < cursors_.size() && !info_.exactly_k; ++i) {
    const std::string name = trace_tensor(info_.layers[i], "assignments");
    require<DataError>(cursors_[i] == file_->find(name)->shape[0], where_, ": ", name, ", row ", cursors_[i],
                       ": got a token beyond the windows; need 0..", info_.n_places() - 1);
  }
}

bool TraceSource::next(Observation& batch) {
  const auto group = next_group();
  if (group.count == 0) {
    check_end();
    return false;
  }
  batch = {};
  batch.input_ids = read_ids("input_ids", group, 0);
  if (file_->find("predicted_ids") != nullptr) batch.predicted_ids = read_ids("predicted_ids", group, 0);
  if (file_->find("target_ids") != nullptr) {
    batch.target_ids = read_ids("target_ids", group, -1);
  } else {  // the next token of the window
    batch.target_ids = at::empty({group.count, group.length}, at::kLong).fill_(-1);
    batch.target_ids.narrow(1, 0, group.length - 1).copy_(batch.input_ids.narrow(1, 1, group.length - 1));
  }
  batch.document_ids = file_->find("document_ids") != nullptr
                           ? read("document_ids", group).to(at::kInt)
                           : at::empty({group.count, group.length}, at::kInt).fill_(0);
  batch.is_padding = group.is_padding;
  if (info_.mode == "train") batch.together = group.first / info_.batch_size;
  for (size_t i = 0; i < info_.layers.size(); ++i) batch.routing.push_back(read_layer(i, group));
  return true;
}

}  // namespace

TraceFile::TraceFile(const fs::path& path)
    : path_(path),
      file_(std::make_shared<checkpoint::SafetensorsFile>(path)),
      info_(trace_info_from_metadata(file_->metadata(), path.string())) {
  const auto* ids = file_->find("input_ids");
  require<DataError>(ids != nullptr, path.string(), ": got no tensor 'input_ids'; need a trace file");
  require<DataError>(ids->shape.size() == 2 && ids->shape[0] >= 1 && ids->shape[1] >= 1 && ids->shape[1] <= kMostLength,
                     path.string(), ": input_ids: got shape ", checkpoint::shape_text(ids->shape),
                     "; need [windows, tokens], at least one and at most ", kMostLength, " tokens a window");
  info_.n_windows = ids->shape[0];
  info_.length = ids->shape[1];
  info_.sequence_length = std::max(info_.sequence_length, info_.length);
  const std::vector<int64_t> places = ids->shape;
  check_tensor("input_ids", {at::kLong, at::kInt}, places, true);
  for (const char* name : {"predicted_ids", "target_ids", "document_ids"})
    check_tensor(name, {at::kLong, at::kInt}, places, false);
  check_tensor("is_padding", {at::kBool}, places, false);
  if (const auto* logits = file_->find("logits")) {
    require<DataError>(logits->shape.size() == 3 && logits->shape[2] >= 1 && logits->shape[2] <= kMostIds,
                       path.string(), ": logits: got shape ", checkpoint::shape_text(logits->shape),
                       "; need [windows, tokens, vocabulary]");
    require<DataError>(info_.vocab_size == 0 || info_.vocab_size == logits->shape[2], path.string(), ": logits: got ",
                       logits->shape[2], " ids; need ", info_.vocab_size, " as the metadata say");
    info_.vocab_size = logits->shape[2];
    check_tensor("logits", {at::kFloat}, {info_.n_windows, info_.length, info_.vocab_size}, true);
    info_.has_logits = true;
  }
  find_layers();
  for (const int64_t layer : info_.layers) check_layer(layer);
  count_tokens();
  if (info_.vocab_size == 0) find_vocabulary();
}

// The tensor, when it is there. DataError when it is not and has to be, and for another type or shape.
const checkpoint::SafetensorsFile::Entry* TraceFile::check_tensor(const std::string& name,
                                                                  const std::vector<at::ScalarType>& dtypes,
                                                                  const std::vector<int64_t>& shape,
                                                                  bool is_required) const {
  const auto* entry = file_->find(name);
  require<DataError>(entry != nullptr || !is_required, path_.string(), ": got no tensor '", name, "'; need it");
  if (entry == nullptr) return nullptr;
  require<DataError>(entry->shape == shape, path_.string(), ": ", name, ": got shape ",
                     checkpoint::shape_text(entry->shape), "; need ", checkpoint::shape_text(shape));
  require<DataError>(std::find(dtypes.begin(), dtypes.end(), entry->dtype) != dtypes.end(), path_.string(), ": ", name,
                     ": got type ", checkpoint::dtype_name(entry->dtype), "; need ", checkpoint::dtype_name(dtypes[0]));
  return entry;
}

void TraceFile::find_layers() {
  std::set<int64_t> with_k, with_any, with_logits;
  for (const auto& entry : file_->entries()) {
    const auto name = split_layer_name(entry.name);
    if (!name) continue;
    if (name->second == "expert_ids") with_k.insert(name->first);
    if (name->second == "assignments") with_any.insert(name->first);
    if (name->second == "router_logits") with_logits.insert(name->first);
  }
  require<DataError>(with_k.empty() || with_any.empty(), path_.string(),
                     ": got layers with expert_ids and layers with assignments; need the same of all");
  info_.exactly_k = with_any.empty();
  const auto& layers = info_.exactly_k ? with_k : with_any;
  info_.layers.assign(layers.begin(), layers.end());
  const auto n_layers = static_cast<int64_t>(layers.size());
  require<DataError>(n_layers <= kMostLayers, path_.string(), ": got ", n_layers, " MoE layers; need at most ",
                     kMostLayers);
  require<DataError>((n_layers > 0) == (info_.n_experts > 0), path_.string(), ": got ", n_layers,
                     " MoE layers with n_experts ", info_.n_experts, " in the metadata; need both or neither");
  require<DataError>(with_logits.empty() || with_logits == layers, path_.string(), ": got router_logits of ",
                     with_logits.size(), " layers; need those of all ", n_layers, " or none");
  info_.has_router_logits = !with_logits.empty();
}

void TraceFile::check_layer(int64_t layer) {
  const auto named = [&](const char* name) { return trace_tensor(layer, name); };
  if (info_.exactly_k) {
    const std::vector<int64_t> shape = {info_.n_windows, info_.length, info_.top_k};
    check_tensor(named("expert_ids"), {at::kInt, at::kLong}, shape, true);
    check_tensor(named("weights"), {at::kFloat}, shape, true);
    check_tensor(named("dropped"), {at::kBool}, shape, false);
  } else {
    const auto& shape = file_->find(named("assignments"))->shape;
    const int64_t n = shape.empty() ? 0 : shape[0];
    check_tensor(named("assignments"), {at::kInt}, {n, 3}, true);
    check_tensor(named("assignment_weights"), {at::kFloat}, {n}, false);
    check_tensor(named("assignment_dropped"), {at::kBool}, {n}, false);
  }
  check_tensor(named("router_logits"), {at::kFloat}, {info_.n_windows, info_.length, info_.n_experts}, false);
  check_tensor(named("capacity"), {at::kInt}, {info_.n_windows}, false);
}

void TraceFile::count_tokens() {
  n_tokens_ = info_.n_places();
  const int64_t step = rows_at_once(info_.length);
  for (int64_t row = 0; file_->find("is_padding") != nullptr && row < info_.n_windows; row += step)
    n_tokens_ -= file_->load_rows("is_padding", row, std::min(step, info_.n_windows - row)).sum().item<int64_t>();
  require<DataError>(n_tokens_ > 0, path_.string(), ": is_padding: got padding alone; need a token that is counted");
}

void TraceFile::find_vocabulary() {
  int64_t largest = 0;
  const int64_t step = rows_at_once(info_.length);
  for (const char* name : {"input_ids", "predicted_ids", "target_ids"})
    for (int64_t row = 0; file_->find(name) != nullptr && row < info_.n_windows; row += step)
      largest =
          std::max(largest, file_->load_rows(name, row, std::min(step, info_.n_windows - row)).max().item<int64_t>());
  require<DataError>(largest < kMostIds, path_.string(), ": got token id ", largest, "; need at most ", kMostIds - 1);
  info_.vocab_size = largest + 1;
}

std::vector<LayerShape> TraceFile::layers() const {
  std::vector<LayerShape> out;
  for (const int64_t layer : info_.layers) out.push_back({layer, info_.n_experts, info_.top_k});
  return out;
}

std::unique_ptr<ObservationSource> TraceFile::observations() const {
  return std::make_unique<TraceSource>(file_, info_, n_tokens_, path_.string());
}

namespace {

class PairedSource : public ObservationSource {
 public:
  PairedSource(std::unique_ptr<ObservationSource> model, std::unique_ptr<ObservationSource> reference,
               std::string where)
      : model_(std::move(model)), reference_(std::move(reference)), where_(std::move(where)) {}
  int64_t n_tokens() const override { return model_->n_tokens(); }
  int64_t n_clusters() const override { return model_->n_clusters(); }

  bool next(Observation& batch) override {
    Observation other;
    const bool has_batch = model_->next(batch), has_other = reference_->next(other);
    const bool same =
        has_batch == has_other &&
        (!has_batch || (batch.input_ids.sizes() == other.input_ids.sizes() && batch.input_ids.equal(other.input_ids)));
    require<DataError>(same, where_,
                       ": got other tokens or batches than the trace it is compared with; need traces of the same "
                       "tokens, --sequence-length and --batch-size");
    if (has_batch) batch.reference = std::move(other.routing);
    return has_batch;
  }

 private:
  std::unique_ptr<ObservationSource> model_, reference_;
  std::string where_;
};

}  // namespace

std::unique_ptr<ObservationSource> with_reference(std::unique_ptr<ObservationSource> model,
                                                  std::unique_ptr<ObservationSource> reference,
                                                  const std::string& where) {
  return std::make_unique<PairedSource>(std::move(model), std::move(reference), where);
}

}  // namespace evenkeel::analysis

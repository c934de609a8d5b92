#include "analysis/trace_writer.h"

#include <cerrno>

#include <unistd.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "checkpoint/safetensors_header.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/units.h"
#include "ops/cross_entropy.h"

namespace evenkeel::analysis {
namespace {

// Bytes of a tensor whose size is not known yet. The file has no name, so nothing is left of it.
class Spill {
 public:
  explicit Spill(const fs::path& beside) : path_(beside) {
    std::string name = beside.string() + ".tmpXXXXXX";
    descriptor_ = mkstemp(name.data());
    if (descriptor_ < 0) fail_machine(path_, "creating a temporary file");
    unlink(name.c_str());
  }
  ~Spill() { close(descriptor_); }
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  void append(const void* data, size_t size_bytes) {
    const char* next = static_cast<const char*>(data);
    while (size_bytes > 0) {
      const ssize_t n = write(descriptor_, next, size_bytes);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_machine(path_, "writing a temporary file");
      next += n;
      size_bytes -= static_cast<size_t>(n);
    }
  }
  void copy_to(AtomicFile& out, size_t offset) const {
    std::string piece(size_t{1} << 20, '\0');
    for (size_t done = 0;;) {
      const ssize_t n = pread(descriptor_, piece.data(), piece.size(), static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_machine(path_, "reading a temporary file");
      if (n == 0) return;
      out.write_at(static_cast<int64_t>(offset + done), piece.data(), static_cast<size_t>(n));
      done += static_cast<size_t>(n);
    }
  }

 private:
  fs::path path_;
  int descriptor_;
};

// One tensor of the file: a slab that fills from its start.
struct Slab {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;     // the first dimension is what was written so far where `spill` is set
  size_t begin = 0, written = 0;  // bytes; `begin` counts from the start of the data
  std::unique_ptr<Spill> spill;   // where sizes before it are not known
  size_t size_bytes() const {
    size_t product = c10::elementSize(dtype);
    for (const int64_t dim : shape) product *= static_cast<size_t>(dim);
    return product;
  }
};

// [b, s, ...] -> [b, S, ...], filled up with `fill`.
at::Tensor filled_up(const at::Tensor& tensor, int64_t length, double fill) {
  if (tensor.size(1) == length) return tensor;
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[1] = length;
  auto out = at::full(shape, fill, tensor.options());
  out.narrow(1, 0, tensor.size(1)).copy_(tensor);
  return out;
}

}  // namespace

struct TraceWriter::Impl {
  Impl(const fs::path& out, const TraceInfo& trace) : path(out), info(trace), file(out) {}
  fs::path path;
  TraceInfo info;
  AtomicFile file;
  std::vector<Slab> slabs;
  std::map<std::string, size_t> index;
  size_t header_bytes = 0;
  int64_t n_windows = 0;  // written so far

  void plan(const std::string& name, at::ScalarType dtype, std::vector<int64_t> shape) {
    index[name] = slabs.size();
    slabs.push_back({name, dtype, std::move(shape), 0, 0, nullptr});
  }
  void plan_all();
  void lay_out();
  void check_room() const;
  checkpoint::SafetensorsHeader header() const;

  // The next rows of a tensor, contiguous, in its dtype.
  void append(const std::string& name, const at::Tensor& rows) {
    Slab& slab = slabs[index.at(name)];
    const auto plain = rows.to(slab.dtype).contiguous();
    if (slab.spill) {
      slab.spill->append(plain.const_data_ptr(), plain.nbytes());
    } else {
      file.write_at(static_cast<int64_t>(8 + header_bytes + slab.begin + slab.written), plain.const_data_ptr(),
                    plain.nbytes());
    }
    slab.written += plain.nbytes();
  }
  void add_layer(const moe::RoutingDecision& decision, int64_t n_rows, int64_t length);
  void add_assignments(const moe::RoutingDecision& decision, int64_t length);
  void add_logits(int64_t n_tokens, const std::function<at::Tensor(int64_t, int64_t)>& logits);
};

// Every tensor, wider types first; those of unknown size and what comes after them are spilled.
void TraceWriter::Impl::plan_all() {
  const std::vector<int64_t> places = {info.n_windows, info.length};
  const auto with = [&](int64_t last) { return std::vector<int64_t>{info.n_windows, info.length, last}; };
  plan("input_ids", at::kLong, places);
  for (const char* name : {"predicted_ids", "target_ids", "document_ids"}) plan(name, at::kInt, places);
  for (const int64_t layer : info.layers) {
    if (info.exactly_k) {
      plan(trace_tensor(layer, "expert_ids"), at::kInt, with(info.top_k));
      plan(trace_tensor(layer, "weights"), at::kFloat, with(info.top_k));
    }
    if (info.has_router_logits) plan(trace_tensor(layer, "router_logits"), at::kFloat, with(info.n_experts));
    if (!info.is_dropless()) plan(trace_tensor(layer, "capacity"), at::kInt, {info.n_windows});
  }
  if (info.has_logits) plan("logits", at::kFloat, with(info.vocab_size));
  const size_t first_spilled = info.exactly_k ? SIZE_MAX : slabs.size();
  for (const int64_t layer : info.layers)
    if (!info.exactly_k) {
      plan(trace_tensor(layer, "assignments"), at::kInt, {0, 3});
      plan(trace_tensor(layer, "assignment_weights"), at::kFloat, {0});
    }
  plan("is_padding", at::kBool, places);
  for (const int64_t layer : info.layers)
    info.exactly_k ? plan(trace_tensor(layer, "dropped"), at::kBool, with(info.top_k))
                   : plan(trace_tensor(layer, "assignment_dropped"), at::kBool, {0});
  for (size_t i = first_spilled; i < slabs.size(); ++i) slabs[i].spill = std::make_unique<Spill>(path);
}

void TraceWriter::Impl::lay_out() {
  size_t begin = 0;
  for (auto& slab : slabs) {
    slab.begin = begin;
    begin += slab.size_bytes();
  }
}

checkpoint::SafetensorsHeader TraceWriter::Impl::header() const {
  checkpoint::SafetensorsHeader out;
  out.metadata = trace_metadata(info);
  for (const auto& slab : slabs)
    out.tensors.push_back({slab.name, slab.dtype, slab.shape, slab.begin, slab.begin + slab.size_bytes()});
  return out;
}

void TraceWriter::Impl::check_room() const {
  size_t needed = 0;
  for (const auto& slab : slabs) needed += slab.size_bytes();
  std::error_code error;
  const auto space = fs::space(path.has_parent_path() ? path.parent_path() : fs::path("."), error);
  require<MachineError>(error || space.available >= needed, path.string(), ": got ",
                        human_bytes(static_cast<double>(space.available)), " of free disk; need ",
                        human_bytes(static_cast<double>(needed)), " for the trace");
}

TraceWriter::TraceWriter(const fs::path& path, const TraceInfo& info) : impl_(std::make_unique<Impl>(path, info)) {
  require<ConfigError>(info.n_places() < INT32_MAX, path.string(), ": got ", info.n_places(),
                       " tokens; need fewer than ", INT32_MAX, " in one trace (--max-tokens)");
  impl_->plan_all();
  impl_->lay_out();
  impl_->check_room();
  // Room for the header as it will be at most: sizes that are not known yet may have many digits.
  auto longest = impl_->header();
  if (!info.exactly_k)
    for (auto& tensor : longest.tensors) {
      tensor.shape[0] = std::max(tensor.shape[0], info.n_places() * std::max<int64_t>(info.n_experts, 1));
      tensor.begin = tensor.end = static_cast<size_t>(INT64_MAX);
    }
  impl_->header_bytes = checkpoint::safetensors_header_text(longest).size();
}
TraceWriter::~TraceWriter() = default;

void TraceWriter::add(const Observation& batch, const std::function<at::Tensor(int64_t, int64_t)>& logits) {
  const auto& info = impl_->info;
  const int64_t n_rows = batch.input_ids.size(0), length = batch.input_ids.size(1);
  if (impl_->n_windows + n_rows > info.n_windows || batch.routing.size() != info.layers.size() ||
      (length != info.length && (n_rows != 1 || length > info.length)))
    throw std::logic_error("a batch that does not fit its trace");
  const auto is_padding = batch.is_padding.defined() ? batch.is_padding : at::zeros({n_rows, length}, at::kBool);
  const auto filled = [&](const char* name, const at::Tensor& tensor, double fill) {
    impl_->append(name, filled_up(tensor, info.length, fill));
  };
  filled("input_ids", batch.input_ids, 0);
  filled("predicted_ids", batch.predicted_ids, 0);
  filled("target_ids", batch.target_ids, -1);
  filled("document_ids", batch.document_ids, -1);
  filled("is_padding", is_padding, 1);
  for (const auto& decision : batch.routing) impl_->add_layer(decision, n_rows, length);
  if (info.has_logits) impl_->add_logits(n_rows * length, logits);
  impl_->n_windows += n_rows;
}

// A chunk of rows at a time, as the head makes them.
void TraceWriter::Impl::add_logits(int64_t n_tokens, const std::function<at::Tensor(int64_t, int64_t)>& logits) {
  for (int64_t first = 0; first < n_tokens; first += ops::kChunkRows)
    append("logits", logits(first, std::min(ops::kChunkRows, n_tokens - first)));
  const auto padding = at::zeros({1, info.vocab_size}, at::kFloat);
  for (int64_t i = n_tokens % info.length; i % info.length != 0; ++i) append("logits", padding);
}

void TraceWriter::Impl::add_layer(const moe::RoutingDecision& decision, int64_t n_rows, int64_t length) {
  const auto named = [&](const char* name) { return trace_tensor(decision.layer, name); };
  const auto shaped = [&](const at::Tensor& tensor, int64_t last) {
    return filled_up(tensor.view({n_rows, length, last}), info.length, 0);
  };
  if (info.has_router_logits) append(named("router_logits"), shaped(decision.logits, info.n_experts));
  if (!info.is_dropless()) append(named("capacity"), at::full({n_rows}, decision.capacity, at::kLong));
  const auto dropped =
      decision.dropped.defined() ? decision.dropped : at::zeros({decision.expert_ids.size(0)}, at::kBool);
  if (!info.exactly_k) {
    add_assignments(decision, length);
    append(named("assignment_dropped"), dropped);
    return;
  }
  if (decision.expert_ids.size(0) != n_rows * length * info.top_k)
    throw std::logic_error("a router that does not give exactly k experts");
  append(named("expert_ids"), shaped(decision.expert_ids, info.top_k));
  append(named("weights"), shaped(decision.weights, info.top_k));
  append(named("dropped"), shaped(dropped, info.top_k));
}

// (flat token, expert, rank) in the order of the decision.
void TraceWriter::Impl::add_assignments(const moe::RoutingDecision& decision, int64_t length) {
  const int64_t n = decision.expert_ids.size(0);
  const int64_t* tokens = decision.token_ids.const_data_ptr<int64_t>();
  const int64_t* experts = decision.expert_ids.const_data_ptr<int64_t>();
  auto out = at::empty({n, 3}, at::kInt);
  int32_t* rows = out.mutable_data_ptr<int32_t>();
  for (int64_t i = 0, rank = 0; i < n; ++i) {
    rank = i > 0 && tokens[i] == tokens[i - 1] ? rank + 1 : 0;
    const int64_t flat = (n_windows + tokens[i] / length) * info.length + tokens[i] % length;
    rows[3 * i] = static_cast<int32_t>(flat);
    rows[3 * i + 1] = static_cast<int32_t>(experts[i]);
    rows[3 * i + 2] = static_cast<int32_t>(rank);
  }
  append(trace_tensor(decision.layer, "assignments"), out);
  append(trace_tensor(decision.layer, "assignment_weights"), decision.weights);
  slabs[index.at(trace_tensor(decision.layer, "assignments"))].shape[0] += n;
  slabs[index.at(trace_tensor(decision.layer, "assignment_weights"))].shape[0] += n;
  slabs[index.at(trace_tensor(decision.layer, "assignment_dropped"))].shape[0] += n;
}

void TraceWriter::commit() {
  if (impl_->n_windows != impl_->info.n_windows) throw std::logic_error("a trace without all of its windows");
  impl_->lay_out();
  for (const auto& slab : impl_->slabs) {
    if (slab.written != slab.size_bytes())
      throw std::logic_error("a tensor of a trace that is not whole: " + slab.name);
    if (slab.spill) slab.spill->copy_to(impl_->file, 8 + impl_->header_bytes + slab.begin);
  }
  const std::string header = checkpoint::safetensors_header_text(impl_->header(), impl_->header_bytes);
  const uint64_t header_bytes = header.size();
  impl_->file.write_at(0, &header_bytes, sizeof header_bytes);
  impl_->file.write_at(8, header.data(), header.size());
  impl_->file.commit();
}

}  // namespace evenkeel::analysis

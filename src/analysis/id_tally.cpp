#include "analysis/id_tally.h"

#include <algorithm>
#include <bit>
#include <limits>

#include <ATen/Parallel.h>

#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;           // of rows
constexpr int64_t kLargestVocabulary = int64_t{1} << 24;  // where the input states none

// An id's place in the hash map, which has up to two buckets an id, and its occurrences, in a vector that grows by
// doubling.
constexpr size_t kNodeBytes = 32, kIdBytes = kNodeBytes + 2 * sizeof(void*) + 2 * sizeof(uint32_t);

// [T] the id of each token, -1 where it is not counted.
std::vector<int64_t> ids_of(const Observation& batch, IdKind kind) {
  const int64_t n_tokens = batch.input_ids.numel(), length = batch.input_ids.size(1);
  std::vector<int64_t> ids(static_cast<size_t>(n_tokens), -1);
  const at::Tensor& source = kind == IdKind::predicted ? batch.predicted_ids
                             : kind == IdKind::target  ? batch.target_ids
                                                       : batch.input_ids;
  if (!source.defined()) return ids;
  const bool* padding = batch.is_padding.defined() ? batch.is_padding.const_data_ptr<bool>() : nullptr;
  const int64_t* values = source.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < n_tokens; ++t)
    if (padding == nullptr || !padding[t])
      ids[static_cast<size_t>(t)] = kind == IdKind::position ? t % length : values[t];
  return ids;
}

}  // namespace

const char* name_of(IdKind kind) {
  switch (kind) {
    case IdKind::input: return "input";
    case IdKind::predicted: return "predicted";
    case IdKind::target: return "target";
    case IdKind::position: return "position";
  }
  return "";
}

std::vector<TokenChoices> choices_of(const std::vector<moe::RoutingDecision>& routing,
                                     const std::vector<LayerShape>& layers, int64_t n_tokens) {
  require<DataError>(routing.size() == layers.size(), "routing: got ", routing.size(), " MoE layers; need ",
                     layers.size());
  std::vector<TokenChoices> out;
  out.reserve(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) out.emplace_back(routing[i], n_tokens, layers[i].n_experts);
  return out;
}

IdTally::IdTally(const AnalysisInput& input, TallyKey key) : key_(key), vocab_size_(input.vocab_size) {
  for (const auto& shape : input.layers) {
    Layer layer;
    layer.n_experts = static_cast<size_t>(shape.n_experts);
    layer.top_k = static_cast<size_t>(shape.top_k);
    layer.row_bits =
        static_cast<int>(std::bit_width(std::max<size_t>(1, kBlockBytes / (sizeof(uint32_t) * layer.n_experts)))) - 1;
    layers_.push_back(std::move(layer));
  }
}

void IdTally::add(const Observation& batch, const std::vector<TokenChoices>& layers) {
  if (key_.data >= 0 && static_cast<size_t>(key_.data) != batch.data) return;
  const auto ids = ids_of(batch, key_.ids);
  const int64_t limit = key_.ids == IdKind::position ? batch.input_ids.size(1)
                        : vocab_size_ > 0            ? vocab_size_
                                                     : kLargestVocabulary;
  int64_t largest = -1, n_counted = 0;
  for (const int64_t id : ids) {
    largest = std::max(largest, id);
    n_counted += id >= 0 ? 1 : 0;
  }
  require<DataError>(largest < limit, name_of(key_.ids), " ids: got ", largest, "; need 0..", limit - 1);
  require<DataError>(n_tokens_ + n_counted <= std::numeric_limits<uint32_t>::max(), name_of(key_.ids), " ids: got ",
                     n_tokens_ + n_counted, " tokens of a data set; need at most 4294967295");
  n_tokens_ += n_counted;
  const auto slots = slots_of(ids);
  at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer)
      add_layer(layers_[layer], layers[layer], slots);
  });
}

// [T] the slot of each token's id, -1 where it is not counted; counts the occurrences.
std::vector<int64_t> IdTally::slots_of(std::span<const int64_t> ids) {
  std::vector<int64_t> slots;
  slots.reserve(ids.size());
  for (const int64_t id : ids) {
    if (id < 0) {
      slots.push_back(-1);
      continue;
    }
    const auto [place, is_new] = slot_of_.try_emplace(id, occurrences_.size());
    if (is_new) occurrences_.push_back(0);
    ++occurrences_[place->second];
    slots.push_back(static_cast<int64_t>(place->second));
  }
  return slots;
}

void IdTally::add_layer(Layer& layer, const TokenChoices& choices, std::span<const int64_t> slots) const {
  while (layer.blocks.size() << layer.row_bits < occurrences_.size())
    layer.blocks.push_back(std::make_unique<uint32_t[]>(layer.n_experts << layer.row_bits));
  const size_t wanted = key_.choices == Choices::first ? 1 : layer.top_k;
  for (size_t t = 0; t < slots.size(); ++t) {
    if (slots[t] < 0) continue;
    auto experts = choices.of(static_cast<int64_t>(t));
    if (key_.choices == Choices::first) experts = experts.first(std::min<size_t>(1, experts.size()));
    layer.exactly_k = layer.exactly_k && experts.size() == wanted;
    uint32_t* row = layer.row(static_cast<size_t>(slots[t]));
    for (const int64_t expert : experts) ++row[expert];
  }
}

std::vector<int64_t> IdTally::ids() const {
  std::vector<int64_t> out;
  out.reserve(slot_of_.size());
  for (const auto& [id, slot] : slot_of_) out.push_back(id);
  std::sort(out.begin(), out.end());
  return out;
}

int64_t IdTally::occurrences(int64_t id) const {
  const auto found = slot_of_.find(id);
  return found == slot_of_.end() ? 0 : occurrences_[found->second];
}

int64_t IdTally::most_occurrences() const {
  return occurrences_.empty() ? 0 : *std::max_element(occurrences_.begin(), occurrences_.end());
}

void IdTally::add_counts(size_t layer, int64_t id, std::span<int64_t> counts) const {
  const auto found = slot_of_.find(id);
  if (found == slot_of_.end()) return;
  const uint32_t* row = layers_[layer].row(found->second);
  for (size_t e = 0; e < counts.size(); ++e) counts[e] += row[e];
}

double IdTally::allocated_bytes() const {
  double out = static_cast<double>(sizeof(uint32_t) * occurrences_.capacity() +
                                   sizeof(void*) * slot_of_.bucket_count() + kNodeBytes * slot_of_.size());
  for (const auto& layer : layers_)
    out += static_cast<double>(sizeof(uint32_t) * layer.blocks.size() * (layer.n_experts << layer.row_bits));
  return out;
}

double IdTally::bytes(const AnalysisInput& input, TallyKey key) {
  double tokens = 0;
  for (size_t d = 0; d < input.data.size(); ++d)
    if (key.data < 0 || static_cast<size_t>(key.data) == d) tokens += static_cast<double>(input.data[d].n_tokens);
  auto ids = static_cast<double>(key.ids == IdKind::position ? input.sequence_length : input.vocab_size);
  if (ids == 0) ids = tokens;
  ids = std::min(ids, tokens);
  double out = kIdBytes * ids + 1024;
  for (const auto& layer : input.layers)
    out += sizeof(uint32_t) * static_cast<double>(layer.n_experts) * ids + kBlockBytes;
  return out;
}

const IdTally& IdTallies::want(const AnalysisInput& input, TallyKey key) {
  if (n_batches_ > 0) throw std::logic_error("tallies asked for after the first batch");
  layers_ = input.layers;
  auto& tally = tallies_[key];
  if (tally == nullptr) tally = std::make_unique<IdTally>(input, key);
  return *tally;
}

double tally_bytes(const AnalysisInput& input, const std::vector<TallyKey>& keys) {
  double bytes = 0;
  for (const auto& key : keys)
    if (input.tallies == nullptr || input.tallies->is_new(key)) bytes += IdTally::bytes(input, key);
  return bytes;
}

void IdTallies::observe(const Observation& batch, int64_t number) {
  if (number < n_batches_) return;
  if (number > n_batches_) throw std::logic_error("an analysis saw a batch that another one missed");
  ++n_batches_;
  const int64_t n_tokens = batch.input_ids.numel();
  for (const auto side : {Side::model, Side::reference}) {
    const auto& routing = side == Side::model ? batch.routing : batch.reference;
    std::vector<TokenChoices> choices;
    for (auto& [key, tally] : tallies_) {
      if (key.side != side || (side == Side::reference && routing.empty())) continue;
      if (choices.empty()) choices = choices_of(routing, layers_, n_tokens);
      tally->add(batch, choices);
    }
  }
}

}  // namespace evenkeel::analysis

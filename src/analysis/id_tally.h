// How often each id (a token id or a position) reached each expert. Kept sparsely, a row of [E] for each layer and id
// that occurs, whatever the largest id, and once for all analyses of a pass that read the same counts.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "analysis/analysis.h"
#include "analysis/token_choices.h"

namespace evenkeel::analysis {

enum class IdKind {
  input,      // the token itself
  predicted,  // arg max of the logits at it
  target,     // the token that follows
  position    // 0 .. S - 1 in its sequence
};
enum class Choices {
  first,  // a token's best expert
  all
};
enum class Side { model, reference };

struct TallyKey {
  IdKind ids = IdKind::input;
  Choices choices = Choices::all;
  Side side = Side::model;
  int64_t data = -1;  // index into AnalysisInput::data; -1: all of them together
  auto operator<=>(const TallyKey&) const = default;
};

// "input", "predicted", "target", "position"
const char* name_of(IdKind kind);

// Counts of one key. Routing before drops; padding, targets of -1 and unknown predictions are not counted.
class IdTally {
 public:
  IdTally(const AnalysisInput& input, TallyKey key);
  // layers: one for each layer, of the key's side. DataError on an id outside the vocabulary.
  void add(const Observation& batch, const std::vector<TokenChoices>& layers);

  const TallyKey& key() const { return key_; }
  std::vector<int64_t> ids() const;  // that occur, ascending
  int64_t n_tokens() const { return n_tokens_; }
  int64_t occurrences(int64_t id) const;
  int64_t most_occurrences() const;
  // counts [E] += how often each expert of the layer (an index into AnalysisInput::layers) was chosen at the id.
  void add_counts(size_t layer, int64_t id, std::span<int64_t> counts) const;
  // Whether every token had top_k experts there (Choices::first: at least one), so that a chance level is known.
  bool exactly_k(size_t layer) const { return layers_[layer].exactly_k; }

  double allocated_bytes() const;
  // The most that allocated_bytes can become: every id that can occur, in every layer.
  static double bytes(const AnalysisInput& input, TallyKey key);

 private:
  struct Layer {
    size_t n_experts = 0, top_k = 0;
    int row_bits = 0;                                 // 2^row_bits rows a block
    std::vector<std::unique_ptr<uint32_t[]>> blocks;  // of rows [E], by slot
    bool exactly_k = true;
    uint32_t* row(size_t slot) const {
      return blocks[slot >> row_bits].get() + (slot & ((size_t{1} << row_bits) - 1)) * n_experts;
    }
  };
  std::vector<int64_t> slots_of(std::span<const int64_t> ids);
  void add_layer(Layer& layer, const TokenChoices& choices, std::span<const int64_t> slots) const;

  TallyKey key_;
  int64_t vocab_size_;
  int64_t n_tokens_ = 0;
  std::unordered_map<int64_t, size_t> slot_of_;  // of an id: in the order in which they came
  std::vector<uint32_t> occurrences_;            // by slot
  std::vector<Layer> layers_;
};

// The tallies of one pass over the data. Shared by analyses that are made for the same batches
// (AnalysisInput::tallies), hence owned by all of them.
class IdTallies {
 public:
  // Made when it is first asked for, which must be before the first batch.
  const IdTally& want(const AnalysisInput& input, TallyKey key);
  // True the first time that it is told the key; for sums of bytes().
  bool is_new(TallyKey key) { return stated_.insert(key).second; }
  // number: how many batches the caller has seen before; counts the batch when it is the first to bring it.
  void observe(const Observation& batch, int64_t number);

 private:
  std::map<TallyKey, std::unique_ptr<IdTally>> tallies_;
  std::set<TallyKey> stated_;
  std::vector<LayerShape> layers_;
  int64_t n_batches_ = 0;
};

// Bytes at worst of the tallies that an analysis wants, for AnalysisKind::bytes: those that an analysis before it has
// stated to the same input.tallies are left out, so that the sum over analyses is what a pass takes.
double tally_bytes(const AnalysisInput& input, const std::vector<TallyKey>& keys);

// What an analysis holds: the tallies of its pass, and how far it has followed it.
class TallyReader {
 public:
  explicit TallyReader(const AnalysisInput& input)
      : tallies_(input.tallies ? input.tallies : std::make_shared<IdTallies>()) {}
  const IdTally& want(const AnalysisInput& input, TallyKey key) { return tallies_->want(input, key); }
  void observe(const Observation& batch) { tallies_->observe(batch, n_seen_++); }

 private:
  std::shared_ptr<IdTallies> tallies_;
  int64_t n_seen_ = 0;
};

// The choices of all layers of one side of a batch. DataError where the layers or experts are not the input's.
std::vector<TokenChoices> choices_of(const std::vector<moe::RoutingDecision>& routing,
                                     const std::vector<LayerShape>& layers, int64_t n_tokens);

}  // namespace evenkeel::analysis

// Which text of which source comes when, for every phase of a run, from a small state.
//
// Sample j of a source is tokens j*S .. j*S+S of its file: S tokens, and the one that follows them. A pass over a
// source is the stream of its samples (text_stream.h), each epoch in an order of its own. Each source has a cursor that
// counts the text drawn in the whole run, whatever its objective made of it: a causal example takes one sample, and
// where an earlier phase with another objective left the cursor inside of a sample, the rest of that and the beginning
// of the next. Cursors belong to the content (a hash of all bytes), so that they go on when the mixture or the
// objective changes, and no text is lost or repeated within an epoch.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/datasets.h"
#include "data/mixture.h"
#include "data/packing.h"

namespace evenkeel::data {

// Samples of length S in one pass over a stream of n_tokens (0 for a stream that is shorter than one): an epoch.
int64_t samples_per_epoch(int64_t n_tokens, int64_t sequence_length);

struct SourceSpec {
  std::string name;  // as in metrics: "en", "replay/en"
  std::string path;  // PREFIX of .bin/.idx
  double weight = 1;
  std::string where = {};                                // for messages
  std::shared_ptr<const Objective> objective = nullptr;  // none: SamplerOptions::objective
};

struct SamplerOptions {
  int64_t sequence_length = 0;
  int64_t vocab_size = 0;
  uint64_t seed = 0;
  std::shared_ptr<const Objective> objective = nullptr;  // of sources that name none; none: causal
};

// How many sequences of an objective one pass over a set is; the last may go on into the next pass. `shuffle`: whether
// the pass is in an order of its own, which matters where the text decides how much an example takes. Reads what the
// objective looks at to find its text.
int64_t sequences_per_epoch(const IndexedDataset& dataset, const Objective& objective, const SamplerOptions& options,
                            bool shuffle);

// The next sequence: of which source, and what it is made of.
struct Draw {
  const std::string& source;  // its name
  const Objective& objective;
  TextStream stream;
  std::vector<DrawnExample> examples = {};
};

// How often a source of a mixture was drawn.
struct MixtureCount {
  // Contents::hash. "" in a checkpoint of an earlier version, which has the counts in the order of the recipe.
  std::string content = {};
  bool is_replay = false;
  double share = 0;  // of the whole batch
  int64_t count = 0;
};

// What a run has drawn so far; part of the checkpoint.
struct SamplerState {
  // By Contents::hash. By IndexedDataset::order_key in checkpoints of earlier versions.
  std::map<std::string, TextCursor> cursors;
  std::map<std::string, bool> shuffled;  // Contents::hash -> the order that its cursor counts in
  std::vector<MixtureCount> mixture;     // of the current phase, since its mixture last changed
  int64_t replay_draws = 0;              // of a "seen" replay in the current phase
};
Json to_json(const SamplerState& state);
SamplerState sampler_state_from_json(const Json& json);

// A source that an earlier phase replayed: a redraw of that phase passes over it.
struct PassedSource {
  std::string content;  // as the keys of SamplerState::cursors
  double weight = 1;
  Json objective = {};  // its options; null: causal
};

// How an earlier phase drew. A `seen` replay redraws its whole mixture from its start and keeps the phase's own draws.
struct PastDraws {
  std::map<std::string, TextCursor> start_cursors = {};
  int64_t draws = 0;  // sequences of its own data
  uint64_t seed = 0;  // of the run that it was a phase of
  std::vector<PassedSource> replay = {};
  double replay_fraction = 0;
  bool replay_seen = false;  // then what it replayed moved no cursor
};

// How a phase draws.
struct PhaseDraws {
  std::vector<SourceSpec> data = {}, replay = {};  // weights within each group; replay may be empty
  double replay_fraction = 0;
  bool shuffle = true;
  bool replay_shuffle = true;  // of the earlier phase
  bool replay_seen = false;
  PastDraws past = {};  // of the earlier phase, for `seen`
};

class Sampler {
 public:
  // Opens every source and checks it: DataError for one shorter than a sequence, ids outside the vocabulary, what its
  // objective refuses, ConfigError for weights, and for an order other than the one that the current epoch of a source
  // was begun in. Starts at `state`: a mixture of other sources or shares than it counts is counted anew. `datasets`
  // must outlive the sampler.
  Sampler(const SamplerOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets);
  ~Sampler();
  Draw next();
  const SamplerState& state() const { return state_; }
  std::vector<PassedSource> replay() const;  // as a later phase passes over it
  // True when the state that it started at counts another mixture, so that the counts begin here.
  bool counts_anew() const { return counts_anew_; }

 private:
  struct Source;
  void open_sources(const std::vector<SourceSpec>& specs, Datasets& datasets);
  void adopt_order_keys(std::map<std::string, TextCursor>& cursors) const;
  void require_orders() const;
  void count_mixture();
  bool shuffles(size_t source) const { return source < draws_.data.size() ? draws_.shuffle : draws_.replay_shuffle; }
  void read_passed_objectives();
  void restart_seen();
  void pass_over(const PassedSource& passed, const Objective& objective);
  const Source& next_seen_source();
  Draw next_seen();

  SamplerOptions options_;
  PhaseDraws draws_;
  SamplerState state_;
  std::vector<std::unique_ptr<Source>> sources_;  // data, then replay; those of equal contents share their cursor
  std::unique_ptr<Mixture> mixture_, seen_mixture_;
  std::map<std::string, TextCursor> seen_cursors_;
  std::vector<std::unique_ptr<const Objective>> passed_objectives_;  // of draws_.past.replay
  bool counts_anew_ = false;
};

}  // namespace evenkeel::data

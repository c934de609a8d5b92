#include "data/loader.h"

#include <ATen/ops/empty.h>

#include "core/errors.h"
#include "core/rng.h"

namespace evenkeel::data {

struct Loader::Source {
  SourceSpec spec;
  IndexedDataset dataset;
  int64_t n_samples;
};

Json to_json(const LoaderState& state) {
  Json out = Json::object(), cursors = Json::object();
  for (const auto& [fingerprint, cursor] : state.cursors) cursors[fingerprint] = cursor;
  out["cursors"] = std::move(cursors);
  out["mixture_counts"] = Json(state.mixture_counts);
  out["replay_draws"] = state.replay_draws;
  return out;
}

LoaderState loader_state_from_json(const Json& json) {
  LoaderState out;
  for (const auto& [fingerprint, cursor] : json.at("cursors").as_object()) out.cursors[fingerprint] = cursor.as_int();
  for (const auto& count : json.at("mixture_counts").as_array()) out.mixture_counts.push_back(count.as_int());
  out.replay_draws = json.at("replay_draws").as_int();
  return out;
}

namespace {

std::vector<double> weights_of(const auto& sources) {
  std::vector<double> out;
  for (const auto& source : sources) out.push_back(source.weight);
  return out;
}

// Shares of the whole batch, data first: each group by its own weights, then the replay fraction between them.
Mixture batch_mixture(const std::vector<double>& data, const std::vector<double>& replay, double replay_fraction, const std::string& where) {
  std::vector<double> weights;
  const auto add_group = [&](const std::vector<double>& group, double fraction) {
    if (group.empty()) return;
    const Mixture mixture(group, where);
    for (const double share : mixture.shares()) weights.push_back(share * fraction);
  };
  add_group(data, replay.empty() ? 1.0 : 1.0 - replay_fraction);
  add_group(replay, replay_fraction);
  return {weights, where};
}

}  // namespace

int64_t samples_per_epoch(int64_t n_tokens, int64_t sequence_length) { return n_tokens > 0 ? (n_tokens - 1) / sequence_length : 0; }

Loader::~Loader() = default;

Loader::Loader(const LoaderOptions& options, const PhaseDraws& draws, LoaderState state)
    : options_(options), draws_(draws), state_(std::move(state)) {
  open_sources(draws_.data);
  open_sources(draws_.replay);
  mixture_ = std::make_unique<Mixture>(batch_mixture(weights_of(draws_.data), weights_of(draws_.replay), draws_.replay_fraction, draws_.data[0].where));
  if (!state_.mixture_counts.empty()) mixture_->restore(state_.mixture_counts);
  state_.mixture_counts = mixture_->counts();

  if (!draws_.replay_seen || draws_.replay.empty()) return;
  const bool saw_its_own = draws_.past.draws > 0 && (draws_.past.replay.empty() || draws_.past.replay_fraction < 1);
  require<ConfigError>(saw_its_own, draws_.replay[0].where, ": got replay of what an earlier phase saw, but it saw nothing of its own data; need mode = \"fresh\"");
  restart_seen();
  // Go to where the checkpoint was: the mixture is a small sum a draw.
  for (int64_t i = 0; i < state_.replay_draws % draws_.past.draws; ++i) ++seen_cursors_[next_seen_source().dataset.fingerprint()];
}

std::vector<PassedSource> Loader::replay() const {
  std::vector<PassedSource> out;
  for (size_t i = draws_.data.size(); i < sources_.size(); ++i) out.push_back({sources_[i]->dataset.fingerprint(), sources_[i]->spec.weight});
  return out;
}

void Loader::open_sources(const std::vector<SourceSpec>& specs) {
  for (const auto& spec : specs) {
    auto dataset = IndexedDataset::open(spec.path);
    require<DataError>(dataset.n_tokens() > options_.sequence_length, spec.where, ": got ", spec.path, " with ", dataset.n_tokens(),
                       " tokens; need more than sequence_length = ", options_.sequence_length);
    dataset.check_vocabulary(options_.vocab_size);
    const int64_t n_samples = samples_per_epoch(dataset.n_tokens(), options_.sequence_length);
    sources_.push_back(std::make_unique<Source>(Source{spec, std::move(dataset), n_samples}));
  }
}

Batch Loader::next(int64_t batch_size) {
  Batch batch;
  const int64_t S = options_.sequence_length;
  batch.tokens = at::empty({batch_size, S}, at::kLong);
  batch.targets = at::empty({batch_size, S}, at::kLong);
  if (options_.document_ids) batch.document_ids = at::empty({batch_size, S}, at::kInt);
  for (int64_t row = 0; row < batch_size; ++row) draw(batch, row);
  state_.mixture_counts = mixture_->counts();
  return batch;
}

void Loader::draw(Batch& batch, int64_t row) {
  const size_t index = mixture_->next();
  const bool is_replay = index >= draws_.data.size();
  if (is_replay && draws_.replay_seen) return draw_seen(batch, row);
  Source& source = *sources_[index];
  int64_t& cursor = state_.cursors[source.dataset.fingerprint()];
  fill_row(batch, row, source, cursor, {options_.seed, is_replay ? draws_.replay_shuffle : draws_.shuffle});
  ++cursor;
}

void Loader::restart_seen() {
  const PastDraws& past = draws_.past;
  seen_mixture_ = std::make_unique<Mixture>(batch_mixture(weights_of(draws_.replay), weights_of(past.replay), past.replay_fraction, draws_.replay[0].where));
  seen_cursors_ = past.start_cursors;
}

// The next draw of the earlier phase that was of its own data. What it replayed fresh in between moved cursors, which may be
// those of its own sources too. It ends: the share of the phase's own data is above 0.
const Loader::Source& Loader::next_seen_source() {
  const PastDraws& past = draws_.past;
  for (;;) {
    const size_t index = seen_mixture_->next();
    if (index < draws_.replay.size()) return *sources_[draws_.data.size() + index];
    if (!past.replay_seen) ++seen_cursors_[past.replay[index - draws_.replay.size()].fingerprint];
  }
}

void Loader::draw_seen(Batch& batch, int64_t row) {
  if (state_.replay_draws > 0 && state_.replay_draws % draws_.past.draws == 0) restart_seen();
  const Source& source = next_seen_source();
  int64_t& cursor = seen_cursors_[source.dataset.fingerprint()];
  fill_row(batch, row, source, cursor, {draws_.past.seed, draws_.replay_shuffle});
  ++cursor;
  ++state_.replay_draws;
}

namespace {

void copy_documents(const IndexedDataset& dataset, int64_t first, int64_t count, int32_t* out) {
  // Ids count from the document of the first token, so that they fit and do not depend on the file's size.
  const int64_t base = dataset.document_of(first);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(dataset.document_of(first + i) - base);
}

}  // namespace

void Loader::fill_row(Batch& batch, int64_t row, const Source& source, int64_t cursor, Order order) {
  const int64_t S = options_.sequence_length, n = source.n_samples;
  const int64_t epoch = cursor / n, index = cursor % n;
  int64_t sample = index;
  if (order.shuffle) {
    const uint64_t key = combine_bits(combine_bits(order.seed, hash_text(source.dataset.fingerprint())), static_cast<uint64_t>(epoch));
    sample = static_cast<int64_t>(permuted_index(static_cast<uint64_t>(index), static_cast<uint64_t>(n), key));
  }
  source.dataset.copy(sample * S, S, batch.tokens.mutable_data_ptr<int64_t>() + row * S);
  source.dataset.copy(sample * S + 1, S, batch.targets.mutable_data_ptr<int64_t>() + row * S);
  if (options_.document_ids) copy_documents(source.dataset, sample * S, S, batch.document_ids.mutable_data_ptr<int32_t>() + row * S);
  ++batch.sources[source.spec.name];
}

WindowReader::WindowReader(const IndexedDataset& dataset, int64_t sequence_length, int64_t max_tokens, bool document_ids)
    : dataset_(dataset), sequence_length_(sequence_length), n_scored_(std::max<int64_t>(dataset.n_tokens() - 1, 0)), document_ids_(document_ids) {
  if (max_tokens > 0) n_scored_ = std::min(n_scored_, max_tokens);
}

Batch WindowReader::next(int64_t batch_size) {
  Batch batch;
  const int64_t left = n_scored_ - position_;
  const int64_t length = std::min(left, sequence_length_);
  const int64_t rows = length == sequence_length_ ? std::min(batch_size, left / sequence_length_) : (left > 0 ? 1 : 0);
  batch.tokens = at::empty({rows, length}, at::kLong);
  batch.targets = at::empty({rows, length}, at::kLong);
  if (document_ids_) batch.document_ids = at::empty({rows, length}, at::kInt);
  for (int64_t row = 0; row < rows; ++row, position_ += length) {
    dataset_.copy(position_, length, batch.tokens.mutable_data_ptr<int64_t>() + row * length);
    dataset_.copy(position_ + 1, length, batch.targets.mutable_data_ptr<int64_t>() + row * length);
    if (document_ids_) copy_documents(dataset_, position_, length, batch.document_ids.mutable_data_ptr<int32_t>() + row * length);
  }
  return batch;
}

}  // namespace evenkeel::data

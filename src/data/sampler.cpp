#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "core/rng.h"

namespace evenkeel::data {

struct Sampler::Source {
  SourceSpec spec;
  const IndexedDataset* dataset;
  int64_t n_samples;
  const std::string& content() const { return dataset->contents().hash; }
};

Json to_json(const SamplerState& state) {
  Json out = Json::object(), cursors = Json::object(), shuffled = Json::object(), mixture = Json::array();
  for (const auto& [content, cursor] : state.cursors) cursors[content] = cursor;
  for (const auto& [content, is_shuffled] : state.shuffled) shuffled[content] = is_shuffled;
  for (const auto& source : state.mixture)
    mixture.push_back(Json::Object{
        {"content", source.content}, {"replay", source.is_replay}, {"share", source.share}, {"count", source.count}});
  out["cursors"] = std::move(cursors);
  out["shuffled"] = std::move(shuffled);
  out["mixture"] = std::move(mixture);
  out["replay_draws"] = state.replay_draws;
  return out;
}

SamplerState sampler_state_from_json(const Json& json) {
  SamplerState out;
  for (const auto& [content, cursor] : json.at("cursors").as_object()) out.cursors[content] = cursor.as_int();
  if (const Json* shuffled = json.find("shuffled"))
    for (const auto& [content, is_shuffled] : shuffled->as_object()) out.shuffled[content] = is_shuffled.as_bool();
  if (const Json* counts = json.find("mixture_counts")) {  // of an earlier version
    for (const auto& count : counts->as_array()) out.mixture.push_back({.count = count.as_int()});
  } else {
    for (const auto& source : json.at("mixture").as_array())
      out.mixture.push_back({source.at("content").as_string(), source.at("replay").as_bool(),
                             source.at("share").as_double(), source.at("count").as_int()});
  }
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
Mixture batch_mixture(const std::vector<double>& data, const std::vector<double>& replay, double replay_fraction,
                      const std::string& where) {
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

int64_t samples_per_epoch(int64_t n_tokens, int64_t sequence_length) {
  return n_tokens > 0 ? (n_tokens - 1) / sequence_length : 0;
}

Sampler::~Sampler() = default;

Sampler::Sampler(const SamplerOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets)
    : options_(options), draws_(draws), state_(std::move(state)) {
  open_sources(draws_.data, datasets);
  open_sources(draws_.replay, datasets);
  adopt_order_keys(state_.cursors);
  require_orders();
  mixture_ = std::make_unique<Mixture>(
      batch_mixture(weights_of(draws_.data), weights_of(draws_.replay), draws_.replay_fraction, draws_.data[0].where));
  count_mixture();

  if (!draws_.replay_seen || draws_.replay.empty()) return;
  adopt_order_keys(draws_.past.start_cursors);
  for (auto& passed : draws_.past.replay)
    for (const auto& source : sources_)
      if (passed.content == source->dataset->order_key()) passed.content = source->content();
  const bool saw_its_own = draws_.past.draws > 0 && (draws_.past.replay.empty() || draws_.past.replay_fraction < 1);
  require<ConfigError>(
      saw_its_own, draws_.replay[0].where,
      ": got replay of what an earlier phase saw, but it saw nothing of its own data; need mode = \"fresh\"");
  restart_seen();
  // Go to where the checkpoint was: the mixture is a small sum a draw.
  for (int64_t i = 0; i < state_.replay_draws % draws_.past.draws; ++i) ++seen_cursors_[next_seen_source().content()];
}

std::vector<PassedSource> Sampler::replay() const {
  std::vector<PassedSource> out;
  for (size_t i = draws_.data.size(); i < sources_.size(); ++i)
    out.push_back({sources_[i]->content(), sources_[i]->spec.weight});
  return out;
}

void Sampler::open_sources(const std::vector<SourceSpec>& specs, Datasets& datasets) {
  for (const auto& spec : specs) {
    const IndexedDataset& dataset = datasets.open(spec.path);
    require<DataError>(dataset.n_tokens() > options_.sequence_length, spec.where, ": got ", spec.path, " with ",
                       dataset.n_tokens(), " tokens; need more than sequence_length = ", options_.sequence_length);
    dataset.check_vocabulary(options_.vocab_size);
    const int64_t n_samples = samples_per_epoch(dataset.n_tokens(), options_.sequence_length);
    sources_.push_back(std::make_unique<Source>(Source{spec, &dataset, n_samples}));
  }
}

// A checkpoint of an earlier version names contents by their order key. Sets that share one shared a cursor then, and
// each goes on from it.
void Sampler::adopt_order_keys(std::map<std::string, int64_t>& cursors) const {
  std::map<std::string, int64_t> adopted;
  for (const auto& source : sources_)
    if (const auto old = cursors.find(source->dataset->order_key()); old != cursors.end())
      adopted[source->content()] = old->second;
  for (const auto& source : sources_) cursors.erase(source->dataset->order_key());
  cursors.merge(adopted);
}

// Within an epoch each sample comes once only while the order stays the one that the epoch was begun in.
void Sampler::require_orders() const {
  for (size_t i = 0; i < sources_.size(); ++i) {
    const bool is_seen_replay = i >= draws_.data.size() && draws_.replay_seen;
    const Source& source = *sources_[i];
    const auto cursor = state_.cursors.find(source.content());
    const auto order = state_.shuffled.find(source.content());
    if (is_seen_replay || cursor == state_.cursors.end() || order == state_.shuffled.end()) continue;
    const int64_t n_drawn = cursor->second % source.n_samples;
    require<ConfigError>(n_drawn == 0 || order->second == shuffles(i), source.spec.where,
                         ": got shuffle = ", shuffles(i) ? "true" : "false", " for '", source.spec.name, "', of which ",
                         n_drawn, " of ", source.n_samples,
                         " samples of the current epoch were drawn with shuffle = ", order->second ? "true" : "false",
                         "; need the same: samples would be lost and repeated");
  }
}

// What is in the mixture, with the counts of `state_` where they are of the same sources and shares, in whatever order;
// a mixture that has changed owes nothing to what was drawn before.
void Sampler::count_mixture() {
  std::vector<MixtureCount> now;
  for (size_t i = 0; i < sources_.size(); ++i)
    now.push_back({sources_[i]->content(), i >= draws_.data.size(), mixture_->shares()[i], 0});
  std::vector<int64_t> counts;
  auto before = std::exchange(state_.mixture, now);
  if (before.empty()) return;
  const bool has_order_alone = before[0].content.empty();
  require<CheckpointError>(!has_order_alone || before.size() == now.size(), "loader state: got ", before.size(),
                           " sources; need ", now.size());
  if (has_order_alone) {
    for (const auto& source : before) counts.push_back(source.count);
  } else {
    constexpr double kRounding = 1e-12;  // of shares, whose weights were added in another order
    for (const auto& source : now) {
      const auto same = std::find_if(before.begin(), before.end(), [&](const auto& old) {
        return old.content == source.content && old.is_replay == source.is_replay &&
               std::abs(old.share - source.share) < kRounding;
      });
      if (same == before.end()) break;
      counts.push_back(same->count);
      before.erase(same);
    }
    counts_anew_ = counts.size() < now.size() || !before.empty();
    if (counts_anew_) return;
  }
  mixture_->restore(counts);
  for (size_t i = 0; i < counts.size(); ++i) state_.mixture[i].count = counts[i];
}

Draw Sampler::next() {
  const size_t index = mixture_->next();
  state_.mixture[index].count = mixture_->counts()[index];
  const bool is_replay = index >= draws_.data.size();
  if (is_replay && draws_.replay_seen) return next_seen();
  const Source& source = *sources_[index];
  state_.shuffled[source.content()] = shuffles(index);
  return draw_of(source, state_.cursors[source.content()]++, {options_.seed, shuffles(index)});
}

void Sampler::restart_seen() {
  const PastDraws& past = draws_.past;
  seen_mixture_ = std::make_unique<Mixture>(
      batch_mixture(weights_of(draws_.replay), weights_of(past.replay), past.replay_fraction, draws_.replay[0].where));
  seen_cursors_ = past.start_cursors;
}

// The next draw of the earlier phase that was of its own data. What that phase replayed fresh in between is passed
// over: it moved cursors, which may be those of the phase's own sources too. The loop ends, since the phase's own data
// has a share above 0.
const Sampler::Source& Sampler::next_seen_source() {
  const PastDraws& past = draws_.past;
  for (;;) {
    const size_t index = seen_mixture_->next();
    if (index < draws_.replay.size()) return *sources_[draws_.data.size() + index];
    if (!past.replay_seen) ++seen_cursors_[past.replay[index - draws_.replay.size()].content];
  }
}

Draw Sampler::next_seen() {
  if (state_.replay_draws > 0 && state_.replay_draws % draws_.past.draws == 0) restart_seen();
  const Source& source = next_seen_source();
  ++state_.replay_draws;
  return draw_of(source, seen_cursors_[source.content()]++, {draws_.past.seed, draws_.replay_shuffle});
}

// Cursor c stands for a sample of epoch c / n_samples, which has an order of its own.
Draw Sampler::draw_of(const Source& source, int64_t cursor, Order order) const {
  const int64_t n = source.n_samples, epoch = cursor / n, index = cursor % n;
  const uint64_t seed = combine_bits(order.seed, hash_text(source.dataset->order_key()));
  int64_t sample = index;
  if (order.shuffle) {
    const uint64_t key = combine_bits(seed, static_cast<uint64_t>(epoch));
    sample = static_cast<int64_t>(permuted_index(static_cast<uint64_t>(index), static_cast<uint64_t>(n), key));
  }
  return {*source.dataset, source.spec.name, sample, {seed, cursor, epoch}};
}

}  // namespace evenkeel::data

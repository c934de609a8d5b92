#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "core/errors.h"
#include "core/rng.h"

namespace evenkeel::data {

namespace {

// Every source has its own order, which depends on its order key too.
TextStream stream_of(const IndexedDataset& dataset, int64_t sequence_length, TextOrder order) {
  return {dataset, sequence_length, {combine_bits(order.seed, hash_text(dataset.order_key())), order.shuffle}};
}

}  // namespace

struct Sampler::Source {
  SourceSpec spec;  // with its objective
  const IndexedDataset* dataset;
  const std::string& content() const { return dataset->contents().hash; }
  // The next sequence from the cursor on, which moves. `order`: its seed is that of the run.
  Draw draw(const Objective& objective, int64_t sequence_length, TextOrder order, TextCursor& cursor) const {
    Draw out{spec.name, objective, stream_of(*dataset, sequence_length, order)};
    out.examples = draw_examples({objective, out.stream, sequence_length}, cursor);
    if (out.examples.empty()) throw std::logic_error("an objective found no text for an example");
    return out;
  }
};

Json to_json(const SamplerState& state) {
  Json out = Json::object(), cursors = Json::object(), shuffled = Json::object(), mixture = Json::array();
  for (const auto& [content, cursor] : state.cursors) cursors[content] = to_json(cursor);
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
  for (const auto& [content, cursor] : json.at("cursors").as_object())
    out.cursors[content] = text_cursor_from_json(cursor);
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

int64_t sequences_per_epoch(const IndexedDataset& dataset, const Objective& objective, const SamplerOptions& options,
                            bool shuffle) {
  const TextStream stream = stream_of(dataset, options.sequence_length, {options.seed, shuffle});
  TextCursor cursor;
  int64_t n_sequences = 0;
  for (; cursor.samples < stream.n_blocks(); ++n_sequences)
    draw_examples({objective, stream, options.sequence_length}, cursor);
  return n_sequences;
}

Sampler::~Sampler() = default;

Sampler::Sampler(const SamplerOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets)
    : options_(options), draws_(draws), state_(std::move(state)) {
  if (!options_.objective) options_.objective = make_objective({}, {options.sequence_length, options.vocab_size});
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
  read_passed_objectives();
  restart_seen();
  // Go to where the checkpoint was: a draw is a small sum, and reads no text.
  const int64_t n_draws = std::exchange(state_.replay_draws, 0);
  for (int64_t i = 0; i < n_draws % draws_.past.draws; ++i) next_seen();
  state_.replay_draws = n_draws;
}

std::vector<PassedSource> Sampler::replay() const {
  std::vector<PassedSource> out;
  for (size_t i = draws_.data.size(); i < sources_.size(); ++i)
    out.push_back({sources_[i]->content(), sources_[i]->spec.weight, sources_[i]->spec.objective->options()});
  return out;
}

void Sampler::open_sources(const std::vector<SourceSpec>& specs, Datasets& datasets) {
  for (SourceSpec spec : specs) {
    if (!spec.objective) spec.objective = options_.objective;
    const IndexedDataset& dataset = datasets.open(spec.path);
    require<DataError>(dataset.n_tokens() > options_.sequence_length, spec.where, ": got ", spec.path, " with ",
                       dataset.n_tokens(), " tokens; need more than sequence_length = ", options_.sequence_length);
    dataset.check_vocabulary(options_.vocab_size);
    spec.objective->check_set(dataset, spec.where);
    sources_.push_back(std::make_unique<Source>(Source{std::move(spec), &dataset}));
  }
}

// A checkpoint of an earlier version names contents by their order key. Sets that share one shared a cursor then, and
// each goes on from it.
void Sampler::adopt_order_keys(std::map<std::string, TextCursor>& cursors) const {
  std::map<std::string, TextCursor> adopted;
  for (const auto& source : sources_)
    if (const auto old = cursors.find(source->dataset->order_key()); old != cursors.end())
      adopted[source->content()] = old->second;
  for (const auto& source : sources_) cursors.erase(source->dataset->order_key());
  cursors.merge(adopted);
}

// Within an epoch all text comes once only while the order stays the one that the epoch was begun in.
void Sampler::require_orders() const {
  for (size_t i = 0; i < sources_.size(); ++i) {
    const bool is_seen_replay = i >= draws_.data.size() && draws_.replay_seen;
    const Source& source = *sources_[i];
    const auto cursor = state_.cursors.find(source.content());
    const auto order = state_.shuffled.find(source.content());
    if (is_seen_replay || cursor == state_.cursors.end() || order == state_.shuffled.end()) continue;
    const int64_t n_samples = samples_per_epoch(source.dataset->n_tokens(), options_.sequence_length);
    const bool is_inside = cursor->second.tokens > 0;  // of a sample, which counts as drawn
    const int64_t n_drawn = cursor->second.samples % n_samples + (is_inside ? 1 : 0);
    require<ConfigError>(n_drawn == 0 || order->second == shuffles(i), source.spec.where,
                         ": got shuffle = ", shuffles(i) ? "true" : "false", " for '", source.spec.name, "', of which ",
                         n_drawn, " of ", n_samples,
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
  return source.draw(*source.spec.objective, options_.sequence_length, {options_.seed, shuffles(index)},
                     state_.cursors[source.content()]);
}

// What the earlier phase replayed fresh took as much text as its objectives took.
void Sampler::read_passed_objectives() {
  for (const auto& passed : draws_.past.replay)
    passed_objectives_.push_back(make_objective(config_from_json(passed.objective, "checkpoint"),
                                                {options_.sequence_length, options_.vocab_size}));
}

void Sampler::restart_seen() {
  const PastDraws& past = draws_.past;
  seen_mixture_ = std::make_unique<Mixture>(
      batch_mixture(weights_of(draws_.replay), weights_of(past.replay), past.replay_fraction, draws_.replay[0].where));
  seen_cursors_ = past.start_cursors;
}

// Only the cursors of the phase's own sources matter.
void Sampler::pass_over(const PassedSource& passed, const Objective& objective) {
  for (size_t i = draws_.data.size(); i < sources_.size(); ++i) {
    const Source& source = *sources_[i];
    if (source.content() != passed.content) continue;
    source.draw(objective, options_.sequence_length, {draws_.past.seed, draws_.replay_shuffle},
                seen_cursors_[passed.content]);
    return;
  }
}

// The next draw of the earlier phase that was of its own data. What that phase replayed fresh in between is passed
// over: it moved cursors, which may be those of the phase's own sources too. The loop ends, since the phase's own data
// has a share above 0.
const Sampler::Source& Sampler::next_seen_source() {
  const PastDraws& past = draws_.past;
  for (;;) {
    const size_t index = seen_mixture_->next();
    if (index < draws_.replay.size()) return *sources_[draws_.data.size() + index];
    const size_t passed = index - draws_.replay.size();
    if (!past.replay_seen) pass_over(past.replay[passed], *passed_objectives_[passed]);
  }
}

Draw Sampler::next_seen() {
  if (state_.replay_draws > 0 && state_.replay_draws % draws_.past.draws == 0) restart_seen();
  const Source& source = next_seen_source();
  ++state_.replay_draws;
  return source.draw(*source.spec.objective, options_.sequence_length, {draws_.past.seed, draws_.replay_shuffle},
                     seen_cursors_[source.content()]);
}

}  // namespace evenkeel::data

#include "train/phase_record.h"

#include <algorithm>

#include "core/json_lines.h"
#include "data/objectives/objective.h"
#include "train/inputs.h"

namespace evenkeel::train {

std::vector<RecordedSource> recorded_sources(const RunConfig& config, const PhaseConfig& phase, const InputData& data) {
  std::vector<RecordedSource> out;
  for (const auto& source : phase.data) {
    const data::IndexedDataset& dataset = data.at(source.path.value);
    // As a checkpoint has it, which it is compared with: there 2.0 is a whole number.
    const std::string objective = source_objective(config, phase, source)->options().dump();
    out.push_back({{source.name, source.path.value, source.weight, phase.where},
                   dataset.contents().hash,
                   dataset.tokenizer_sha256(),
                   Json::parse(objective, "objective")});
  }
  return out;
}

PhaseRecord new_record(const NewPhase& phase, const InputData& data) {
  const PhaseConfig& config = phase.config;
  return {.name = config.name,
          .start_step = phase.start.step,
          .first_step = phase.state.step + 1,
          .shuffle = config.shuffle,
          .sources = recorded_sources(phase.run, config, data),
          .drawn = {.start_cursors = phase.state.loader.cursors,
                    .seed = phase.state.seed,
                    .replay = phase.sampler.replay(),
                    .replay_fraction = config.replay ? config.replay->fraction : 0,
                    .replay_seen = config.repeats_seen()}};
}

PhaseRecord continued_record(PhaseRecord record, const ContinuedPhase& phase, const InputData& data) {
  auto sources = recorded_sources(phase.run, phase.config, data);
  const auto is_known = [&](const RecordedSource& now) {
    return std::any_of(record.sources.begin(), record.sources.end(), [&](const RecordedSource& then) {
      return now.objective == then.objective &&
             (then.content.empty() ? now.spec.name == then.spec.name : now.content == then.content);
    });
  };
  const bool is_other = phase.sampler.counts_anew() || phase.before.mixture.empty() ||
                        phase.config.repeats_seen() != record.drawn.replay_seen ||
                        !std::all_of(sources.begin(), sources.end(), is_known);
  record.has_changed = record.has_changed || is_other;
  record.sources = std::move(sources);
  record.drawn.replay = phase.sampler.replay();
  return record;
}

void count_draws(PhaseRecord& record, const std::map<std::string, int64_t>& sources) {
  for (const auto& [name, count] : sources)
    if (!name.starts_with("replay/")) record.drawn.draws += count;
}

namespace {

// The objective that is not written down, as in the records of earlier versions.
const Json& causal() {
  static const Json options = Json::Object{{"kind", "causal"}};
  return options;
}
bool is_causal(const Json& objective) { return objective.is_null() || objective == causal(); }

}  // namespace

Json record_json(const PhaseRecord& record) {
  Json out = Json::object(), cursors = Json::object(), sources = Json::array(), replay = Json::array();
  const data::PastDraws& drawn = record.drawn;
  for (const auto& [content, cursor] : drawn.start_cursors) cursors[content] = data::to_json(cursor);
  for (const auto& [content, weight, objective] : drawn.replay) {
    Json source = Json::Object{{"content", content}, {"weight", weight}};
    if (!is_causal(objective)) source["objective"] = objective;
    replay.push_back(std::move(source));
  }
  for (const auto& [spec, content, tokenizer, objective] : record.sources) {
    Json source = Json::Object{{"name", spec.name}, {"path", spec.path}, {"weight", spec.weight}};
    if (!content.empty()) source["content"] = content;
    if (!tokenizer.empty()) source["tokenizer_sha256"] = tokenizer;
    if (!is_causal(objective)) source["objective"] = objective;
    sources.push_back(std::move(source));
  }
  out["name"] = record.name;
  out["start_step"] = record.start_step;
  out["first_step"] = record.first_step;
  out["seed"] = static_cast<int64_t>(drawn.seed);
  out["draws"] = drawn.draws;
  out["shuffle"] = record.shuffle;
  if (record.has_changed) out["has_changed"] = true;
  out["start_cursors"] = std::move(cursors);
  out["sources"] = std::move(sources);
  if (!drawn.replay.empty())
    out["replay"] =
        Json::Object{{"fraction", drawn.replay_fraction}, {"seen", drawn.replay_seen}, {"sources", std::move(replay)}};
  return out;
}

namespace {

std::string text_or_none(const Json& json, const char* key) {
  const Json* found = json.find(key);
  return found != nullptr ? found->as_string() : "";
}

Json objective_or_causal(const Json& json) {
  const Json* found = json.find("objective");
  return found != nullptr ? *found : causal();
}

data::PastDraws draws_from_json(const Json& json, int64_t seed) {
  data::PastDraws out;
  out.draws = json.at("draws").as_int();
  const Json* own_seed = json.find("seed");
  out.seed = static_cast<uint64_t>(own_seed != nullptr ? own_seed->as_int() : seed);
  for (const auto& [content, cursor] : json.at("start_cursors").as_object())
    out.start_cursors[content] = data::text_cursor_from_json(cursor);
  const Json* replay = json.find("replay");
  if (replay == nullptr) return out;
  out.replay_fraction = replay->at("fraction").as_double();
  out.replay_seen = replay->at("seen").as_bool();
  for (const auto& source : replay->at("sources").as_array()) {
    const Json* content = source.find("content");
    out.replay.push_back({(content != nullptr ? *content : source.at("fingerprint")).as_string(),
                          source.at("weight").as_double(),
                          objective_or_causal(source)});  // "fingerprint": of an earlier version
  }
  return out;
}

PhaseRecord record_from_json(const Json& json, const std::string& where, int64_t seed) {
  PhaseRecord out;
  out.name = json.at("name").as_string();
  out.start_step = json.at("start_step").as_int();
  out.first_step = json.at("first_step").as_int();
  out.shuffle = json.at("shuffle").as_bool();
  for (const auto& source : json.at("sources").as_array())
    out.sources.push_back(
        {{source.at("name").as_string(), source.at("path").as_string(), source.at("weight").as_double(), where},
         text_or_none(source, "content"),
         text_or_none(source, "tokenizer_sha256"),
         objective_or_causal(source)});
  if (const Json* changed = json.find("has_changed")) out.has_changed = changed->as_bool();
  out.drawn = draws_from_json(json, seed);
  return out;
}

}  // namespace

std::vector<PhaseRecord> read_records(const Json& state, const std::string& where, int64_t seed) {
  std::vector<PhaseRecord> out;
  with_path_as<CheckpointError>(where, state, [&] {
    for (const auto& record : state.at("phases").as_array()) out.push_back(record_from_json(record, where, seed));
  });
  return out;
}

}  // namespace evenkeel::train

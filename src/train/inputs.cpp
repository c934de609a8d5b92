#include "train/inputs.h"

#include <algorithm>
#include <functional>
#include <set>

#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "core/json_lines.h"
#include "model/transformer.h"
#include "train/new_rows.h"
#include "train/scoring.h"
#include "train/sentinel_check.h"
#include "train/state.h"

namespace evenkeel::train {

namespace {

int64_t sequences_of_epoch(const RunConfig& config, const PhaseConfig& phase, const DataSource& source) {
  const auto& [value, where] = source.path;
  const int64_t S = config.train.sequence_length;
  const auto dataset = data::IndexedDataset::open(value);
  require<DataError>(data::samples_per_epoch(dataset.n_tokens(), S) > 0, where, ": got ", value, " with ",
                     dataset.n_tokens(), " tokens; need at least ", S + 1, " (sequence_length + 1)");
  const auto objective = source_objective(config, phase, source);
  objective->check_set(dataset, where);
  return data::sequences_per_epoch(dataset, *objective, sampler_options(config, phase), phase.shuffle);
}

}  // namespace

RunConfig open_run_config(const ConfigNode& root, DataNeed need) {
  std::optional<checkpoint::ModelSource> source;
  if (const auto from = model_from(root)) source = checkpoint::open_model(from->value, std::nullopt, /*deep=*/false);
  return read_run_config(root, need, source ? &*source : nullptr,
                         need == DataNeed::required ? sequences_of_epoch : EpochSequences{});
}

namespace {

// Every set of the recipe, with the tokens that it must have: one sample, or for an evaluation a token to score. And
// with the objective that is to draw from it; null of an evaluation of causal text.
using VisitSet =
    std::function<void(const RecipePath& path, int64_t least_tokens, const std::shared_ptr<const data::Objective>&)>;
void visit_sets(const RunConfig& config, const VisitSet& visit) {
  for (const auto& phase : config.phases) {
    const auto visit_all = [&](const std::vector<DataSource>& sources) {
      for (const auto& source : sources)
        visit(source.path, config.train.sequence_length + 1, source_objective(config, phase, source));
    };
    visit_all(phase.data);
    if (phase.replay) visit_all(phase.replay->data);
    if (phase.eval)
      for (const auto& source : phase.eval->data) visit(source.path, 2, scoring_objective(config, source));
  }
}

void check_set(const RunConfig& config, const RecipePath& path, int64_t least_tokens,
               const data::IndexedDataset& dataset) {
  dataset.check_vocabulary(config.model.vocab_size);
  require<DataError>(dataset.n_tokens() >= least_tokens, path.where, ": got ", path.value, " with ", dataset.n_tokens(),
                     " tokens; need at least ", least_tokens, least_tokens > 2 ? " (sequence_length + 1)" : "");
}

// What objectives refuse of the sets that they draw from, and what they warn of, each warning once.
class ObjectiveChecks {
 public:
  void operator()(const data::Objective& objective, const data::IndexedDataset& dataset, const std::string& where) {
    const std::string of_ids = check_sentinels_(objective, dataset, where);
    objective.check_set(dataset, where);
    for (const std::string& warning : {of_ids, objective.warning_of_set(dataset)})
      if (!warning.empty() && std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end())
        warnings_.push_back(warning);
  }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  SentinelCheck check_sentinels_;
  std::vector<std::string> warnings_;
};

}  // namespace

std::vector<std::string> InputData::open(const RunConfig& config) {
  ObjectiveChecks check;
  visit_sets(config, [&](const RecipePath& path, int64_t least_tokens, const auto& objective) {
    const auto& dataset = open_source(config, path, least_tokens);
    if (objective) check(*objective, dataset, path.where);
  });
  require_one_tokenizer(config, datasets_);
  check_orders(config, [&](const std::string& path) { return datasets_.at(path).contents().hash; });
  return check.warnings();
}

void require_one_tokenizer(const RunConfig& config, data::Datasets& datasets) {
  std::vector<data::TokenizerUse> uses;
  bool has_sets = false;
  const auto add_sets = [&](const std::string& at, const auto& sources) {
    for (const auto& source : sources)
      if (std::filesystem::exists(source.path.value + ".idx")) {
        has_sets = true;
        uses.push_back(data::tokenizer_use(at + ".data." + source.name, datasets.open(source.path.value)));
      }
  };
  const auto add_model = [&](const std::string& key, const std::filesystem::path& folder) {
    if (!std::filesystem::is_directory(folder)) return;
    const auto trained_with = tokenizer_uses(key, checkpoint::open_model(folder, std::nullopt, /*deep=*/false));
    uses.insert(uses.end(), trained_with.begin(), trained_with.end());
  };
  if (config.model_from) add_model("model.from", config.model_from->value);
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    const std::string at = "phase." + phase.name;
    if (std::filesystem::is_directory(external_start(config, i)))
      add_model(at + ".start.from", phase_start(config, i).folder);
    add_sets(at, phase.data);
    if (phase.replay) add_sets(at + ".replay", phase.replay->data);
    if (phase.eval) add_sets(at + ".eval", phase.eval->data);
  }
  data::require_one_tokenizer(uses, config.train.allow_mixed_tokenizers,
                              "train.allow_mixed_tokenizers = true (--allow-mixed-tokenizers)");
  if (has_sets && config.new_embeddings && std::filesystem::is_directory(config.model_from->value))
    new_rows(config, checkpoint::open_model(config.model_from->value, std::nullopt, /*deep=*/false));
}

const data::IndexedDataset& InputData::open_source(const RunConfig& config, const RecipePath& path,
                                                   int64_t least_tokens) {
  data::IndexedDataset& dataset = datasets_.open(path.value);
  if (const auto record = records_.find(path.value); record != records_.end()) dataset.trust(record->second);
  check_set(config, path, least_tokens, dataset);
  return dataset;
}

void InputData::open(const RunConfig& config, const std::vector<RecordedSource>& sources) {
  for (const auto& [spec, content, tokenizer, objective] : sources) {
    const auto& dataset = open_source(config, {spec.path, spec.where}, config.train.sequence_length + 1);
    data::make_objective(config_from_json(objective, spec.where),
                         {config.train.sequence_length, config.model.vocab_size})
        ->check_set(dataset, spec.where);
  }
}

void InputData::trust(const std::filesystem::path& run) {
  if (!std::filesystem::exists(run / "resolved.json")) return;
  const Json resolved = read_json(run / "resolved.json");
  const Json* contents = resolved.find("contents");
  const Json* sets = contents != nullptr ? contents->find("data") : nullptr;
  if (sets == nullptr || !sets->is_object()) return;
  for (const auto& [key, record] : sets->as_object())
    if (const Json* path = record.find("path"); path != nullptr && path->is_string())
      records_[path->as_string()] = record;
}

namespace {

// What another run drew goes on in this one: its cursors count samples of one length, in the order of one seed. A
// warning where the seed is another one, else "".
std::string check_cursors(const RunConfig& config, const std::string& place, const checkpoint::ModelSource& source,
                          const std::vector<PhaseRecord>& records) {
  require<ConfigError>(
      source.sequence_length == config.train.sequence_length, place,
      ": got train.sequence_length = ", config.train.sequence_length, " and a start from ", source.folder.string(),
      ", which has ", source.sequence_length,
      "; need the same, since a start takes along which samples were drawn, or [model] from for the weights alone");
  const auto seed = static_cast<uint64_t>(config.train.seed);
  if (records.empty() || records.back().drawn.seed == seed) return "";
  return join_parts(place, ": got train.seed = ", seed, " and a start from ", source.folder.string(), ", of seed ",
                    records.back().drawn.seed, ": samples that it drew may come again");
}

// The phases of the run that phase `index` starts from, and what to warn of, "" for nothing.
std::pair<std::vector<PhaseRecord>, std::string> check_start(const RunConfig& config, size_t index,
                                                             const PhaseStart& start) {
  const std::string& place = config.phases[index].place("start.from");
  const auto source = checkpoint::open_model(start.folder, std::nullopt, /*deep=*/false);
  require_same_architecture(config.model, source, [&](const std::string&) { return place; });
  if (!source.has_history) return {};
  model::check_router_state(config.model, source.config, source.folder.string());
  checkpoint::read_router_states(source.folder, model::Transformer(config.model));
  if (!start.resets_optimizer) check_optimizer(config, source);
  auto records = read_records(source.state, (source.folder / "state.json").string(), config.train.seed);
  auto warning = check_cursors(config, place, source, records);
  return {std::move(records), std::move(warning)};
}

}  // namespace

Starts check_starts(const RunConfig& config, InputData& data) {
  Starts out;
  auto& starts = out.of_phases;
  std::set<std::string> own;
  std::map<std::string, PhaseRecord> brought;  // by a start so far, the last of a name
  std::string known;
  const auto add_known = [&](const std::string& name) { add_to_list(known, name); };
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    starts.push_back(phase_start(config, i));
    if (!starts.back().folder.empty()) {
      auto [records, warning] = check_start(config, i, starts.back());
      if (!warning.empty()) out.warnings.push_back(std::move(warning));
      for (auto& record : records) {
        if (!brought.contains(record.name) && !own.contains(record.name)) add_known(record.name);
        brought[record.name] = std::move(record);
      }
    }
    if (const std::string from = phase.replay ? phase.replay->from : ""; !from.empty() && !own.contains(from)) {
      require<ConfigError>(brought.contains(from), phase.place("replay.from"), ": got replay.from = '", from,
                           "'; need the name of an earlier phase: ", known.empty() ? "there is none" : known);
      if (phase.replay->fraction > 0) data.open(config, brought.at(from).sources);
    }
    own.insert(phase.name);
    add_known(phase.name);
  }
  return out;
}

std::vector<std::string> check_what_is_there(const RunConfig& config, InputData& data) {
  std::set<std::string> there;
  ObjectiveChecks check;
  visit_sets(config, [&](const RecipePath& path, int64_t least_tokens, const auto& objective) {
    if (!std::filesystem::exists(path.value + ".idx")) return;
    const auto& dataset = data.datasets().open(path.value);
    check_set(config, path, least_tokens, dataset);
    if (objective) check(*objective, dataset, path.where);
    there.insert(path.value);
  });
  require_one_tokenizer(config, data.datasets());
  check_orders(config,
               [&](const std::string& path) { return there.contains(path) ? data.at(path).contents().hash : path; });
  std::vector<std::string> out = check.warnings();
  const auto of_starts = check_starts(config, data).warnings;
  out.insert(out.end(), of_starts.begin(), of_starts.end());
  return out;
}

}  // namespace evenkeel::train

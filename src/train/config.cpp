#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "checkpoint/model_source.h"
#include "core/got_at.h"
#include "core/terminal_text.h"
#include "data/objectives/objective.h"
#include "model/attention/attention.h"
#include "model/layout.h"
#include "train/scoring.h"
#include "train/phase.h"
#include "train/rate_patterns.h"

namespace evenkeel::train {

void read_value(const ConfigNode& node, const std::string& path, RecipePath& out) {
  if (!node.is_string()) fail_kind(node, path, "a path");
  const auto& text = std::get<std::string>(node.value);
  require<ConfigError>(!text.empty(), got_at(node.where, path), "''; need a path");
  const std::filesystem::path given(text);
  out.value = given.is_absolute() || node.folder.empty()
                  ? text
                  : (std::filesystem::path(node.folder) / given).lexically_normal().string();
  out.where = node.where;
}
Json to_json(const RecipePath& path) { return path.value; }

namespace {
constexpr Named<OnCollapse> kOnCollapse[] = {{"warn", OnCollapse::warn}, {"abort", OnCollapse::abort}};
constexpr Named<ReplayMode> kReplayModes[] = {{"fresh", ReplayMode::fresh}, {"seen", ReplayMode::seen}};
constexpr Named<OptimizerStart> kOptimizerStarts[] = {{"keep", OptimizerStart::keep}, {"reset", OptimizerStart::reset}};
}  // namespace
std::span<const Named<OnCollapse>> names_of(OnCollapse) { return kOnCollapse; }
std::span<const Named<ReplayMode>> names_of(ReplayMode) { return kReplayModes; }
std::span<const Named<OptimizerStart>> names_of(OptimizerStart) { return kOptimizerStarts; }

void read_value(const ConfigNode& node, const std::string& path, StartConfig& out) {
  if (!node.is_table()) fail_kind(node, path, "a table such as {from = \"pretrain\", step = \"last\"}");
  evenkeel::read_value<StartConfig>(node, path, out);
  out.folder = node.folder;
}

void read_value(const ConfigNode& node, const std::string& path, StartStep& out) {
  std::string text;
  if (const auto* number = std::get_if<int64_t>(&node.value)) {
    text = std::to_string(*number);
  } else {
    evenkeel::read_value(node, path, text);
  }
  if (text == "last") {
    out.number.reset();
    return;
  }
  const bool is_number = !text.empty() && text.size() < 18 && text.find_first_not_of("0123456789") == std::string::npos;
  require<ConfigError>(is_number && std::stoll(text) >= 1, got_at(node.where, path), node.shown(),
                       "; need \"last\" or a step from 1");
  out.number = std::stoll(text);
}
Json to_json(const StartStep& step) { return step.number ? std::to_string(*step.number) : "last"; }

int64_t PhaseConfig::total_steps(const TrainSettings& settings) const {
  const Duration length = tokens.value > 0 ? tokens : steps;
  const auto tokens_per_step = static_cast<double>(settings.batch_size * settings.sequence_length);
  double n = 0;
  switch (length.unit) {
    case Unit::steps: n = std::ceil(length.value); break;
    case Unit::tokens: n = std::ceil(length.value / tokens_per_step); break;
    case Unit::epochs: {
      if (sequences_per_epoch == 0)
        throw std::logic_error("the length of phase '" + name + "' in epochs is not resolved");
      // An epoch is one pass over the phase's own data: what is replayed beside it makes it longer.
      const double own_share = replay ? 1 - replay->fraction : 1.0;
      n = std::ceil(length.value * static_cast<double>(sequences_per_epoch) /
                    (own_share * static_cast<double>(settings.batch_size)));
      break;
    }
    case Unit::fraction: break;
  }
  const std::string& length_place = place(tokens.value > 0 ? "tokens" : "steps");
  require<ConfigError>(n >= 1 && n < 1e12, length_place, ": got phase '", name, "' of ", n,
                       " steps; need at least 1 (and fewer than 1e12)");
  constexpr double kMostTokens =
      9e15;  // of all phases together they are counted in 64 bits, and in doubles without a loss
  require<ConfigError>(n * tokens_per_step < kMostTokens, length_place, ": got phase '", name, "' of ", n, " steps of ",
                       tokens_per_step, " tokens; need fewer than ", kMostTokens, " tokens in all");
  return static_cast<int64_t>(n);
}

int64_t RunConfig::total_steps() const {
  int64_t total = 0;
  for (const auto& phase : phases) total += phase.total_steps(train);
  return total;
}

int64_t RunConfig::period_steps(const Duration& every) const {
  if (every.value <= 0) return 0;
  return static_cast<int64_t>(
      std::ceil(every.value / (every.unit == Unit::tokens ? static_cast<double>(tokens_per_step()) : 1.0)));
}

std::unique_ptr<optim::Optimizer> run_optimizer(const RunConfig& config) {
  optim::OptimizerPlace place;
  for (const auto& spec : model::parameter_table(config.model))
    place.parameters.push_back({spec.name, spec.shape, spec.packing});
  return optim::make_optimizer(place, config.optimizer);
}

std::unique_ptr<optim::Schedule> phase_schedule(const RunConfig& config, const PhaseConfig& phase) {
  return optim::make_schedule(phase.schedule, {phase.total_steps(config.train), config.tokens_per_step()});
}

namespace {

// A rhythm is a duration with its unit; a bare 0 is never.
void check_rhythm(const ConfigNode& table, const char* key, const std::string& path) {
  const ConfigNode* node = table.find(key);
  if (node == nullptr) return;
  Duration every;  // of unit fraction, which is what a bare number takes here
  evenkeel::read_value(*node, path, every);
  require<ConfigError>(every.value == 0 || every.unit == Unit::steps || every.unit == Unit::tokens,
                       got_at(node->where, path), node->shown(), "; need steps or tokens, as in \"200 steps\"");
}

// A key of other trainers that is left out here on purpose: losses would no longer compare.
void refuse_label_smoothing(const ConfigNode& train) {
  const ConfigNode* given = train.find("label_smoothing");
  require<ConfigError>(given == nullptr, given != nullptr ? got_at(given->where, "train.label_smoothing") : "",
                       given != nullptr ? given->shown() : "",
                       "; need the key left out: targets are never smoothed (T5X and OpenMoE have 0 in pre-training); "
                       "train.logit_z_coefficient holds the logits' scale");
}

void check_train(TrainSettings& train, const ConfigNode& node) {
  const auto check = [&](bool holds, const char* key, int64_t value, const std::string& need) {
    require<ConfigError>(holds, got_at(place_of(node, key), std::string("train.") + key), value, "; need ", need);
  };
  constexpr int64_t kMax = (int64_t{1} << 31) - 1;
  const std::string sizes = "1.." + std::to_string(kMax) + " (it has no default)";
  check(train.batch_size >= 1 && train.batch_size <= kMax, "batch_size", train.batch_size, sizes);
  check(train.sequence_length >= 1 && train.sequence_length <= kMax, "sequence_length", train.sequence_length, sizes);
  if (node.find("micro_batch_size") == nullptr) train.micro_batch_size = train.batch_size;
  check(train.micro_batch_size >= 1 && train.batch_size % train.micro_batch_size == 0, "micro_batch_size",
        train.micro_batch_size, "a divisor of batch_size = " + std::to_string(train.batch_size));
  check(train.seed >= 0, "seed", train.seed, "0 or more");
  require<ConfigError>(train.logit_z_coefficient >= 0 && std::isfinite(train.logit_z_coefficient),
                       got_at(place_of(node, "logit_z_coefficient"), "train.logit_z_coefficient"),
                       train.logit_z_coefficient, "; need 0 (none) or more");
  check(train.keep_last >= 0, "keep_last", train.keep_last, "0 (all) or more");
  check_rhythm(node, "checkpoint_every", "train.checkpoint_every");
}

// It stands on one line of the terminal, of tables and of charts.
void check_name(const std::string& name, const std::string& where) {
  require<ConfigError>(printable(name) == name, where, ": got the name '", name,
                       "'; need one without line breaks and other control characters");
}

void check_sources(const std::vector<DataSource>& sources, const std::string& what, const std::string& where) {
  require<ConfigError>(!sources.empty(), where, ": got ", what, " without sources; need at least one {name, path}");
  std::set<std::string> names;
  double sum = 0;
  for (const auto& source : sources) {
    require<ConfigError>(!source.name.empty(), where, ": got a source of ", what, " without a name; need name");
    check_name(source.name, source.path.where);
    require<ConfigError>(!source.name.starts_with("replay/"), source.path.where, ": got the name '", source.name,
                         "' in ", what, "; need one without 'replay/', which marks replayed sources");
    require<ConfigError>(names.insert(source.name).second, source.path.where, ": got the name '", source.name,
                         "' twice in ", what, "; need distinct names");
    require<ConfigError>(!source.path.value.empty(), where, ": got source '", source.name,
                         "' without a path; need the PREFIX of a .bin/.idx pair");
    require<ConfigError>(source.weight >= 0 && std::isfinite(source.weight), source.path.where, ": got weight ",
                         source.weight, " of '", source.name, "'; need 0 or more");
    sum += source.weight;
  }
  require<ConfigError>(sum > 0, where, ": got weights of ", what, " that sum to ", sum, "; need more than 0");
}

void check_length(const PhaseConfig& phase, const ConfigNode& node, DataNeed need) {
  const bool has_tokens = node.find("tokens") != nullptr, has_steps = node.find("steps") != nullptr;
  require<ConfigError>(has_tokens != has_steps, phase.where, ": got phase '", phase.name, "' with ",
                       has_tokens ? "both tokens and steps" : "neither tokens nor steps", "; need one of them");
  const Duration& length = has_tokens ? phase.tokens : phase.steps;
  const std::string place = place_of(node, has_tokens ? "tokens" : "steps");
  require<ConfigError>(length.value > 0, place, ": got a length of '", to_string(length), "'; need more than 0");
  const bool has_no_data = need == DataNeed::optional && phase.data.empty();
  require<ConfigError>(length.unit != Unit::epochs || phase.data.size() == 1 || has_no_data, place,
                       ": got a length in epochs with ", phase.data.size(),
                       " sources; need a single source, or tokens or steps");
}

void check_replay(const PhaseConfig& phase) {
  const auto& replay = *phase.replay;
  const auto check = [&](bool holds, const char* key, const auto&... message) {
    require<ConfigError>(holds, phase.place(std::string("replay.") + key), ": got ", message...);
  };
  check(replay.fraction >= 0 && replay.fraction <= 1, "fraction", "replay.fraction = ", replay.fraction, "; need 0..1");
  check(replay.from.empty() != replay.data.empty(), replay.from.empty() ? "fraction" : "from", "replay with ",
        replay.from.empty() ? "neither from nor data" : "both from and data", "; need one of them");
  check(replay.from.empty() || replay.from != phase.name, "from", "replay.from = '", replay.from,
        "', the phase itself; need an earlier phase");
  check(replay.mode == ReplayMode::fresh || !replay.from.empty(), "mode",
        "replay.mode = 'seen' with data; need from = an earlier phase, or mode = 'fresh'");
  if (!replay.data.empty())
    check_sources(replay.data, "the replay of phase '" + phase.name + "'", phase.place("replay.data"));
  check(replay.fraction < 1 || !phase.is_in_epochs(), "fraction", "replay.fraction = ", replay.fraction,
        " and a length in epochs of the phase's own data; need less than 1, or tokens or steps");
}

void check_phase(const PhaseConfig& phase, const ConfigNode& node, const std::set<std::string>& earlier,
                 DataNeed need) {
  require<ConfigError>(!phase.name.empty(), phase.where, ": got a phase without a name; need name");
  check_name(phase.name, place_of(node, "name"));
  require<ConfigError>(!earlier.contains(phase.name), place_of(node, "name"), ": got the phase name '", phase.name,
                       "' twice; need distinct names");
  check_length(phase, node, need);
  if (need == DataNeed::required || !phase.data.empty())
    check_sources(phase.data, "phase '" + phase.name + "'", place_of(node, "data"));
  require<ConfigError>(!phase.schedule.is_empty(), phase.where, ": got phase '", phase.name,
                       "' without a schedule; need schedule = {kind = ..., lr_max = ...}");
  slow_patterns(phase);
  if (phase.eval) {
    const std::string& place = phase.place("eval.data");
    require<ConfigError>(!phase.eval->data.empty(), place, ": got eval without data; need data = [{name, path}]");
    std::set<std::string> names;
    for (const auto& source : phase.eval->data) {
      check_name(source.name, place);
      require<ConfigError>(!source.name.empty() && !source.path.value.empty() && names.insert(source.name).second,
                           place, ": got eval data '", source.name, "'; need distinct names, each with a path");
    }
    require<ConfigError>(phase.eval->max_tokens >= 0, phase.place("eval.max_tokens"),
                         ": got eval.max_tokens = ", phase.eval->max_tokens, "; need 0 (all) or more");
    if (const ConfigNode* eval = node.find("eval")) check_rhythm(*eval, "every", "eval.every");
  }
  if (phase.replay) check_replay(phase);
}

// The phase of the recipe that phase `index` goes on from; std::nullopt for initialisation, or a start outside of the
// recipe.
std::optional<size_t> origin_of(const RunConfig& config, size_t index) {
  const auto& start = config.phases[index].start;
  if (!start || start->from.empty()) return index > 0 ? std::optional(index - 1) : std::nullopt;
  for (size_t i = 0; i < index; ++i)
    if (config.phases[i].name == start->from) return i;
  return std::nullopt;
}

// What the recipe alone shows of a replay that cannot be. A start from outside may bring phases along, which are known
// when it is opened.
void check_replays(const RunConfig& config) {
  bool has_outside_start = false;
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    has_outside_start = has_outside_start || (phase.start && !phase.start->from.empty() && !origin_of(config, i));
    if (!phase.replay || phase.replay->from.empty()) continue;
    const auto earlier = std::find_if(config.phases.begin(), config.phases.begin() + static_cast<std::ptrdiff_t>(i),
                                      [&](const auto& other) { return other.name == phase.replay->from; });
    const bool is_earlier = earlier != config.phases.begin() + static_cast<std::ptrdiff_t>(i);
    std::string known;
    for (size_t j = 0; j < i; ++j) add_to_list(known, config.phases[j].name);
    require<ConfigError>(is_earlier || has_outside_start, phase.place("replay.from"), ": got replay.from = '",
                         phase.replay->from,
                         "'; need the name of an earlier phase: ", known.empty() ? "there is none" : known);
    const bool saw_nothing = is_earlier && earlier->replay && earlier->replay->fraction == 1;
    require<ConfigError>(!saw_nothing || phase.replay->mode == ReplayMode::fresh || phase.replay->fraction == 0,
                         phase.place("replay.mode"), ": got phase.", phase.name, ".replay.mode = 'seen' of phase '",
                         earlier->name,
                         "', which draws nothing of its own data (its replay.fraction is 1); need mode = \"fresh\"");
  }
}

void read_phases(RunConfig& config, const ConfigNode& root, DataNeed need) {
  const ConfigNode* list = root.find("phase");
  if (list == nullptr && need == DataNeed::optional) return;
  require<ConfigError>(list != nullptr, root.where, ": got no [[phase]]; need at least one");
  require<ConfigError>(list->is_list() && !list->list().empty(), list->where, ": got phase = ", list->shown(),
                       "; need at least one [[phase]] table");
  std::set<std::string> earlier;
  std::optional<EvalConfig> inherited;
  for (const auto& node : list->list()) {
    PhaseConfig phase;
    phase.where = node.where;
    phase.given = node;
    evenkeel::read_value(node, "phase", phase);
    if (!phase.eval) phase.eval = inherited;
    inherited = phase.eval;
    check_phase(phase, node, earlier, need);
    const bool is_first = config.phases.empty();
    require<ConfigError>(!is_first || !phase.start || !earlier.empty() || !phase.start->from.empty(), phase.where,
                         ": got start in the first phase without from; need the run or checkpoint to start from");
    earlier.insert(phase.name);
    config.phases.push_back(std::move(phase));
  }
}

// A vocabulary may be larger than the weights' where it is said what the new rows begin with. That there are new ones,
// which may be in the weights' padding, the tokenizers say (new_rows).
void check_vocabulary(const model::ModelTable& table, const checkpoint::ModelSource& source,
                      const ConfigNode& changes) {
  const int64_t old_size = source.config.vocab_size, size = table.model.vocab_size;
  const auto got = [&](const char* key) { return got_at(place_of(changes, key), std::string("model.") + key); };
  const std::string as_in = join_parts(old_size, " as in ", source.folder.string());
  require<ConfigError>(size >= old_size, got("vocab_size"), size, "; need at least ", as_in,
                       ": no row of the vocabulary can go");
  require<ConfigError>(size == old_size || table.new_embeddings, got("vocab_size"), size, "; need ", as_in,
                       ", or model.new_embeddings beside it, which says what the ", size - old_size,
                       " new rows begin with: one of ", list_of_names<model::NewEmbeddings>());
}

// The architecture comes from the checkpoint; keys given beside `from` must agree with it, except these.
void read_model(const ConfigNode& root, const checkpoint::ModelSource* source, RunConfig& config) {
  const ConfigNode* model = root.find("model");
  require<ConfigError>(model != nullptr, root.where, ": got no [model]; need one");
  if (!model->is_table()) fail_kind(*model, "model", "a table");
  if (model->find("from") == nullptr) {
    config.model = model::read_model_config(*model);
    return;
  }
  if (source == nullptr) throw std::logic_error("a recipe with [model] from is read without its model");
  ConfigNode changes = model::with_preset(*model, model::PresetTables::left_out);
  changes.erase("from");
  model::ModelTable table{.preset = "", .from = {}, .rope = {}, .model = source->config};
  model::ModelConfig& given = table.model;
  given.balance = {};
  if (changes.find("router") != nullptr) given.router = ConfigNode{};
  evenkeel::read_value(changes, "model", table);
  if (changes.find("balance") == nullptr) given.balance = source->config.balance;
  model::check_model_config(given, model->where, &changes);
  check_vocabulary(table, *source, changes);
  model::ModelConfig of_source_rows = given;
  of_source_rows.vocab_size = source->config.vocab_size;
  require_same_architecture(of_source_rows, *source, [&](const std::string& key) { return place_of(changes, key); });
  model::check_router_state(given, source->config, source->folder.string());
  config.model = given;
  config.new_embeddings = table.new_embeddings;
}

// What attention can do under a mask alone is refused where that of the model takes none.
void check_separate_documents(const RunConfig& config, const ConfigNode& train) {
  require<ConfigError>(model::takes_masks(config.model) || !config.train.separate_documents,
                       place_of(train, "separate_documents"),
                       ": got train.separate_documents = true; need false: this model.attention.kind takes no mask, so "
                       "that it cannot keep documents apart");
}

// Lengths in epochs become steps.
void resolve_lengths(RunConfig& config, const EpochSequences& epoch_sequences) {
  for (auto& phase : config.phases) {
    if (!phase.is_in_epochs() || phase.data.empty()) continue;
    phase.sequences_per_epoch = epoch_sequences(config, phase, phase.data[0]);
    phase_schedule(config, phase);
  }
}

}  // namespace

void require_same_architecture(const model::ModelConfig& model, const checkpoint::ModelSource& source,
                               const std::function<std::string(const std::string& key)>& place_of) {
  const Json given = model::model_config_json(model), loaded = model::model_config_json(source.config);
  for (const auto& [key, value] : loaded.as_object()) {
    if (key == "router" || key == "balance" || key == "capacity" || key == "init") continue;
    if (key == "d_ff" && !model.has_dense())
      continue;  // of the dense twin; layers that are dense in one alone differ by moe_layers or n_experts
    require<ConfigError>(given.at(key) == value, got_at(place_of(key), "model." + key), given.at(key).dump(), "; need ",
                         value.dump(), " as in ", source.folder.string());
  }
}

std::optional<RecipePath> model_from(const ConfigNode& root) {
  const ConfigNode* model = root.find("model");
  const ConfigNode* from = model != nullptr ? model->find("from") : nullptr;
  if (from == nullptr) return std::nullopt;
  RecipePath out;
  read_value(*from, "model.from", out);
  return out;
}

RunConfig read_run_config(const ConfigNode& root, DataNeed need, const checkpoint::ModelSource* source,
                          const EpochSequences& epoch_sequences) {
  const ConfigNode* study = root.find("study");
  require<ConfigError>(study == nullptr, study != nullptr ? study->where : root.where,
                       ": got [study]; need a recipe of one run, or the command for studies: evenkeel study");
  RecipeTables tables;
  evenkeel::read_value(root, "", tables);
  RunConfig config;
  config.model_from = model_from(root);
  read_model(root, source, config);
  const ConfigNode* train = root.find("train");
  require<ConfigError>(train != nullptr, root.where, ": got no [train]; need one with batch_size and sequence_length");
  refuse_label_smoothing(*train);
  evenkeel::read_value(*train, "train", config.train);
  check_train(config.train, *train);
  if (const ConfigNode* optimizer = root.find("optimizer")) config.optimizer = *optimizer;
  run_optimizer(config);  // which refuses keys and values
  read_phases(config, root, need);
  check_separate_documents(config, *train);
  check_objectives(config);
  check_eval_objectives(config);
  const size_t n_parameters = model::parameter_table(config.model).size();
  for (const auto& phase : config.phases) {
    const auto factors = phase.rate_factors(config.model);
    const auto n_frozen = static_cast<size_t>(std::count(factors.values.begin(), factors.values.end(), 0.0));
    require<ConfigError>(n_frozen < n_parameters, phase.place(phase.freeze.empty() ? "slow" : "freeze"),
                         ": got phase '", phase.name, "' with all ", n_parameters,
                         " parameters frozen; need one at least that learns");
    if (!phase.is_in_epochs()) phase_schedule(config, phase);
  }
  check_replays(config);
  check_orders(config, [](const std::string& path) {
    return path;
  });  // what the recipe alone shows; contents follow when they are opened
  if (epoch_sequences) resolve_lengths(config, epoch_sequences);
  return config;
}

void check_orders(const RunConfig& config, const std::function<std::string(const std::string& path)>& content_of) {
  struct Order {
    bool shuffle;
    std::string phase;
  };
  std::vector<std::map<std::string, Order>> drawn;  // by content, in each phase and those that it goes on from
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    const auto origin = origin_of(config, i);
    drawn.push_back(origin ? drawn[*origin] : std::map<std::string, Order>{});
    const auto draw = [&](const std::vector<DataSource>& sources) {
      for (const auto& source : sources) {
        if (source.weight == 0) continue;
        const auto& before =
            drawn.back().emplace(content_of(source.path.value), Order{phase.shuffle, phase.name}).first->second;
        require<ConfigError>(before.shuffle == phase.shuffle, source.path.where, ": got phase.", phase.name,
                             ".shuffle = ", phase.shuffle ? "true" : "false", " for '", source.name, "', which phase '",
                             before.phase, "' draws with shuffle = ", before.shuffle ? "true" : "false",
                             "; need the same in both, or samples are lost and others come twice");
      }
    };
    draw(phase.data);
    if (phase.replay && phase.replay->fraction > 0) draw(phase.replay->data);
  }
}

Json run_config_json(const RunConfig& config) {
  Json out = Json::object();
  out["model"] = model::model_config_json(config.model);
  if (config.model_from) out["model"]["from"] = config.model_from->value;
  if (config.new_embeddings) out["model"]["new_embeddings"] = name_of(*config.new_embeddings);
  out["train"] = evenkeel::to_json(config.train);
  out["optimizer"] = run_optimizer(config)->options();
  Json phases = Json::array();
  for (const auto& phase : config.phases) {
    Json json = evenkeel::to_json(phase);
    json["schedule"] = phase_schedule(config, phase)->options();
    resolve_objectives(config, phase, json);
    json["steps"] = phase.total_steps(config.train);
    json["tokens"] = phase.total_steps(config.train) * config.tokens_per_step();
    if (const std::string folder = external_start(config, phases.size()); !folder.empty())
      json["start"]["from"] = folder;
    phases.push_back(std::move(json));
  }
  out["phase"] = std::move(phases);
  return out;
}

}  // namespace evenkeel::train

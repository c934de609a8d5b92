// A run: [model], [train], [optimizer] and a list of phases, as in a recipe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config_tree.h"
#include "model/config.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/phase_objective.h"

namespace evenkeel::checkpoint {
struct ModelSource;
}

namespace evenkeel::train {

// A path of a recipe: relative to the recipe's folder, kept absolute.
struct RecipePath {
  std::string value;
  std::string where;
};
void read_value(const ConfigNode& node, const std::string& path, RecipePath& out);
Json to_json(const RecipePath& path);
inline std::string type_of(const RecipePath&) { return "path"; }

// What follows when a router sends nearly all tokens to the same experts.
enum class OnCollapse { warn, abort };
std::span<const Named<OnCollapse>> names_of(OnCollapse);

struct TrainSettings {
  int64_t batch_size = 0, micro_batch_size = 0, sequence_length = 0, seed = 1;
  Duration checkpoint_every{0, Unit::steps};
  int64_t keep_last = 0;
  bool separate_documents = false, allow_mixed_tokenizers = false;
  OnCollapse on_collapse = OnCollapse::warn;
  double logit_z_coefficient = 0;
  static void visit_fields(auto& c, auto&& field) {
    field("batch_size", c.batch_size, {"sequences per optimizer step", "sequences", kRequired});
    field("micro_batch_size", c.micro_batch_size,
          {"sequences per forward pass; a divisor of batch_size", "sequences", "as batch_size"});
    field("sequence_length", c.sequence_length, {"tokens a sequence", "tokens", kRequired});
    field("seed", c.seed, "of initialisation and of the order of the data");
    field("checkpoint_every", c.checkpoint_every,
          {"distance of checkpoints; 0 = at phase ends only", "steps or tokens"});
    field("keep_last", c.keep_last, {"how many checkpoints stay besides those at phase ends; 0 = all", "checkpoints"});
    field("separate_documents", c.separate_documents, "attention and positions stop at document borders");
    field("on_collapse", c.on_collapse,
          "what follows when a router sends nearly all tokens to the same experts: warn, or abort (exit 3, after a "
          "save)");
    field("allow_mixed_tokenizers", c.allow_mixed_tokenizers,
          "sets of different tokenizers, or of another than that of the weights to start from, are no error");
    field("logit_z_coefficient", c.logit_z_coefficient,
          "of a loss that holds the output logits' scale: the mean over targets of their squared logsumexp (T5X's "
          "z_loss); 0: none");
  }
};

struct DataSource {
  std::string name;
  RecipePath path;
  double weight = 1.0;
  ConfigNode objective = {};
  static void visit_fields(auto& c, auto&& field) {
    field("name", c.name, {"name in metrics and reports", "", kRequired});
    field("path", c.path, {"PREFIX of .bin/.idx", "", kRequired});
    field("weight", c.weight, "relative weight in the mixture, of which sequences are drawn");
    field("objective", c.objective,
          {"what is scored of this source: kind and its keys, as of a phase", "", "that of the phase"});
  }
};

struct EvalSource {
  std::string name;
  RecipePath path;
  ConfigNode objective = {};
  static void visit_fields(auto& c, auto&& field) {
    field("name", c.name, {"name in metrics and reports", "", kRequired});
    field("path", c.path, {"PREFIX of .bin/.idx", "", kRequired});
    field("objective", c.objective,
          {"what it is scored by, whatever the phase trains by: kind and its keys, as of the phase", "", "causal"});
  }
};

struct EvalConfig {
  Duration every{0, Unit::steps};
  std::vector<EvalSource> data;
  int64_t max_tokens = 0;
  static void visit_fields(auto& c, auto&& field) {
    field("every", c.every,
          {"distance of evaluations; 0 = at the end of the phase, where there always is one", "steps or tokens"});
    field("data", c.data, {"held-out sets", "", kRequired});
    field("max_tokens", c.max_tokens, {"scored tokens of each set; 0 = all", "tokens"});
  }
};

// Which samples of an earlier phase come again.
enum class ReplayMode { fresh, seen };
std::span<const Named<ReplayMode>> names_of(ReplayMode);

struct ReplayConfig {
  double fraction = 0.0;
  std::string from;
  ReplayMode mode = ReplayMode::fresh;
  std::vector<DataSource> data;
  static void visit_fields(auto& c, auto&& field) {
    field("fraction", c.fraction,
          {"share of the phase's sequences that is old data; the budget does not change", "fraction 0..1"});
    field("from", c.from, {"an earlier phase whose mixture is replayed", "", "required without data"});
    field("mode", c.mode, "fresh (samples not drawn before) or seen (exactly those of that phase, in order)");
    field("data", c.data, {"sources to replay, in place of from", "", "required without from"});
  }
};

// "last", or a step from 1.
struct StartStep {
  std::optional<int64_t> number;  // none: the last
};
void read_value(const ConfigNode& node, const std::string& path, StartStep& out);
Json to_json(const StartStep& step);
inline std::string type_of(const StartStep&) { return "whole number or string"; }

// What becomes of the moments that the optimizer had where a phase starts.
enum class OptimizerStart { keep, reset };
std::span<const Named<OptimizerStart>> names_of(OptimizerStart);

struct StartConfig {
  std::string from;  // phase, run or checkpoint; empty = the phase before
  StartStep step;
  OptimizerStart optimizer = OptimizerStart::keep;
  std::string folder;  // relative paths in `from` start here
  static void visit_fields(auto& c, auto&& field) {
    field("from", c.from,
          {"an earlier phase, or the folder of a run, of a checkpoint or of Hugging Face", "", "the phase before"});
    field("step", c.step, {"its step: \"last\", or a number", "steps of the run"});
    field("optimizer", c.optimizer, "\"keep\" the moments that it had, or \"reset\" them");
  }
};
void read_value(const ConfigNode& node, const std::string& path, StartConfig& out);

struct PhaseConfig {
  std::string name;
  Duration tokens{0, Unit::tokens}, steps{0, Unit::steps};
  std::vector<DataSource> data;
  bool shuffle = true;
  ConfigNode schedule;
  ConfigNode objective;
  std::optional<EvalConfig> eval;  // inherited from the phase before where absent
  std::optional<ReplayConfig> replay;
  std::optional<StartConfig> start;
  std::vector<std::string> freeze;
  ConfigNode slow;                  // table of pattern = factor
  std::string where;                // of the phase's table
  ConfigNode given;                 // the table as it was given, for places in messages
  int64_t sequences_per_epoch = 0;  // of its one source, where its length is in epochs; 0 = not looked up
  static void visit_fields(auto& c, auto&& field) {
    field("name", c.name, {"name of the phase; --set and a study address it by that", "", kRequired});
    field("tokens", c.tokens,
          {"length of the phase, rounded up to whole steps; \"1 epoch\" with a single source",
           "tokens, steps or epochs", "required without steps"});
    field("steps", c.steps,
          {"the same; a bare number is of steps", "steps, tokens or epochs", "required without tokens"});
    field("data", c.data, {"sources of the mixture; not inherited", "", kRequired});
    field("shuffle", c.shuffle, "false: samples in file order, wrapping");
    field("schedule", c.schedule, {"learning rate: kind and its keys; not inherited", "", kRequired});
    field("objective", c.objective, {"what is scored: kind and its keys; not inherited", "", "causal"});
    field("eval", c.eval, {"evaluation on held-out sets", "", "as in the phase before"});
    field("replay", c.replay, {"old data in each batch", "", "none"});
    field("start", c.start, {"what the phase starts from", "", "the end of the phase before"});
    field("freeze", c.freeze,
          "patterns of parameters that do not learn, as \"layers.0.router.*\"; with rows or experts behind it: "
          "\"embedding.weight[:32000]\", \"layers.*.experts.*[0:8]\"");
    field("slow", c.slow,
          {"patterns of parameters, each with the factor on its learning rate; rows as in freeze", "", "none"});
  }
  // Where a key of the phase stands, as "replay.from"; the table where it is not given.
  const std::string& place(std::string_view key) const { return given.is_table() ? place_of(given, key) : where; }
  bool repeats_seen() const { return replay && replay->mode == ReplayMode::seen; }
  bool is_in_epochs() const { return (tokens.value > 0 ? tokens : steps).unit == Unit::epochs; }
  // Whole steps. std::logic_error for a length in epochs that is not resolved.
  int64_t total_steps(const TrainSettings& settings) const;
  // In the order of the model's table of parameters; ConfigError for a pattern that matches none.
  optim::RateFactors rate_factors(const model::ModelConfig& model) const;
};

// The tables of a recipe; the phases are read one by one.
struct RecipeTables {
  ConfigNode model, train, optimizer;
  ConfigNode phase;
  static void visit_fields(auto& tables, auto&& field) {
    field("model", tables.model, {"the model: shape, router, balance losses, capacity", "", kRequired});
    field("train", tables.train, {"batches, seed, checkpoints", "", kRequired});
    field("optimizer", tables.optimizer, {"the optimizer of all phases", "", "AdamW with its defaults"});
    field("phase", tables.phase, {"what is trained on, one after the other: a [[phase]] each", "", kRequired});
  }
};

struct RunConfig {
  model::ModelConfig model;
  std::optional<RecipePath> model_from;
  std::optional<model::NewEmbeddings> new_embeddings;  // where the model has more rows of the vocabulary than that
  TrainSettings train;
  ConfigNode optimizer;  // read by the registry of optimizers
  std::vector<PhaseConfig> phases;

  int64_t tokens_per_step() const { return train.batch_size * train.sequence_length; }
  int64_t total_steps() const;
  int64_t period_steps(const Duration& every) const;  // of a rhythm: whole steps, 0 = never
};

// Whether phases must be there, each with sources of data.
enum class DataNeed { required, optional };
// The path of [model] from, where it is given.
std::optional<RecipePath> model_from(const ConfigNode& root);
// How many sequences one pass over a source of a phase is; it may open the set, and throw.
using EpochSequences =
    std::function<int64_t(const RunConfig& config, const PhaseConfig& phase, const DataSource& source)>;
// What a recipe says, everything checked that needs no file: open_run_config (train/inputs.h) reads what it names.
// `source`: the model of [model] from, where it is given. `epoch_sequences`: for phases whose length is in epochs;
// without it these are left open. ConfigError names file, line, key, value.
RunConfig read_run_config(const ConfigNode& root, DataNeed need = DataNeed::required,
                          const checkpoint::ModelSource* source = nullptr, const EpochSequences& epoch_sequences = {});
// A sample comes once an epoch only while one content is drawn in one order. ConfigError where two phases, one of which
// goes on from the other, draw the same content with another `shuffle`. content_of: what tells contents apart, of a
// path of the recipe.
void check_orders(const RunConfig& config, const std::function<std::string(const std::string& path)>& content_of);
// ConfigError where `model` is of another architecture than `source`; routers, balance, capacity and initialisation may
// differ. `place_of`: where a key of [model] was given.
void require_same_architecture(const model::ModelConfig& model, const checkpoint::ModelSource& source,
                               const std::function<std::string(const std::string& key)>& place_of);
// resolved.json: every key, defaults included.
Json run_config_json(const RunConfig& config);
std::unique_ptr<optim::Optimizer> run_optimizer(const RunConfig& config);
std::unique_ptr<optim::Schedule> phase_schedule(const RunConfig& config, const PhaseConfig& phase);

}  // namespace evenkeel::train

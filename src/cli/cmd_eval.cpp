#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/model_run.h"
#include "core/log.h"
#include "core/units.h"
#include "core/with_error.h"
#include "train/evaluate.h"

namespace evenkeel::cli {

namespace {

// "  MRI 0.214 ± 0.006 (mean over MoE layers; most 0.340 ± 0.012, layer 2)  dead experts 3 of 128"; nothing for a dense
// model.
std::string routing_text(const train::EvalResult& result) {
  if (result.routing.empty()) return "";
  double sum = 0;
  size_t most = 0;
  int64_t n_dead = 0, n_experts = 0;
  std::vector<analysis::RoutingStats> layers;
  for (const auto& counts : result.routing) {
    layers.push_back(analysis::routing_stats(counts));
    sum += layers.back().mri;
    n_dead += layers.back().dead;
    n_experts += counts.n_experts;
    if (layers.back().mri > layers[most].mri) most = layers.size() - 1;
  }
  return join_parts("  MRI ", with_error(sum / static_cast<double>(layers.size()), result.mri_se),
                    " (mean over MoE layers; most ", with_error(layers[most].mri, result.layer_mri_se[most]),
                    ", layer ", layers[most].layer, ")  dead experts ", n_dead, " of ", n_experts);
}

// What the standard error is by: "32 blocks of 32 windows", "7 documents".
std::string blocks_text(const train::EvalResult& result, const train::EvalOptions& eval) {
  const std::string word = eval.mode == moe::Mode::train ? " batches"
                           : eval.separate_documents     ? " documents"
                                                         : " windows";
  const std::string n = std::to_string(result.blocks.size());
  return result.block_size == 1 ? n + word : n + " blocks of " + std::to_string(result.block_size) + word;
}

// One set, with a bar of its own, which ends before its result is printed.
train::EvalResult evaluate_set(const analysis::LoadedModel& model, const NamedDataset& set, train::EvalOptions eval) {
  const int64_t n_scored = set.dataset.n_tokens() - 1;
  Progress progress("evaluating",
                    static_cast<double>(eval.max_tokens > 0 ? std::min(eval.max_tokens, n_scored) : n_scored),
                    "tokens");
  eval.name = set.name;
  eval.progress = [&](int64_t n) { progress.update(static_cast<double>(n), set.name); };
  try {
    return train::evaluate(model.model, model.values(), set.dataset, eval);
  } catch (const NumericsError& error) {
    name_bad_weight(model, error);
    throw;
  }
}

}  // namespace

int cmd_eval(Options& options) {
  std::string model_path;
  std::vector<std::string> data_texts;
  ModelRunOptions run;
  bool json = false, allow_mixed = false;
  options.add("MODEL", model_path, "checkpoint, run or Hugging Face folder", true);
  options.add_named("--data", data_texts, "NAME=PREFIX of .bin/.idx; repeatable", true);
  run.declare(options);
  options.flag("--allow-mixed-tokenizers", allow_mixed, kAllowMixedHelp);
  options.flag("--json", json, "one JSON document on stdout");
  options.example("evenkeel eval runs/first --data en=data/en-heldout --json");
  if (!options.parse()) return 0;
  run.check();

  const auto sets = open_datasets(data_texts, allow_mixed);
  const auto source = open_checked(model_path);
  require_tokenizer_of(source, tokenizer_uses(sets), allow_mixed);
  for (const auto& set : sets) check_vocabulary(set.dataset, source.config.vocab_size, run.max_tokens);
  warn_of_length(source, model_path, run);
  const auto loaded = load_model(source, model_path, run);
  train::EvalOptions eval;
  eval.sequence_length = run.sequence_length > 0 ? run.sequence_length : source.sequence_length;
  eval.batch_size = run.batch_size;
  eval.max_tokens = run.max_tokens;
  eval.mode = run.router_mode();
  eval.separate_documents = source.separate_documents;
  eval.seed = run.random_seed();
  eval.step = loaded.step.value_or(0);

  Json data = Json::object();
  for (const auto& set : sets) {
    const auto result = evaluate_set(loaded, set, eval);
    data[set.name] = to_json(train::set_result(result));
    if (json) continue;
    const auto se = result.loss_se();
    const double perplexity = std::exp(result.loss);
    std::cout << std::left << std::setw(16) << set.name << " loss " << with_error(result.loss, se) << "  perplexity "
              << with_error(perplexity, se ? std::optional(perplexity * *se) : std::nullopt);
    if (result.bits_per_byte)
      std::cout << "  bits per byte "
                << with_error(*result.bits_per_byte,
                              se ? std::optional(*se * *result.bits_per_byte / result.loss) : std::nullopt);
    std::cout << routing_text(result) << "  (" << human_count(static_cast<double>(result.n_tokens))
              << (result.n_tokens == 1 ? " token" : " tokens")
              << (se ? "; ± is the standard error, by " + blocks_text(result, eval) : "") << ")\n";
  }
  if (json) print_json(Json::Object{{"data", std::move(data)}, {"tasks", Json::object()}});
  return 0;
}

}  // namespace evenkeel::cli

#include <iostream>
#include <map>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/model_run.h"
#include "cli/preview_view.h"
#include "cli/recipe.h"
#include "core/errors.h"
#include "core/log.h"
#include "data/tokenizer.h"
#include "train/interrupt.h"

namespace evenkeel::cli {
namespace {

size_t phase_of_name(const train::RunConfig& config, const std::string& name) {
  std::string known;
  for (size_t i = 0; i < config.phases.size(); ++i) {
    if (name == config.phases[i].name) return i;
    add_to_list(known, config.phases[i].name);
  }
  fail<ConfigError>("--phase: got '", name, "'; need a phase of the recipe: ", known);
}

// Of each source that comes: the tokenizer that PREFIX.json names, where it is there and the one that it names.
class SourceTexts {
 public:
  const TokenTexts& of(const data::IndexedDataset& dataset) {
    const std::string prefix = dataset.prefix().string();
    if (const auto known = texts_.find(prefix); known != texts_.end()) return known->second;
    const auto origin = tokenizer_origin(dataset.prefix());
    const std::string path = origin.path.empty() ? "" : find_tokenizer({origin.path}, origin.sha256);
    if (path.empty())
      log_info(prefix, ": tokens stand as numbers, since ",
               origin.path.empty() ? "no PREFIX.json names their tokenizer"
                                   : "their tokenizer is not there: " + origin.path);
    return texts_.emplace(prefix, TokenTexts(path.empty() ? nullptr : data::open_tokenizer(path))).first->second;
  }

 private:
  std::map<std::string, TokenTexts> texts_;
};

}  // namespace

int cmd_preview(Options& options) {
  constexpr int64_t kMost = 1000000;
  std::string recipe, phase;
  std::vector<std::string> overrides;
  std::optional<int64_t> seed;
  int64_t n_sequences = 2;
  bool json = false;
  options.add("RECIPE", recipe, "recipe (TOML)", true);
  options.add("--phase", phase, "whose data, as they are drawn when it begins", true);
  options.add("--sequences", n_sequences, {1, kMost}, "how many, also beyond the end of the phase");
  options.add("--set", overrides, "key.path=value, above the recipe; repeatable");
  options.add("--seed", seed, {}, "train.seed, above the recipe");
  options.flag("--json", json, "one JSON document on stdout");
  options.list("Without colours", {{"NO_COLOR=1", "marks in place of colours, as where the output is no terminal"}});
  options.example("evenkeel preview recipe.toml --phase pretrain --sequences 4");
  if (!options.parse()) return 0;
  const auto config = train::open_run_config(read_recipe(recipe, overrides, seed));
  train::InputData data;
  train::Preview preview(config, phase_of_name(config, phase), data);
  SourceTexts texts;
  const ViewForm form = form_of_output();
  if (!json) std::cout << view_legend(form) << "\n";
  Json sequences = Json::array();
  for (int64_t number = 1; number <= n_sequences && std::cout.good(); ++number) {
    require<Interrupted>(!train::stop_requested(), "stopped by a signal after ", number - 1, " sequences");
    const auto sequence = preview.next();
    const TokenTexts& source_texts = texts.of(*sequence.dataset);
    if (json) {
      sequences.push_back(sequence_json(sequence, source_texts));
    } else {
      std::cout << "\n" << sequence_view(number, sequence, source_texts, form);
    }
  }
  if (json) print_json(Json::Object{{"sequences", std::move(sequences)}});
  return 0;
}

}  // namespace evenkeel::cli

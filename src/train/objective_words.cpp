#include "train/objective_words.h"

#include <algorithm>
#include <vector>

#include "core/errors.h"
#include "core/json_value.h"

namespace evenkeel::train {

std::string objective_kind(const Json* objective) {
  const Json* kind = objective != nullptr && objective->is_object() ? find_value(*objective, "kind") : nullptr;
  return kind != nullptr ? kind->as_string() : "causal";
}

namespace {

// Kinds, each once.
class Kinds {
 public:
  void add(const std::string& kind) {
    if (std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end()) return;
    kinds_.push_back(kind);
    add_to_list(words_, kind);
  }
  // Of the sources of a list, those that name none `of_phase`.
  void add_sources(const Json* sources, const std::string& of_phase) {
    if (sources == nullptr) return;
    for (const auto& source : sources->as_array()) {
      const Json* own = find_value(source, "objective");
      add(own != nullptr ? objective_kind(own) : of_phase);
    }
  }
  const std::string& words() const { return words_; }

 private:
  std::vector<std::string> kinds_;
  std::string words_;
};

std::string kind_of(const Json& phase) { return objective_kind(find_value(phase, "objective")); }

}  // namespace

std::string objective_words(const Json& phases, size_t index) {
  const Json& phase = phases.at(index);
  Kinds kinds;
  kinds.add_sources(find_value(phase, "data"), kind_of(phase));
  if (kinds.words().empty()) kinds.add(kind_of(phase));
  const Json* replay = find_value(phase, "replay");
  if (replay == nullptr || replay->at("fraction").as_double() == 0) return kinds.words();
  const Json* from = find_value(*replay, "from");
  if (from == nullptr || from->as_string().empty()) {
    kinds.add_sources(find_value(*replay, "data"), kind_of(phase));
    return kinds.words();
  }
  for (size_t i = index; i > 0; --i) {
    const Json& earlier = phases.at(i - 1);
    if (earlier.at("name") != *from) continue;
    kinds.add_sources(find_value(earlier, "data"), kind_of(earlier));
    break;
  }
  return kinds.words();
}

std::string eval_objective(const Json& phase, const std::string& set) {
  const Json* eval = find_value(phase, "eval");
  if (eval == nullptr) return "causal";
  for (const auto& source : eval->at("data").as_array())
    if (source.at("name").as_string() == set) return objective_kind(find_value(source, "objective"));
  return "causal";
}

}  // namespace evenkeel::train

// The class of transformers that a model finds its place in: found by writing its config.json and reading it back, so
// that what a family cannot say is never lost unseen.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/families/detours.h"

namespace evenkeel::checkpoint {

// What a config.json says: read by its own family, checked.
struct ReadConfig {
  const Family* family = nullptr;
  model::ModelConfig model;
  int64_t max_sequence_length = 0;
  std::vector<std::string> notices;
};
ReadConfig read_with(const Family& family, const HfConfig& config);  // CheckpointError

// The model as it is evaluated, which is all that a class of transformers has: its router by the rule of evaluation.
// CheckpointError names what none of them can do.
model::ModelConfig as_evaluated(const model::ModelConfig& config, const std::string& where);
// What decides on the results of an evaluation, in a form of its own: equal for models that compute the same from equal
// tensors, up to rounding.
Json runtime_form(const model::ModelConfig& config);
// The keys in which two such forms differ, as "model.KEY = VALUE" of the first.
std::vector<std::string> runtime_differences(const Json& wanted, const Json& got);

struct Home {
  const Family* family = nullptr;
  model::ModelConfig foreign;              // as the class sees it
  std::vector<std::string> detours;        // names, in order
  std::vector<model::ModelConfig> before;  // of each detour
  Json config;                             // keys of config.json that say what is computed
  int64_t max_sequence_length = 0;
  std::vector<std::string> notices;  // what is written in other words, equal up to rounding
};
// `evaluated` written as `family` with these detours. CheckpointError where that is not the same model.
Home home_with(const model::ModelConfig& evaluated, const Family& family, const std::vector<std::string>& detour_names,
               int64_t max_sequence_length, const std::string& where);
// The first that fits: `preferred` ("" = none) by the fewest detours, else all families by the fewest. CheckpointError
// names what no family can say.
Home find_home(const model::ModelConfig& evaluated, const std::string& preferred, int64_t max_sequence_length,
               const std::string& where);

// The foreign tensors of one of the class's tensors (of home.foreign), changed by the detours; one layout. Pieces of a
// tensor that `own` lacks are zeros.
std::vector<std::vector<Piece>> layouts_of(const Home& home, const OwnTensor& tensor, bool is_own);

}  // namespace evenkeel::checkpoint

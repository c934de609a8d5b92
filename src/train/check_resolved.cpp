#include "train/check_resolved.h"

#include <algorithm>
#include <cmath>

#include "checkpoint/manifest.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/json_difference.h"
#include "core/json_lines.h"
#include "record/run_reader.h"
#include "train/shift_sets.h"
#include "train/state.h"

namespace evenkeel::train {
namespace {

std::string resolved_path(const Arm& arm) { return (arm.run / "resolved.json").string(); }

bool is_changed(const Arm& arm) {
  const Json* changed = arm.resolved.find("changed");
  return changed != nullptr && changed->size() > 0;
}

int64_t steps_before(const Json::Array& phases, size_t index) {
  int64_t steps = 0;
  for (size_t i = 0; i < index; ++i) steps += phases[i].at("steps").as_int();
  return steps;
}

// Names and weights in order. Paths may have changed since: the data may lie elsewhere.
Json mixture_of(const Json::Array& sources) {
  Json out = Json::array();
  for (const auto& source : sources) {
    const Json* weight = source.find("weight");
    out.push_back(Json::Object{{"name", source.at("name")}, {"weight", weight != nullptr ? weight->as_double() : 1.0}});
  }
  return out;
}

std::string phase_key(size_t index) { return "phase[" + std::to_string(index) + "]"; }

// What both say, by the keys of resolved.json. The checkpoint's last phase is of this run; those before it may have
// come with what the run started from.
Json said_by_resolved(const Arm& arm, size_t index) {
  const auto& phases = arm.resolved.at("phase").as_array();
  const Json &train = arm.resolved.at("train"), &phase = phases.at(index);
  Json out = Json::object();
  out["model"] = model::model_config_json(arm_model(arm));
  out["train"] = Json::Object{{"seed", train.at("seed")},
                              {"sequence_length", train.at("sequence_length")},
                              {"batch_size", train.at("batch_size")}};
  out[phase_key(index)] = Json::Object{{"name", phase.at("name")},
                                       {"first_step", steps_before(phases, index) + 1},
                                       {"data", mixture_of(phase.at("data").as_array())},
                                       {"replay.fraction", replay_fraction_of(phase)}};
  return out;
}

Json said_by_state(const Json& state, size_t index, const std::string& where) {
  const Json& record = state.at("phases").as_array().back();
  const int64_t sequence_length = state.at("sequence_length").as_int(),
                step_tokens = state.at("tokens").as_int() / std::max<int64_t>(state.at("step").as_int(), 1);
  Json out = Json::object();
  out["model"] = model::model_config_json(model::model_config_from_json(state.at("model"), where));
  out["train"] = Json::Object{{"seed", record.at("seed")},
                              {"sequence_length", sequence_length},
                              {"batch_size", step_tokens / std::max<int64_t>(sequence_length, 1)}};
  out[phase_key(index)] = Json::Object{{"name", record.at("name")},
                                       {"first_step", record.at("first_step")},
                                       {"data", mixture_of(record.at("sources").as_array())},
                                       {"replay.fraction", replay_fraction_of(record)}};
  return out;
}

// As a file would give it: 1.0 and 1 are the same there.
Json as_read(const Json& json) { return Json::parse(json.dump(), "recipe"); }

// Of earlier versions a record has no seed: nothing is known then.
bool is_known(const Json& state) {
  const Json* records = state.find("phases");
  return records != nullptr && records->is_array() && records->size() > 0 &&
         records->as_array().back().find("seed") != nullptr;
}

}  // namespace

void check_resolved_beside_checkpoint(const Arm& arm, bool is_finished) {
  const auto folders = checkpoint::step_folders(arm.run);
  if (folders.empty() || is_changed(arm)) return;
  const auto path = folders.back() / "state.json";
  const Json state = read_json(path);
  if (!is_known(state)) return;
  const auto& phases = arm.resolved.at("phase").as_array();
  const auto index = with_path(path, state, [&] { return static_cast<size_t>(state.at("phase_index").as_int()); });
  require<DataError>(index < phases.size(), resolved_path(arm), ": got ",
                     counted(static_cast<int64_t>(phases.size()), "phase"), "; need ", index + 1, " at least, as ",
                     path.string(), " says");
  const Json needed = with_path(path, state, [&] { return said_by_state(state, index, path.string()); });
  const auto difference = first_difference(as_read(said_by_resolved(arm, index)), as_read(needed));
  require<DataError>(!difference, resolved_path(arm), ": ", difference.value_or(""), ", as ", path.string(), " says");
  const int64_t step = with_path(path, state, [&] { return state.at("step").as_int(); }),
                n_steps = steps_before(phases, phases.size());
  const bool is_last = is_finished && record::last_step_in(arm.run / "metrics.jsonl") == step;
  require<DataError>(!is_last || step == n_steps, resolved_path(arm), ": got ", n_steps,
                     " steps of all phases together; need ", step,
                     ", as metrics.jsonl and the last checkpoint of the "
                     "finished run say");
}

RateCheck::RateCheck(const Arm& arm) : resolved_path_(resolved_path(arm)) {
  if (is_changed(arm)) return;
  int64_t last = 0;
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    const int64_t n_steps = phase.at("steps").as_int();
    last += n_steps;
    Phase out;
    out.name = phase.at("name").as_string();
    out.last_step = last;
    out.schedule = optim::make_schedule(config_from_json(phase.at("schedule"), resolved_path_),
                                        {n_steps, phase.at("tokens").as_int() / n_steps});
    out.lr_max = phase.at("schedule").at("lr_max").as_double();
    phases_.push_back(std::move(out));
  }
}

void RateCheck::add(const record::StepRow& row, const std::string& where) {
  // Of another machine's cosine. Near the end of a decay to 0 the terms cancel: what is left is of the peak's rounding.
  constexpr double kPeakRounding = 1e-15;
  const auto phase =
      std::find_if(phases_.begin(), phases_.end(), [&](const Phase& other) { return row.step <= other.last_step; });
  if (phase == phases_.end()) return;
  const double scheduled = phase->schedule->rate(row.phase_step);
  if (std::abs(row.lr - scheduled) <= kRounding * std::abs(scheduled) + kPeakRounding * phase->lr_max) return;
  if (phase->n_others++ > 0) return;
  phase->where = where;
  phase->got = row.lr;
  phase->scheduled = scheduled;
  phase->phase_step = row.phase_step;
}

void RateCheck::require_same() const {
  for (const auto& phase : phases_) {
    require<DataError>(phase.n_others != 1, phase.where, ": got ", phase.got, " as 'lr'; need ", phase.scheduled,
                       ", as the schedule of phase '", phase.name, "' in resolved.json gives");
    require<DataError>(phase.n_others == 0, resolved_path_, ": phase '", phase.name, "': got a schedule that gives ",
                       phase.scheduled, " as the learning rate of its step ", phase.phase_step, "; need ", phase.got,
                       ", as ", phase.where, " says, and another one for ", phase.n_others - 1, " more of its lines");
  }
}

}  // namespace evenkeel::train

// Learning-rate schedules: pure functions of the update's number within a phase.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/config_keys.h"

namespace evenkeel::optim {

// The whole steps of a phase that a duration stands for.
struct PhaseLength {
  int64_t total_steps = 0;
  int64_t tokens_per_step = 0;
};
// A fraction or tokens round to whole steps, at least 1 where above 0. ConfigError (with `where`) for epochs.
int64_t duration_in_steps(const Duration& duration, const PhaseLength& length, const std::string& where);

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Learning rate of update n, from 1. Past the end: the value at the end.
  double rate(int64_t update) const;
  virtual Json options() const = 0;  // every option with its value

 protected:
  Schedule(int64_t total_steps, int64_t warmup_steps, double lr_start, double lr_max)
      : total_steps_(total_steps), warmup_steps_(warmup_steps), lr_start_(lr_start), lr_max_(lr_max) {}
  // `update` in (warmup, total].
  virtual double rate_after_warmup(int64_t update) const = 0;
  int64_t total_steps_, warmup_steps_;
  double lr_start_, lr_max_;
};

// The course of the rate over `n_steps` updates as a row of 32 bars, the highest for the largest rate.
std::string sparkline(const Schedule& schedule, int64_t n_steps);

struct ScheduleKind {
  const char* name;
  const char* help;
  std::unique_ptr<Schedule> (*make)(const ConfigNode& options, const PhaseLength& length);
  std::vector<ConfigKey> (*keys)(const std::string& path);  // that it reads, `kind` among them
};
const std::vector<ScheduleKind>& schedule_kinds();
std::vector<ConfigKey> schedule_keys(const std::string& path);  // of all kinds
// `config` is a phase's `schedule` table: kind (default constant) and its keys; a key that a kind does not use is an
// error.
std::unique_ptr<Schedule> make_schedule(const ConfigNode& config, const PhaseLength& length);

}  // namespace evenkeel::optim

// Arms of a study side by side: each in a process of its own, so that small models use all cores without
// waiting for each other's threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace evenkeel::study {

struct Job {
  std::string label;
  std::vector<size_t> after;  // jobs that must have ended before
  // Runs in the child. `report` sends (steps done, text) to the parent.
  std::function<void(const std::function<void(int64_t, const std::string&)>& report)> run;
};

// Runs all, at most n_parallel at a time, in order where the dependencies allow. on_progress(job, steps,
// text) is called in the parent; a child's warning is said by the parent, with the job's label. The first error of a
// child stops the others (they save) and is thrown here with its type; a signal to the parent is passed on.
void run_jobs(const std::vector<Job>& jobs, size_t n_parallel,
              const std::function<void(size_t, int64_t, const std::string&)>& on_progress);

}  // namespace evenkeel::study

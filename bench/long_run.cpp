// Writes the metrics that a run of many steps leaves, as the trainer does: bench/long_run.py reads them back.
//   bench_long_run RUN N_STEPS EVERY    an evaluation of two sets every EVERY steps; 58 layers of 256 experts, top 8,
//   16,384 tokens a step
#include <cstdio>
#include <cstdlib>

#include "analysis/routing_stats.h"
#include "core/rng.h"
#include "record/metrics_file.h"

namespace {

using namespace evenkeel;

constexpr int64_t kLayers = 58, kExperts = 256, kTopK = 8, kTokens = 16384;

// Counts that differ from step to step: a mean of 512, give or take 12 %.
std::vector<record::LayerRouting> routing_of(RngStream& rng) {
  std::vector<record::LayerRouting> out;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    analysis::RoutingCounts counts{layer, kExperts, kTopK, kTokens, 0, {}};
    for (int64_t expert = 0; expert < kExperts; ++expert)
      counts.tokens_per_expert.push_back(static_cast<int64_t>(400 + rng.below(113) + rng.below(113)));
    out.push_back(analysis::routing_stats(counts));
  }
  return out;
}

record::SetResult result_of(RngStream& rng) {
  record::SetResult out;
  out.loss = 3 + 0.1 * rng.uniform();
  out.loss_se = 0.01;
  out.perplexity = 20;
  out.tokens = 65536;
  out.routing = routing_of(rng);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "bench_long_run: got %d arguments; need RUN N_STEPS EVERY\n", argc - 1);
    return 2;
  }
  const int64_t n_steps = std::atoll(argv[2]), every = std::atoll(argv[3]);
  RngStream rng(1, "long run");
  record::MetricsFile file(std::filesystem::path(argv[1]) / "metrics.jsonl", 0, kLayers * kExperts);
  for (int64_t step = 1; step <= n_steps; ++step) {
    record::StepRow row;
    row.step = row.phase_step = step;
    row.phase = "one";
    row.tokens = 8 * step;
    row.loss = 3 + 0.1 * rng.uniform();
    row.loss_terms = {{"cross_entropy", row.loss}};
    row.lr = 1e-3;
    row.grad_norm = 1 + rng.uniform();
    row.seconds = 2;
    row.tokens_per_second = 8192;
    row.sources = {{"a", step}};
    row.routing = routing_of(rng);
    file.write(row);
    if (step % every == 0)
      file.write(record::EvaluationRow{step, "one", row.tokens, {{"old", result_of(rng)}, {"new", result_of(rng)}}});
  }
  file.sync();
  return 0;
}

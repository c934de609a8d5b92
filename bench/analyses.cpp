// What the analyses of routing cost, all of them together, as one JSON document.
//
//   build/bench_analyses [THREADS]            time: against the forward pass of an olmoe-shaped model
//   build/bench_analyses --memory [THREADS]   memory: 2M made tokens that touch every id in every layer
//
// Time: d_model 512, 64 experts of width 256, top 8, vocabulary 50,304, on token ids with frequencies as in text (1 /
// rank). The forward pass is that of the blocks alone, without the head; rounds alternate, medians are given. `ratio`
// is the analyses' seconds over the forward pass's; with a reference model there are two forward passes. Counts by id,
// which several analyses read, are timed with the first that does. Memory: 16 layers, 64 experts, top 8, 50,000 ids,
// one data set, with predictions and a reference model. `grown_bytes` is how much the resident set grew,
// `predicted_bytes` the sum of what the analyses state.
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "analysis/id_tally.h"
#include "core/json.h"
#include "core/rng.h"
#include "model/init.h"
#include "model/transformer.h"

namespace {

using namespace evenkeel;

double seconds_of(auto&& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Frequencies as 1 / rank.
at::Tensor text_like_ids(int64_t n_sequences, int64_t length, int64_t vocab_size, uint64_t seed) {
  RngStream rng(seed, "bench ids");
  auto ids = at::empty({n_sequences, length}, at::kLong);
  for (int64_t i = 0; i < ids.numel(); ++i)
    ids.mutable_data_ptr<int64_t>()[i] =
        static_cast<int64_t>(std::pow(static_cast<double>(vocab_size), rng.uniform())) - 1;
  return ids;
}

struct Pass {
  std::vector<std::unique_ptr<analysis::Analysis>> analyses;
  std::vector<double> seconds;  // of each
};
Pass make_all(analysis::AnalysisInput input) {
  input.tallies = std::make_shared<analysis::IdTallies>();
  Pass pass;
  for (const auto& kind : analysis::analysis_kinds()) pass.analyses.push_back(kind.make(input));
  pass.seconds.resize(pass.analyses.size(), 0.0);
  return pass;
}
double observe(Pass& pass, const analysis::Observation& batch) {
  double total = 0;
  for (size_t i = 0; i < pass.analyses.size(); ++i) {
    const double seconds = seconds_of([&] { pass.analyses[i]->observe(batch); });
    pass.seconds[i] += seconds;
    total += seconds;
  }
  return total;
}

Json seconds_of_tables(const Pass& pass) {
  Json out = Json::object();
  for (size_t i = 0; i < pass.analyses.size(); ++i)
    out[analysis::analysis_kinds()[i].name] = seconds_of([&] { pass.analyses[i]->tables(); });
  return out;
}

analysis::AnalysisInput input_of(int64_t n_layers, int64_t vocab_size, int64_t length, int64_t n_tokens) {
  analysis::AnalysisInput input;
  input.model = "model";
  input.data = {{"text", n_tokens}};
  for (int64_t layer = 0; layer < n_layers; ++layer) input.layers.push_back({layer, 64, 8});
  input.vocab_size = vocab_size;
  input.sequence_length = length;
  return input;
}

analysis::Observation batch_of(const at::Tensor& ids) {
  analysis::Observation batch;
  batch.input_ids = ids;
  batch.target_ids = ids.roll(-1);
  batch.predicted_ids = ids.roll(-2);
  batch.document_ids = at::zeros(ids.sizes(), at::kInt);
  return batch;
}

Json measure_time() {
  constexpr int64_t kLayers = 4, kLength = 1024, kSequences = 2, kRounds = 7;
  model::ModelConfig config;
  config.vocab_size = 50'304;
  config.d_model = 512;
  config.n_layers = kLayers;
  config.n_heads = 8;
  config.n_experts = 64;
  config.top_k = 8;
  config.d_expert = 256;
  model::fill_defaults(config);
  const model::Transformer model(config);
  const auto params = model::init_params(config, 1);
  const auto states = model.initial_router_states();
  auto input = input_of(kLayers, config.vocab_size, kLength, kRounds * kSequences * kLength);
  input.embedding = params.at("embedding.weight");
  auto alone = make_all(input);
  input.reference = "reference";
  auto compared = make_all(input);
  std::vector<double> forward, observed, observed_with_reference;
  for (int64_t round = 0; round < kRounds; ++round) {
    model::ModelInput tokens;
    tokens.tokens = text_like_ids(kSequences, kLength, config.vocab_size, static_cast<uint64_t>(round));
    tokens.mode = moe::Mode::eval;
    auto batch = batch_of(tokens.tokens);
    forward.push_back(seconds_of([&] { batch.routing = model.forward(params, states, tokens).routing; }));
    observed.push_back(observe(alone, batch));
    batch.reference = batch.routing;
    observed_with_reference.push_back(observe(compared, batch));
  }
  Json by_analysis = Json::object();
  for (size_t i = 0; i < alone.analyses.size(); ++i)
    by_analysis[analysis::analysis_kinds()[i].name] =
        alone.seconds[i] / kRounds / (kLayers * kSequences * kLength) * 1e9;
  Json out = Json::object();
  out["threads"] = int64_t{at::get_num_threads()};
  out["layers"] = kLayers;
  out["tokens"] = kSequences * kLength;
  out["forward_seconds"] = median(forward);
  out["analyses_seconds"] = median(observed);
  out["ratio"] = median(observed) / median(forward);
  out["ratio_with_reference"] = median(observed_with_reference) / (2 * median(forward));
  out["nanoseconds_per_token_and_layer"] = std::move(by_analysis);
  out["tables_seconds"] = seconds_of_tables(compared);
  return out;
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Eight different experts a token, uniform over the 64.
moe::RoutingDecision made_decision(int64_t n_tokens, int64_t layer, RngStream& rng) {
  moe::RoutingDecision out;
  out.layer = layer;
  out.n_tokens = n_tokens;
  out.n_experts = 64;
  out.top_k = 8;
  out.token_ids = at::empty({n_tokens * 8}, at::kLong);
  out.expert_ids = at::empty({n_tokens * 8}, at::kLong);
  for (int64_t t = 0; t < n_tokens; ++t) {
    const uint64_t bits = rng.next();
    for (int64_t i = 0; i < 8; ++i) {
      out.token_ids.mutable_data_ptr<int64_t>()[8 * t + i] = t;
      out.expert_ids.mutable_data_ptr<int64_t>()[8 * t + i] =
          static_cast<int64_t>((bits + static_cast<uint64_t>(i) * (bits >> 8 | 1)) % 64);  // an odd stride
    }
  }
  return out;
}

Json measure_memory() {
  constexpr int64_t kLayers = 16, kIds = 50'000, kLength = 2048, kSequences = 4, kTokens = 2'000'000;
  auto input = input_of(kLayers, kIds, kLength, kTokens);
  input.reference = "reference";
  input.embedding = at::zeros({kIds, 512});
  RngStream rng(1, "bench memory");
  double predicted = 0;
  auto shared = input;
  shared.tallies = std::make_shared<analysis::IdTallies>();
  for (const auto& kind : analysis::analysis_kinds()) predicted += kind.bytes(shared);
  const double before = resident_bytes();
  auto pass = make_all(input);
  double seconds = 0;
  int64_t n_tokens = 0;
  for (; n_tokens < kTokens; n_tokens += kSequences * kLength) {
    auto ids = at::empty({kSequences, kLength}, at::kLong);
    for (int64_t i = 0; i < ids.numel(); ++i) ids.mutable_data_ptr<int64_t>()[i] = (n_tokens + i) * 7919 % kIds;
    auto batch = batch_of(ids);
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      batch.routing.push_back(made_decision(ids.numel(), layer, rng));
      batch.reference.push_back(made_decision(ids.numel(), layer, rng));
    }
    seconds += observe(pass, batch);
  }
  const double grown = resident_bytes() - before;
  auto tables = seconds_of_tables(pass);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  Json out = Json::object();
  out["threads"] = int64_t{at::get_num_threads()};
  out["layers"] = kLayers;
  out["tokens"] = n_tokens;
  out["grown_bytes"] = grown;
  out["grown_bytes_with_tables"] = 1024.0 * static_cast<double>(usage.ru_maxrss) - before;
  out["predicted_bytes"] = predicted;
  out["limit_bytes"] = 2147483648.0;
  out["observe_seconds"] = seconds;
  out["tables_seconds"] = std::move(tables);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  const bool memory = argc > 1 && std::string(argv[1]) == "--memory";
  if (argc > (memory ? 2 : 1)) at::set_num_threads(std::stoi(argv[memory ? 2 : 1]));
  std::printf("%s\n", (memory ? measure_memory() : measure_time()).dump(1).c_str());
  return 0;
}

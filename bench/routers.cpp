// What routing costs: the time of each registered router as a share of a training step.
//
//   build/bench_routers [--experts 8,32,64,256] [--repeats 5] [--threads 2] [--tokens 8192]
//
// A decoder of width 256 and 4 MoE layers trains on random tokens, one micro-batch a step; 4 experts of 192 a token, or
// one of 768 under rules that choose one. For each router and number of experts: a warm-up, then turns of one step and
// of the router alone, route() + balance_statistics() + after_step(), and its matrix product alone (router_logits),
// which is what a dense choice of experts would have cost too. share = layers * (median of the router - median of the
// product) / median of the step. The router sees logits of standard deviation 1 beside a liking for some experts of
// standard deviation 1. One JSON document.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <set>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include "core/log.h"
#include "core/rng.h"
#include "ops/device.h"
#include "train/step.h"

namespace evenkeel {
namespace {

constexpr int64_t kWidth = 256, kLayers = 4, kSequenceLength = 256, kVocabulary = 4096, kInnerWidth = 768;

struct Form {
  const char* router;
  const char* keys;
};
constexpr Form kForms[] = {
    {"top_k", ""},
    {"top_k",
     "score = \"sigmoid\", renormalize = true, n_groups = 4, groups_per_token = 2, group_score = \"top2_sum\""},
    {"loss_free", ""},
    {"quantile", ""},
    {"sinkhorn", ""},
    {"sinkhorn", "variant = \"megatron\""},
    {"sinkhorn", "variant = \"neox\""},
    {"expert_choice", ""},
    {"base", ""},
    {"hash", ""},
    {"random", ""},
    {"uniform", ""}};

struct Settings {
  std::vector<int64_t> experts = {8, 32, 64, 256};
  int64_t repeats = 5, threads = 2, tokens = 8192;
};

double seconds_of(const std::function<void()>& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

at::Tensor normal(at::IntArrayRef sizes, const char* purpose) {
  RngStream rng(1, purpose);
  auto out = at::empty(sizes, at::kFloat);
  for (int64_t i = 0; i < out.numel(); ++i) out.mutable_data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return out;
}

train::RunConfig config_of(const Form& form, int64_t n_experts, int64_t top_k, const Settings& settings) {
  const std::string router =
      "{kind = \"" + std::string(form.router) + "\"" + (*form.keys == '\0' ? "" : ", " + std::string(form.keys)) + "}";
  const auto number = [](int64_t value) { return std::to_string(value); };
  return train::read_run_config(
      parse_toml("[model]\nvocab_size = " + number(kVocabulary) + "\nd_model = " + number(kWidth) + "\nn_layers = " +
                     number(kLayers) + "\nn_heads = 4\nactivation = \"geglu\"\nn_experts = " + number(n_experts) +
                     "\ntop_k = " + number(top_k) + "\nd_expert = " + number(kInnerWidth / top_k) +
                     "\nrouter = " + router + "\n[train]\nbatch_size = " + number(settings.tokens / kSequenceLength) +
                     "\nsequence_length = " + number(kSequenceLength) +
                     "\n[[phase]]\nname = \"bench\"\nsteps = 1\ndata = [{name = \"random\", path = "
                     "\"/random\"}]\nschedule = {kind = \"constant\", lr_max = 1e-4}\n",
                 "bench", "/"));
}

data::Batch random_batch(const Settings& settings, RngStream& rng) {
  data::Batch batch;
  for (auto* tensor : {&batch.tokens, &batch.targets}) {
    *tensor = at::empty({settings.tokens / kSequenceLength, kSequenceLength}, at::kLong);
    for (int64_t i = 0; i < tensor->numel(); ++i)
      tensor->mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(kVocabulary));
  }
  return batch;
}

// Hidden states whose first element is 1, so that the matrix's first column says which experts are liked.
moe::RouterInput routed_input(const Settings& settings, const moe::RouterTraits& traits, int64_t n_experts,
                              const ops::Params& state) {
  moe::RouterInput input;
  input.hidden = normal({settings.tokens, kWidth}, "bench hidden");
  input.hidden.select(1, 0).fill_(1);
  auto weight = normal({n_experts, kWidth}, "bench matrix");
  weight.narrow(1, 1, kWidth - 1).div_(std::sqrt(static_cast<double>(kWidth)));
  if (traits.has_matrix) input.weight = weight.requires_grad_(true);
  input.token_ids = at::arange(settings.tokens, at::kLong).remainder(kVocabulary);
  input.n_sequences = settings.tokens / kSequenceLength;
  input.state = &state;
  return input;
}

Json measure(const Form& form, int64_t n_experts, const Settings& settings) {
  const int64_t top_k = moe::make_router({n_experts, 1, kVocabulary},
                                         parse_toml("kind = \"" + std::string(form.router) + "\"", "bench", ""))
                                    ->traits()
                                    .max_top_k == 1
                            ? 1
                            : 4;
  const auto config = config_of(form, n_experts, top_k, settings);
  const model::Transformer model(config.model);
  const auto& router = *model.router();
  const auto counts = at::ones({kVocabulary}, at::kLong);
  auto state =
      train::initial_state(config, model, at::kCPU, router.traits().needs_token_counts ? counts : at::Tensor());
  auto router_state = router.initial_state({0, 1, counts});
  const auto input = routed_input(settings, router.traits(), n_experts, router_state);
  RngStream rng(1, "bench tokens");
  std::vector<double> steps, routes, products;
  for (int64_t repeat = 0; repeat <= settings.repeats; ++repeat) {
    const std::vector<data::Batch> batches = {random_batch(settings, rng)};
    const double step = seconds_of([&] { train::train_step(model, {config.optimizer, 1e-4, {}}, batches, state); });
    for (int turn = 0; turn < 3; ++turn) {
      const double route = seconds_of([&] {
        const auto decision = router.route(input);
        router.after_step(router_state, router.balance_statistics(input, decision));
      });
      const double product = router.traits().has_matrix ? seconds_of([&] { moe::router_logits(input, 1e30); }) : 0;
      if (repeat == 0) continue;  // warm-up
      routes.push_back(route);
      products.push_back(product);
    }
    if (repeat > 0) steps.push_back(step);
  }
  const double share = static_cast<double>(kLayers) * (median(routes) - median(products)) / median(steps);
  log_info(form.router, " ", form.keys, ", ", n_experts, " experts: ", share * 100, " % of a step of ", median(steps),
           " s");
  return Json::Object{{"router", form.router},
                      {"keys", form.keys},
                      {"experts", n_experts},
                      {"top_k", top_k},
                      {"step_seconds", median(steps)},
                      {"route_seconds", median(routes)},
                      {"logits_seconds", median(products)},
                      {"share", share}};
}

int64_t whole_number(const std::string& text, const std::string& where) {
  const double value = parse_count(text, where);
  require<ConfigError>(value >= 1 && value == std::floor(value) && value < 1e9, where, ": got ", text,
                       "; need a whole number of at least 1");
  return static_cast<int64_t>(value);
}

Settings read_settings(int argc, char** argv) {
  Settings out;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    require<ConfigError>(i + 1 < argc, name, ": got nothing after it; need a value");
    const std::string value = argv[i + 1];
    if (name == "--experts") {
      out.experts.clear();
      for (size_t begin = 0; begin <= value.size();) {
        const size_t end = std::min(value.find(',', begin), value.size());
        out.experts.push_back(whole_number(value.substr(begin, end - begin), name));
        begin = end + 1;
      }
    } else if (name == "--repeats") {
      out.repeats = whole_number(value, name);
    } else if (name == "--threads") {
      out.threads = whole_number(value, name);
    } else if (name == "--tokens") {
      out.tokens = whole_number(value, name);
    } else {
      fail<ConfigError>("bench_routers: got '", name, "'; need --experts, --repeats, --threads or --tokens");
    }
  }
  for (const int64_t n : out.experts)
    require<ConfigError>(n >= 8 && n % 4 == 0, "--experts: got ", n, "; need multiples of 4 from 8 on");
  require<ConfigError>(out.tokens % kSequenceLength == 0, "--tokens: got ", out.tokens, "; need a multiple of ",
                       kSequenceLength);
  return out;
}

Json run(const Settings& settings) {
  std::set<std::string> measured;
  for (const auto& form : kForms) measured.insert(form.router);
  for (const auto& kind : moe::router_kinds())
    require<ConfigError>(measured.contains(kind.name), "bench/routers.cpp: got no line for the router '", kind.name,
                         "'; need one in kForms");
  ops::set_threads(settings.threads);
  Json rows = Json::array();
  for (const int64_t n_experts : settings.experts)
    for (const auto& form : kForms) rows.push_back(measure(form, n_experts, settings));
  return Json::Object{{"threads", ops::n_threads()}, {"tokens", settings.tokens},
                      {"layers", kLayers},           {"width", kWidth},
                      {"repeats", settings.repeats}, {"rows", std::move(rows)}};
}

}  // namespace
}  // namespace evenkeel

int main(int argc, char** argv) {
  try {
    std::cout << evenkeel::run(evenkeel::read_settings(argc, argv)).dump(1) << "\n";
  } catch (const evenkeel::ConfigError& error) {
    std::cerr << "bench_routers: " << error.what() << "\n";
    return 2;
  }
}

#include <algorithm>
#include <iostream>

#include <ATen/ops/empty.h>

#include "checkpoint/function_change.h"
#include "checkpoint/upcycle.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/units.h"
#include "data/indexed_dataset.h"
#include "model/layout.h"

namespace evenkeel::cli {
namespace {

using checkpoint::ModelSource;

// The value of an option that is one of a list of names.
template <HasNames T>
T named(const char* option, const std::string& text) {
  const auto value = value_named<T>(text);
  require<ConfigError>(value.has_value(), option, ": got '", text, "'; need one of: ", list_of_names<T>());
  return *value;
}

// Options that are read as texts, or that not every method or model has a use for.
struct Given {
  std::string method = "copy", rows = "each", router_init = "normal", probe;
  std::optional<double> ratio, router_noise;
  bool no_probe = false, json = false;
};

void take(const Given& given, checkpoint::UpcycleOptions& options) {
  options.method = named<checkpoint::UpcycleMethod>("--method", given.method);
  options.rows = named<checkpoint::ChangedRows>("--rows", given.rows);
  options.router_init = named<checkpoint::RouterInit>("--router-init", given.router_init);
  const bool is_copy = options.method == checkpoint::UpcycleMethod::copy;
  require<ConfigError>(!is_copy || !given.ratio, "--ratio: got ", given.ratio.value_or(0),
                       " with --method copy; need --method noise or drop beside it");
  require<ConfigError>(!is_copy || options.rows == checkpoint::ChangedRows::each, "--rows: got '", given.rows,
                       "' with --method copy; need --method noise or drop beside it");
  require<ConfigError>(!given.no_probe || given.probe.empty(), "--no-probe: got it beside --probe ", given.probe,
                       "; need one of them");
  options.ratio = given.ratio.value_or(options.ratio);
  options.router_noise = given.router_noise.value_or(options.router_noise);
}

constexpr int64_t kProbeSequences = 4, kProbeLength = 64;

// The first tokens of a set, or random ones.
at::Tensor probe_tokens(const std::string& prefix, const ModelSource& parent, uint64_t seed) {
  const int64_t length = std::min(kProbeLength, parent.sequence_length), V = parent.config.vocab_size;
  if (prefix.empty()) return checkpoint::random_tokens(kProbeSequences, length, V, seed);
  const auto dataset = data::IndexedDataset::open(prefix);
  const int64_t n = std::min(kProbeSequences, dataset.n_tokens() / (length + 1));
  require<DataError>(n > 0, "--probe: got ", prefix, " with ", dataset.n_tokens(), " tokens; need at least ",
                     length + 1);
  dataset.check_vocabulary(V, n * (length + 1));
  auto out = at::empty({n, length + 1}, at::kLong);
  dataset.copy(0, out.numel(), out.mutable_data_ptr<int64_t>());
  return out;
}

Json to_json(const checkpoint::FunctionChange& change) {
  return Json::Object{{"tokens", change.n_tokens},
                      {"mean_logit_change", change.mean_logit_change},
                      {"largest_logit_change", change.largest_logit_change},
                      {"kl", change.kl},
                      {"parent_loss", change.parent_loss},
                      {"loss", change.loss}};
}

std::string measured(const checkpoint::FunctionChange& change, const std::string& probe) {
  return join_parts("on ", counted(change.n_tokens, "token"), probe.empty() ? ", random ones" : " of " + probe,
                    ": mean |change of a logit| ", change.mean_logit_change, ", KL ", change.kl, " nats, loss ",
                    change.loss, " for ", change.parent_loss);
}

void print(const std::string& out, const checkpoint::UpcyclePlan& plan,
           const std::optional<checkpoint::FunctionChange>& change, const std::string& probe) {
  const auto& config = plan.config;
  const auto counts = model::count_parameters(config);
  std::cout << out << ": a checkpoint of " << config.n_experts << " experts, " << config.top_k << " a token, in "
            << counted(static_cast<int64_t>(model::layers_with_experts(config).size()), "layer") << "; "
            << human_count(static_cast<double>(counts.total)) << " parameters, "
            << human_count(static_cast<double>(counts.active)) << " active\n";
  if (plan.multiplier != 1)
    std::cout << "gate, up and down are multiplied by " << plan.multiplier << " (s = " << plan.scale << ")\n";
  std::cout << (plan.difference.empty() ? "it computes what its parent does, up to rounding"
                                        : "it computes something else than its parent: " + plan.difference)
            << "\n";
  if (change) std::cout << measured(*change, probe) << "\n";
  if (!plan.advice.empty()) std::cout << plan.advice << "\n";
}

Json json_of(const std::string& out, const checkpoint::UpcyclePlan& plan,
             const std::optional<checkpoint::FunctionChange>& change) {
  const auto counts = model::count_parameters(plan.config);
  Json json = Json::object();
  json["checkpoint"] = out;
  json["parameters"] = Json::Object{{"total", counts.total}, {"active", counts.active}};
  json["scale"] = plan.scale;
  json["multiplier"] = plan.multiplier;
  json["same_function"] = plan.difference.empty();
  json["difference"] = plan.difference;
  json["advice"] = plan.advice;
  json["probe"] = change ? to_json(*change) : Json();
  return json;
}

void declare(Options& options, std::string& model, std::string& out, checkpoint::UpcycleOptions& wanted, Given& given) {
  options.add("DENSE", model, "dense checkpoint, run or Hugging Face folder; one with experts gets more of them", true);
  options.add("--experts", wanted.n_experts, {1, 65536}, "experts of a layer, the old ones among them", true);
  options.add("--top-k", wanted.top_k, {0, 65536, "as it is"}, "experts a token; of a model with experts 0 = as it is");
  options.add("--out", out, "checkpoint folder to write", true);
  options.add("--method", given.method,
              "copy, noise (inner features permuted, N(0, 0.02) on a share of them) or drop (that share drawn anew)");
  options.add("--ratio", given.ratio, "noise, drop: share of an expert's inner features; without it 0.5");
  options.add("--rows", given.rows,
              "noise, drop: each matrix has features of its own (each), or all the same (shared)");
  options.add("--granularity", wanted.granularity, {1, INT32_MAX},
              "an expert is d_ff / G wide; G experts side by side share a row of the router and make up one network");
  options.add("--shared", wanted.n_shared_experts, {0, 65536}, "experts, d_ff / G wide, that every token passes");
  options.add("--router-init", given.router_init,
              "normal, torch_rand, torch_rand_mean0, torch_normal_002, torch_normal_028 or torch_rand_002");
  options.add("--router-noise", given.router_noise,
              "of a model with experts: noise on the new rows of the router, over the copied row's standard deviation; "
              "without it 0.01");
  options.add("--seed", wanted.seed, {}, "of all that is drawn");
  options.add(
      "--set", wanted.set,
      "model.router.KEY=VALUE and the like: router, balance, capacity, moe_layers of the new model; repeatable");
  options.add("--probe", given.probe, "PREFIX of .bin/.idx to measure the change on; without it random tokens");
  options.flag("--no-probe", given.no_probe, "measure nothing: the change is only told in words");
  options.flag("--json", given.json, "one JSON document on stdout");
}

}  // namespace

int cmd_upcycle(Options& options) {
  std::string model, out;
  checkpoint::UpcycleOptions wanted;
  Given given;
  declare(options, model, out, wanted, given);
  options.example("evenkeel upcycle models/llama --experts 8 --top-k 2 --method drop --out checkpoints/moe");
  if (!options.parse()) return 0;
  take(given, wanted);
  const auto parent = checkpoint::open_model(model);
  require<ConfigError>(parent.config.is_moe() || !given.router_noise, "--router-noise: got ",
                       given.router_noise.value_or(0), "; need it left out: ", model,
                       " is dense, and its routers begin by --router-init");
  const auto plan = checkpoint::plan_upcycling(parent, wanted);
  const auto seed = static_cast<uint64_t>(wanted.seed);
  at::Tensor tokens;
  if (!given.no_probe) tokens = probe_tokens(given.probe, parent, seed);
  const bool replaces = std::filesystem::exists(out);
  checkpoint::upcycle(parent, plan, wanted, out);
  if (replaces) log_info(out, ": the earlier checkpoint there is replaced");
  std::optional<checkpoint::FunctionChange> change;
  if (tokens.defined())
    change = function_change(parent, checkpoint::open_model(out, std::nullopt, /*deep=*/false), tokens);
  if (given.json) {
    print_json(json_of(out, plan, change));
  } else {
    print(out, plan, change, given.probe);
  }
  return 0;
}

}  // namespace evenkeel::cli

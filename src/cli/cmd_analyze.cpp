#include <charconv>
#include <iostream>

#include <unistd.h>

#include "analysis/counts.h"
#include "analysis/results.h"
#include "analysis/trace_reader.h"
#include "checkpoint/manifest.h"
#include "cli/commands.h"
#include "cli/model_run.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/output.h"
#include "core/units.h"
#include "data/tokenizer.h"
#include "report/page.h"
#include "train/memory_limit.h"

namespace evenkeel::cli {
namespace {

struct AnalyzeOptions {
  std::string model, reference, out, tokenizer;
  std::vector<std::string> data, traces, reference_traces, counts, analyses, ids;
  int64_t top_k = 0, minimum_count = 0;
  bool json = false, over_run = false, allow_mixed_tokenizers = false;
  ModelRunOptions run;
};

// The analyses that --over-run repeats for each checkpoint.
constexpr const char* kOverRun[] = {"saturation", "early_routing"};

// What the analyses are run over, from whatever source.
struct Sources {
  analysis::AnalysisInput input;
  std::vector<std::unique_ptr<analysis::ObservationSource>> observations;
  Json model, data = Json::array();
  double weight_bytes = 0, bytes_in_memory = 0;  // the second: of weights and embedding, already taken
  std::vector<std::string> tokenizers;  // files and folders that may hold the tokenizer: the model's, then the data's
  std::string tokenizer_sha256;         // that the token ids were made with; "" = unknown
};

Json model_json(const checkpoint::ModelSource& source, const std::string& name) {
  const auto& config = source.config;
  Json out = Json::object();
  out["name"] = name;
  out["kind"] = source.kind;
  for (const char* key : {"n_layers", "d_model", "vocab_size", "n_experts", "n_shared_experts", "top_k", "d_expert",
                          "moe_layers", "router", "capacity"})
    if (const Json config_json = model::model_config_json(config); const Json* value = config_json.find(key))
      out[key] = *value;
  if (const Json* step = source.state.find("step")) out["step"] = *step;
  return out;
}

Json data_json(const std::string& name, const char* source, const std::string& path, Json tokens) {
  return Json::Object{{"name", name}, {"source", source}, {"path", path}, {"tokens", std::move(tokens)}};
}

// "1 5 7" or "1,5,7", below the vocabulary.
std::vector<int64_t> parse_ids(const std::vector<std::string>& texts, int64_t vocab_size) {
  std::vector<int64_t> out;
  for (const auto& text : texts) {
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      const std::string part = text.substr(begin, end - begin);
      int64_t id = -1;
      const auto [last, error] = std::from_chars(part.data(), part.data() + part.size(), id);
      require<ConfigError>(error == std::errc() && last == part.data() + part.size() && id >= 0 && id < vocab_size,
                           "--ids: got '", part, "'; need token ids from 0 to ", vocab_size - 1);
      out.push_back(id);
      begin = end + 1;
    }
  }
  return out;
}

// ---- the three kinds of sources ----

// A model over data sets. What the sources point to is kept by the caller.
struct ModelRun {
  std::optional<analysis::LoadedModel> model, reference;
  std::vector<std::string> references;  // in turn: of --over-run the checkpoints before the last, else at most one
  std::vector<NamedDataset> sets;
  analysis::ForwardOptions forward;
};

// The run's checkpoints before the last, which is what the run stands for.
std::vector<std::string> earlier_checkpoints(const std::string& run) {
  auto steps = checkpoint::saved_steps(run);
  require<ConfigError>(steps.size() > 1, "--over-run: got ", run, " with ", steps.size(),
                       " saved checkpoints; need a run with two or more (checkpoint_every in its recipe)");
  steps.pop_back();
  std::vector<std::string> out;
  for (const int64_t step : steps)
    out.push_back((fs::path(run) / "checkpoints" / checkpoint::step_folder_name(step)).string());
  return out;
}

void load_reference(const AnalyzeOptions& options, const checkpoint::ModelSource& source, const std::string& name,
                    ModelRun& run, analysis::AnalysisInput& input) {
  run.reference.reset();  // one at a time in memory
  run.reference.emplace(load_model(source, name, options.run));
  analysis::check_reference(*run.model, *run.reference);
  input.reference = name;
  input.reference_step = run.reference->step;
}

// The windows of every data set from their start. The models that are loaded now are what they are run through.
std::vector<std::unique_ptr<analysis::ObservationSource>> forward_sources(const AnalyzeOptions& options,
                                                                          const ModelRun& run,
                                                                          int64_t sequence_length) {
  std::vector<std::unique_ptr<analysis::ObservationSource>> out;
  for (const auto& set : run.sets)
    out.push_back(analysis::make_forward_source(
        *run.model, run.reference ? &*run.reference : nullptr,
        analysis::windows_of(set.dataset, sequence_length, options.run.max_tokens), run.forward));
  return out;
}

// A dense model has no choices: all tables would be empty.
void require_experts(bool has_experts, const std::string& where) {
  require<ConfigError>(
      has_experts, where,
      ": got a dense model, without a MoE layer; need one with experts: there is no routing to analyse");
}

Sources open_model_run(const AnalyzeOptions& options, ModelRun& run) {
  run.sets = open_datasets(options.data, options.allow_mixed_tokenizers);
  const auto source = open_checked(options.model);
  require_experts(source.config.is_moe(), options.model);
  if (options.over_run) run.references = earlier_checkpoints(options.model);
  if (!options.reference.empty()) run.references = {options.reference};
  std::optional<checkpoint::ModelSource> reference;
  if (!run.references.empty()) reference = open_checked(run.references[0]);
  require_tokenizer_of(source, tokenizer_uses(run.sets), options.allow_mixed_tokenizers);
  if (reference) require_tokenizer_of(*reference, tokenizer_uses(run.sets), options.allow_mixed_tokenizers);
  for (const auto& set : run.sets) check_vocabulary(set.dataset, source.config.vocab_size, options.run.max_tokens);
  warn_of_length(source, options.model, options.run);
  run.model = load_model(source, options.model, options.run);
  Sources out;
  if (reference) load_reference(options, *reference, run.references[0], run, out.input);
  out.weight_bytes = weight_bytes(*run.model) + (run.reference ? weight_bytes(*run.reference) : 0);
  for (const auto* model : {&run.model, &run.reference})
    if (*model && (*model)->stored == nullptr) out.bytes_in_memory += weight_bytes(**model);
  out.model = model_json(source, options.model);
  if (reference) out.model["reference"] = model_json(*reference, run.references[0]);
  auto& input = out.input;
  input.model = options.model;
  input.layers = analysis::moe_layers(source.config);
  input.vocab_size = source.config.vocab_size;
  input.sequence_length = options.run.sequence_length > 0 ? options.run.sequence_length : source.sequence_length;
  input.embedding = run.model->embedding().cpu().to(at::kFloat);
  out.bytes_in_memory += static_cast<double>(input.embedding.nbytes());
  run.forward = {options.run.batch_size, options.run.router_mode(), source.separate_documents,
                 options.run.random_seed()};
  out.observations = forward_sources(options, run, input.sequence_length);
  if (source.kind != "checkpoint") out.tokenizers.push_back(source.folder.string());
  for (const auto& set : run.sets) {
    const int64_t n_tokens = out.observations[input.data.size()]->n_tokens();
    input.data.push_back({set.name, n_tokens});
    out.data.push_back(data_json(set.name, "data", set.dataset.prefix().string(), n_tokens));
    const auto origin = tokenizer_origin(set.dataset.prefix());
    if (out.tokenizer_sha256.empty()) out.tokenizer_sha256 = origin.sha256;
    if (!origin.path.empty()) out.tokenizers.push_back(origin.path);
  }
  return out;
}

// Traces of one model made in one way, each with its reference's, which are of one model too: figures stand side by
// side.
Sources open_traces(const AnalyzeOptions& options) {
  const auto named = split_named(options.traces, "--trace"),
             references = split_named(options.reference_traces, "--reference-trace");
  Sources out;
  auto& input = out.input;
  std::vector<analysis::TraceFile> traces;
  std::optional<std::pair<analysis::TraceInfo, std::string>> first_reference;  // and its path
  const auto info_of =
      [&](const analysis::TraceFile& trace) {  // what must agree with other traces: where nothing is said, all do
        auto info = trace.info();
        if (options.allow_mixed_tokenizers) info.tokenizer_sha256.clear();
        return info;
      };
  for (const auto& [name, path] : named) {
    traces.emplace_back(path);
    const auto& trace = traces.back();
    require_experts(!trace.info().layers.empty(), path);
    check_one_model(info_of(trace), info_of(traces[0]), path, named[0].value);
    if (trace.info().tokenizer_sha256 != traces[0].info().tokenizer_sha256)
      log_warning("--trace ", name, ": ", path, " stands beside ", named[0].value,
                  ", which is of another tokenizer or does not say: the same id may mean other text in each");
    input.data.push_back({name, trace.n_tokens()});
    out.data.push_back(data_json(name, "trace", path, trace.n_tokens()));
    auto source = trace.observations();
    for (const auto& reference : references) {
      if (reference.name != name) continue;
      const analysis::TraceFile other(reference.value);
      check_one_pass(info_of(other), info_of(trace), reference.value, path);
      if (!first_reference) first_reference = {info_of(other), reference.value};
      check_one_model(info_of(other), first_reference->first, reference.value, first_reference->second);
      input.reference = other.info().model;
      input.reference_step = other.info().step;
      source = analysis::with_reference(std::move(source), other.observations(), reference.value);
    }
    out.observations.push_back(std::move(source));
    input.vocab_size = std::max(input.vocab_size, trace.vocab_size());
    input.sequence_length = std::max(input.sequence_length, trace.info().sequence_length);
  }
  for (const auto& reference : references) {
    const bool is_known =
        std::any_of(named.begin(), named.end(), [&](const NamedValue& trace) { return trace.name == reference.name; });
    require<ConfigError>(is_known, "--reference-trace: got the name '", reference.name,
                         "'; need one of those of --trace");
  }
  const auto& info = traces[0].info();
  input.model = info.model;
  input.layers = traces[0].layers();
  out.tokenizer_sha256 = info.tokenizer_sha256;
  if (!info.tokenizer.empty()) out.tokenizers.push_back(info.tokenizer);
  out.model = Json::Object{{"name", info.model},  {"kind", "trace"},           {"n_experts", info.n_experts},
                           {"top_k", info.top_k}, {"moe_layers", info.layers}, {"vocab_size", input.vocab_size},
                           {"mode", info.mode},   {"capacity", info.capacity}};
  return out;
}

analysis::AnalysisTables analyze_counts(const AnalyzeOptions& options, analysis::AnalysisRun& run) {
  const auto domains = analysis::read_count_files({options.counts.begin(), options.counts.end()}, options.top_k);
  run.model = domains[0].model;
  run.model_json = Json::Object{{"name", domains[0].model},
                                {"kind", "counts"},
                                {"n_experts", domains[0].n_experts},
                                {"top_k", domains[0].top_k > 0 ? Json(domains[0].top_k) : Json()}};
  run.data = Json::array();
  for (const auto& domain : domains)
    run.data.push_back(
        data_json(domain.name, "counts", domain.path, domain.n_tokens > 0 ? Json(domain.n_tokens) : Json()));
  return analysis::analyze_counts(domains, options.minimum_count);
}

// ---- checks before anything is run ----

void check_options(const AnalyzeOptions& options) {
  options.run.check();
  const int n_kinds =
      (options.model.empty() ? 0 : 1) + (options.traces.empty() ? 0 : 1) + (options.counts.empty() ? 0 : 1);
  require<ConfigError>(n_kinds == 1, "analyze: got ", n_kinds == 0 ? "nothing" : "several kinds of sources",
                       "; need one of MODEL with --data, --trace NAME=FILE, --counts FILE");
  require<ConfigError>(options.model.empty() == options.data.empty(), "analyze: got ",
                       options.model.empty() ? "--data without MODEL" : "MODEL without --data", "; need both");
  const auto only = [](bool given, const char* option, bool fits, const char* need) {
    require<ConfigError>(!given || fits, option, ": got it without ", need, "; need both, or neither");
  };
  only(!options.reference.empty(), "--reference", !options.model.empty(), "MODEL");
  only(options.over_run, "--over-run", !options.model.empty(), "MODEL");
  require<ConfigError>(!options.over_run || options.reference.empty(),
                       "--over-run: got it with --reference; need one of them");
  const bool repeats =
      options.analyses.empty() || std::any_of(std::begin(kOverRun), std::end(kOverRun), [&](const char* name) {
        return std::count(options.analyses.begin(), options.analyses.end(), name) > 0;
      });
  require<ConfigError>(!options.over_run || repeats,
                       "--over-run: got --analyses without saturation and early_routing; need one of them");
  only(!options.reference_traces.empty(), "--reference-trace", !options.traces.empty(), "--trace");
  only(options.top_k != 0, "--top-k", !options.counts.empty(), "--counts");
}

constexpr const char* kFiles[] = {"csv", "results.json", "report.html"};

// A folder that can be written and holds nothing but an earlier analysis.
void check_out(const fs::path& out) {
  require<ConfigError>(!fs::exists(out) || fs::is_directory(out), out.string(), ": got a file; need a folder");
  if (fs::is_directory(out))
    for (const auto& entry : fs::directory_iterator(out))
      require<ConfigError>(std::count(std::begin(kFiles), std::end(kFiles), entry.path().filename().string()) > 0,
                           out.string(), ": got a folder with ", entry.path().filename().string(),
                           "; need an empty one, or that of an earlier analysis");
  const fs::path results = out / "results.json";
  if (fs::is_regular_file(results)) {
    const Json json = read_json(results);
    const Json* kind = json.find("kind");
    require<ConfigError>(kind != nullptr && *kind == Json("analysis"), out.string(),
                         ": got the folder of a run or study; need an empty one, or that of an earlier analysis");
  }
  require_own_outputs(analysis_outputs(out));
  fs::path existing = fs::absolute(out);
  while (!fs::exists(existing)) existing = existing.parent_path();
  require<ConfigError>(fs::is_directory(existing), existing.string(), ": got a file; need a folder");
  require<MachineError>(access(existing.c_str(), W_OK) == 0, existing.string(),
                        ": got a folder that may not be written; need one that may");
}

void check_memory(const std::vector<const analysis::AnalysisKind*>& kinds, const Sources& sources) {
  auto parts = analysis::analysis_bytes(kinds, sources.input);
  double bytes = sources.weight_bytes;
  if (sources.input.embedding.defined()) bytes += static_cast<double>(sources.input.embedding.nbytes());
  for (const auto& part : parts) bytes += part.bytes;
  auto there = train::available_memory();
  if (there.bytes > 0) there.bytes += sources.bytes_in_memory;  // what is taken already is part of the sum
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  std::string largest;
  for (size_t i = 0; i < std::min<size_t>(3, parts.size()); ++i)
    largest += (i > 0 ? ", " : "") + parts[i].name + " " + human_bytes(parts[i].bytes);
  require<ConfigError>(there.bytes <= 0 || bytes <= there.bytes, "analyze: got analyses that take ", human_bytes(bytes),
                       " at worst, weights included (most: ", largest, "); need at most the ", human_bytes(there.bytes),
                       " that ", there.source, " has free",
                       " (choose some with --analyses, fewer data sets, or --max-tokens)");
  log_info("memory: at most ", human_bytes(bytes), " (weights ", human_bytes(sources.weight_bytes), "; ", largest, ")");
}

// Texts of the token ids, from --tokenizer, the model's own folder or what the data were made with; empty without one.
std::vector<std::string> token_texts(const AnalyzeOptions& options, const Sources& sources) {
  const std::string path =
      options.tokenizer.empty() ? find_tokenizer(sources.tokenizers, sources.tokenizer_sha256) : options.tokenizer;
  if (path.empty()) {
    log_info("tokens stand as numbers: no tokenizer came with the model or the data (--tokenizer names one)");
    return {};
  }
  const auto tokenizer = data::open_tokenizer(path);
  if (!sources.tokenizer_sha256.empty() && sources.tokenizer_sha256 != tokenizer->sha256())
    log_warning("--tokenizer ", path,
                ": got another tokenizer than the one that the data were made with; texts may not fit the ids");
  std::vector<std::string> out;
  const int64_t n = std::min(sources.input.vocab_size, tokenizer->vocab_size());
  for (int64_t id = 0; id < n; ++id) out.push_back(tokenizer->piece(static_cast<int32_t>(id)));
  return out;
}

// ---- the run and its files ----

Json options_json(const AnalyzeOptions& options, const std::vector<const analysis::AnalysisKind*>& kinds,
                  const Sources& sources) {
  Json names = Json::array();
  for (const auto* kind : kinds) names.push_back(kind->name);
  Json out = Json::object();
  if (!options.model.empty())
    out = Json::Object{{"sequence_length", sources.input.sequence_length},
                       {"max_tokens", options.run.max_tokens},
                       {"batch_size", options.run.batch_size},
                       {"dtype", options.run.dtype},
                       {"mode", options.run.mode},
                       {"over_run", options.over_run}};
  out["analyses"] = std::move(names);
  out["ids"] = sources.input.chosen_ids;
  out["minimum_count"] = options.minimum_count;
  out["seed"] = options.run.seed;
  return out;
}

analysis::AnalysisTables run_sources(const AnalyzeOptions& options, Sources& sources, analysis::AnalysisRun& run) {
  const auto kinds = analysis::find_analyses(options.analyses, "--analyses");
  auto& input = sources.input;
  input.chosen_ids = parse_ids(options.ids, input.vocab_size);
  input.minimum_count = options.minimum_count;
  input.seed = options.run.random_seed();
  check_memory(kinds, sources);
  input.token_texts = token_texts(options, sources);
  run.model = input.model;
  run.model_json = std::move(sources.model);
  run.data = std::move(sources.data);
  run.options = options_json(options, kinds, sources);
  double n_tokens = 0;
  for (const auto& data : input.data) n_tokens += static_cast<double>(data.n_tokens);
  Progress progress("analyzing", n_tokens, "tokens");
  return analysis::run_analyses(kinds, input, sources.observations,
                                [&](int64_t done) { progress.update(static_cast<double>(done)); });
}

// --over-run: each further checkpoint as the reference; its rows of saturation and early_routing follow those of the
// first.
void add_over_run(const AnalyzeOptions& options, ModelRun& run, Sources& sources, analysis::AnalysisTables& result) {
  std::vector<const analysis::AnalysisKind*> kinds;
  for (const auto* kind : analysis::find_analyses(options.analyses, "--analyses"))
    if (std::count(std::begin(kOverRun), std::end(kOverRun), std::string_view(kind->name)) > 0) kinds.push_back(kind);
  for (size_t i = 1; i < run.references.size(); ++i) {
    sources.observations.clear();  // they point to the reference before
    load_reference(options, open_checked(run.references[i]), run.references[i], run, sources.input);
    sources.observations = forward_sources(options, run, sources.input.sequence_length);
    log_info("checkpoint ", i + 1, " of ", run.references.size(), ": ", run.references[i]);
    const auto more = analysis::run_analyses(kinds, sources.input, sources.observations, [](int64_t) {});
    for (const auto& [name, table, csv_only] : more.tables)
      for (auto& target : result.tables)
        if (target.name == name)
          target.table.rows.insert(target.table.rows.end(), table.rows.begin(), table.rows.end());
  }
}

void remove_files(const fs::path& out) {
  std::error_code ignored;
  for (const auto& output : analysis_outputs(out))
    if (output.kind != OutputKind::subfolder) fs::remove(output.path, ignored);
  fs::remove(out / "csv", ignored);
}

// All of them, or none: what an earlier analysis left goes first, and what was written goes when a write fails.
void write_files(const fs::path& out, const Json& results, const analysis::AnalysisTables& result) {
  const bool is_new = !fs::exists(out), replaces = fs::exists(out / "results.json");
  check_out(out);  // once more: the work before this may have taken long
  remove_files(out);
  try {
    make_folders(out / "csv");
    write_file_atomically(out / "results.json",
                          results.dump(1) + "\n");  // first: by it the next analysis knows the others
    for (const auto& table : result.tables)
      write_file_atomically(out / "csv" / (table.name + ".csv"), to_csv(table.table));
    report::write_page({out}, out / "report.html");
  } catch (...) {
    remove_files(out);
    if (is_new) fs::remove(out);
    throw;
  }
  if (replaces) log_info(out.string(), ": the earlier analysis there is replaced");
}

void declare(Options& command, AnalyzeOptions& options) {
  command.add("MODEL", options.model, "checkpoint, run or Hugging Face folder, with --data");
  command.add_named("--data", options.data, "NAME=PREFIX of .bin/.idx; repeatable");
  command.add("--reference", options.reference, "a second model on the same tokens: what of its choices is kept");
  command.flag("--over-run", options.over_run,
               "MODEL is a run: saturation and early_routing of each of its checkpoints against the last one");
  command.add_named("--trace", options.traces, "NAME=FILE of 'evenkeel trace' in place of a model; repeatable");
  command.add_named("--reference-trace", options.reference_traces,
                    "NAME=FILE, the reference model's trace of the same tokens");
  command.add("--counts", options.counts, "FILE of published counts in place of a model; repeatable");
  command.add("--top-k", options.top_k, {0, INT32_MAX, "as the file says"},
              "experts a token, where a count file does not say it");
  command.add("--out", options.out, "folder to write: results.json, report.html, csv/", true);
  command.add("--analyses", options.analyses, "only these of the list below");
  command.add("--ids", options.ids, "token ids to follow one by one (default: the most frequent)");
  command.add("--minimum-count", options.minimum_count, {0, INT32_MAX - 1, "each source's own"},
              "leave out ids seen less often; 0 = each source's own rule");
  command.add("--tokenizer", options.tokenizer,
              "for the texts of token ids (default: the model folder's, or the one that the data were made with)");
  options.run.declare(command, "of permutation baselines, and of random routers in --mode train");
  command.flag("--allow-mixed-tokenizers", options.allow_mixed_tokenizers, kAllowMixedHelp);
  command.flag("--json", options.json, "results.json also on stdout");
  std::vector<std::pair<std::string, std::string>> kinds;
  for (const auto& kind : analysis::analysis_kinds()) kinds.emplace_back(kind.name, kind.help);
  command.list("Analyses", kinds);
  command.example(
      "evenkeel analyze runs/first --data en=data/en-heldout --data de=data/de-heldout --out analysis\n"
      "  evenkeel analyze --counts counts.json --out analysis");
}

}  // namespace

int cmd_analyze(Options& command) {
  AnalyzeOptions options;
  declare(command, options);
  if (!command.parse()) return 0;
  check_options(options);
  check_out(options.out);
  analysis::AnalysisRun run;
  analysis::AnalysisTables result;
  ModelRun model_run;
  if (!options.counts.empty()) {
    run.options = Json::Object{{"top_k", options.top_k}, {"minimum_count", options.minimum_count}};
    result = analyze_counts(options, run);
  } else {
    auto sources = options.model.empty() ? open_traces(options) : open_model_run(options, model_run);
    try {
      result = run_sources(options, sources, run);
      add_over_run(options, model_run, sources, result);
    } catch (const NumericsError& error) {
      for (const auto* model : {&model_run.model, &model_run.reference})
        if (*model) name_bad_weight(**model, error);
      throw;
    }
  }
  const Json results = analysis::analysis_results(run, result);
  write_files(options.out, results, result);
  if (options.json) std::cout << results.dump(1) << "\n";
  for (const auto& headline : results.at("headlines").as_array()) log_info(headline.as_string());
  log_info("wrote ", options.out, "/results.json, report.html and ",
           counted(static_cast<int64_t>(result.tables.size()), "table"), " in csv/");
  return 0;
}

}  // namespace evenkeel::cli

#include "analysis/trace_writer.h"
#include "cli/commands.h"
#include "cli/model_run.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/output.h"
#include "core/units.h"
#include "ops/cross_entropy.h"

namespace evenkeel::cli {
namespace {

struct TraceOptions {
  std::string model, data, tokens, out, name;
  bool router_logits = false, logits = false, allow_mixed_tokenizers = false;
  ModelRunOptions run;
};

analysis::TraceInfo trace_info(const TraceOptions& options, const analysis::LoadedModel& model,
                               const analysis::Windows& windows) {
  const auto& config = model.model.config();
  analysis::TraceInfo info;
  info.name = options.name;
  info.model = model.name;
  info.mode = options.run.mode;
  if (!config.capacity.is_dropless()) info.capacity = moe::to_json(config.capacity).dump();
  if (!options.data.empty()) {
    const auto origin = tokenizer_origin(options.data);
    info.tokenizer_sha256 = origin.sha256;
    info.tokenizer = origin.path;
  }
  info.n_windows = windows.n_windows();
  info.length = windows.length();
  info.n_experts = config.is_moe() ? config.n_experts : 0;
  info.top_k = config.is_moe() ? config.top_k : 0;
  info.vocab_size = config.vocab_size;
  info.batch_size = options.run.batch_size;
  for (const auto& layer : analysis::moe_layers(config)) info.layers.push_back(layer.layer);
  info.has_router_logits = options.router_logits;
  info.has_logits = options.logits;
  if (const auto* router = model.model.router()) {
    info.exactly_k = router->traits().exactly_k;
    require<ConfigError>(!options.router_logits || router->traits().has_matrix,
                         "--router-logits: got a model whose routers have none; need a router with a matrix");
  }
  return info;
}

void write_trace(const TraceOptions& options, const analysis::LoadedModel& model, analysis::TraceInfo info,
                 analysis::Windows& windows, bool separate_documents) {
  const analysis::ForwardOptions forward{options.run.batch_size, options.run.router_mode(), separate_documents,
                                         options.run.random_seed()};
  std::unique_ptr<analysis::TraceWriter> writer;
  Progress progress("tracing", static_cast<double>(windows.n_tokens()), "tokens");
  int64_t n_tokens = 0;
  analysis::Forwards forwards(
      model, nullptr, [&] { return windows.next(forward.batch_size); }, forward);
  while (const auto seen = forwards.next()) {
    if (writer == nullptr) {
      if (!seen->observation.routing.empty()) info.score = seen->observation.routing[0].score;
      writer = std::make_unique<analysis::TraceWriter>(options.out, info);
    }
    writer->add(seen->observation, [&](int64_t first, int64_t rows) {
      return ops::head_logits(seen->hidden.narrow(0, first, rows), seen->head).cpu();
    });
    progress.update(static_cast<double>(n_tokens += seen->observation.input_ids.numel()));
  }
  writer->commit();
}

}  // namespace

int cmd_trace(Options& command) {
  TraceOptions options;
  command.add("MODEL", options.model, "checkpoint, run or Hugging Face folder", true);
  command.add("--data", options.data, "PREFIX of .bin/.idx");
  command.add("--tokens", options.tokens, "FILE.json in place of --data: an array of equally long arrays of token ids");
  command.add("--out", options.out, "FILE.safetensors to write", true);
  command.add("--name", options.name, "of the data set in the file; default: the last part of PREFIX or FILE");
  command.flag("--router-logits", options.router_logits, "also the routers' logits, E numbers a token and layer");
  command.flag("--logits", options.logits, "also the model's logits, V numbers a token");
  options.run.declare(command);
  command.flag("--allow-mixed-tokenizers", options.allow_mixed_tokenizers, kAllowMixedHelp);
  command.example("evenkeel trace runs/first --data data/en-heldout --max-tokens 100000 --out en.safetensors");
  if (!command.parse()) return 0;
  options.run.check();
  require_own_outputs({{options.out, OutputKind::trace}},
                      {options.tokens, options.data + ".bin", options.data + ".idx", options.data + ".json"});
  require<ConfigError>(options.data.empty() != options.tokens.empty(), "trace: got ",
                       options.data.empty() ? "neither --data nor --tokens" : "both --data and --tokens",
                       "; need one of them");
  require<ConfigError>(
      options.tokens.empty() || (options.run.sequence_length == 0 && options.run.max_tokens == 0),
      "--tokens: got --sequence-length or --max-tokens beside it; need the file alone, whose arrays are the windows");
  if (options.name.empty())
    options.name =
        options.data.empty() ? fs::path(options.tokens).stem().string() : fs::path(options.data).filename().string();

  const auto source = open_checked(options.model);
  std::optional<data::IndexedDataset> dataset;
  std::unique_ptr<analysis::Windows> windows;
  const int64_t sequence_length =
      options.run.sequence_length > 0 ? options.run.sequence_length : source.sequence_length;
  if (!options.data.empty()) {
    dataset = data::IndexedDataset::open(options.data);
    require_tokenizer_of(source, {data::tokenizer_use("--data", *dataset)}, options.allow_mixed_tokenizers);
    check_vocabulary(*dataset, source.config.vocab_size, options.run.max_tokens);
    windows = analysis::windows_of(*dataset, sequence_length, options.run.max_tokens);
  } else {
    windows = analysis::windows_of(analysis::read_sequences(options.tokens, source.config.vocab_size));
  }
  warn_of_length(source, options.model, options.run);
  const auto model = load_model(source, options.model, options.run);
  auto info = trace_info(options, model, *windows);
  if (const Json* step = source.state.find("step")) info.step = step->as_int();
  info.sequence_length = options.data.empty() ? info.length : sequence_length;
  if (const fs::path folder = fs::path(options.out).parent_path(); !folder.empty()) make_folders(folder);
  try {
    write_trace(options, model, info, *windows, source.separate_documents);
  } catch (const NumericsError& error) {
    name_bad_weight(model, error);
    throw;
  }
  log_info("wrote ", options.out, ": ", human_count(static_cast<double>(windows->n_tokens())), " tokens, ",
           counted(static_cast<int64_t>(info.layers.size()), "MoE layer"), ", ",
           human_bytes(static_cast<double>(fs::file_size(options.out))));
  return 0;
}

}  // namespace evenkeel::cli

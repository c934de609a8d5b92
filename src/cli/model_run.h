// What `eval`, `trace` and `analyze` share: the options that say how a model is run over data, and the model they load.
#pragma once

#include <string>
#include <vector>

#include "analysis/forward.h"
#include "checkpoint/model_source.h"
#include "cli/options.h"
#include "core/errors.h"
#include "data/datasets.h"

namespace evenkeel::cli {

struct ModelRunOptions {
  int64_t sequence_length = 0;  // 0 = as the model was trained
  int64_t max_tokens = 0;       // 0 = all
  int64_t batch_size = 16;
  int64_t seed = 1;
  std::string dtype = "fp32", mode = "eval", device;
  bool mapped = false;
  void declare(Options& options, const std::string& seed_help = "of random routers, in --mode train");
  void check() const;  // ConfigError naming the option; after parsing
  uint64_t random_seed() const { return static_cast<uint64_t>(seed); }
  moe::Mode router_mode() const { return mode == "eval" ? moe::Mode::eval : moe::Mode::train; }
  at::Device find_device() const;
};

// The model behind a MODEL argument. ConfigError, before anything is allocated, when the weights that a pass has in
// hand at a time do not fit into memory: the others can stay in their files.
checkpoint::ModelSource open_checked(const std::string& path);
// A warning where --sequence-length is more than the model was made for: figures of later positions are no news.
void warn_of_length(const checkpoint::ModelSource& source, const std::string& name, const ModelRunOptions& options);
// Its weights in the asked type on the asked device, with its routers' states. Where they do not fit, or where it is
// asked for, they stay in their files as they are stored, and a pass widens them.
analysis::LoadedModel load_model(const checkpoint::ModelSource& source, const std::string& name,
                                 const ModelRunOptions& options);
// NumericsError that names the first weight with a value that is not finite; nothing where all are finite. For a pass
// that ended with `error`.
void name_bad_weight(const analysis::LoadedModel& model, const NumericsError& error);
// Bytes that its weights take; of stored ones those in hand, with what batches take between layers.
double weight_bytes(const analysis::LoadedModel& model);

struct NamedDataset {
  std::string name;
  data::IndexedDataset dataset;
};
constexpr const char* kAllowMixedHelp = "sets of different tokenizers, or of another than the model's, are no error";
// "NAME=PREFIX" values, for --data. DataError for sets of different tokenizers. Needs no model: what the options alone
// show comes first.
std::vector<NamedDataset> open_datasets(const std::vector<std::string>& texts, bool allows_mixed_tokenizers);
std::vector<data::TokenizerUse> tokenizer_uses(const std::vector<NamedDataset>& sets);  // as "--data NAME"
// DataError for sets of another tokenizer than the one that the MODEL argument was trained with, as far as that is
// known. `sets` were held against each other before.
void require_tokenizer_of(const checkpoint::ModelSource& source, const std::vector<data::TokenizerUse>& sets,
                          bool allows_mixed_tokenizers);
// DataError for an id outside the vocabulary in what a model run looks at: the whole set, or its first max_tokens (0 =
// all).
void check_vocabulary(const data::IndexedDataset& dataset, int64_t vocab_size, int64_t max_tokens);

// The tokenizer that token ids were made with, as far as it is known.
struct TokenizerOrigin {
  std::string sha256, path;  // "" = unknown
};
// What PREFIX.json says; its path, relative to PREFIX's folder, made absolute.
TokenizerOrigin tokenizer_origin(const std::filesystem::path& prefix);
// The file or folder among `candidates` that holds the tokenizer of `sha256`; with sha256 unknown, the first that holds
// one; "" when none does.
std::string find_tokenizer(const std::vector<std::string>& candidates, const std::string& sha256);

}  // namespace evenkeel::cli

#include <algorithm>

#include "cli/commands.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/units.h"
#include "data/input_paths.h"
#include "data/token_files/from_pair.h"
#include "data/token_files/to_pair.h"

namespace evenkeel::cli {
namespace {

struct ConvertOptions {
  std::vector<std::string> inputs;
  std::string out, to, dtype, documents, tokenizer;
  std::optional<int64_t> eod, vocab_size;
};

bool is_pair(const std::string& input) {
  std::error_code ignored;
  return fs::exists(input + ".idx", ignored);
}

std::optional<data::TokenType> type_of(const std::string& dtype) {
  if (dtype.empty()) return std::nullopt;
  const auto type = data::token_type_of(dtype);
  require<ConfigError>(type.has_value(), "--dtype: got '", dtype, "'; need one of: ", data::token_type_names());
  return type;
}

void write_pair(const ConvertOptions& options) {
  require<ConfigError>(options.to.empty(), "--to: got '", options.to, "' for token files, which become a pair of .bin ",
                       "and .idx; need the PREFIX of a pair as INPUT, or no --to");
  data::ToPairOptions to_pair;
  to_pair.dtype = type_of(options.dtype);
  to_pair.eod = options.eod;
  to_pair.vocab_size = options.vocab_size;
  if (!options.documents.empty()) {
    to_pair.mark = data::document_mark_of(options.documents);
    require<ConfigError>(to_pair.mark.has_value(), "--documents: got '", options.documents,
                         "'; need ends, begins or none");
  }
  const auto tokenizer = options.tokenizer.empty() ? nullptr : data::open_tokenizer(options.tokenizer);
  to_pair.tokenizer = tokenizer.get();
  const auto made = data::tokens_to_pair(data::expand_inputs(options.inputs, "*.npy"), options.out, to_pair);
  for (const auto& sentence : made.sentences) log_info(sentence);
  for (const auto& warning : made.warnings) log_warning(warning);
}

void write_tokens(const ConvertOptions& options) {
  const std::string& prefix = options.inputs.front();
  const auto refuse = [&](bool is_given, const char* option) {
    require<ConfigError>(!is_given, option, ": got it for the pair ", prefix,
                         ", whose ids are written as they are; need it for token files alone");
  };
  refuse(options.eod.has_value(), "--eod");
  refuse(!options.documents.empty(), "--documents");
  refuse(options.vocab_size.has_value(), "--vocab-size");
  refuse(!options.tokenizer.empty(), "--tokenizer");
  require<ConfigError>(options.inputs.size() == 1, "convert: got ", options.inputs.size(), " inputs, of which ", prefix,
                       " is a pair; need one PREFIX alone, or token files alone");
  const auto written = data::pair_to_tokens(prefix, options.out, {options.to, type_of(options.dtype)});
  log_info(options.out, ": ", human_count(static_cast<double>(written.n_tokens)), " tokens as ", written.kind->name,
           " (", data::name_of(written.type), "); documents are told by their end-of-document id alone");
}

}  // namespace

int cmd_convert(Options& options) {
  ConvertOptions convert;
  constexpr int64_t kMostIds = int64_t{1} << 31;
  options.add("INPUT", convert.inputs,
              "token files, in the order of the stream, a quoted pattern being all that match in sorted order; or the "
              "PREFIX of one pair",
              true);
  options.add("--out", convert.out, "PREFIX of the pair to write; or, of a pair, the token file", true);
  options.add("--dtype", convert.dtype,
              "type of the ids: " + data::token_type_names() +
                  " (of files without a header; "
                  "of a file to write, by default u16 where the largest id fits, else u32)");
  options.add("--to", convert.to, "kind of the file to write (default: what its suffix means, .npy)");
  options.add("--eod", convert.eod, {0, kMostIds - 1}, "id that sets documents apart (default: a file is a document)");
  options.add("--documents", convert.documents,
              "each one ends or begins with --eod, or none (default: as files of the kind have it)");
  options.add("--vocab-size", convert.vocab_size, {1, kMostIds}, "ids from it on are refused");
  options.add("--tokenizer", convert.tokenizer, "whose ids they are, for PREFIX.json; its size is the --vocab-size");
  std::vector<std::pair<std::string, std::string>> kinds;
  for (const auto& kind : data::token_file_kinds())
    kinds.emplace_back(kind.name, std::string(kind.help) + "; documents " +
                                      (kind.mark == data::DocumentMark::ends ? "end" : "begin") + " with --eod");
  options.list("Kinds of token files (--to)", kinds);
  options.example("evenkeel convert 'fineweb_train_*.bin' --eod 50256 --out data/fineweb");
  if (!options.parse()) return 0;
  const auto pair = std::find_if(convert.inputs.begin(), convert.inputs.end(), is_pair);
  if (pair == convert.inputs.end()) {
    write_pair(convert);
  } else {
    std::iter_swap(convert.inputs.begin(), pair);
    write_tokens(convert);
  }
  return 0;
}

}  // namespace evenkeel::cli

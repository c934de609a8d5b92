#include "cli/commands.h"
#include "core/errors.h"
#include "core/log.h"
#include "data/input_paths.h"
#include "data/tokenizer.h"

namespace evenkeel::cli {
namespace {
constexpr const char* kExample =
    "evenkeel tokenizer train --kind unigram --vocab-size 4096 --out tok.model en.txt de.txt";
}  // namespace

int cmd_tokenizer(Options& options) {
  std::string action, out;
  std::vector<std::string> inputs;
  data::TokenizerTraining training;
  bool skips_bad = false;
  options.add("ACTION", action, "train", true);
  options.add("--kind", training.kind, "unigram or bpe (byte fallback in both)");
  options.add("--vocab-size", training.vocab_size, {1, 10'000'000}, "number of pieces", true);
  options.add("--out", out, "FILE.model to write", true);
  options.add("INPUT", inputs, data::kInputMeaning);
  options.add("--text-field", training.reader.text_field, data::kTextFieldMeaning);
  options.flag("--keep-cr", training.reader.keeps_carriage_returns,
               "keep line ends CR LF and CR as they are (default: LF)");
  options.flag("--skip-bad", skips_bad, "pass over damaged lines and rows");
  options.add("--max-sentences", training.max_sentences, {0, INT64_MAX, "all"},
              "train on a sample of this many lines; 0 = all");
  options.add("--threads", training.n_threads, kThreads, "0 = the cores that this process may use");
  options.example(kExample);
  if (!options.parse()) return 0;
  require<ConfigError>(action != "extend", "tokenizer: got 'extend', which is not there yet; need train");
  require<ConfigError>(action == "train", "tokenizer: got '", action, "'; need train, as in: ", kExample);
  require<ConfigError>(!inputs.empty(),
                       "tokenizer train: got no INPUT; need one file of text at least, as in: ", kExample);
  require<ConfigError>(training.kind == "unigram" || training.kind == "bpe", "--kind: got '", training.kind,
                       "'; need unigram or bpe");
  if (skips_bad)
    training.reader.on_bad_line = [n = 0](const data::BadLine& line) mutable {
      constexpr int kMostShown = 10;
      if (++n <= kMostShown) log_warning(line.place(), ": ", line.reason, "; passed over");
    };
  data::train_tokenizer(training, data::expand_inputs(inputs), out);
  log_info("wrote ", out);
  return 0;
}

}  // namespace evenkeel::cli

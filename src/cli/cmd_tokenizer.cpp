#include "cli/commands.h"
#include "core/errors.h"
#include "core/log.h"
#include "data/tokenizer.h"

namespace evenkeel::cli {

int cmd_tokenizer(Options& options) {
  std::string action, out;
  std::vector<std::string> inputs;
  data::TokenizerTraining training;
  options.add("ACTION", action, "train", true);
  options.add("--kind", training.kind, "unigram or bpe (byte fallback in both)");
  options.add("--vocab-size", training.vocab_size, "number of pieces", true);
  options.add("--out", out, "FILE.model to write", true);
  options.add("INPUT", inputs, ".txt or .jsonl files, also .gz, .xz, .zst", true);
  options.add("--max-sentences", training.max_sentences, "train on a sample of this many lines; 0 = all");
  options.add("--threads", training.n_threads, "0 = the cores that this process may use");
  options.example("evenkeel tokenizer train --kind unigram --vocab-size 4096 --out tok.model en.txt de.txt");
  if (!options.parse()) return 0;
  require<ConfigError>(action == "train", "tokenizer: got '", action, "'; need train");
  require<ConfigError>(training.kind == "unigram" || training.kind == "bpe", "--kind: got '", training.kind, "'; need unigram or bpe");
  require<ConfigError>(training.vocab_size >= 1 && training.vocab_size < (int64_t{1} << 24), "--vocab-size: got ", training.vocab_size, "; need 1..16777215");
  require<ConfigError>(training.n_threads >= 0 && training.n_threads <= 4096, "--threads: got ", training.n_threads, "; need 0 (the cores that this process may use) to 4096");
  require<ConfigError>(training.max_sentences >= 0, "--max-sentences: got ", training.max_sentences, "; need 0 (all) or more");
  data::train_tokenizer(training, {inputs.begin(), inputs.end()}, out);
  log_info("wrote ", out);
  return 0;
}

}  // namespace evenkeel::cli

#include "cli/commands.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/log.h"
#include "data/input_paths.h"
#include "data/tokenizer.h"
#include "data/tokenizer_extend.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kExample =
    "evenkeel tokenizer train --kind unigram --vocab-size 4096 --out tok.model en.txt de.txt";
constexpr const char* kExtendExample = "evenkeel tokenizer extend tok.model --vocab-size 6144 --out tok2.model new.txt";

// What only `train` takes; empty where the command line does not name it.
struct TrainOptions {
  std::string kind;
  std::optional<int64_t> max_sentences;
};

void train(const TrainOptions& own, data::TokenizerTraining training, const std::vector<std::string>& inputs,
           const std::string& out) {
  if (!own.kind.empty()) training.kind = own.kind;
  training.max_sentences = own.max_sentences.value_or(0);
  require<ConfigError>(!inputs.empty(),
                       "tokenizer train: got no INPUT; need one file of text at least, as in: ", kExample);
  require<ConfigError>(training.kind == "unigram" || training.kind == "bpe", "--kind: got '", training.kind,
                       "'; need unigram or bpe");
  require<ConfigError>(training.vocab_size <= 10'000'000, "--vocab-size: got ", training.vocab_size,
                       "; need 1..10000000");
  data::train_tokenizer(training, data::expand_inputs(inputs), out);
}

// The first of the arguments is the tokenizer.
void extend(const TrainOptions& own, const data::TokenizerTraining& common, std::vector<std::string> arguments,
            const std::string& out) {
  require<ConfigError>(own.kind.empty(), "--kind: got '", own.kind,
                       "' with tokenizer extend; need it left out: the kind is that of TOK");
  require<ConfigError>(!own.max_sentences, "--max-sentences: got ", own.max_sentences.value_or(0),
                       " with tokenizer extend; need it left out: all of the text is read");
  require<ConfigError>(arguments.size() >= 2, "tokenizer extend: got ",
                       counted(static_cast<int64_t>(arguments.size()), "argument"),
                       " behind it; need TOK and one file of text at least, as in: ", kExtendExample);
  const std::string tokenizer = arguments.front();
  arguments.erase(arguments.begin());
  data::extend_tokenizer({tokenizer, common.vocab_size, common.n_threads, common.reader},
                         data::expand_inputs(arguments), out);
}

}  // namespace

int cmd_tokenizer(Options& options) {
  std::string action, out;
  std::vector<std::string> inputs;
  TrainOptions own;
  data::TokenizerTraining common;
  bool skips_bad = false;
  options.add("ACTION", action, "train, or extend: new pieces behind those of TOK, a .model or tokenizer.json", true);
  options.add("--kind", own.kind, "train: unigram (default) or bpe (byte fallback in both)");
  options.add("--vocab-size", common.vocab_size, {1, INT32_MAX}, "number of pieces, with the old ones", true);
  options.add("--out", out, "file to write: of train a .model, of extend the same kind as TOK", true);
  options.add("INPUT", inputs, std::string("extend: TOK first; ") + data::kInputMeaning);
  options.add("--text-field", common.reader.text_field, data::kTextFieldMeaning);
  options.flag("--keep-cr", common.reader.keeps_carriage_returns,
               "keep line ends CR LF and CR as they are (default: LF)");
  options.flag("--skip-bad", skips_bad, "pass over damaged lines and rows");
  options.add("--max-sentences", own.max_sentences, {0, INT64_MAX, "all"},
              "train: on a sample of this many lines; 0 = all");
  options.add("--threads", common.n_threads, kThreads, "0 = the cores that this process may use");
  options.example(std::string(kExample) + "\n  " + kExtendExample);
  if (!options.parse()) return 0;
  require<ConfigError>(action == "train" || action == "extend", "tokenizer: got '", action,
                       "'; need train or extend, as in: ", kExample);
  if (skips_bad)
    common.reader.on_bad_line = [n = 0](const data::BadLine& line) mutable {
      constexpr int kMostShown = 10;
      if (++n <= kMostShown) log_warning(line.place(), ": ", line.reason, "; passed over");
    };
  action == "train" ? train(own, common, inputs, out) : extend(own, common, inputs, out);
  log_info("wrote ", out);
  return 0;
}

}  // namespace evenkeel::cli

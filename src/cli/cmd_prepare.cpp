#include "cli/commands.h"
#include "core/errors.h"
#include "core/log.h"
#include "data/conversations/chat_template.h"
#include "data/input_paths.h"
#include "data/prepare.h"

namespace evenkeel::cli {

int cmd_prepare(Options& options) {
  std::string tokenizer_path, out;
  std::vector<std::string> inputs;
  data::PrepareOptions prepare;
  options.add("--tokenizer", tokenizer_path,
              "tokenizer.json, SentencePiece .model, ranks of tiktoken, or a folder that has one", true);
  options.add("--out", out, "PREFIX of the .bin, .idx and .json to write", true);
  options.add("INPUT", inputs, data::kInputMeaning, true);
  options.add("--document-separator", prepare.reader.document_separator,
              "of .txt: blank-line, newline, none (a file is a document), or any string");
  options.add("--text-field", prepare.reader.text_field, data::kTextFieldMeaning);
  options.add("--messages", prepare.messages_field,
              "field of JSON records that holds a conversation; PREFIX.scored says which tokens are the assistant's");
  options.add("--template", prepare.chat_template,
              "chat template of conversations: " + data::known_chat_templates() + " (default: the tokenizer's own)");
  options.flag("--keep-cr", prepare.reader.keeps_carriage_returns,
               "keep line ends CR LF and CR as they are (default: LF)");
  options.flag("--skip-bad", prepare.skips_bad,
               "pass over damaged lines and rows and list them in PREFIX.skipped.jsonl");
  options.add("--eod", prepare.eod, "end-of-document token, its id, or none (default: what the tokenizer names)");
  options.flag("--bos", prepare.adds_bos, "put the tokenizer's BOS before each document");
  options.add("--holdout", prepare.holdout_fraction, "fraction of the documents for PREFIX-heldout");
  options.add("--threads", prepare.n_threads, kThreads, "0 = the cores that this process may use");
  options.example("evenkeel prepare --tokenizer tok.model --out data/en --holdout 0.01 en.txt.xz");
  if (!options.parse()) return 0;
  require<ConfigError>(prepare.holdout_fraction >= 0 && prepare.holdout_fraction < 1, "--holdout: got ",
                       prepare.holdout_fraction, "; need 0 <= F < 1");
  require<ConfigError>(!prepare.reader.document_separator.empty(),
                       "--document-separator: got ''; need blank-line, newline, none or a string");
  const auto tokenizer = data::open_tokenizer(tokenizer_path);
  const auto prepared = data::prepare(*tokenizer, data::expand_inputs(inputs), out, prepare);
  for (const auto& sentence : data::sentences(prepared, out, prepare.reader)) log_info(sentence);
  if (prepared.read.n_bad_lines > 0)
    log_warning("passed over ", data::counted_bad_lines(prepared.read), "; ", out, ".skipped.jsonl says which and why");
  return 0;
}

}  // namespace evenkeel::cli

#include <algorithm>
#include <exception>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sched.h>
#include <sentencepiece_trainer.h>

#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/output.h"
#include "core/rng.h"
#include "core/threads.h"
#include "data/readers.h"
#include "data/tokenizer.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace spm = sentencepiece;

constexpr size_t kMaxSentenceBytes = 4192;  // the library's default; it drops longer ones
constexpr int64_t kTrainerThreads = 16;
constexpr int64_t kLargeCorpusBytes = INT64_C(1) << 30;

// Lines of text, cut where they are too long; a uniform sample (reservoir) when their number is limited.
class SentenceCollector {
 public:
  explicit SentenceCollector(int64_t max_sentences) : max_sentences_(max_sentences), rng_(1, "tokenizer sentences") {}

  void add_document(std::string_view text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      add_line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }
  std::vector<std::string> take() { return std::move(sentences_); }

 private:
  void add_line(std::string_view line) {
    while (line.size() > kMaxSentenceBytes) {
      size_t cut = utf8_cut(line, kMaxSentenceBytes);
      const size_t space = line.rfind(' ', cut);
      if (space != std::string_view::npos && space > cut / 2) cut = space;
      add_sentence(line.substr(0, cut));
      line.remove_prefix(cut);
    }
    if (!line.empty()) add_sentence(line);
  }
  void add_sentence(std::string_view sentence) {
    ++n_seen_;
    if (max_sentences_ <= 0 || n_seen_ <= max_sentences_) {
      sentences_.emplace_back(sentence);
      return;
    }
    const uint64_t slot = rng_.below(static_cast<uint64_t>(n_seen_));
    if (slot < sentences_.size()) sentences_[slot] = sentence;
  }

  int64_t max_sentences_;
  int64_t n_seen_ = 0;
  RngStream rng_;
  std::vector<std::string> sentences_;
};

// Hands the sentences over one by one and frees each when the library has taken it.
class SentenceQueue final : public spm::SentenceIterator {
 public:
  explicit SentenceQueue(std::vector<std::string> sentences) : sentences_(std::move(sentences)) {}
  bool done() const override { return next_ == sentences_.size(); }
  void Next() override { std::string().swap(sentences_[next_++]); }
  const std::string& value() const override { return sentences_[next_]; }
  spm::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> sentences_;
  size_t next_ = 0;
};

// "src/x.cc(660) [condition] The reason." -> "The reason."
std::string reason_of(const spm::util::Status& status) {
  std::string text = status.error_message();
  if (const size_t at = text.rfind("] "); at != std::string::npos) text.erase(0, at + 2);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// The calling thread and those it starts stay on n of the cores that it may use now.
void keep_to_cores(int64_t n) {
  cpu_set_t allowed, chosen;
  CPU_ZERO(&chosen);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (size_t core = 0; core < CPU_SETSIZE && CPU_COUNT(&chosen) < n; ++core)
    if (CPU_ISSET(core, &allowed)) CPU_SET(core, &chosen);
  sched_setaffinity(0, sizeof chosen, &chosen);
}

std::unordered_map<std::string, std::string> trainer_arguments(const TokenizerTraining& options, bool is_large) {
  return {
      {"model_type", options.kind},
      {"vocab_size", std::to_string(options.vocab_size)},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"user_defined_symbols", "\n"},  // training sees lines; documents get one token per line end
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"max_sentence_length", std::to_string(kMaxSentenceBytes)},
      // The library adds up one partial sum per thread: another number would give other pieces.
      {"num_threads", std::to_string(kTrainerThreads)},
      {"train_extremely_large_corpus", is_large ? "true" : "false"},
      {"minloglevel", "2"},
  };
}

}  // namespace

void train_tokenizer(const TokenizerTraining& options, const std::vector<fs::path>& inputs, const fs::path& out) {
  require<ConfigError>(options.kind == "unigram" || options.kind == "bpe", "--kind: got '", options.kind,
                       "'; need unigram or bpe");
  require<ConfigError>(options.vocab_size >= 1 && options.vocab_size <= 10'000'000, "--vocab-size: got ",
                       options.vocab_size, "; need 1..10000000");
  for (const auto& path : inputs) check_input(path);
  require_own_outputs({{out, OutputKind::tokenizer}}, inputs);
  if (out.has_parent_path()) make_folders(out.parent_path());
  AtomicFile file(out);  // first: a path that cannot be written should not cost a training

  // 1. The text.
  SentenceCollector collector(options.max_sentences);
  ReaderOptions reader = options.reader;
  reader.document_separator = reader.keeps_carriage_returns ? "\n" : "newline";  // which drops the CR of a line's end
  ReadSummary read;
  for (const auto& path : inputs)
    read += read_documents(path, reader, [&](std::string&& text) { collector.add_document(text); }, {});
  std::vector<std::string> sentences = collector.take();
  require<DataError>(!sentences.empty(), inputs.empty() ? "tokenizer train" : inputs.front().string(),
                     ": got no text in ", counted(static_cast<int64_t>(inputs.size()), "input"),
                     "; need some to train on");
  for (const auto& sentence : changes_in_reading(read, reader)) log_info(sentence);
  if (read.n_bad_lines > 0) log_warning("passed over ", counted_bad_lines(read));
  int64_t text_bytes = 0;
  for (const auto& sentence : sentences) text_bytes += static_cast<int64_t>(sentence.size());
  log_info("training a ", options.kind, " tokenizer of ", counted(options.vocab_size, "piece"), " on ",
           counted(static_cast<int64_t>(sentences.size()), "line"), ", ", text_bytes, " bytes");

  // 2. The pieces.
  SentenceQueue queue(std::move(sentences));
  std::string model;
  spm::util::Status status;
  std::exception_ptr error;
  require_threads(kTrainerThreads + 1);  // the library starts so many
  std::thread([&] {
    try {
      if (options.n_threads > 0) keep_to_cores(options.n_threads);
      status =
          spm::SentencePieceTrainer::Train(trainer_arguments(options, text_bytes > kLargeCorpusBytes), &queue, &model);
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
  require<DataError>(status.ok(), "--vocab-size: got ", options.vocab_size,
                     "; need one that the text supports: ", reason_of(status));
  file.write(model);
  file.commit();
}

}  // namespace evenkeel::data

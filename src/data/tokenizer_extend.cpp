#include "data/tokenizer_extend.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/cores.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/output.h"
#include "data/ordered_encoder.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/extension.h"
#include "data/tokenizers/pair_growth.h"
#include "data/tokenizers/word_counts.h"

namespace evenkeel::data {
namespace {

using Paths = std::vector<fs::path>;

constexpr int32_t kWordEnd = -1;
// Of the characters of the text, how many have a piece: SentencePiece's own character_coverage.
constexpr double kCoverage = 0.9995;

// ---- reading ----

using NumbersOf = std::function<void(const std::string& text, std::vector<int32_t>& numbers)>;

// Makes numbers of each line on all threads, and gives them on in the order of the text.
ReadSummary read_inputs(const TokenizerExtension& options, const Paths& inputs, const NumbersOf& numbers_of,
                        const std::function<void(std::span<const int32_t>)>& take) {
  ReaderOptions reader = options.reader;
  reader.document_separator = reader.keeps_carriage_returns ? "\n" : "newline";
  const int64_t n_threads = options.n_threads > 0 ? options.n_threads : allowed_cores();
  const auto encode = [&](const std::string& text) {
    EncodedText out;
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
      end = std::min(text.find('\n', begin), text.size());
      if (begin < end) numbers_of(text.substr(begin, end - begin), out.ids);
    }
    return out;
  };
  OrderedEncoder encoder(encode, n_threads, [&](const std::string&, EncodedText&& encoded) { take(encoded.ids); });
  ReadSummary read;
  for (const auto& path : inputs)
    read += read_documents(path, reader, [&](std::string&& text) { encoder.add(std::move(text)); }, {});
  encoder.finish();
  require<DataError>(read.n_text_bytes > 0, inputs.front().string(), ": got no text in ",
                     counted(static_cast<int64_t>(inputs.size()), "input"), "; need some to take pieces from");
  return read;
}

// ---- characters ----

// No control, no white space, and not what stands for damage.
bool may_be_piece(char32_t c) { return c > 0x20 && (c < 0x7f || c >= 0xa0) && !is_white_space(c) && c != 0xfffd; }

// Characters without a piece, the most frequent first.
std::vector<std::string> missing_characters(const std::unordered_map<int32_t, int64_t>& counts,
                                            const PieceList& pieces) {
  std::vector<std::pair<int64_t, int32_t>> sorted;  // the most frequent first, of equal ones the least code point
  int64_t n_all = 0, n_covered = 0;
  for (const auto& [character, count] : counts) {
    sorted.emplace_back(-count, character);
    n_all += count;
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::string> out;
  for (const auto& [minus_count, character] : sorted) {
    if (static_cast<double>(n_covered) >= kCoverage * static_cast<double>(n_all) || minus_count > -2) break;
    n_covered -= minus_count;
    std::string text;
    append_utf8(text, static_cast<char32_t>(character));
    if (!pieces.has(text)) out.push_back(std::move(text));
  }
  return out;
}

void add_missing_characters(const TokenizerExtension& options, const Paths& inputs, Extension& extension) {
  std::unordered_map<int32_t, int64_t> counts;
  TokenizerExtension first = options;
  if (first.reader.on_bad_line) first.reader.on_bad_line = [](const BadLine&) {};  // they are told when words are read
  read_inputs(
      first, inputs,
      [&](const std::string& text, std::vector<int32_t>& numbers) {
        extension.split(text, [&](std::string_view part) {
          for (size_t at = 0; at < part.size(); at += utf8_bytes(part[at]))
            if (const char32_t c = first_code_point(part.substr(at)); may_be_piece(c))
              numbers.push_back(static_cast<int32_t>(c));
        });
      },
      [&](std::span<const int32_t> characters) {
        for (const int32_t character : characters) ++counts[character];
      });
  auto characters = missing_characters(counts, extension.pieces());
  const int64_t room = options.vocab_size - extension.pieces().size();
  if (static_cast<int64_t>(characters.size()) > room) characters.resize(static_cast<size_t>(room));
  if (characters.empty()) return;
  extension.add_characters(characters);
  log_info("added ", counted(static_cast<int64_t>(characters.size()), "character"), " that had no piece");
}

// ---- words ----

// The ids of the words of a text, kWordEnd behind each. An id that can be no part of a new piece ends a word.
void append_words(const Extension& extension, const std::string& text, std::vector<int32_t>& out) {
  std::vector<int32_t> ids;
  const auto end_word = [&] {
    if (!out.empty() && out.back() != kWordEnd) out.push_back(kWordEnd);
  };
  extension.split(text, [&](std::string_view part) {
    ids.clear();
    extension.encode(part, ids);
    for (const int32_t id : ids) {
      const bool is_ordinary = extension.pieces().is_ordinary(id);
      if (!is_ordinary || extension.begins_word(id)) end_word();
      if (!is_ordinary) continue;
      out.push_back(id);
      if (extension.ends_word(id)) end_word();
    }
    end_word();
  });
}

std::vector<CountedWord> counted_words(const TokenizerExtension& options, const Paths& inputs,
                                       const Extension& extension) {
  WordCounts words;
  const ReadSummary read = read_inputs(
      options, inputs, [&](const std::string& text, std::vector<int32_t>& ids) { append_words(extension, text, ids); },
      [&](std::span<const int32_t> ids) {
        for (size_t begin = 0, end = 0; begin < ids.size(); begin = end + 1) {
          end = begin;
          while (ids[end] != kWordEnd) ++end;
          words.add(ids.subspan(begin, end - begin));
        }
      });
  for (const auto& sentence : changes_in_reading(read, options.reader)) log_info(sentence);
  if (read.n_bad_lines > 0) log_warning("passed over ", counted_bad_lines(read));
  if (words.n_forgotten() > 0)
    log_info("forgot ", counted(words.n_forgotten(), "rare word"), " so that memory stays bounded");
  return words.take();
}

}  // namespace

void extend_tokenizer(const TokenizerExtension& options, const Paths& inputs, const fs::path& out) {
  // 1. What may be wrong is told before the text is read.
  auto [tokenizer, extension] = open_extension(options.tokenizer);
  const int64_t old_size = extension->pieces().size();
  require<ConfigError>(options.vocab_size > old_size, "--vocab-size: got ", options.vocab_size, "; need more than the ",
                       old_size, " ids that ", tokenizer.string(), " has");
  require<ConfigError>(options.vocab_size <= INT32_MAX, "--vocab-size: got ", options.vocab_size, "; need at most ",
                       INT32_MAX);
  for (const auto& path : inputs) check_input(path);
  Paths read = inputs;
  read.push_back(tokenizer);
  require_own_outputs({{out, OutputKind::tokenizer}}, read);
  if (out.has_parent_path()) make_folders(out.parent_path());
  AtomicFile file(out);

  // 2. The pieces.
  if (extension->takes_characters()) add_missing_characters(options, inputs, *extension);
  const auto join = [&](int32_t left, int32_t right) { return extension->join(left, right); };
  auto words = counted_words(options, inputs, *extension);
  log_info("joining neighbours in ", counted(static_cast<int64_t>(words.size()), "word"));
  grow_pairs(std::move(words), options.vocab_size - extension->pieces().size(), join);
  const int64_t size = extension->pieces().size();
  require<DataError>(size == options.vocab_size, "--vocab-size: got ", options.vocab_size, "; need at most ", size,
                     ": the text gives ", counted(size - old_size, "new piece"), " to the ", old_size, " old ids");
  file.write(extension->content());
  file.commit();
}

}  // namespace evenkeel::data

#include "train/sentinel_check.h"

#include <algorithm>
#include <filesystem>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_value.h"
#include "core/terminal_text.h"
#include "data/tokenizer.h"

namespace evenkeel::train {
namespace {

// "" where it is unknown, not there or another one by now.
std::string tokenizer_file(const data::IndexedDataset& dataset) {
  if (dataset.tokenizer().empty()) return "";
  const auto path = (fs::absolute(dataset.prefix()).parent_path() / dataset.tokenizer()).lexically_normal();
  if (!fs::is_regular_file(path) || sha256_file(path) != dataset.tokenizer_sha256()) return "";
  return path.string();
}

// A byte as <0xE2> is text.
bool is_reserved(const std::string& piece) {
  return piece.size() > 2 && piece.front() == '<' && piece.back() == '>' && !piece.starts_with("<0x");
}

bool makes(const data::Tokenizer& tokenizer, const std::string& text, int64_t id) {
  for (const bool starts_text : {false, true}) {
    try {
      const auto ids = tokenizer.encode_text(text, starts_text);
      if (std::find(ids.begin(), ids.end(), id) != ids.end()) return true;
    } catch (const DataError&) {  // which it cannot encode
    }
  }
  return false;
}

}  // namespace

const std::string& SentinelCheck::piece_of_text(const std::string& file, int64_t id) {
  const auto [entry, is_new] = pieces_.try_emplace({file, id});
  if (!is_new) return entry->second;
  const auto tokenizer = data::open_tokenizer(file);
  if (id >= tokenizer->vocab_size()) return entry->second;
  const std::string piece = tokenizer->piece(static_cast<int32_t>(id));
  if (!is_reserved(piece) && makes(*tokenizer, piece, id)) entry->second = piece;
  return entry->second;
}

void SentinelCheck::operator()(const data::Objective& objective, const data::IndexedDataset& dataset,
                               const std::string& where) {
  const Json options = objective.options();
  const Json* first = find_value(options, "first_sentinel");
  const std::string file = first != nullptr ? tokenizer_file(dataset) : "";
  if (file.empty()) return;
  const int64_t id = first->as_int();
  const std::string& piece = piece_of_text(file, id);
  require<DataError>(piece.empty(), where, ": got objective.first_sentinel = ", id, ", which is the piece '",
                     printable(piece), "' of ", file, ", the tokenizer of ", dataset.prefix().string(),
                     "; need ids that it makes of no text (a larger model.vocab_size has some, or pieces such as "
                     "<extra_id_0>)");
}

}  // namespace evenkeel::train

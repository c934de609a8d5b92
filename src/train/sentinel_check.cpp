#include "train/sentinel_check.h"

#include <algorithm>

#include "core/errors.h"
#include "core/terminal_text.h"
#include "data/datasets.h"

namespace evenkeel::train {
namespace {

// A byte as <0xE2>: of characters that have no piece of their own.
bool is_byte(const std::string& piece) { return piece.starts_with("<0x"); }

bool is_reserved(const std::string& piece) {
  return piece.size() > 2 && piece.front() == '<' && piece.back() == '>' && !is_byte(piece);
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
  auto& tokenizer = tokenizers_[file];
  if (tokenizer == nullptr) tokenizer = data::open_tokenizer(file);
  if (id >= tokenizer->vocab_size()) return entry->second;
  const std::string piece = tokenizer->piece(static_cast<int32_t>(id));
  if (is_byte(piece) || (!is_reserved(piece) && makes(*tokenizer, piece, id))) entry->second = piece;
  return entry->second;
}

std::string SentinelCheck::warning_of(const data::Objective& objective, const data::AddedIds& added,
                                      const std::string& file) {
  std::string found;
  for (const auto& [key, id] : added.markers) {
    const std::string& piece = piece_of_text(file, id);
    const auto& tokenizer = tokenizers_.at(file);
    if (!piece.empty() && tokenizer->begin_of_document() != id && tokenizer->end_of_document() != id)
      add_to_list(found, join_parts(key, " = ", id, ", which is the piece '", printable(piece), "'"));
  }
  if (found.empty()) return "";
  return join_parts("objective '", objective.kind(), "': got ", found, " of ", file,
                    ": its text has them too, and does not tell them from what they mark");
}

std::string SentinelCheck::operator()(const data::Objective& objective, const data::IndexedDataset& dataset,
                                      const std::string& where) {
  const data::AddedIds added = objective.added_ids();
  if (!added.has_sentinels() && added.markers.empty()) return "";
  const std::string file = data::tokenizer_file(data::tokenizer_use(where, dataset));
  if (file.empty()) return "";
  for (int64_t id = added.highest_sentinel; id >= added.lowest_sentinel; --id) {
    const std::string& piece = piece_of_text(file, id);
    require<DataError>(piece.empty(), where, ": got objective.first_sentinel = ", added.highest_sentinel,
                       ", so that the sentinel ", id, " is the piece '", printable(piece), "' of ", file,
                       ", the tokenizer of ", dataset.prefix().string(), "; need ids for ", added.lowest_sentinel, "..",
                       added.highest_sentinel,
                       " that it makes of no text (a larger model.vocab_size has some, or pieces such as "
                       "<extra_id_0>)");
  }
  return warning_of(objective, added, file);
}

}  // namespace evenkeel::train

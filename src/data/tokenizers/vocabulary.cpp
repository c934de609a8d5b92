#include "data/tokenizers/vocabulary.h"

#include <array>

#include "core/errors.h"
#include "core/json_error.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {
constexpr int64_t kMostGaps = 65'536;  // ids without a token; files of some models leave a few out
}  // namespace

Vocabulary::Vocabulary(const Json& tokens) {
  const int64_t limit = 2 * static_cast<int64_t>(tokens.as_object().size()) + kMostGaps;
  ids_.reserve(tokens.as_object().size());
  for (const auto& [token, id] : tokens.as_object()) {
    if (!id.is_integer() || id.as_int() < 0 || id.as_int() >= limit)
      throw JsonError(join_parts("got ", quoted_excerpt(id.dump()), " for ", quoted_excerpt(token),
                                 "; need an id from 0 to ", limit - 1),
                      tokens);
    add(token, static_cast<int32_t>(id.as_int()));
  }
}

void Vocabulary::add(const std::string& token, int32_t id) {
  const auto place = ids_.insert_or_assign(token, id).first;
  const auto index = static_cast<size_t>(id);
  if (index >= tokens_.size()) tokens_.resize(index + 1, nullptr);
  tokens_[index] = &place->first;
}

std::optional<int32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found != ids_.end() ? std::optional(found->second) : std::nullopt;
}

const std::string* Vocabulary::token(int64_t id) const {
  return id >= 0 && id < end_id() ? tokens_[static_cast<size_t>(id)] : nullptr;
}

std::string byte_token(unsigned char byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

}  // namespace evenkeel::data

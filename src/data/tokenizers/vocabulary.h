// The tokens of a model and their ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {

// A hash of text that takes views too.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using IdsByText = std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>>;

class Vocabulary {
 public:
  Vocabulary() = default;
  // {"token": id, ...}; JsonError for an id that is none, or is far beyond the number of tokens.
  explicit Vocabulary(const Json& tokens);

  // A token that is there already takes the new id.
  void add(const std::string& token, int32_t id);
  std::optional<int32_t> id_of(std::string_view token) const;
  const std::string* token(int64_t id) const;  // nullptr where no token has it
  size_t size() const { return ids_.size(); }
  int64_t end_id() const { return static_cast<int64_t>(tokens_.size()); }  // one more than the highest
  const IdsByText& ids() const { return ids_; }

 private:
  IdsByText ids_;
  std::vector<const std::string*> tokens_;  // keys of ids_, by id
};

// The token of byte fallback: "<0x0A>".
std::string byte_token(unsigned char byte);

}  // namespace evenkeel::data

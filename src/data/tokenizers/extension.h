// Tokenizer files that get new pieces behind their old ones.
#pragma once

#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/piece_list.h"

namespace evenkeel::data {

// Gets the parts of a text that a model encodes: no added tokens, normalized, cut by the pre-tokenizer.
using TakePart = std::function<void(std::string_view part)>;

class Extension {
 public:
  virtual ~Extension() = default;
  // Thread-safe, as encode.
  virtual void split(std::string_view text, const TakePart& take) const = 0;
  // Appends the ids of a part, by the old pieces and the new characters.
  virtual void encode(std::string_view part, std::vector<int32_t>& ids) const = 0;
  // Whether characters without a piece of their own may get one. A model of bytes has no use for that.
  virtual bool takes_characters() const = 0;
  virtual void add_characters(const std::vector<std::string>& characters) = 0;  // once, before the first join
  virtual std::optional<int32_t> join(int32_t left, int32_t right) = 0;         // a new piece: its id
  virtual const PieceList& pieces() const = 0;
  // Whether a word begins before this piece, or ends behind it.
  virtual bool begins_word(int32_t id) const = 0;
  virtual bool ends_word(int32_t id) const = 0;
  virtual std::string content() const = 0;  // of the file with the new pieces
};

// DataError for kinds that cannot be extended, which it names.
std::unique_ptr<Extension> open_sentencepiece_extension(const std::filesystem::path& path, const std::string& content);
std::unique_ptr<Extension> open_tokenizer_json_extension(const std::filesystem::path& path, const std::string& content);

// The file of a tokenizer that can be extended, and what extends it.
struct OpenedExtension {
  std::filesystem::path file;
  std::unique_ptr<Extension> extension;
};
// `tokenizer`: a file or folder, as open_tokenizer takes it. DataError for kinds that cannot be extended.
OpenedExtension open_extension(const std::filesystem::path& tokenizer);

// A new piece has this much more than its two parts together, as the logarithm of a probability: it is preferred to
// them, also in fp32 where the score of a whole text adds up, and to little else. Each piece has another bonus, an
// earlier one a larger: with equal ones "ab" and "c" would be as good as "a" and "bc", and rounding would decide.
inline double joined_bonus(int32_t id) { return 0.1 + 0.1 / std::sqrt(id + 1.0); }

}  // namespace evenkeel::data

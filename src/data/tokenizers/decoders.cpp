#include "data/tokenizers/decoders.h"

#include <algorithm>
#include <optional>

#include "core/errors.h"
#include "core/json_error.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/pattern.h"
#include "data/tokenizers/vocabulary.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kKnown = "ByteLevel, Metaspace, ByteFallback, Fuse, Strip, Replace, BPEDecoder, Sequence";
constexpr std::string_view kReplacement = "\ufffd";

std::string joined(const std::vector<std::string>& tokens) {
  std::string out;
  for (const auto& token : tokens) out += token;
  return out;
}

class ByteLevel final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::string bytes;
    for (const auto& token : tokens) bytes += from_byte_alphabet(token).value_or(token);
    return {repaired_utf8(bytes)};
  }
};

class Metaspace final : public Decoder {
 public:
  Metaspace(std::string replacement, bool prepends) : replacement_(std::move(replacement)), prepends_(prepends) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string out;
      for (size_t at = 0, size = 0; at < tokens[i].size(); at += size) {
        size = utf8_bytes(tokens[i][at]);
        const std::string_view character = std::string_view(tokens[i]).substr(at, size);
        if (character != replacement_) {
          out += character;
        } else if (i > 0 || !prepends_) {
          out += ' ';
        }
      }
      tokens[i] = std::move(out);
    }
    return tokens;
  }

 private:
  std::string replacement_;
  bool prepends_;
};

std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with(">")) return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<char>(value);
}

// Runs of byte tokens become the text that they spell, or one U+FFFD a byte.
class ByteFallback final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (valid_utf8_bytes(bytes) == bytes.size()) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), std::string(kReplacement));
      }
      bytes.clear();
    };
    for (auto& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes += *byte;
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    return out;
  }
};

class Fuse final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override { return {joined(tokens)}; }
};

// Up to `start` and `stop` times the character at the ends of each token.
class Strip final : public Decoder {
 public:
  Strip(std::string content, int64_t start, int64_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (auto& token : tokens) {
      std::string_view rest = token;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
    return tokens;
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class Replace final : public Decoder {
 public:
  Replace(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    RegexWorkspace workspace;
    bool ignored = false;
    for (auto& token : tokens) token = replaced(pattern_, token, content_, workspace, ignored);
    return tokens;
  }

 private:
  Regex pattern_;
  std::string content_;
};

// The suffix of each token becomes a space, of the last one nothing.
class BpeSuffix final : public Decoder {
 public:
  explicit BpeSuffix(std::string suffix) : suffix_(std::move(suffix)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (size_t i = 0; i < tokens.size() && !suffix_.empty(); ++i) {
      const std::string_view by = i + 1 < tokens.size() ? " " : "";
      for (size_t at = tokens[i].find(suffix_); at != std::string::npos; at = tokens[i].find(suffix_, at + by.size()))
        tokens[i].replace(at, suffix_.size(), by);
    }
    return tokens;
  }

 private:
  std::string suffix_;
};

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Decoder>> parts) : parts_(std::move(parts)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (const auto& part : parts_) tokens = part->apply(std::move(tokens));
    return tokens;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

std::unique_ptr<Decoder> read_metaspace(const Json& json) {
  const Json* const scheme = json.find("prepend_scheme");
  const bool prepends = scheme != nullptr ? scheme->as_string() != "never" : bool_or(json, "add_prefix_space", true);
  return std::make_unique<Metaspace>(json.at("replacement").as_string(), prepends);
}

}  // namespace

std::string repaired_utf8(std::string_view bytes) {
  return with_invalid_mended(bytes, [](std::string_view rest, std::string& out) {
    // The longest beginning of a character: as many of its bytes as some text that follows would make valid.
    size_t size = 1;
    while (size < std::min<size_t>(rest.size(), 4)) {
      const std::string start(rest.substr(0, size + 1));
      const auto completes = [&](std::string_view end) { return valid_utf8_bytes(start + std::string(end)) > size; };
      if (!completes("\x80") && !completes("\x80\x80") && !completes("\xBF") && !completes("\xBF\xBF")) break;
      ++size;
    }
    out += kReplacement;
    return size;
  });
}

std::unique_ptr<Decoder> read_decoder(const Json& json) {
  if (json.is_null()) return nullptr;
  const std::string& type = json.at("type").as_string();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "Metaspace") return read_metaspace(json);
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") {
    const int64_t start = json.at("start").as_int(), stop = json.at("stop").as_int();
    const Json& content = json.at("content");
    if (content.as_string().empty()) throw JsonError("got nothing; need one character", content);
    return std::make_unique<Strip>(content.as_string(), start, stop);
  }
  if (type == "Replace")
    return std::make_unique<Replace>(read_pattern(json.at("pattern")), json.at("content").as_string());
  if (type == "BPEDecoder") return std::make_unique<BpeSuffix>(json.at("suffix").as_string());
  if (type != "Sequence") fail_lacks_type(json, kKnown);
  std::vector<std::unique_ptr<Decoder>> parts;
  for (const auto& part : json.at("decoders").as_array()) parts.push_back(read_decoder(part));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace evenkeel::data

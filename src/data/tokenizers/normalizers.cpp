#include "data/tokenizers/normalizers.h"

#include <optional>
#include <vector>

#include "core/errors.h"
#include "core/json_error.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/normal_forms.h"
#include "data/tokenizers/pattern.h"
#include "data/tokenizers/precompiled.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kKnown =
    "NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, Lowercase, ByteLevel, Precompiled, Sequence";

class Form final : public Normalizer {
 public:
  explicit Form(NormalForm form) : form_(form) {}
  bool apply(std::string& text, RegexWorkspace&) const override {
    normalize(text, form_);
    return false;
  }

 private:
  NormalForm form_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string start) : start_(std::move(start)) {}
  bool apply(std::string& text, RegexWorkspace&) const override {
    if (!text.empty()) text.insert(0, start_);
    return false;
  }

 private:
  std::string start_;
};

class Replace final : public Normalizer {
 public:
  Replace(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  bool apply(std::string& text, RegexWorkspace& workspace) const override {
    bool takes_start = false;
    text = replaced(pattern_, text, content_, workspace, takes_start);
    return takes_start;
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  bool apply(std::string& text, RegexWorkspace&) const override {
    size_t begin = 0, end = text.size();
    while (left_ && begin < end && is_white_space(first_code_point(std::string_view(text).substr(begin))))
      begin += utf8_bytes(text[begin]);
    while (right_ && begin < end) {
      const size_t last = last_character_begin(std::string_view(text).substr(0, end));
      if (!is_white_space(first_code_point(std::string_view(text).substr(last)))) break;
      end = last;
    }
    text = text.substr(begin, end - begin);
    return begin > 0;
  }

 private:
  bool left_, right_;
};

class Lowercase final : public Normalizer {
 public:
  bool apply(std::string& text, RegexWorkspace&) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size(); at += utf8_bytes(text[at])) {
      const char c = text[at];
      if (static_cast<unsigned char>(c) >= 0x80) {
        append_lowercase(out, first_code_point(std::string_view(text).substr(at)));
      } else {
        out += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
      }
    }
    text = std::move(out);
    return false;
  }
};

class ByteLevel final : public Normalizer {
 public:
  bool apply(std::string& text, RegexWorkspace&) const override {
    text = in_byte_alphabet(text);
    return false;
  }
};

class PrecompiledMap final : public Normalizer {
 public:
  explicit PrecompiledMap(Precompiled map) : map_(std::move(map)) {}
  bool apply(std::string& text, RegexWorkspace&) const override { return map_.apply(text); }

 private:
  Precompiled map_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  bool apply(std::string& text, RegexWorkspace& workspace) const override {
    bool takes_start = false;
    for (const auto& part : parts_) takes_start = part->apply(text, workspace) || takes_start;
    return takes_start;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

std::optional<NormalForm> form_of(std::string_view type) {
  if (type == "NFC") return NormalForm::nfc;
  if (type == "NFD") return NormalForm::nfd;
  if (type == "NFKC") return NormalForm::nfkc;
  if (type == "NFKD") return NormalForm::nfkd;
  return std::nullopt;
}

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Json& json) {
  const std::string& type = json.at("type").as_string();
  if (const auto form = form_of(type)) return std::make_unique<Form>(*form);
  if (type == "Prepend") return std::make_unique<Prepend>(json.at("prepend").as_string());
  if (type == "Replace")
    return std::make_unique<Replace>(read_pattern(json.at("pattern")), json.at("content").as_string());
  if (type == "Strip")
    return std::make_unique<Strip>(bool_or(json, "strip_left", true), bool_or(json, "strip_right", true));
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "Precompiled") return std::make_unique<PrecompiledMap>(read_precompiled(json.at("precompiled_charsmap")));
  if (type != "Sequence") fail_lacks_type(json, kKnown);
  std::vector<std::unique_ptr<Normalizer>> parts;
  for (const auto& part : json.at("normalizers").as_array()) parts.push_back(read_normalizer(part));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace evenkeel::data

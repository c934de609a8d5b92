#include "core/toml_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdio>

#include "core/errors.h"

namespace evenkeel {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }  // of UTF-8

size_t offset_of(std::string_view text, const TextPlace& place) {
  size_t at = 0;
  for (size_t line = 1; line < place.line && at < text.size(); ++line)
    at = std::min(text.find('\n', at), text.size() - 1) + 1;
  for (size_t column = 1; column < place.column && at < text.size(); ++column) do
      ++at;
    while (at < text.size() && !begins_character(text[at]));
  return at;
}

TextPlace line_and_column(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const size_t line_begin = before.rfind('\n') + 1;  // 0 on the first line
  const auto column =
      std::count_if(before.begin() + static_cast<std::ptrdiff_t>(line_begin), before.end(), begins_character);
  return {static_cast<size_t>(std::count(before.begin(), before.end(), '\n')) + 1, static_cast<size_t>(column) + 1};
}

// The text with every byte of a string made '"' and every byte of a comment made a space, so that what is left is
// structure. A string of one line ends with its line, also when its quote is missing.
std::string structure_of(std::string_view text) {
  std::string out(text);
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    if (text[i] == '#') {
      end = std::min(text.find('\n', i), text.size());
      std::fill(&out[i], &out[0] + end, ' ');
    } else if (text[i] == '"' || text[i] == '\'') {
      const std::string three(3, text[i]);
      const std::string quote = text.substr(i, 3) == three ? three : three.substr(0, 1);
      end = i + quote.size();
      while (end < text.size() && text.substr(end, quote.size()) != quote && (quote.size() == 3 || text[end] != '\n'))
        end += text[end] == '\\' && text[i] == '"' ? 2 : 1;
      if (end < text.size() && text[end] == text[i]) end += quote.size();
      end = std::min(end, text.size());
      std::fill(&out[i], &out[0] + end, '"');
    }
    i = end;
  }
  return out;
}

// The value around a place, as far as it stands there: behind the last '=', ',' or '[' of a value.
struct OpenValue {
  std::string_view key;  // empty: no value is open
  size_t begin = 0;
};

OpenValue open_value_at(std::string_view text, size_t stop) {
  const std::string structure = structure_of(text);
  OpenValue out;
  int depth = 0;         // of brackets in the value
  size_t key_begin = 0;  // of what may be a key
  for (size_t i = 0; i < stop; ++i) {
    const char c = structure[i];
    if (c == '\n' && depth == 0) out.key = {};
    if (c == '=') {
      out = {trimmed(text.substr(key_begin, i - key_begin)), i + 1};
    } else if (!out.key.empty() && (c == '[' || c == '{' || c == ',')) {
      depth += c == ',' ? 0 : 1;
      out.begin = i + 1;
    } else if (c == ']' || c == '}') {
      depth = std::max(depth - 1, 0);
    }
    if (c == '\n' || c == ',' || c == '{') key_begin = i + 1;
  }
  if (stop < text.size() && structure[stop] == '"') out.key = {};
  return out;
}

std::string small_letters(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string needed_for(std::string_view value) {
  const std::string word = small_letters(value);
  if (is_one_of(word, {"null", "none", "nil"})) return "a value, or no such line, where the key has a default";
  if (is_one_of(word, {"true", "false", "yes", "no", "on", "off"})) return "true or false, in small letters";
  if (value.find_first_of("\"'\\") != value.npos) return "a number, true or false, or a text in quotes";
  return "a number, true or false, or a text in quotes: \"" + std::string(value) + "\"";
}

// Letters begin what can only have been meant as a word; a number with letters behind it may be a duration.
bool is_bare(std::string_view value) {
  constexpr size_t kMostBytes = 120;
  if (value.empty() || value.size() > kMostBytes || value.find_first_of("=\n") != value.npos) return false;
  const auto is_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  if (is_letter(value[0]) || std::string_view("_/~$").find(value[0]) != std::string_view::npos ||
      value.starts_with("./") || value.starts_with("../"))
    return true;
  return std::isdigit(static_cast<unsigned char>(value[0])) != 0 && std::any_of(value.begin(), value.end(), is_letter);
}

// The first character as U+00F6; a byte that is not UTF-8 as 0xFF.
std::string shown_character(std::string_view text) {
  const size_t n_bytes =
      static_cast<size_t>(std::find_if(text.begin() + 1, text.end(), begins_character) - text.begin());
  const auto first = static_cast<unsigned char>(text[0]);
  std::array<char, 16> out{};
  if (n_bytes < 2 || n_bytes > 4) {
    std::snprintf(out.data(), out.size(), "0x%02X", first);
    return out.data();
  }
  uint32_t code = first & (0x7fU >> n_bytes);
  for (size_t i = 1; i < n_bytes; ++i) code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  std::snprintf(out.data(), out.size(), "U+%04X", code);
  return out.data();
}

bool is_of_number(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.' || c == '_';
}

std::string place_text(std::string_view text, const std::string& name, size_t offset) {
  const TextPlace place = line_and_column(text, offset);
  return join_parts(name, ":", place.line, ":", place.column);
}

// A number as it is written that is not the number that it becomes: 1e-400 would be 0, 1e999 infinite. `structure` has
// it at `begin`.
void check_number(std::string_view text, const std::string& structure, size_t begin, size_t end,
                  const std::string& name) {
  std::string digits = structure.substr(begin, end - begin);
  std::erase(digits, '_');
  if (digits.starts_with('+')) digits.erase(0, 1);
  const bool begins =
      !digits.empty() && std::isdigit(static_cast<unsigned char>(digits[digits[0] == '-' ? 1 : 0])) != 0;
  if (!begins) return;
  const bool is_whole = digits.find_first_not_of("0123456789", 1) == digits.npos;
  const char *first = digits.data(), *last = digits.data() + digits.size();
  if (is_whole) {
    int64_t whole = 0;
    require<ConfigError>(std::from_chars(first, last, whole).ec != std::errc::result_out_of_range,
                         place_text(text, name, begin), ": got the whole number ", digits,
                         ", of more than 64 bits; need one from ", INT64_MIN, " to ", INT64_MAX);
    return;
  }
  double number = 0;
  const auto [stop, error] = std::from_chars(first, last, number);
  require<ConfigError>(stop != last || error != std::errc::result_out_of_range, place_text(text, name, begin),
                       ": got the number ", digits, ", which no double is near; need 0 or one from 5e-324 to 1.7e308");
}

// Where the place of UTF-8 is taken by another encoding, or line ends by the old Mac's, the parser's words do not help.
void check_encoding(std::string_view text, const std::string& name) {
  const bool has_other_mark = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  const size_t zero = text.find('\0');
  require<ConfigError>(!has_other_mark && zero == text.npos, name, ": got ",
                       has_other_mark ? std::string("the byte order mark of UTF-16 or UTF-32")
                                      : join_parts("a zero byte, as in UTF-16 or UTF-32, at byte ", zero + 1),
                       "; need TOML saved as UTF-8");
  for (size_t at = text.find('\r'); at != text.npos; at = text.find('\r', at + 1))
    require<ConfigError>(at + 1 < text.size() && text[at + 1] == '\n', name, ":", line_and_column(text, at).line,
                         ": got a carriage return (CR) without a line feed; need lines that end with LF or CR LF (save "
                         "it as UTF-8 with Unix line ends)");
}

}  // namespace

void check_toml_text(std::string_view text, const std::string& name) {
  constexpr int64_t kMostParts = 100;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  check_encoding(text, name);
  const std::string structure = structure_of(text);
  int64_t n_parts = 1;
  for (size_t i = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0; i < text.size(); ++i) {
    const char c = structure[i];
    if (is_of_number(c) && (i == 0 || !is_of_number(structure[i - 1]))) {
      size_t end = i;
      while (end < text.size() && is_of_number(structure[end])) ++end;
      check_number(text, structure, i, end, name);
    }
    if (c == '.') {
      require<ConfigError>(++n_parts <= kMostParts, name, ":", line_and_column(text, i).line,
                           ": got a key of more than ", kMostParts, " parts; need a TOML recipe");
    } else if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) {
      n_parts = 1;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      const TextPlace place = line_and_column(text, i);
      fail<ConfigError>(name, ":", place.line, ":", place.column, ": got the character ",
                        shown_character(text.substr(i)),
                        " outside of quotes; need ASCII characters there, and keys and values with others in quotes");
    }
  }
}

std::optional<std::string> bare_value_message(std::string_view text, const std::string& name, const TextPlace& stop) {
  size_t at = std::min(offset_of(text, stop), text.size());
  while (at > 0 && (at == text.size() || kBlank.find(text[at]) != kBlank.npos || text[at] == '#'))
    --at;  // it may have stopped behind the value
  const OpenValue open = open_value_at(text, at);
  if (open.key.empty()) return std::nullopt;
  const size_t end = std::min(text.find_first_of(",]}#\n", std::max(at, open.begin)), text.size());
  const std::string_view value = trimmed(text.substr(open.begin, end - open.begin));
  if (!is_bare(value)) return std::nullopt;
  const auto place = line_and_column(text, static_cast<size_t>(value.data() - text.data()));
  return join_parts(name, ":", place.line, ":", place.column, ": got ", open.key, " = ", value,
                    ", which is no value of TOML; need ", needed_for(value));
}

}  // namespace evenkeel

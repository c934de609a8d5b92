#include "data/tokenizers/regex_classes.h"

#include <cstdio>
#include <vector>

#include "core/errors.h"
#include "data/tokenizers/code_points.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

[[noreturn]] void lacks(std::string_view pattern, size_t begin, std::string_view what) {
  fail<DataError>("regex ", quoted_excerpt(pattern), ": got ", quoted_excerpt(pattern.substr(begin)), " at byte ",
                  begin + 1, ", which evenkeel lacks; need ", what);
}

std::string range_text(char32_t first, char32_t last) {
  return pcre2_code_point(first) + (first == last ? "" : "-" + pcre2_code_point(last));
}

// Members of a bracketed class of PCRE2 for a general category: that of PCRE2's Unicode, and between marks what came
// later.
std::string category_items(std::string_view category) {
  std::string newer;
  for (const auto& range : newer_code_points())
    if (std::string_view(range.category).starts_with(category)) newer += range_text(range.first, range.last);
  return "\\p{" + std::string(category) + "}" + kNewerBegin + newer + kNewerEnd;
}

std::string union_of(std::initializer_list<std::string_view> categories) {
  std::string out;
  for (const auto category : categories) out += category_items(category);
  return out;
}

std::string space_items() {
  return "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
}
// Oniguruma counts the letters in circles and squares, and the numbers among the first 256 code points.
std::string word_items() {
  return union_of({"L", "M", "Nd", "Nl", "Pc"}) + "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}" +
         "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
}

std::string folded(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c != ' ' && c != '-' && c != '_') out += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return out;
}

struct Named {
  const char* name;  // folded
  const char* category;
};
constexpr Named kCategories[] = {{"letter", "L"},
                                 {"uppercaseletter", "Lu"},
                                 {"lowercaseletter", "Ll"},
                                 {"titlecaseletter", "Lt"},
                                 {"modifierletter", "Lm"},
                                 {"otherletter", "Lo"},
                                 {"mark", "M"},
                                 {"nonspacingmark", "Mn"},
                                 {"spacingmark", "Mc"},
                                 {"enclosingmark", "Me"},
                                 {"number", "N"},
                                 {"decimalnumber", "Nd"},
                                 {"letternumber", "Nl"},
                                 {"othernumber", "No"},
                                 {"punctuation", "P"},
                                 {"connectorpunctuation", "Pc"},
                                 {"dashpunctuation", "Pd"},
                                 {"openpunctuation", "Ps"},
                                 {"closepunctuation", "Pe"},
                                 {"initialpunctuation", "Pi"},
                                 {"finalpunctuation", "Pf"},
                                 {"otherpunctuation", "Po"},
                                 {"symbol", "S"},
                                 {"mathsymbol", "Sm"},
                                 {"currencysymbol", "Sc"},
                                 {"modifiersymbol", "Sk"},
                                 {"othersymbol", "So"},
                                 {"separator", "Z"},
                                 {"spaceseparator", "Zs"},
                                 {"lineseparator", "Zl"},
                                 {"paragraphseparator", "Zp"},
                                 {"digit", "Nd"},
                                 {"l", "L"},
                                 {"lu", "Lu"},
                                 {"ll", "Ll"},
                                 {"lt", "Lt"},
                                 {"lm", "Lm"},
                                 {"lo", "Lo"},
                                 {"m", "M"},
                                 {"mn", "Mn"},
                                 {"mc", "Mc"},
                                 {"me", "Me"},
                                 {"n", "N"},
                                 {"nd", "Nd"},
                                 {"nl", "Nl"},
                                 {"no", "No"},
                                 {"p", "P"},
                                 {"pc", "Pc"},
                                 {"pd", "Pd"},
                                 {"ps", "Ps"},
                                 {"pe", "Pe"},
                                 {"pi", "Pi"},
                                 {"pf", "Pf"},
                                 {"po", "Po"},
                                 {"s", "S"},
                                 {"sm", "Sm"},
                                 {"sc", "Sc"},
                                 {"sk", "Sk"},
                                 {"so", "So"},
                                 {"z", "Z"},
                                 {"zs", "Zs"},
                                 {"zl", "Zl"},
                                 {"zp", "Zp"},
                                 {"cf", "Cf"}};

struct Script {
  const char* name;
  const char* newer;  // since PCRE2's Unicode 14
};
constexpr Script kScripts[] = {{"Arabic", "\\x{897}\\x{10ec2}-\\x{10ec4}\\x{10efc}-\\x{10eff}"},
                               {"Armenian", ""},
                               {"Bengali", ""},
                               {"Cyrillic", "\\x{1c89}\\x{1c8a}\\x{1e030}-\\x{1e06d}\\x{1e08f}"},
                               {"Devanagari", "\\x{11b00}-\\x{11b09}"},
                               {"Ethiopic", ""},
                               {"Georgian", ""},
                               {"Greek", ""},
                               {"Han", "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"},
                               {"Hangul", ""},
                               {"Hebrew", ""},
                               {"Hiragana", "\\x{1b132}"},
                               {"Katakana", "\\x{1b155}"},
                               {"Khmer", ""},
                               {"Lao", ""},
                               {"Latin", "\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{1df25}-\\x{1df2a}"},
                               {"Tamil", ""},
                               {"Telugu", ""},
                               {"Thai", ""},
                               {"Tibetan", ""}};

// Members of a bracketed class for \p{NAME}; none where the name is unknown.
std::optional<std::string> property_items(std::string_view name) {
  const std::string key = folded(name);
  for (const auto& [known, category] : kCategories)
    if (key == known) return category_items(category);
  for (const auto& [known, newer] : kScripts)
    if (key == folded(known)) return "\\p{sc:" + std::string(known) + "}" + kNewerBegin + newer + kNewerEnd;
  if (key == "space" || key == "whitespace") return space_items();
  if (key == "word") return word_items();
  if (key == "any") return "\\x{0}-\\x{10ffff}";
  if (key == "ascii") return "\\x{0}-\\x{7f}";
  if (key == "cntrl" || key == "cc") return "\\x{0}-\\x{1f}\\x{7f}-\\x{9f}";
  if (key == "xdigit") return "0-9a-fA-F";
  return std::nullopt;
}

// What PCRE2's brackets hold, and what they cannot: a class is the union of `items` and of `others`, each of which is
// one character wide by itself.
struct Union {
  std::string items;
  std::vector<std::string> others;

  void add(const Union& other) {
    items += other.items;
    others.insert(others.end(), other.others.begin(), other.others.end());
  }
  std::string text() const {
    if (others.empty()) return items.empty() ? "(?!)" : "[" + items + "]";
    std::string out = "(?>";
    for (const auto& other : others) out += other + "|";
    return out + (items.empty() ? "(?!)" : "[" + items + "]") + ")";
  }
};

std::string negated(const Union& set) {
  if (set.others.empty()) return set.items.empty() ? "(?s:.)" : "[^" + set.items + "]";
  return "(?:(?!" + set.text() + ")(?s:.))";
}

Union complement(const Union& set) { return {"", {negated(set)}}; }

// \d \s \w \h and their capitals, \p{...}, \P{...}, \p{^...}.
std::optional<Union> class_escape(std::string_view pattern, size_t& at) {
  const size_t begin = at;
  const char c = at + 1 < pattern.size() ? pattern[at + 1] : '\0';
  Union set;
  switch (c) {
    case 'd':
    case 'D': set.items = category_items("Nd"); break;
    case 's':
    case 'S': set.items = space_items(); break;
    case 'w':
    case 'W': set.items = word_items(); break;
    case 'h':
    case 'H': set.items = "0-9a-fA-F"; break;
    case 'p':
    case 'P': {
      const size_t end = pattern.find('}', at);
      if (at + 2 >= pattern.size() || pattern[at + 2] != '{' || end == pattern.npos) lacks(pattern, begin, "\\p{NAME}");
      std::string_view name = pattern.substr(at + 3, end - at - 3);
      const bool is_inverted = name.starts_with('^');
      if (is_inverted) name.remove_prefix(1);
      const auto items = property_items(name);
      if (!items) lacks(pattern, begin, "a general category or a script in common use");
      set.items = *items;
      at = end + 1;
      return is_inverted != (c == 'P') ? complement(set) : set;
    }
    default: return std::nullopt;
  }
  at += 2;
  return c >= 'A' && c <= 'Z' ? complement(set) : set;
}

constexpr int kMostNested = 20;
Union read_set(std::string_view pattern, size_t& at, int depth);

// [:alpha:] and [:^alpha:].
std::optional<Union> posix_class(std::string_view pattern, size_t& at) {
  const size_t end = pattern.find(":]", at);
  if (!pattern.substr(at).starts_with("[:") || end == pattern.npos) return std::nullopt;
  std::string_view name = pattern.substr(at + 2, end - at - 2);
  const bool is_inverted = name.starts_with('^');
  if (is_inverted) name.remove_prefix(1);
  Union set;
  if (const auto items = property_items(name); items && name.size() > 2) {
    set.items = *items;
  } else {
    lacks(pattern, at, "[:digit:], [:space:], [:word:], [:cntrl:], [:ascii:] or [:xdigit:]");
  }
  at = end + 2;
  return is_inverted ? complement(set) : set;
}

// A character by itself or by an escape.
char32_t read_member(std::string_view pattern, size_t& at) {
  if (pattern[at] == '\\') {
    if (pattern.substr(at).starts_with("\\b")) {
      at += 2;
      return 8;
    }
    const auto code_point = read_character_escape(pattern, at);
    if (!code_point) lacks(pattern, at, "a character or a class of characters");
    return *code_point;
  }
  const char32_t code_point = first_code_point(pattern.substr(at));
  at += utf8_bytes(pattern[at]);
  return code_point;
}

void add_member(Union& set, std::string_view pattern, size_t& at) {
  const size_t begin = at;
  const char32_t first = read_member(pattern, at);
  const std::string_view rest = pattern.substr(at);
  const bool is_range = rest.size() > 1 && rest[0] == '-' && rest[1] != ']';
  if (!is_range) {
    set.items += pcre2_code_point(first);
    return;
  }
  ++at;
  size_t probe = at;
  if (rest[1] == '[' || (rest[1] == '\\' && class_escape(pattern, probe)))
    lacks(pattern, begin, "a range between characters");
  const char32_t last = read_member(pattern, at);
  require<DataError>(first <= last, "regex ", quoted_excerpt(pattern),
                     ": got a range that ends before it begins at byte ", begin + 1,
                     "; need its first character first");
  set.items += range_text(first, last);
}

// From after '[' to after its ']'.
Union read_set(std::string_view pattern, size_t& at, int depth) {
  const size_t begin = at;
  if (depth > kMostNested) lacks(pattern, begin, "classes nested less deep");
  const bool is_negated = at < pattern.size() && pattern[at] == '^';
  if (is_negated) ++at;
  std::vector<Union> parts(1);  // of an intersection
  const size_t first = at;
  while (true) {
    require<DataError>(at < pattern.size(), "regex ", quoted_excerpt(pattern),
                       ": got a class without an end; need ']'");
    if (pattern[at] == ']' && at > first) break;
    if (pattern.substr(at).starts_with("&&")) {
      at += 2;
      parts.emplace_back();
    } else if (auto posix = posix_class(pattern, at)) {
      parts.back().add(*posix);
    } else if (pattern[at] == '[') {
      parts.back().add(read_set(pattern, ++at, depth + 1));
    } else if (auto escape = pattern[at] == '\\' ? class_escape(pattern, at) : std::nullopt) {
      parts.back().add(*escape);
    } else {
      add_member(parts.back(), pattern, at);
    }
  }
  ++at;
  if (parts.size() == 1) return is_negated ? complement(parts[0]) : parts[0];
  std::string all = "(?:";
  for (size_t i = 0; i + 1 < parts.size(); ++i) all += "(?=" + parts[i].text() + ")";
  const Union both{"", {all + parts.back().text() + ")"}};
  return is_negated ? complement(both) : both;
}

// One alternative needs no group.
std::string text_of(const Union& set) {
  return set.items.empty() && set.others.size() == 1 ? set.others[0] : set.text();
}

}  // namespace

std::string pcre2_code_point(char32_t code_point) {
  const bool is_plain = (code_point >= '0' && code_point <= '9') || (code_point >= 'a' && code_point <= 'z') ||
                        (code_point >= 'A' && code_point <= 'Z');
  if (is_plain) return std::string(1, static_cast<char>(code_point));
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%x}", static_cast<unsigned>(code_point));
  return text;
}

std::string read_character_set(std::string_view pattern, size_t& at) { return text_of(read_set(pattern, ++at, 0)); }

std::optional<std::string> read_class_escape(std::string_view pattern, size_t& at) {
  const auto set = class_escape(pattern, at);
  return set ? std::optional(text_of(*set)) : std::nullopt;
}

std::optional<char32_t> read_character_escape(std::string_view pattern, size_t& at) {
  if (at + 1 >= pattern.size()) return std::nullopt;
  const char c = pattern[at + 1];
  const auto hex = [&](size_t begin, size_t most) -> std::optional<char32_t> {
    char32_t value = 0;
    size_t end = begin;
    for (; end < pattern.size() && end - begin < most && std::isxdigit(static_cast<unsigned char>(pattern[end])); ++end)
      value = value * 16 + static_cast<char32_t>(std::stoi(std::string(1, pattern[end]), nullptr, 16));
    if (end == begin || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return std::nullopt;
    at = end;
    return value;
  };
  switch (c) {
    case 't': at += 2; return '\t';
    case 'n': at += 2; return '\n';
    case 'r': at += 2; return '\r';
    case 'f': at += 2; return '\f';
    case 'v': at += 2; return '\v';
    case 'a': at += 2; return '\a';
    case 'e': at += 2; return 0x1B;
    case '0': at += 2; return 0;
    case 'u': return hex(at + 2, 4);
    case 'x': {
      if (at + 2 >= pattern.size() || pattern[at + 2] != '{') return hex(at + 2, 2);
      const auto value = hex(at + 3, 8);
      if (!value || at >= pattern.size() || pattern[at] != '}') return std::nullopt;
      ++at;
      return value;
    }
    default: break;
  }
  if (std::isalnum(static_cast<unsigned char>(c))) return std::nullopt;
  const char32_t code_point = first_code_point(pattern.substr(at + 1));
  at += 1 + utf8_bytes(c);
  return code_point;
}

std::string word_boundary() {
  const std::string word = "[" + word_items() + "]";
  return "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))";
}

}  // namespace evenkeel::data

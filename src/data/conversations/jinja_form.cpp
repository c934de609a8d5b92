#include "data/conversations/jinja_form.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

// What a template is made of.
struct Tag {
  enum Kind { text, output, statement, comment } kind = text;
  std::string_view inside;     // between the brackets and their signs
  char before = 0, after = 0;  // the signs - and + of the brackets
};

// A token of an expression: a text in quotes, a name or number, or a sign.
struct Token {
  bool is_text = false;
  std::string value;
  bool is(std::string_view sign) const { return !is_text && value == sign; }
};

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The byte behind a text in quotes that begins at `begin`; npos: it has no end.
size_t end_of_quotes(std::string_view text, size_t begin) {
  for (size_t at = begin + 1; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == text[begin]) {
      return at + 1;
    }
  }
  return text.npos;
}

// Where the bracket `close` stands, outside of quotes.
size_t find_close(std::string_view text, size_t at, std::string_view close) {
  while (at < text.size() && !text.substr(at).starts_with(close)) {
    const bool is_quote = (text[at] == '"' || text[at] == '\'') && close != "#}";
    at = is_quote ? end_of_quotes(text, at) : at + 1;
  }
  return at < text.size() ? at : text.npos;
}

std::optional<std::vector<Tag>> tags_of(std::string_view text) {
  std::vector<Tag> out;
  while (!text.empty()) {
    size_t open = text.find('{');
    while (open != text.npos && (open + 1 == text.size() || std::string_view("{%#").find(text[open + 1]) == text.npos))
      open = text.find('{', open + 1);
    if (open != 0) out.push_back({Tag::text, text.substr(0, open)});
    if (open == text.npos) break;
    const char sign = text[open + 1];
    const std::string close = std::string(sign == '{' ? "}" : std::string(1, sign)) + "}";
    const size_t end = find_close(text, open + 2, close);
    if (end == text.npos) return std::nullopt;
    Tag tag{sign == '{'   ? Tag::output
            : sign == '%' ? Tag::statement
                          : Tag::comment,
            text.substr(open + 2, end - open - 2)};
    const auto is_sign = [](char c) { return c == '-' || c == '+'; };
    if (!tag.inside.empty() && is_sign(tag.inside.front())) {
      tag.before = tag.inside.front();
      tag.inside.remove_prefix(1);
    }
    if (!tag.inside.empty() && is_sign(tag.inside.back())) {
      tag.after = tag.inside.back();
      tag.inside.remove_suffix(1);
    }
    out.push_back(tag);
    text.remove_prefix(end + 2);
  }
  return out;
}

// Text outside of tags, as far as Jinja keeps it: `before` and `after` are its neighbours, nullptr at an end.
std::string_view kept(std::string_view text, const Tag* before, const Tag* after) {
  const auto is_block = [](const Tag* tag) { return tag->kind == Tag::statement || tag->kind == Tag::comment; };
  if (after == nullptr && text.ends_with('\n')) text.remove_suffix(1);
  bool begins_line = before == nullptr;  // what is left of the text
  if (before != nullptr && before->after == '-') {
    text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
  } else if (before != nullptr && is_block(before) && before->after != '+' && text.starts_with('\n')) {
    text.remove_prefix(1);
    begins_line = true;
  }
  if (after == nullptr) return text;
  const size_t last = text.find_last_not_of(after->before == '-' ? kSpaces : " \t");
  const size_t end = last == text.npos ? 0 : last + 1;
  if (after->before == '-') return text.substr(0, end);
  if (end > 0) begins_line = text[end - 1] == '\n';
  return is_block(after) && after->before != '+' && begins_line ? text.substr(0, end) : text;
}

std::string unquoted(std::string_view quotes) {
  std::string out;
  for (size_t at = 1; at + 1 < quotes.size(); ++at) {
    if (quotes[at] != '\\') {
      out += quotes[at];
      continue;
    }
    ++at;
    const char c = quotes[at];
    if (c == 'n') {
      out += '\n';
    } else if (c == 't') {
      out += '\t';
    } else if (c == 'r') {
      out += '\r';
    } else if (c == '\\' || c == '\'' || c == '"') {
      out += c;
    } else {
      out += {'\\', c};
    }
  }
  return out;
}

std::vector<Token> tokens_of(std::string_view text, std::string_view bos_token) {
  std::vector<Token> out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    if (kSpaces.find(text[at]) != kSpaces.npos) {
    } else if (text[at] == '"' || text[at] == '\'') {
      end = std::min(end_of_quotes(text, at), text.size());
      out.push_back({true, unquoted(text.substr(at, end - at))});
    } else if (is_name_character(text[at])) {
      while (end < text.size() && is_name_character(text[end])) ++end;
      out.push_back({false, std::string(text.substr(at, end - at))});
      if (out.back().is("bos_token") && !bos_token.empty()) out.back() = {true, std::string(bos_token)};
    } else {
      if (end < text.size() && text[end] == '=') ++end;  // == != <= >=
      out.push_back({false, std::string(text.substr(at, end - at))});
    }
    at = end;
  }
  // a['b'] is a.b
  for (size_t i = 1; i + 2 < out.size(); ++i)
    if (out[i].is("[") && out[i + 1].is_text && out[i + 2].is("]") && !out[i - 1].is_text) {
      out[i] = {false, "."};
      out[i + 1].is_text = false;
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    }
  return out;
}

std::string written(const std::vector<Token>& tokens) {
  std::string out;
  for (const auto& token : tokens)
    out += (out.empty() ? "" : " ") + (token.is_text ? Json(token.value).dump() : token.value);
  return out;
}

// The form while it is put together. Texts that follow each other become one.
class Form {
 public:
  void add_text(std::string_view text) { text_ += text; }
  void add_output(const std::vector<Token>& tokens) {
    const auto is_operator = [](const Token& token) {
      return token.is("==") || token.is("if") || token.is("or") || token.is("and") || token.is("-") || token.is("*");
    };
    if (std::any_of(tokens.begin(), tokens.end(), is_operator)) return add_term(tokens);
    std::vector<Token> term;
    int depth = 0;
    for (const auto& token : tokens) {
      depth += token.is("(") || token.is("[") ? 1 : token.is(")") || token.is("]") ? -1 : 0;
      if (depth == 0 && (token.is("+") || token.is("~"))) {
        add_term(term);
        term.clear();
      } else {
        term.push_back(token);
      }
    }
    add_term(term);
  }
  void add_statement(const std::vector<Token>& tokens) { add("%", written(tokens)); }
  std::string take() {
    add("", "");
    return out_;
  }

 private:
  void add_term(const std::vector<Token>& term) {
    if (term.size() == 1 && term[0].is_text) return add_text(term[0].value);
    add("=", written(term));
  }
  void add(const char* sign, const std::string& what) {
    if (!text_.empty()) out_ += "'" + Json(text_).dump() + "\n";
    text_.clear();
    if (*sign != 0) out_ += sign + what + "\n";
  }
  std::string out_, text_;
};

// Where add_generation_prompt is not given it is false anyway.
std::string without_default(std::string form) {
  for (const char* condition : {"not add_generation_prompt is defined", "add_generation_prompt is not defined"}) {
    const std::string start = "%if " + std::string(condition) + "\n%set add_generation_prompt = false\n%endif\n";
    if (form.starts_with(start)) return form.substr(start.size());
  }
  return form;
}

}  // namespace

std::string jinja_form(std::string_view text, std::string_view bos_token) {
  const auto tags = tags_of(text);
  if (!tags) return "";
  Form form;
  for (size_t i = 0; i < tags->size(); ++i) {
    const Tag& tag = (*tags)[i];
    const auto neighbour = [&](size_t at) { return at < tags->size() ? &(*tags)[at] : nullptr; };
    if (tag.kind == Tag::text) {
      form.add_text(kept(tag.inside, neighbour(i - 1), neighbour(i + 1)));
    } else if (tag.kind != Tag::comment) {
      const auto tokens = tokens_of(tag.inside, bos_token);
      const bool is_mark = tokens.size() == 1 && (tokens[0].is("generation") || tokens[0].is("endgeneration"));
      if (tag.kind == Tag::output) {
        form.add_output(tokens);
      } else if (!is_mark) {
        form.add_statement(tokens);
      }
    }
  }
  return without_default(form.take());
}

}  // namespace evenkeel::data

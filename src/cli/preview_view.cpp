#include "cli/preview_view.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

#include "core/counted.h"
#include "core/json_value.h"
#include "core/terminal_text.h"

namespace evenkeel::cli {
namespace {

using Ids = std::vector<int64_t>;

Ids ids_of(const at::Tensor& row) {
  const auto ids = row.reshape({-1}).to(at::kLong).contiguous();
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()};
}

// A sequence as lists; padding is at its end.
struct Row {
  explicit Row(const data::Batch& batch) : tokens(ids_of(batch.tokens)), targets(ids_of(batch.targets)) {
    if (batch.document_ids.defined()) documents = ids_of(batch.document_ids);
    n_tokens = static_cast<int64_t>(tokens.size());
    if (batch.is_padding.defined()) n_tokens -= batch.is_padding.sum().item<int64_t>();
  }
  Ids tokens, targets, documents;  // documents: empty where they are not kept apart
  int64_t n_tokens = 0;            // without padding
};

// A stretch of tokens that see each other: first .. end-1.
struct Segment {
  size_t first = 0, end = 0;
};
std::vector<Segment> segments_of(const Row& row) {
  std::vector<Segment> out;
  const auto n_tokens = static_cast<size_t>(row.n_tokens);
  for (size_t i = 0; i < n_tokens; ++i) {
    if (i == 0 || (!row.documents.empty() && row.documents[i] != row.documents[i - 1])) out.push_back({i, i});
    out.back().end = i + 1;
  }
  return out;
}

// ---- what an id is ----

enum class Role { text, special, prompt, sentinel, border };

// A token as it is shown.
struct Item {
  int64_t id = 0;
  bool is_scored = false;
  Role role = Role::text;
  std::string text = {};
};

// What is fed, and in its place what is scored. A token that is asked for is fed next, but at the end of an example,
// and where the text goes on elsewhere: there it stands without being fed.
std::vector<Item> items_of(const Row& row, const Segment& segment) {
  std::vector<Item> out = {{row.tokens[segment.first]}};
  for (size_t i = segment.first; i < segment.end; ++i) {
    const bool is_scored = row.targets[i] >= 0, is_last = i + 1 == segment.end;
    if (is_scored) out.push_back({row.targets[i], true});
    if (is_last || (is_scored && row.tokens[i + 1] == row.targets[i])) continue;
    if (is_scored) out.push_back({.role = Role::border});
    out.push_back({row.tokens[i + 1]});
  }
  return out;
}

// The ids that an objective adds to a text, of its options.
class AddedIds {
 public:
  explicit AddedIds(const Json& options) {
    const auto id = [&](const char* key) {
      const Json* found = find_value(options, key);
      return found != nullptr && found->is_integer() ? std::optional(found->as_int()) : std::nullopt;
    };
    first_sentinel_ = id("first_sentinel");
    for (const char* key : {"bos", "eos"})
      if (const auto found = id(key)) special_.insert(*found);
    if (const Json* prompts = find_value(options, "prompts"))
      for (const auto& [mode, ids] : prompts->as_object())
        if (Ids prompt; ids.size() > 0) {
          for (const auto& value : ids.as_array()) prompt.push_back(value.as_int());
          prompts_.push_back(std::move(prompt));
        }
  }

  void name_roles(std::vector<Item>& items) const {
    const int64_t n_sentinels = count_sentinels(items);
    const size_t prompt_end = 1 + prompt_behind_first(items);
    for (size_t i = 0; i < items.size(); ++i) {
      Item& item = items[i];
      if (item.role == Role::border) continue;
      if (i > 0 && i < prompt_end) {
        item.role = Role::prompt;
      } else if (n_sentinels > 0 && item.id <= *first_sentinel_ && item.id > *first_sentinel_ - n_sentinels) {
        item.role = Role::sentinel;
      } else if (special_.contains(item.id)) {
        item.role = Role::special;
      }
    }
  }
  int64_t number_of_sentinel(int64_t id) const { return *first_sentinel_ - id; }

 private:
  // The sentinels of an example are the first ones, without a hole.
  int64_t count_sentinels(const std::vector<Item>& items) const {
    if (!first_sentinel_) return 0;
    std::set<int64_t> ids;
    for (const auto& item : items)
      if (item.role != Role::border) ids.insert(item.id);
    int64_t n = 0;
    while (ids.contains(*first_sentinel_ - n)) ++n;
    return n;
  }
  // Tokens of the longest prompt that stands behind the first token.
  size_t prompt_behind_first(const std::vector<Item>& items) const {
    size_t longest = 0;
    for (const auto& prompt : prompts_) {
      const bool fits = prompt.size() < items.size() &&
                        std::equal(prompt.begin(), prompt.end(), items.begin() + 1,
                                   [](int64_t id, const Item& item) { return id == item.id && !item.is_scored; });
      if (fits) longest = std::max(longest, prompt.size());
    }
    return longest;
  }
  std::optional<int64_t> first_sentinel_;
  std::set<int64_t> special_;
  std::vector<Ids> prompts_;
};

// ---- colours, marks and lines ----

std::string shown(const Item& item, const AddedIds& added, const TokenTexts& texts) {
  if (item.role == Role::border) return "\u00A6";
  if (item.role == Role::sentinel) return "<" + std::to_string(added.number_of_sentinel(item.id)) + ">";
  return printable(texts.piece(item.id));
}

constexpr const char* kReset = "\033[0m";

const char* colour_of(const Item& item) {
  switch (item.role) {
    case Role::sentinel: return item.is_scored ? "\033[1;35m" : "\033[35m";
    case Role::prompt: return "\033[36m";
    case Role::border: return "\033[2m";
    case Role::special: return item.is_scored ? "\033[1;32m" : "\033[2m";
    case Role::text: break;
  }
  return item.is_scored ? "\033[1;32m" : "";
}

// What encloses an item where there are no colours: {opening, closing}.
std::pair<std::string, std::string> marks_of(const Item& item) {
  if (item.is_scored) return {"\u27E6", "\u27E7"};
  return item.role == Role::prompt ? std::pair<std::string, std::string>{"\u27E8", "\u27E9"}
                                   : std::pair<std::string, std::string>{};
}

// Lines of at most so many columns behind a gutter, broken between tokens.
class Lines {
 public:
  Lines(const ViewForm& form, const std::string& gutter) : form_(form), gutter_(gutter), out_(gutter) {
    room_ = std::max<int64_t>(form.columns - count_columns(gutter), 10);
  }
  void add(const Item& item) {
    const auto marks = form_.has_colours ? std::pair<std::string, std::string>{} : marks_of(item);
    if (marks != open_) {
      put(open_.second);
      open_ = marks;
      place(count_columns(marks.first) + count_columns(item.text));
      put(marks.first);
    }
    std::string rest = item.text;
    place(count_columns(rest));
    while (count_columns(rest) > room_ - used_) {  // of a token that is wider than a line
      const std::string part = cut(rest, room_ - used_);
      put_coloured(part, item);
      rest = rest.substr(part.size());
      break_line();
    }
    put_coloured(rest, item);
  }
  std::string finish() {
    put(open_.second);
    return out_ + "\n";
  }

 private:
  // Begins a line where so many columns do not fit into this one, and closing marks behind them.
  void place(int64_t columns) {
    if (used_ > 0 && used_ + columns + count_columns(open_.second) > room_) break_line();
  }
  void break_line() {
    out_ += "\n" + std::string(static_cast<size_t>(count_columns(gutter_)), ' ');
    used_ = 0;
  }
  static std::string cut(const std::string& text, int64_t columns) {
    size_t bytes = 1;
    while (bytes < text.size() && count_columns(text.substr(0, bytes + 1)) <= columns) ++bytes;
    while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) ++bytes;
    return text.substr(0, bytes);
  }
  void put(const std::string& text) {
    out_ += text;
    used_ += count_columns(text);
  }
  void put_coloured(const std::string& text, const Item& item) {
    const std::string colour = form_.has_colours ? colour_of(item) : "";
    if (!colour.empty()) out_ += colour;
    put(text);
    if (!colour.empty()) out_ += kReset;
  }
  ViewForm form_;
  std::string gutter_, out_;
  int64_t room_ = 0, used_ = 0;
  std::pair<std::string, std::string> open_;  // marks around what was put last
};

// "sequence 1  source en  ul2  5 examples  212 tokens, 97 scored  44 padding"
std::string headline(int64_t number, const train::PreviewedSequence& sequence, const Row& row, size_t n_segments) {
  const auto n_scored = std::count_if(row.targets.begin(), row.targets.end(), [](int64_t id) { return id >= 0; });
  const auto n_padding = static_cast<int64_t>(row.tokens.size()) - row.n_tokens;
  std::string out = "sequence " + std::to_string(number) + "  source " + printable(sequence.source) + "  " +
                    sequence.objective->kind();
  if (!row.documents.empty())
    out += "  " + counted(static_cast<int64_t>(n_segments), sequence.objective->packs() ? "example" : "document");
  out += "  " + counted(row.n_tokens, "token") + ", " + std::to_string(n_scored) + " scored";
  if (n_padding > 0) out += "  " + std::to_string(n_padding) + " of padding";
  if (sequence.batch.is_prefix.defined()) out += "  prefixes see all of themselves";
  return out;
}

}  // namespace

Json sequence_json(const train::PreviewedSequence& sequence, const TokenTexts& texts) {
  const Row row(sequence.batch);
  const auto text = texts.text(std::span(row.tokens).first(static_cast<size_t>(row.n_tokens)));
  Json out = Json::object();
  out["source"] = sequence.source;
  out["objective"] = sequence.objective->kind();
  out["tokens"] = row.tokens;
  out["targets"] = row.targets;
  out["document_ids"] = row.documents.empty() ? Json() : Json(row.documents);
  out["text"] = text ? Json(*text) : Json();
  return out;
}

ViewForm form_of_output() {
  ViewForm out;
  const auto is_set = [](const char* name, const char* value) {
    const char* found = std::getenv(name);
    return found != nullptr && (value == nullptr ? *found != '\0' : std::string_view(found) == value);
  };
  if (isatty(STDOUT_FILENO) != 1) return out;
  out.has_colours = !is_set("NO_COLOR", nullptr) && !is_set("TERM", "dumb");
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) out.columns = size.ws_col;
  return out;
}

std::string view_legend(const ViewForm& form) {
  const std::vector<std::pair<Item, std::string>> entries = {
      {{.is_scored = true, .text = "scored"}, ""},
      {{.role = Role::prompt, .text = "prompt"}, ""},
      {{.role = Role::sentinel, .text = "<0>"}, " first sentinel"},
      {{.role = Role::border, .text = "\u00A6"}, " the text goes on elsewhere"}};
  std::string out;
  for (const auto& [item, words] : entries) {
    const auto marks = marks_of(item);
    const std::string text =
        form.has_colours ? colour_of(item) + item.text + kReset : marks.first + item.text + marks.second;
    out += (out.empty() ? "" : "   ") + text + words;
  }
  return out;
}

std::string sequence_view(int64_t number, const train::PreviewedSequence& sequence, const TokenTexts& texts,
                          const ViewForm& form) {
  const Row row(sequence.batch);
  const auto segments = segments_of(row);
  const AddedIds added(sequence.objective->options());
  std::string out = headline(number, sequence, row, segments.size()) + "\n";
  for (size_t i = 0; i < segments.size(); ++i) {
    auto items = items_of(row, segments[i]);
    added.name_roles(items);
    std::string gutter = row.documents.empty() ? "" : std::to_string(i + 1);
    gutter.insert(0, gutter.size() < 3 ? 3 - gutter.size() : 0, ' ');
    Lines lines(form, gutter + "  ");
    for (auto& item : items) {
      item.text = shown(item, added, texts);
      lines.add(item);
    }
    out += lines.finish();
  }
  return out;
}

}  // namespace evenkeel::cli

#include "core/config_keys.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace evenkeel {

void add_keys_of_kind(std::vector<ConfigKey>& all, std::vector<ConfigKey> keys, const std::string& kind) {
  for (auto& key : keys) {
    const auto same = std::find_if(all.begin(), all.end(), [&](const ConfigKey& other) {
      key.kinds = other.kinds;
      return key == other;
    });
    if (same != all.end()) {
      same->kinds.push_back(kind);
      continue;
    }
    // Beside those of the same name, which differ in their default.
    const auto namesake =
        std::find_if(all.rbegin(), all.rend(), [&](const ConfigKey& other) { return other.key == key.key; });
    key.kinds = {kind};
    all.insert(namesake == all.rend() ? all.end() : namesake.base(), std::move(key));
  }
}

void name_kinds(std::vector<ConfigKey>& all, const std::string& chooser) {
  const auto entry = std::find_if(all.begin(), all.end(), [&](const ConfigKey& key) { return key.key == chooser; });
  if (entry == all.end()) throw std::logic_error("no key " + chooser + " that names its kinds");
  const std::vector<std::string> kinds = entry->kinds;
  std::string names;
  for (const auto& kind : kinds) add_to_list(names, kind);
  entry->meaning += ": " + names;
  for (auto& key : all) key.is_of_all_kinds = key.kinds == kinds;
}

void insert_keys(std::vector<ConfigKey>& all, const std::string& key, const std::vector<ConfigKey>& keys) {
  const auto entry = std::find_if(all.begin(), all.end(), [&](const ConfigKey& other) { return other.key == key; });
  if (entry == all.end()) throw std::logic_error("no key " + key + " to put keys after");
  all.insert(entry + 1, keys.begin(), keys.end());
}

namespace {

// phase.NAME.data.NAME.weight -> phase.data.weight; phase.data[0].weight, of a message, as well.
std::string without_names(const std::string& key) {
  std::string out;
  for (size_t i = 0; i < key.size(); ++i) {
    const bool begins_part = i == 0 || key[i - 1] == '.';
    if (begins_part && key.compare(i, 5, "NAME.") == 0) {
      i += 4;
    } else if (key[i] == '[') {
      i = std::min(key.find(']', i), key.size());
    } else {
      out += key[i];
    }
  }
  return out;
}

// `*` stands for any characters, also none.
bool fits_glob(std::string_view text, std::string_view glob) {
  const size_t star = glob.find('*');
  if (star == std::string_view::npos) return text == glob;
  if (!text.starts_with(glob.substr(0, star))) return false;
  for (size_t i = star; i <= text.size(); ++i)
    if (fits_glob(text.substr(i), glob.substr(star + 1))) return true;
  return false;
}

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> out;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    out.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// Whether the parts of `path` stand one after the other in the key, where NAME stands for any part:
// phase.german.tokens.
bool has_parts(const std::string& key, std::string_view path) {
  const auto mine = parts_of(key), wanted = parts_of(path);
  if (wanted.size() < 2 || path.find('*') != path.npos) return false;  // one part would be any NAME
  const auto is_like = [](std::string_view part, std::string_view other) { return part == other || part == "NAME"; };
  return std::search(mine.begin(), mine.end(), wanted.begin(), wanted.end(), is_like) != mine.end();
}

// In small letters, with one space between words: "router z-loss" and "router z_loss" are the same text.
std::string plain_words(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '_' || c == '-' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// From the start of the key, or from any of its dots on: "router.*" fits model.router.kind.
bool fits_glob_at_a_dot(std::string_view key, std::string_view glob) {
  for (size_t begin = 0;;) {
    if (fits_glob(key.substr(begin), glob)) return true;
    const size_t dot = key.find('.', begin);
    if (dot == key.npos) return false;
    begin = dot + 1;
  }
}

bool fits(const ConfigKey& key, const std::string& pattern) {
  const auto is_like = [&](const std::string& text, const std::string& wanted) {
    return wanted.find('*') != std::string::npos ? fits_glob_at_a_dot(text, wanted)
                                                 : text.find(wanted) != std::string::npos;
  };
  const std::string bare = without_names(pattern);
  if (is_like(key.key, pattern) || (!bare.empty() && is_like(without_names(key.key), bare))) return true;
  return std::any_of(key.kinds.begin(), key.kinds.end(),
                     [&](const std::string& kind) { return fits_glob(kind, pattern); });
}

}  // namespace

std::vector<ConfigKey> matching_keys(const std::vector<ConfigKey>& all, const std::string& pattern) {
  std::vector<ConfigKey> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [&](const ConfigKey& key) { return fits(key, pattern); });
  if (!out.empty()) return out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [&](const ConfigKey& key) { return has_parts(key.key, pattern); });
  if (!out.empty()) return out;
  const std::string words = plain_words(pattern);
  if (words.size() > 2)
    std::copy_if(all.begin(), all.end(), std::back_inserter(out),
                 [&](const ConfigKey& key) { return plain_words(key.meaning).find(words) != std::string::npos; });
  if (!out.empty()) return out;
  std::vector<std::string> known;  // whole keys, their last parts and kinds
  for (const auto& key : all) {
    const std::string bare = without_names(key.key);
    known.push_back(bare);
    known.push_back(bare.substr(bare.rfind('.') + 1));
    known.insert(known.end(), key.kinds.begin(), key.kinds.end());
  }
  const std::string nearest = nearest_name(without_names(pattern), known);
  fail<ConfigError>("PATTERN: got '", pattern,
                    "', which no key of a recipe fits and no meaning has; need a part of a key, a kind such as "
                    "sinkhorn, a word of a meaning, or a pattern such as 'model.*'",
                    nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
}

std::string shown_default(const ConfigKey& key) {
  if (key.is_required) return kRequired;
  if (!key.default_text.empty()) return key.default_text;
  const Json& value = key.default_value;
  const bool is_nothing =
      value.is_null() || (value.is_string() && value.as_string().empty()) || (value.is_array() && value.size() == 0);
  if (is_nothing) return "none";
  return value.is_string() ? "\"" + value.as_string() + "\"" : value.dump();
}

std::string shown_kinds(const ConfigKey& key) {
  if (key.is_of_all_kinds || key.kinds.empty()) return "all";
  std::string out;
  for (const auto& kind : key.kinds) add_to_list(out, kind);
  return out;
}

Json to_json(const ConfigKey& key) {
  Json out = Json::object();
  out["key"] = key.key;
  out["type"] = key.type;
  out["unit"] = key.unit.empty() ? Json() : Json(key.unit);
  out["required"] = key.is_required;
  out["default"] = key.default_value;
  out["default_text"] = key.default_text.empty() ? Json() : Json(key.default_text);
  out["meaning"] = key.meaning;
  out["kinds"] = key.kinds;
  return out;
}

}  // namespace evenkeel

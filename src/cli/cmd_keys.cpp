#include <iostream>

#include "cli/commands.h"
#include "core/errors.h"
#include "study/recipe_keys.h"

namespace evenkeel::cli {
namespace {

void print_key(const ConfigKey& key) {
  std::cout << key.key << "\n    " << key.type << (key.unit.empty() ? "" : " (" + key.unit + ")") << "; "
            << (key.is_required ? "" : "default: ") << shown_default(key) << "\n    " << key.meaning << "\n";
  if (!key.kinds.empty()) std::cout << "    read by: " << shown_kinds(key) << "\n";
}

}  // namespace

int cmd_keys(Options& options) {
  std::string pattern;
  bool json = false, markdown = false;
  options.add(
      "PATTERN", pattern,
      "a part of a key, a kind such as sinkhorn, or a pattern such as 'router.*', which fits from any dot of a key "
      "on; where no key fits, words of a meaning; none: every key");
  options.flag("--json", json, "one JSON document on stdout");
  options.flag("--markdown", markdown, "the text of docs/recipe.md");
  options.example("evenkeel keys replay");
  if (!options.parse()) return 0;
  require<ConfigError>(!(json && markdown), "--markdown: got it beside --json; need one of them");
  require<ConfigError>(!markdown || pattern.empty(), "--markdown: got it with the pattern '", pattern,
                       "'; need it alone, since the page has every key");
  const auto all = study::recipe_keys();
  const auto keys = pattern.empty() ? all : matching_keys(all, pattern);
  if (markdown) {
    std::cout << study::recipe_keys_markdown(keys);
  } else if (json) {
    Json list = Json::array();
    for (const auto& key : keys) list.push_back(to_json(key));
    std::cout << Json(Json::Object{{"keys", std::move(list)}}).dump(1) << "\n";
  } else {
    for (const auto& key : keys) print_key(key);
  }
  return 0;
}

}  // namespace evenkeel::cli

#include "data/conversations/own_template.h"

#include <algorithm>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"
#include "core/json_lines.h"
#include "core/json_value.h"
#include "data/conversations/jinja_form.h"
#include "data/tokenizers/tokenizer_config.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kMostBytes = INT64_C(1) << 26;

// The template in `chat_template`: a text, or a list of {"name", "template"}.
std::string template_in(const Json& config) {
  const Json* const found = find_value(config, "chat_template");
  if (found == nullptr) return "";
  if (!found->is_array()) return found->as_string();
  for (const auto& each : found->as_array())
    if (each.at("name").as_string() == "default") return each.at("template").as_string();
  return "";
}

bool is_it(const ChatTemplate& each, const OwnTemplate& own) {
  if (!each.bos_token.empty() && each.bos_token != own.bos_token) return false;
  const std::string form = jinja_form(own.text, each.bos_token);
  return !form.empty() && std::any_of(each.published.begin(), each.published.end(), [&](const std::string& published) {
    return jinja_form(published, each.bos_token) == form;
  });
}

}  // namespace

OwnTemplate own_template(const fs::path& tokenizer) {
  OwnTemplate out;
  out.bos_token = read_tokenizer_config(tokenizer).bos_token.value_or("");
  const fs::path config = tokenizer.parent_path() / "tokenizer_config.json",
                 jinja = tokenizer.parent_path() / "chat_template.jinja";
  std::error_code ignored;
  if (fs::is_regular_file(jinja, ignored)) {
    out.text = read_file(jinja, kMostBytes);
    out.path = jinja;
  } else if (fs::is_regular_file(config, ignored)) {
    const Json document = parse_foreign_json(read_file(config, kMostBytes), config.string());
    out.text = with_path(config, document, [&] { return template_in(document); });
    out.path = config;
  }
  return out;
}

const ChatTemplate& chosen_chat_template(const std::string& name, const fs::path& tokenizer) {
  if (!name.empty()) return chat_template_named(name);
  const OwnTemplate own = own_template(tokenizer);
  require<DataError>(!own.text.empty(), tokenizer.string(), ": got no chat template beside it; need --template ",
                     known_chat_templates());
  for (const auto& each : chat_templates())
    if (is_it(each, own)) return each;
  fail<DataError>(own.path.string(), ": got the chat template ", quoted_excerpt(own.text), ", which is none of ",
                  known_chat_templates(), "; need one of these by --template");
}

}  // namespace evenkeel::data

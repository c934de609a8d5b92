#include "data/tokenizers/post_processors.h"

#include "core/errors.h"
#include "core/json_error.h"
#include "data/tokenizers/pattern.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kKnown = "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence";

int32_t id_of(const Json& json) {
  if (json.as_int() < 0 || json.as_int() > INT32_MAX) throw JsonError("got " + json.dump() + "; need an id", json);
  return static_cast<int32_t>(json.as_int());
}

// "single" is a list of {"SpecialToken": {"id": NAME}} and one {"Sequence": {"id": "A"}}.
TextFrame read_template(const Json& json) {
  TextFrame out;
  bool has_text = false;
  for (const auto& part : json.at("single").as_array()) {
    if (part.find("Sequence") != nullptr) {
      if (has_text) throw JsonError("got a template that repeats the text, which evenkeel lacks; need it once", part);
      has_text = true;
      continue;
    }
    const Json& name = part.at("SpecialToken").at("id");
    const Json* const token = json.at("special_tokens").find(name.as_string());
    if (token == nullptr)
      throw JsonError("got " + quoted_excerpt(name.as_string()) + "; need a name of special_tokens", name);
    for (const auto& id : token->at("ids").as_array()) (has_text ? out.after : out.before).push_back(id_of(id));
  }
  if (!has_text)
    throw JsonError("got a template without the text, which evenkeel lacks; need it once", json.at("single"));
  return out;
}

}  // namespace

TextFrame read_post_processor(const Json& json) {
  if (json.is_null()) return {};
  const std::string& type = json.at("type").as_string();
  if (type == "ByteLevel") return {};  // changes offsets alone
  if (type == "TemplateProcessing") return read_template(json);
  if (type == "BertProcessing" || type == "RobertaProcessing")
    return {{id_of(json.at("cls").at(size_t{1}))}, {id_of(json.at("sep").at(size_t{1}))}};
  if (type != "Sequence") fail_lacks_type(json, kKnown);
  TextFrame out;
  for (const auto& part : json.at("processors").as_array()) {
    const TextFrame frame = read_post_processor(part);
    out.before.insert(out.before.begin(), frame.before.begin(), frame.before.end());
    out.after.insert(out.after.end(), frame.after.begin(), frame.after.end());
  }
  return out;
}

}  // namespace evenkeel::data

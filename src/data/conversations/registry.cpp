// The list of chat templates. To add one: its file in data/conversations/templates, one line here, its test beside.
#include "core/errors.h"
#include "data/conversations/chat_template.h"

#define EVENKEEL_CHAT_TEMPLATES(X) \
  X(chatml)                        \
  X(llama3)                        \
  X(plain)

namespace evenkeel::data {

#define X(name) ChatTemplate name##_chat_template();
EVENKEEL_CHAT_TEMPLATES(X)
#undef X

const std::vector<ChatTemplate>& chat_templates() {
#define X(name) name##_chat_template(),
  static const std::vector<ChatTemplate> templates = {EVENKEEL_CHAT_TEMPLATES(X)};
#undef X
  return templates;
}

std::string known_chat_templates() {
  std::string out;
  for (const auto& each : chat_templates()) add_to_list(out, each.name);
  return out;
}

const ChatTemplate& chat_template_named(const std::string& name) {
  for (const auto& each : chat_templates())
    if (name == each.name) return each;
  fail<ConfigError>("--template: got '", name, "'; need one of: ", known_chat_templates());
}

}  // namespace evenkeel::data

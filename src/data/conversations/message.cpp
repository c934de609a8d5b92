#include "data/conversations/message.h"

#include <algorithm>
#include <iterator>

#include "core/errors.h"
#include "core/json_value.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

struct RoleName {
  const char* name;
  Role role;
};
constexpr RoleName kRoles[] = {{"system", Role::system}, {"user", Role::user}, {"assistant", Role::assistant}};
constexpr RoleName kShareGptRoles[] = {{"system", Role::system}, {"human", Role::user}, {"gpt", Role::assistant}};

// The keys of a message, and the names of its roles.
struct Shape {
  const char *role, *content;
  const RoleName (&roles)[3];
};
constexpr Shape kShape{"role", "content", kRoles}, kShareGpt{"from", "value", kShareGptRoles};

// Keys of a message that say what a template here has no place for, or that it is not to be scored.
constexpr const char* kLackingKeys[] = {"tool_calls", "function_call", "tool_call_id", "weight"};

// " in message 3"
std::string in_message(size_t index) { return join_parts(" in message ", index + 1); }

Role role_of(const Json& message, const Shape& shape, size_t index) {
  const Json* const found = message.find(shape.role);
  require<DataError>(found != nullptr, "got no '", shape.role, "'", in_message(index), "; need one");
  require<DataError>(found->is_string(), "got ", found->kind(), " as '", shape.role, "'", in_message(index),
                     "; need a string");
  const auto role = std::find_if(std::begin(shape.roles), std::end(shape.roles),
                                 [&](const RoleName& each) { return found->as_string() == each.name; });
  if (role == std::end(shape.roles)) {
    std::string known;
    for (const auto& each : shape.roles) add_to_list(known, each.name);
    fail<DataError>("got ", shape.role, " ", quoted_excerpt(found->as_string()), in_message(index),
                    "; need one of: ", known);
  }
  return role->role;
}

// The text of a list of parts, all of which are text.
std::string text_of_parts(const Json& parts, size_t index) {
  std::string out;
  for (const auto& part : parts.as_array()) {
    const Json *const type = part.find("type"), *const text = part.find("text");
    require<DataError>(type != nullptr && type->is_string(), "got a part of the content", in_message(index),
                       " without a 'type'; need {\"type\": \"text\", \"text\": …}");
    require<DataError>(type->as_string() == "text", "got a part of type ", quoted_excerpt(type->as_string()),
                       in_message(index), "; need parts of type \"text\" alone");
    require<DataError>(text != nullptr && text->is_string(), "got a part", in_message(index), " whose text is ",
                       text != nullptr ? text->kind() : "absent", "; need a string");
    out += text->as_string();
  }
  return out;
}

std::string content_of(const Json& message, const Shape& shape, size_t index) {
  const Json* const found = message.find(shape.content);
  require<DataError>(found != nullptr, "got no '", shape.content, "'", in_message(index), "; need one");
  if (found->is_array()) return text_of_parts(*found, index);
  require<DataError>(found->is_string(), "got ", found->kind(), " as '", shape.content, "'", in_message(index),
                     "; need a string or a list of parts");
  return found->as_string();
}

// A key is as good as absent where it has null or an empty list.
bool has_value(const Json& message, const char* key) {
  const Json* const found = find_value(message, key);
  return found != nullptr && !(found->is_array() && found->size() == 0);
}

Message read_message(const Json& json, size_t index) {
  require<DataError>(json.is_object(), "got ", json.kind(), " as message ", index + 1, "; need an object");
  for (const char* key : kLackingKeys)
    require<DataError>(!has_value(json, key), "got '", key, "'", in_message(index),
                       ", which evenkeel has no use for; need messages without it");
  const bool is_share_gpt = json.find(kShape.role) == nullptr && json.find(kShareGpt.role) != nullptr;
  const Shape& shape = is_share_gpt ? kShareGpt : kShape;
  return {role_of(json, shape, index), content_of(json, shape, index)};
}

}  // namespace

std::string_view name_of(Role role) {
  for (const auto& each : kRoles)
    if (each.role == role) return each.name;
  throw std::logic_error("name_of: no such role");
}

std::vector<Message> read_conversation(const Json& value) {
  require<DataError>(value.is_array(), "got ", value.kind(), "; need a list of messages");
  std::vector<Message> out;
  for (const auto& message : value.as_array()) out.push_back(read_message(message, out.size()));
  require<DataError>(!out.empty(), "got a conversation without messages; need some");
  require<DataError>(std::any_of(out.begin(), out.end(), [](const Message& m) { return m.role == Role::assistant; }),
                     "got a conversation without a message of the assistant; need one, which is what is scored");
  return out;
}

}  // namespace evenkeel::data

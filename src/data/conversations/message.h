// Conversations as records of JSON have them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {

enum class Role { system, user, assistant };
std::string_view name_of(Role role);

struct Message {
  Role role = Role::user;
  std::string content;
};

// Of a list of {"role", "content"}, or of ShareGPT's {"from", "value"}; docs/formats.md has what is read. At least one
// message is the assistant's. DataError "got …; need …", without a place, for all else.
std::vector<Message> read_conversation(const Json& value);

}  // namespace evenkeel::data

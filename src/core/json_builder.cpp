#include "core/json_builder.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace evenkeel {
namespace {

// Which of two values would count? DataError for a key that stands twice in one object.
void require_keys_once(const Json::Object& object, const std::string& where) {
  std::vector<std::string_view> keys;
  keys.reserve(object.size());
  for (const auto& [key, value] : object) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  require<DataError>(twice == keys.end(), where, ": got the key '", twice == keys.end() ? "" : *twice,
                     "' twice in one object; need it once");
}

}  // namespace

void JsonBuilder::close_object() {
  if (repeated_ == RepeatedKeys::refused) require_keys_once(stack_.back().as_object(), where_);
  close();
}

void JsonBuilder::value(Json&& plain) {
  if (stack_.empty()) {
    root_ = std::move(plain);
  } else if (stack_.back().is_array()) {
    stack_.back().as_array().push_back(std::move(plain));
  } else {
    stack_.back().as_object().emplace_back(std::move(keys_.back()), std::move(plain));
  }
}

void JsonBuilder::open(Json container) {
  stack_.push_back(std::move(container));
  keys_.emplace_back();
}

void JsonBuilder::close() {
  Json done = std::move(stack_.back());
  stack_.pop_back();
  keys_.pop_back();
  value(std::move(done));
}

}  // namespace evenkeel

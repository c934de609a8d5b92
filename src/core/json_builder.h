// Makes a Json of the events of a text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace evenkeel {

class JsonBuilder : public JsonEvents {
 public:
  JsonBuilder(std::string_view where, RepeatedKeys repeated) : where_(where), repeated_(repeated) {}
  void open_object() override { open(Json::object()); }
  void close_object() override;
  void open_array() override { open(Json::array()); }
  void close_array() override { close(); }
  void key(std::string&& name) override { keys_.back() = std::move(name); }
  void value(Json&& plain) override;

  bool is_open() const { return !stack_.empty(); }  // inside an object or array
  Json take() { return std::move(root_); }          // the last value that was whole

 private:
  void open(Json container);
  void close();

  std::string where_;
  RepeatedKeys repeated_;
  Json root_;
  std::vector<Json> stack_;
  std::vector<std::string> keys_;
};

}  // namespace evenkeel

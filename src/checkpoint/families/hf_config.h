// The config.json of a Hugging Face folder, read key by key. A key that is absent has its default; so has one that is
// null, but where a number is needed. Every error is a CheckpointError "PATH: KEY: got VALUE; need ...".
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "core/json.h"

namespace evenkeel::checkpoint {

class HfConfig {
 public:
  explicit HfConfig(const std::filesystem::path& folder);
  HfConfig(Json json, std::string where);
  const std::string& where() const { return where_; }  // path of the config.json
  const Json& json() const { return json_; }

  int64_t size(const char* key) const;  // 1..2^24, has no default
  int64_t size(const char* key, int64_t default_size) const;
  int64_t size_or_null(const char* key, int64_t default_size) const;  // null has the default too, as in transformers
  int64_t count(const char* key, int64_t default_count) const;        // as size_or_null, but 0 may be
  double number(const char* key, double default_number) const;
  bool flag(const char* key, bool default_flag) const;
  std::string text(const char* key, const std::string& default_text) const;

  const Json* find(const char* key) const;  // nullptr when absent or null
  bool has(const char* key) const { return json_.find(key) != nullptr; }
  [[noreturn]] void refuse(const std::string& key, const Json* got, const std::string& need) const;

  // Refuses a setting other than `value` (and than absent or null): one that evenkeel cannot express.
  void require_only(const char* key, const Json& value) const;
  // `architectures` lists this class, where it is given.
  void require_architecture(const char* name) const;
  // Refuses a key that none of the functions above was asked for, unless it is known to change nothing at run time, or
  // its value says nothing: null, false, 0, "" or an empty list.
  void require_all_known() const;

 private:
  Json json_;
  std::string where_;
  mutable std::set<std::string> asked_for_;
};

bool is_same_setting(const Json& left, const Json& right);  // 0 and 0.0 are the same

}  // namespace evenkeel::checkpoint

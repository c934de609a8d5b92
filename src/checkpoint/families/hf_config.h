// The config.json of a Hugging Face folder, read key by key. A key that is absent has its default; so has one that is
// null, but where a number is needed. Every error is a CheckpointError "PATH: KEY: got VALUE; need ...".
#pragma once

#include <filesystem>
#include <string>

#include "core/json.h"
#include "model/config.h"

namespace evenkeel::checkpoint {

class HfConfig {
 public:
  explicit HfConfig(const std::filesystem::path& folder);
  const std::string& where() const { return where_; }  // path of the config.json

  int64_t size(const char* key) const;  // 1..2^24, has no default
  int64_t size(const char* key, int64_t default_size) const;
  int64_t size_or_null(const char* key, int64_t default_size) const;  // null has the default too, as in transformers
  double number(const char* key, double default_number) const;
  bool flag(const char* key, bool default_flag) const;
  std::string text(const char* key, const std::string& default_text) const;

  // Refuses a setting other than `value` (and than absent or null): one that evenkeel cannot express.
  void require_only(const char* key, const Json& value) const;
  // `architectures` lists this class, where it is given.
  void require_architecture(const char* name) const;
  // The base of the rotary angles: `rope_theta` at the top (transformers 4) or in `rope_parameters`
  // (transformers 5). Scaled or partial rotation is refused.
  double rope_theta() const;

 private:
  const Json* find(const char* key) const;  // nullptr when absent or null
  [[noreturn]] void refuse(const std::string& key, const Json* got, const std::string& need) const;
  void require_plain_rotation(const std::string& table, const Json& rope) const;

  Json json_;
  std::string where_;
};

// What the decoders of all families share, from keys that they share: sizes, rotation, norms, activation;
// settings that evenkeel cannot express are refused.
void read_decoder_config(const HfConfig& config, double default_norm_eps, model::ModelConfig& out);

}  // namespace evenkeel::checkpoint

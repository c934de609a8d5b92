#include "checkpoint/families/hf_config.h"

#include <algorithm>
#include <cmath>

#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"
#include "core/json_value.h"

namespace evenkeel::checkpoint {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{1} << 24;
constexpr size_t kMostShown = 120;              // of a value in a message
constexpr int64_t kMaxSize = int64_t{1} << 24;  // of one dimension: products of two stay far from overflow

std::string shown(const Json& value) {
  const std::string text = value.dump();
  return text.size() > kMostShown ? text.substr(0, kMostShown - 3) + "..." : text;
}

// Of transformers' base class, of training and of generation: nothing that evenkeel computes depends on them.
constexpr std::string_view kKeysWithoutEffect[] = {"add_cross_attention",
                                                   "architectures",
                                                   "attn_implementation",
                                                   "auto_map",
                                                   "bad_words_ids",
                                                   "begin_suppress_tokens",
                                                   "bos_token_id",
                                                   "chunk_size_feed_forward",
                                                   "cross_attention_hidden_size",
                                                   "decoder_start_token_id",
                                                   "diversity_penalty",
                                                   "do_sample",
                                                   "dtype",
                                                   "early_stopping",
                                                   "encoder_no_repeat_ngram_size",
                                                   "eos_token_id",
                                                   "ep_size",
                                                   "exponential_decay_length_penalty",
                                                   "finetuning_task",
                                                   "forced_bos_token_id",
                                                   "forced_eos_token_id",
                                                   "id2label",
                                                   "initializer_range",
                                                   "is_decoder",
                                                   "is_encoder_decoder",
                                                   "label2id",
                                                   "length_penalty",
                                                   "max_length",
                                                   "max_sequence_length",
                                                   "min_length",
                                                   "model_max_length",
                                                   "model_type",
                                                   "no_repeat_ngram_size",
                                                   "num_beam_groups",
                                                   "num_beams",
                                                   "num_return_sequences",
                                                   "output_attentions",
                                                   "output_hidden_states",
                                                   "output_router_logits",
                                                   "output_scores",
                                                   "pad_token_id",
                                                   "prefix",
                                                   "pretraining_tp",
                                                   "problem_type",
                                                   "pruned_heads",
                                                   "remove_invalid_values",
                                                   "repetition_penalty",
                                                   "return_dict",
                                                   "return_dict_in_generate",
                                                   "sep_token_id",
                                                   "suppress_tokens",
                                                   "task_specific_params",
                                                   "temperature",
                                                   "tf_legacy_loss",
                                                   "tie_encoder_decoder",
                                                   "tokenizer_class",
                                                   "top_k",
                                                   "top_p",
                                                   "torch_dtype",
                                                   "torchscript",
                                                   "transformers_version",
                                                   "typical_p",
                                                   "unsloth_fixed",
                                                   "unsloth_version",
                                                   "use_bfloat16",
                                                   "use_cache"};

// The first key that stands twice in one object; "" where there is none.
std::string repeated_key(const Json& json) {
  if (json.is_array())
    for (const auto& value : json.as_array())
      if (auto key = repeated_key(value); !key.empty()) return key;
  if (!json.is_object()) return "";
  std::set<std::string_view> keys;
  for (const auto& [key, value] : json.as_object()) {
    if (!keys.insert(key).second) return key;
    if (auto inner = repeated_key(value); !inner.empty()) return inner;
  }
  return "";
}

bool says_nothing(const Json& value) {
  if (value.is_null() || value == Json(false) || value == Json("")) return true;
  return (value.is_number() && value.as_double() == 0) ||
         ((value.is_array() || value.is_object()) && value.size() == 0);
}

}  // namespace

bool is_same_setting(const Json& left, const Json& right) {
  if (left.is_number() && right.is_number()) return left.as_double() == right.as_double();
  return left == right;
}

HfConfig::HfConfig(Json json, std::string where) : json_(std::move(json)), where_(std::move(where)) {}

HfConfig::HfConfig(const std::filesystem::path& folder) : where_((folder / "config.json").string()) {
  try {
    json_ = parse_foreign_json(read_file(where_, kMaxConfigBytes), where_);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  require<CheckpointError>(json_.is_object(), where_, ": got ", json_.kind(), "; need an object");
  const std::string repeated = repeated_key(json_);
  require<CheckpointError>(repeated.empty(), where_, ": ", repeated.substr(0, kMostShown),
                           ": got it twice in one object; need it once");
}

const Json* HfConfig::find(const char* key) const {
  asked_for_.insert(key);
  return find_value(json_, key);
}

void HfConfig::refuse(const std::string& key, const Json* got, const std::string& need) const {
  const char* const nothing = json_.find(key) != nullptr ? "null" : "nothing";
  fail<CheckpointError>(where_, ": ", key, ": got ", got == nullptr ? nothing : shown(*got), "; need ", need);
}

int64_t HfConfig::size(const char* key) const {
  const Json* found = find(key);
  const bool is_size = found != nullptr && found->is_integer() && found->as_int() >= 1 && found->as_int() <= kMaxSize;
  const std::string range = "1.." + std::to_string(kMaxSize);
  if (!is_size)
    refuse(key, found,
           found != nullptr && has_fraction(*found)
               ? "a whole number " + range + ", written without a point or an exponent"
               : "an integer " + range);
  return found->as_int();
}

int64_t HfConfig::size(const char* key, int64_t default_size) const {
  asked_for_.insert(key);
  return json_.find(key) == nullptr ? default_size : size(key);
}

int64_t HfConfig::size_or_null(const char* key, int64_t default_size) const {
  return find(key) == nullptr ? default_size : size(key);
}

int64_t HfConfig::count(const char* key, int64_t default_count) const {
  const Json* found = find(key);
  return found != nullptr && *found == Json(0) ? 0 : size_or_null(key, default_count);
}

double HfConfig::number(const char* key, double default_number) const {
  asked_for_.insert(key);
  const Json* found = json_.find(key);
  if (found == nullptr) return default_number;
  if (!found->is_number() || !std::isfinite(found->as_double())) refuse(key, found, "a number");
  return found->as_double();
}

bool HfConfig::flag(const char* key, bool default_flag) const {
  const Json* found = find(key);
  if (found == nullptr) return default_flag;
  if (!found->is_bool()) refuse(key, found, "true or false");
  return found->as_bool();
}

std::string HfConfig::text(const char* key, const std::string& default_text) const {
  const Json* found = find(key);
  if (found == nullptr) return default_text;
  if (!found->is_string()) refuse(key, found, "a string");
  return found->as_string();
}

void HfConfig::require_only(const char* key, const Json& value) const {
  const Json* found = find(key);
  if (found != nullptr && !is_same_setting(*found, value))
    refuse(key, found, shown(value) + " (evenkeel has nothing else)");
}

void HfConfig::require_architecture(const char* name) const {
  const Json* found = find("architectures");
  if (found == nullptr) return;
  const bool is_listed = found->is_array() && found->size() == 1 && found->at(0) == Json(name);
  if (!is_listed) refuse("architectures", found, std::string("[\"") + name + "\"]");
}

void HfConfig::require_all_known() const {
  for (const auto& [key, value] : json_.as_object()) {
    const bool is_known = asked_for_.contains(key) ||
                          std::ranges::find(kKeysWithoutEffect, key) != std::end(kKeysWithoutEffect) ||
                          key.starts_with("_");
    if (!is_known && !says_nothing(value))
      refuse(key, &value, "no such key: evenkeel does not know what it changes (take it out where that is nothing)");
  }
}

}  // namespace evenkeel::checkpoint

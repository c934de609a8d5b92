// The keys of a config.json, listed once for both ways: a family's function asks for each, and what it names is read
// from the file or written to it. What a family has no key for is not written; it shows when the file is read back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/families/hf_config.h"
#include "model/layout.h"

namespace evenkeel::checkpoint {

// A model in the terms of evenkeel, its tables open.
struct HfForm {
  model::ModelConfig config;              // but for the two tables
  Json attention = Json::object();        // [model.attention]; when it is written with every option
  Json router = Json::object();           // [model.router] likewise
  int64_t max_sequence_length = 0;        // max_position_embeddings
  std::vector<std::string> notices = {};  // what a reader is to be told, for a warning
};
HfForm form_of(const model::ModelConfig& config, int64_t max_sequence_length);
model::ModelConfig config_of(const HfForm& form, const std::string& where);  // not checked

class HfKeys {
 public:
  HfKeys(const HfConfig& config, HfForm& form) : config_(&config), form_(form) {}  // reads
  HfKeys(Json& out, HfForm& form) : out_(&out), form_(form) {}                     // writes
  bool reads() const { return config_ != nullptr; }
  const HfConfig& config() const { return *config_; }  // of one that reads
  HfForm& form() { return form_; }
  model::ModelConfig& model() { return form_.config; }
  void put(const char* key, Json value) { (*out_)[key] = std::move(value); }  // of one that writes
  bool has_put(const char* key) const { return out_->find(key) != nullptr; }

  // `value` is a field of the model or an option of a table; `absent` is what it is where the key is not there.
  void size(const char* key, auto& value, std::optional<int64_t> absent = {}) {  // 1 or more; required without `absent`
    both(key, value, [&] { return absent ? config_->size(key, *absent) : config_->size(key); });
  }
  void count(const char* key, auto& value, int64_t absent) {  // 0 or more
    both(key, value, [&] { return config_->count(key, absent); });
  }
  void number(const char* key, auto& value, double absent) {
    both(key, value, [&] { return config_->number(key, absent); });
  }
  void flag(const char* key, auto& value, bool absent) {
    both(key, value, [&] { return config_->flag(key, absent); });
  }
  // The one value that evenkeel has; written too, but for null.
  void only(const char* key, const Json& value);

 private:
  void both(const char* key, auto& value, const auto& read) {
    if (reads()) {
      value = read();
    } else {
      put(key, value);
    }
  }

  const HfConfig* config_ = nullptr;
  Json* out_ = nullptr;
  HfForm& form_;
};

// ---- groups of keys that families share ----
struct DecoderKeys {
  double norm_eps = 1e-6;
  int64_t max_sequence_length = 2048;
  double theta = 1e4;
  bool has_head_dim = true;  // the class reads head_dim; otherwise it must be H / heads
  // Share of a head that is rotated where no key says it; nothing: the class has no such key.
  std::optional<double> rotary_fraction = {};
  int64_t head_dim = 0;  // where the key is absent; 0: H / heads
  // The one that the class has, whatever hidden_act says; nothing: hidden_act says it.
  std::optional<ops::Activation> activation = {};
};
// Sizes, rotation, norms, activation, tied head; settings that no family of ours has are refused.
void decoder_keys(HfKeys& keys, const DecoderKeys& of);
void attention_bias(HfKeys& keys, const char* key, bool absent, bool has_out_bias = true);
// A window that all layers have, where a layer_types that says otherwise is refused; `use_key`: a flag that must be set
// for it to count, or nullptr.
void sliding_window(HfKeys& keys, const char* use_key);
// Reads a window of the layers that layer_types gives it; of the `usual` ones where that key is absent.
void read_listed_window(HfKeys& keys, int64_t window, std::vector<int64_t> usual);
// A window that the layers of layer_types have; every other one, the first among them, where that is absent.
void alternating_window(HfKeys& keys, int64_t absent);
// DeepSeek's latent attention in place of the ordinary one.
void latent_attention(HfKeys& keys);

// How many experts there are stands under `own_key`, or under the name of another family: all are read, own is written.
void expert_keys(HfKeys& keys, const char* own_key, const char* width_key, std::optional<int64_t> width_absent = {});
// `by_key`: norm_topk_prob, false where it is absent; `by_key_above_one`: with one expert a token it does nothing.
enum class Renormalized { always, never, by_key, by_key_above_one };
// softmax over all experts.
void softmax_router(HfKeys& keys, Renormalized renormalized);
void sigmoid_router(HfKeys& keys, int64_t n_groups, int64_t groups_per_token, double scaling);  // V3's, with its bias
// Of a model that was read with weights divided by their sum: one expert a token has its weight divided by itself.
void divide_a_single_weight(HfKeys& keys);
// Whether a router, all options of which are given, has weights that sum to 1 before its scaling.
bool divides_by_the_sum(const Json& router, int64_t top_k);
void aux_loss(HfKeys& keys, double absent);  // router_aux_loss_coef
// DeepSeek's aux_loss_alpha and seq_aux.
void deepseek_aux_loss(HfKeys& keys, double absent);
void shared_by_count(HfKeys& keys, int64_t absent);  // n_shared_experts of the routed experts' width
void dense_first_layers(HfKeys& keys, int64_t absent);
void dense_listed_layers(HfKeys& keys);  // decoder_sparse_step, mlp_only_layers

using model::layers_with_experts;

}  // namespace evenkeel::checkpoint

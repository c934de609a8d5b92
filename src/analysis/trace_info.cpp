#include "analysis/trace_info.h"

#include <charconv>

#include "checkpoint/safetensors_header.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

constexpr const char* kVersion = "1";
constexpr std::pair<const char*, moe::Score> kScores[] = {
    {"softmax", moe::Score::softmax}, {"sigmoid", moe::Score::sigmoid}, {"sqrtsoftplus", moe::Score::sqrtsoftplus}};
// Beyond these a file is taken for damaged before anything is allocated.
constexpr int64_t kMostExperts = 1 << 20, kMostIds = 1 << 24, kMostWindows = INT64_C(1) << 40;

const char* name_of(moe::Score score) {
  for (const auto& [name, known] : kScores)
    if (known == score) return name;
  throw std::logic_error("a score without a name");
}

class Metadata {
 public:
  Metadata(const std::map<std::string, std::string>& pairs, const std::string& where) : pairs_(pairs), where_(where) {}
  const std::string* find(const std::string& key) const {
    const auto found = pairs_.find(key);
    return found == pairs_.end() ? nullptr : &found->second;
  }
  const std::string& text(const std::string& key) const {
    const auto* value = find(key);
    require<DataError>(value != nullptr, where_, ": metadata: got no '", key, "'; need it (is this a trace file?)");
    return *value;
  }
  int64_t number(const std::string& key, int64_t least, int64_t most) const {
    const std::string& value = text(key);
    int64_t out = -1;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    require<DataError>(error == std::errc() && end == value.data() + value.size() && out >= least && out <= most,
                       where_, ": metadata ", key, ": got ", checkpoint::shown_name(value),
                       "; need a whole number from ", least, " to ", most);
    return out;
  }

 private:
  const std::map<std::string, std::string>& pairs_;
  const std::string& where_;
};

// paths: of `got`, of `need`. An empty value is not known.
void check_metadata(const char* key, const std::string& got, const std::string& need,
                    const std::pair<std::string, std::string>& paths) {
  require<DataError>(got == need || got.empty() || need.empty(), paths.first, ": metadata ", key, ": got ",
                     checkpoint::shown_name(got), "; need ", checkpoint::shown_name(need), " as in ", paths.second);
}

}  // namespace

std::map<std::string, std::string> trace_metadata(const TraceInfo& info) {
  std::map<std::string, std::string> out = {{"name", info.name},
                                            {"model", info.model},
                                            {"mode", info.mode},
                                            {"capacity", info.capacity},
                                            {"tokenizer_sha256", info.tokenizer_sha256},
                                            {"tokenizer", info.tokenizer},
                                            {"n_experts", std::to_string(info.n_experts)},
                                            {"top_k", std::to_string(info.top_k)},
                                            {"vocab_size", std::to_string(info.vocab_size)},
                                            {"sequence_length", std::to_string(info.sequence_length)},
                                            {"batch_size", std::to_string(info.batch_size)},
                                            {"score", name_of(info.score)},
                                            {"format_version", kVersion}};
  if (info.step) out["step"] = std::to_string(*info.step);
  return out;
}

TraceInfo trace_info_from_metadata(const std::map<std::string, std::string>& pairs, const std::string& where) {
  const Metadata metadata(pairs, where);
  TraceInfo info;
  const std::string& version = metadata.text("format_version");
  require<DataError>(version == kVersion, where, ": metadata format_version: got ", checkpoint::shown_name(version),
                     "; need ", kVersion);
  info.name = metadata.text("name");
  info.model = metadata.text("model");
  info.mode = metadata.text("mode");
  require<DataError>(info.mode == "eval" || info.mode == "train", where, ": metadata mode: got ",
                     checkpoint::shown_name(info.mode), "; need eval or train");
  info.capacity = metadata.text("capacity");
  info.tokenizer_sha256 = metadata.text("tokenizer_sha256");
  if (const auto* tokenizer = metadata.find("tokenizer")) info.tokenizer = *tokenizer;
  info.n_experts = metadata.number("n_experts", 0, kMostExperts);
  info.top_k = metadata.number("top_k", info.n_experts > 0 ? 1 : 0, info.n_experts);
  if (metadata.find("vocab_size") != nullptr) info.vocab_size = metadata.number("vocab_size", 1, kMostIds);
  if (metadata.find("sequence_length") != nullptr)
    info.sequence_length = metadata.number("sequence_length", 0, kMostWindows);
  if (metadata.find("batch_size") != nullptr) info.batch_size = metadata.number("batch_size", 1, kMostWindows);
  if (metadata.find("step") != nullptr) info.step = metadata.number("step", 0, INT64_MAX);
  if (const auto* score = metadata.find("score")) {
    bool is_known = false;
    for (const auto& [name, value] : kScores) {
      if (*score == name) {
        info.score = value;
        is_known = true;
      }
    }
    require<DataError>(is_known, where, ": metadata score: got ", checkpoint::shown_name(*score),
                       "; need softmax, sigmoid or sqrtsoftplus");
  }
  return info;
}

void check_one_pass(const TraceInfo& got, const TraceInfo& need, const std::string& got_path,
                    const std::string& need_path) {
  const bool alike = got.layers == need.layers && got.n_experts == need.n_experts && got.top_k == need.top_k;
  require<DataError>(alike, got_path, ": got ", got.layers.size(), " MoE layers of ", got.n_experts, " experts, ",
                     got.top_k, " a token; need ", need.layers.size(), " of ", need.n_experts, ", ", need.top_k,
                     ", the same layers, as in ", need_path);
  check_metadata("mode", got.mode, need.mode, {got_path, need_path});
  const auto length = [](const TraceInfo& info) {
    return info.sequence_length > 0 ? std::to_string(info.sequence_length) : "";
  };
  check_metadata("sequence_length", length(got), length(need), {got_path, need_path});
  check_metadata("tokenizer_sha256", got.tokenizer_sha256, need.tokenizer_sha256, {got_path, need_path});
}

void check_one_model(const TraceInfo& got, const TraceInfo& need, const std::string& got_path,
                     const std::string& need_path) {
  check_one_pass(got, need, got_path, need_path);
  const auto step = [](const TraceInfo& info) { return info.step ? std::to_string(*info.step) : ""; };
  check_metadata("model", got.model, need.model, {got_path, need_path});
  check_metadata("step", step(got), step(need), {got_path, need_path});
  check_metadata("capacity", got.capacity, need.capacity, {got_path, need_path});
}

}  // namespace evenkeel::analysis

#include "data/tokenizers/tiktoken_encodings.h"

#include "core/errors.h"

namespace evenkeel::data {
namespace {

// The end of a text is \z, since $ is the end of a line in the syntax of data/tokenizers/regex.h.
constexpr const char* kGpt2 = R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+\z|\s+(?!\S)|\s)";
constexpr const char* kCl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|(?>\p{N}{1,3})| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++\z|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr const char* kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<TiktokenEncoding>& encodings() {
  static const std::vector<TiktokenEncoding> all = {
      {"r50k_base", 50256, kGpt2, "<|endoftext|>", nullptr, {{"<|endoftext|>", 50256}}, {}},
      {"cl100k_base",
       100256,
       kCl100k,
       "<|endoftext|>",
       nullptr,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}},
       {}},
      {"o200k_base",
       199998,
       kO200k,
       "<|endoftext|>",
       nullptr,
       {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}},
       {}},
      {"llama3",
       128000,
       kLlama3,
       "<|end_of_text|>",
       "<|begin_of_text|>",
       {{"<|begin_of_text|>", 128000},
        {"<|end_of_text|>", 128001},
        {"<|reserved_special_token_0|>", 128002},
        {"<|reserved_special_token_1|>", 128003},
        {"<|reserved_special_token_2|>", 128004},
        {"<|reserved_special_token_3|>", 128005},
        {"<|start_header_id|>", 128006},
        {"<|end_header_id|>", 128007},
        {"<|reserved_special_token_4|>", 128008},
        {"<|eot_id|>", 128009}},
       {"<|reserved_special_token_", 5, 128010, 128255}},
      {"qwen",
       151643,
       kQwen,
       "<|endoftext|>",
       nullptr,
       {{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}},
       {"<|extra_", 0, 151646, 151850}}};
  return all;
}

}  // namespace

const TiktokenEncoding* tiktoken_encoding(int64_t n_ranks) {
  for (const auto& encoding : encodings())
    if (encoding.n_ranks == n_ranks) return &encoding;
  return nullptr;
}

std::string known_tiktoken_encodings() {
  std::string out;
  for (const auto& encoding : encodings())
    add_to_list(out, std::string(encoding.name) + " (" + std::to_string(encoding.n_ranks) + ")");
  return out;
}

std::vector<AddedToken> special_tokens(const TiktokenEncoding& encoding) {
  std::vector<AddedToken> out;
  const auto add = [&](std::string content, int32_t id) {
    AddedToken token;
    token.id = id;
    token.content = std::move(content);
    token.is_special = true;
    out.push_back(std::move(token));
  };
  for (const auto& [content, id] : encoding.special_tokens) add(content, id);
  const auto& reserved = encoding.reserved;
  if (reserved.prefix == nullptr) return out;
  for (int32_t id = reserved.first_id; id <= reserved.last_id; ++id)
    add(reserved.prefix + std::to_string(reserved.first_number + id - reserved.first_id) + "|>", id);
  return out;
}

}  // namespace evenkeel::data

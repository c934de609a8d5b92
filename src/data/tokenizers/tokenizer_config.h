// What the files beside a tokenizer say of BOS and EOS: tokenizer_config.json and generation_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::data {

struct TokenizerConfig {
  std::optional<bool> adds_bos, adds_eos;           // add_bos_token, add_eos_token of tokenizer_config.json
  std::optional<std::string> bos_token, eos_token;  // the tokens themselves
  std::vector<int64_t> eos_ids;                     // eos_token_id of generation_config.json, one or a list
};
// Of the folder that `tokenizer`, a file, lies in. What is not there is empty. DataError for a file that is no JSON
// object, or has another kind of value.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& tokenizer);

}  // namespace evenkeel::data

// llm.c's .bin (dev/data/data_common.py there): 256 numbers of i32, of which the first three are the magic, the version
// and the number of ids, and the ids: u16 of GPT-2, u32 of Llama 3.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "core/errors.h"
#include "data/token_files/registry.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kHeaderBytes = 1024;
constexpr int32_t kChoicesMagic = 20240522;  // of multiple-choice questions for evaluations

struct Version {
  int32_t magic, version;
  TokenType type;
};
constexpr Version kVersions[] = {{20240520, 1, TokenType::u16}, {20240801, 7, TokenType::u32}};

int32_t number_at(std::string_view bytes, size_t index) {
  int32_t out = 0;
  std::memcpy(&out, bytes.data() + index * sizeof out, sizeof out);
  return out;
}

const Version* version_of(int32_t magic) {
  const auto* found =
      std::find_if(std::begin(kVersions), std::end(kVersions), [&](const auto& each) { return each.magic == magic; });
  return found != std::end(kVersions) ? found : nullptr;
}

bool is_llmc(std::string_view start) {
  if (start.size() < sizeof(int32_t)) return false;
  return version_of(number_at(start, 0)) != nullptr || number_at(start, 0) == kChoicesMagic;
}

TokenLayout llmc_layout(const TokenFileStart& file) {
  const std::string where = file.path.string();
  const Version* known = version_of(number_at(file.bytes, 0));
  require<DataError>(known != nullptr, where,
                     ": got llm.c's file of multiple-choice questions (magic 20240522); need one of tokens");
  require<DataError>(file.size_bytes >= kHeaderBytes, where, ": got ", file.size_bytes, " bytes; need the ",
                     kHeaderBytes, " of llm.c's header");
  const int32_t version = number_at(file.bytes, 1), n_tokens = number_at(file.bytes, 2);
  require<DataError>(version == known->version, where, ": got version ", version, " of llm.c's magic ", known->magic,
                     "; need ", known->version);
  require_type(file, known->type);
  const int64_t room = file.size_bytes - kHeaderBytes, size = size_of(known->type);
  require<DataError>(n_tokens >= 0 && room == n_tokens * size, where, ": got ", room,
                     " bytes behind the header; need those of ", n_tokens, " ids of ", name_of(known->type),
                     ", which it says");
  return {known->type, kHeaderBytes, n_tokens};
}

std::string llmc_header(TokenType type, int64_t n_tokens, const std::string& where) {
  const auto* version =
      std::find_if(std::begin(kVersions), std::end(kVersions), [&](const auto& each) { return each.type == type; });
  require<ConfigError>(version != std::end(kVersions), "--dtype: got ", name_of(type),
                       "; need u16 (GPT-2) or u32 (Llama 3) for llm.c");
  require<DataError>(n_tokens <= std::numeric_limits<int32_t>::max(), where, ": got ", n_tokens,
                     " tokens for a file of llm.c; need fewer than 2^31, the most that its header can say");
  const int32_t numbers[] = {version->magic, version->version, static_cast<int32_t>(n_tokens)};
  std::string out(kHeaderBytes, '\0');
  std::memcpy(out.data(), numbers, sizeof numbers);
  return out;
}

}  // namespace

TokenFileKind llmc_kind() {
  return {.name = "llmc",
          .help = "a .bin of llm.c: version 1 of u16 (GPT-2), 7 of u32 (Llama 3)",
          .suffix = "",
          .mark = DocumentMark::begins,
          .is_kind = is_llmc,
          .layout = llmc_layout,
          .header = llmc_header,
          .has_type = true};
}

}  // namespace evenkeel::data

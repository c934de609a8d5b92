#include "data/tokenizers/tokenizer_config.h"

#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"
#include "core/json_lines.h"
#include "core/json_value.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kMostBytes = INT64_C(1) << 26;

// Reads one of the files where it is there; `read` takes the document.
template <class Read>
void read_beside(const fs::path& tokenizer, const char* name, Read read) {
  const fs::path path = tokenizer.parent_path() / name;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return;
  const Json document = parse_foreign_json(read_file(path, kMostBytes), path.string());
  with_path(path, document, [&] {
    document.as_object();
    read(document);
  });
}

// "</s>", or an object with the text as its content.
std::optional<std::string> token_of(const Json& document, const char* key) {
  const Json* const found = find_value(document, key);
  if (found == nullptr) return std::nullopt;
  return found->is_object() ? found->at("content").as_string() : found->as_string();
}

std::optional<bool> flag_of(const Json& document, const char* key) {
  const Json* const found = find_value(document, key);
  return found != nullptr ? std::optional(found->as_bool()) : std::nullopt;
}

}  // namespace

TokenizerConfig read_tokenizer_config(const fs::path& tokenizer) {
  TokenizerConfig out;
  read_beside(tokenizer, "tokenizer_config.json", [&](const Json& document) {
    out.adds_bos = flag_of(document, "add_bos_token");
    out.adds_eos = flag_of(document, "add_eos_token");
    out.bos_token = token_of(document, "bos_token");
    out.eos_token = token_of(document, "eos_token");
  });
  read_beside(tokenizer, "generation_config.json", [&](const Json& document) {
    const Json* const eos = find_value(document, "eos_token_id");
    if (eos == nullptr) return;
    if (!eos->is_array()) return out.eos_ids.push_back(eos->as_int());
    for (const auto& id : eos->as_array()) out.eos_ids.push_back(id.as_int());
  });
  return out;
}

}  // namespace evenkeel::data

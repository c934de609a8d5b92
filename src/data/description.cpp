#include "data/description.h"

#include <string>

#include "core/errors.h"
#include "core/file_io.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kMostBytes = INT64_C(1) << 26;  // of a description: inputs take about 100 bytes each

fs::path with_suffix(const fs::path& prefix, const char* suffix) { return prefix.string() + suffix; }

int64_t count_of(const Json& description, const char* key, const fs::path& path) {
  const Json* count = description.find(key);
  require<DataError>(count != nullptr, path.string(), ": got no '", key,
                     "'; need the description that evenkeel prepare wrote");
  require<DataError>(count->is_integer() && count->as_int() >= 0, path.string(), ": ", key, ": got ", count->dump(),
                     "; need a whole number from 0");
  return count->as_int();
}

}  // namespace

void require_prefix(const fs::path& prefix) {
  std::error_code ignored;
  if (fs::exists(with_suffix(prefix, ".idx"), ignored)) return;
  const std::string suffix = prefix.extension().string();
  const fs::path stem = fs::path(prefix).replace_extension();
  if (suffix == ".bin" || suffix == ".idx" || suffix == ".json")
    require<DataError>(!fs::exists(with_suffix(stem, ".idx"), ignored), prefix.string(),
                       ": got a file of the pair; need its PREFIX: ", stem.string());
  require<DataError>(!fs::is_directory(prefix, ignored), prefix.string(),
                     ": got a folder; need the PREFIX of a .bin and .idx, as in ", (prefix / "en").string());
  const bool is_tokens = suffix == ".npy" || suffix == ".bin";
  require<DataError>(!fs::is_regular_file(prefix, ignored), prefix.string(), ": got a ", is_tokens ? "token " : "",
                     "file; need the PREFIX of a .bin and .idx ('evenkeel ",
                     is_tokens ? "convert' makes them of it)" : "prepare' makes them of text)");
}

Json read_description(const fs::path& prefix) {
  const fs::path path = with_suffix(prefix, ".json");
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return {};
  if (fs::file_size(path, ignored) > static_cast<uintmax_t>(kMostBytes)) return {};
  const std::string text = read_file(path);
  require<DataError>(!text.empty(), path.string(),
                     ": got an empty file; need the description that evenkeel prepare wrote, or no such file");
  if (text.find(kDescriptionFormat) == std::string::npos) return {};
  Json json = Json::parse(text, path.string());
  const Json* format = json.find("format");
  return format != nullptr && *format == Json(kDescriptionFormat) ? json : Json();
}

int64_t described_text_bytes(const fs::path& prefix, int64_t n_tokens) {
  const Json description = read_description(prefix);
  if (description.is_null()) return 0;
  const fs::path path = with_suffix(prefix, ".json");
  const int64_t tokens = count_of(description, "tokens", path);
  require<DataError>(tokens == n_tokens, path.string(), ": got ", tokens, " tokens; need ", n_tokens,
                     " as in the .bin file (does it belong to another pair?)");
  const Json* bytes = description.find("bytes");
  return bytes != nullptr && bytes->is_null() ? 0 : count_of(description, "bytes", path);
}

std::string described_path(const fs::path& prefix, const fs::path& path) {
  return fs::proximate(fs::absolute(path), fs::absolute(prefix).parent_path()).string();
}

std::string described_tokenizer(const fs::path& prefix) {
  const Json description = read_description(prefix);
  const Json* file = description.is_object() ? description.find("tokenizer") : nullptr;
  if (file == nullptr || !file->is_string() || file->as_string().empty()) return "";
  return (fs::absolute(prefix).parent_path() / file->as_string()).lexically_normal().string();
}

}  // namespace evenkeel::data

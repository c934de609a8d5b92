#include "core/output.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/protobuf.h"
#include "core/table.h"

namespace evenkeel {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 28;  // of a file that is read whole for its mark

// ---- what is there ----

// The entry itself, no link followed; nothing where there is none.
std::optional<struct stat> entry_at(const fs::path& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) return info;
  return std::nullopt;
}

// What a link leads to, in the end.
std::optional<struct stat> target_of(const fs::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return info;
  return std::nullopt;
}

bool is_same(const struct stat& left, const struct stat& right) {
  return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

std::string description(const struct stat& info, const fs::path& path) {
  std::error_code ignored;
  switch (info.st_mode & S_IFMT) {
    case S_IFLNK: return "a symbolic link to '" + fs::read_symlink(path, ignored).string() + "'";
    case S_IFIFO: return "a pipe";
    case S_IFSOCK: return "a socket";
    case S_IFCHR:
    case S_IFBLK: return "a device";
    case S_IFDIR: return "a folder";
    default: return "a file";
  }
}

// The first bytes of a plain file; "" where there is none or it cannot be read.
std::string head_of(const fs::path& path, size_t most = 1024) {
  const auto info = entry_at(path);
  if (!info || !S_ISREG(info->st_mode)) return "";
  const int descriptor = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return "";
  std::string out(most, '\0');
  const ssize_t n = pread(descriptor, out.data(), out.size(), 0);
  close(descriptor);
  out.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return out;
}

bool head_has(const fs::path& path, std::string_view text) { return head_of(path).find(text) != std::string::npos; }
int64_t bytes_in(const fs::path& path) { return entry_at(path)->st_size; }  // of what is there

// The document of a plain file; null where it is none.
Json json_of(const fs::path& path) {
  const auto info = entry_at(path);
  if (!info || !S_ISREG(info->st_mode) || info->st_size > kMaxBytes) return {};
  try {
    return read_json(path);
  } catch (const Error&) {
    return {};
  }
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

// ---- the marks: each is asked of a plain file, or a folder, that is there ----

int64_t count_in(const Json& json, const char* key) {
  const Json* value = json.find(key);
  return value != nullptr && value->is_integer() ? value->as_int() : -1;
}

// The ids that a pair was written for; where its description says none, those up to its largest.
int64_t vocabulary_of_pair(const Json& description) {
  const Json *vocabulary = description.find("vocab_size"), *contents = description.find("contents");
  const bool is_unknown = vocabulary != nullptr && vocabulary->is_null() && contents != nullptr;
  return is_unknown ? count_in(*contents, "largest_id") + 1 : count_in(description, "vocab_size");
}

// One part of a pair: PREFIX.json describes it, and the part has the size that follows (docs/formats.md).
bool is_own_pair(const fs::path& path) {
  const std::string suffix = path.extension().string();
  const Json json = json_of(fs::path(path).replace_extension(".json"));
  const Json* format = json.find("format");
  if (format == nullptr || *format != Json("evenkeel.data.v1")) return false;
  if (suffix == ".json" || json.find("unfinished") != nullptr) return true;
  const int64_t tokens = count_in(json, "tokens"), documents = count_in(json, "documents"), size_bytes = bytes_in(path);
  const int64_t sequences = json.find("sequences") != nullptr ? count_in(json, "sequences") : documents;
  if (suffix == ".scored") {
    const Json* scored = json.find("scored");
    return scored != nullptr && scored->is_object() && size_bytes == tokens;
  }
  constexpr int64_t kU16Vocabulary = 65500, kIndexBytes = 42, kSequenceBytes = 12, kDocumentBytes = 8;
  if (suffix == ".bin") return size_bytes == tokens * (vocabulary_of_pair(json) < kU16Vocabulary ? 2 : 4);
  return size_bytes == kIndexBytes + kSequenceBytes * sequences + kDocumentBytes * documents;
}

// What `tokenizer extend` wrote bears its mark.
bool is_extended(const std::string& content, const fs::path& path) {
  if (content.starts_with('{')) {
    const Json json = json_of(path);
    const Json* const model = json.find("model");
    const Json* const mark = model != nullptr ? model->find(kExtendedKey) : nullptr;
    return mark != nullptr && mark->is_string() && mark->as_string() == kExtendedMark;
  }
  const auto fields = proto_fields(content).value_or(std::vector<ProtoField>());
  return std::any_of(fields.begin(), fields.end(), [](const ProtoField& field) {
    return field.number == kExtendedField && field.bytes == kExtendedMark;
  });
}

// Such a file, or a SentencePiece model whose trainer_spec (field 2) holds what `tokenizer train` asks for and nothing
// else. Kind, size and the switch for large text are free. A model that was trained from files names them, and is
// another's.
bool is_own_tokenizer(const fs::path& path) {
  constexpr uint64_t kTrainerSpec = 2, kUserSymbols = 31, kFree[] = {3, 4, 49};
  const std::map<uint64_t, uint64_t> wanted = {{16, 16}, {18, 4192}, {35, 1},           {40, 0},
                                               {41, 1},  {42, 2},    {43, ~uint64_t{0}}};
  if (bytes_in(path) > kMaxBytes) return false;
  const std::string model = read_file(path);
  if (is_extended(model, path)) return true;
  size_t n_wanted = 0, n_symbols = 0;
  for (const auto& part : proto_fields(model).value_or(std::vector<ProtoField>())) {
    if (part.number != kTrainerSpec) continue;
    for (const auto& field : proto_fields(part.bytes).value_or(std::vector<ProtoField>())) {
      const auto found = wanted.find(field.number);
      if (field.number == kUserSymbols && field.bytes == "\n") {
        ++n_symbols;
      } else if (found != wanted.end() && found->second == field.value) {
        ++n_wanted;
      } else if (std::find(std::begin(kFree), std::end(kFree), field.number) == std::end(kFree)) {
        return false;
      }
    }
  }
  return n_wanted == wanted.size() && n_symbols == 1;
}

// Pages of before there was a meta tag are known by their title.
bool is_own_page(const fs::path& path) {
  return head_has(path, R"(<meta name="generator" content="evenkeel">)") ||
         head_has(path, "<title>evenkeel report</title>");
}

bool is_own_trace(const fs::path& path) {
  constexpr size_t kLengthBytes = 8, kMaxHeaderBytes = size_t{1} << 26;
  uint64_t header_bytes = 0;
  const std::string length = head_of(path, kLengthBytes);
  if (length.size() < kLengthBytes) return false;
  std::memcpy(&header_bytes, length.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > static_cast<uint64_t>(bytes_in(path)) - kLengthBytes)
    return false;
  const std::string text = head_of(path, kLengthBytes + header_bytes);
  try {
    const Json header = Json::parse(std::string_view(text).substr(kLengthBytes), path.string());
    const Json* metadata = header.find("__metadata__");
    if (metadata == nullptr || header.find("predicted_ids") == nullptr) return false;
    const auto has = [&](const char* key) { return metadata->find(key) != nullptr; };
    constexpr const char* kKeys[] = {"format_version", "n_experts", "top_k", "mode", "capacity", "tokenizer_sha256"};
    return std::all_of(std::begin(kKeys), std::end(kKeys), has);
  } catch (const DataError&) {
    return false;
  }
}

bool is_own_results(const fs::path& path) { return head_has(path, "\"evenkeel.results.v1\""); }
bool is_own_tokens(const fs::path&) { return false; }
bool is_own_skipped(const fs::path& path) { return head_has(path, "{\"format\":\"evenkeel.skipped.v"); }
bool is_own_speed(const fs::path& path) { return head_has(path, "\"evenkeel.speed.v"); }
bool is_own_metrics(const fs::path& path) {
  const std::string head = head_of(path);
  return bytes_in(path) == 0 || (head.starts_with("{\"step\":") && head.find(",\"phase\":\"") != std::string::npos);
}
bool is_own_loads(const fs::path& path) { return bytes_in(path) == 0 || head_of(path).starts_with(kLoadsMark); }
bool is_own_log(const fs::path& path) { return bytes_in(path) == 0 || head_of(path).starts_with("evenkeel: "); }
bool is_own_lock(const fs::path& path) { return bytes_in(path) == 0 || head_of(path) == kFolderMark; }
bool is_own_events(const fs::path& path) { return bytes_in(path) == 0 || head_has(path, "brain.Event:2"); }

// All that is in the folder stands in its manifest.
bool is_own_checkpoint(const fs::path& folder) {
  const fs::path path = folder / "manifest.json";
  const Json manifest = json_of(path);
  const Json* files = manifest.find("files");
  if (!head_has(path, "\"evenkeel.manifest.") || files == nullptr || !files->is_array()) return false;
  const auto is_listed = [&](const fs::path& entry) {
    const auto& listed = files->as_array();
    return entry == path || std::any_of(listed.begin(), listed.end(), [&](const Json& file) {
             const Json* name = file.find("name");
             return name != nullptr && *name == Json(entry.lexically_relative(folder).string());
           });
  };
  auto entries = entries_of(folder);
  const fs::path origin = folder / "origin";  // the one folder that a checkpoint has
  if (const auto info = entry_at(origin); info && S_ISDIR(info->st_mode)) {
    std::erase(entries, origin);
    for (auto& path_below : entries_of(origin)) entries.push_back(std::move(path_below));
  }
  return std::all_of(entries.begin(), entries.end(), is_listed);
}

// All that is in the folder stands in its evenkeel.json.
bool is_own_export(const fs::path& folder) {
  const fs::path path = folder / "evenkeel.json";
  const Json json = json_of(path);
  const Json *format = json.find("format"), *files = json.find("files");
  if (format == nullptr || *format != Json("evenkeel.export.v1") || files == nullptr || !files->is_array())
    return false;
  const auto entries = entries_of(folder);
  return std::all_of(entries.begin(), entries.end(), [&](const fs::path& entry) {
    const auto& listed = files->as_array();
    return entry == path || std::find(listed.begin(), listed.end(), Json(entry.filename().string())) != listed.end();
  });
}

bool has_resolved_recipe(const fs::path& run) {
  const Json resolved = json_of(run / "resolved.json");
  return resolved.find("model") != nullptr && resolved.find("train") != nullptr && resolved.find("phase") != nullptr;
}

// A run, a study or an analysis. Those of before the lock bore a mark are known by what they hold.
bool is_own_folder(const fs::path& folder) {
  if (head_of(folder / ".lock") == kFolderMark || is_own_results(folder / "results.json") ||
      has_resolved_recipe(folder))
    return true;
  const auto is_saved = [](const fs::path& step) { return head_has(step / "manifest.json", "\"evenkeel.manifest."); };
  const auto steps = entries_of(folder / "checkpoints"), arms = entries_of(folder / "arms");
  return std::any_of(steps.begin(), steps.end(), is_saved) ||
         std::any_of(arms.begin(), arms.end(), has_resolved_recipe);
}

bool is_own_member(const fs::path& path) { return is_own_folder(path.parent_path()); }
bool is_own_subfolder(const fs::path& path) { return entries_of(path).empty() || is_own_folder(path.parent_path()); }

// results.json has the table, and the first line its columns. Tables that are too long for it begin with a layer. Where
// results.json is gone, a study's tables are known by their first column.
bool is_own_table(const fs::path& path) {
  const fs::path folder = path.parent_path().parent_path();
  const std::string head = head_of(path, size_t{1} << 16);
  if (head.find("\r\n") == std::string::npos) return false;
  if (!entry_at(folder / "results.json"))
    return is_own_folder(folder) && (head.starts_with("arm,") || head.starts_with("group,"));
  if (!is_own_results(folder / "results.json")) return false;
  const Json results = json_of(folder / "results.json");
  const Json* tables = results.find("tables");
  const Json* table = tables == nullptr ? nullptr : tables->find(path.stem().string());
  if (table == nullptr) return head.starts_with("layer");
  try {
    Table shape = table_from_json(*table);
    shape.rows.clear();
    return head.starts_with(to_csv(shape));
  } catch (const DataError&) {
    return false;
  }
}

// A kind of output in messages, its mark, and what it is on the disk.
struct Kind {
  OutputKind kind;
  const char* name;
  bool (*is_own)(const fs::path& path);
  enum Form { file, folder, whole_folder };
  Form form = file;
};
constexpr Kind kKinds[] = {
    {OutputKind::pair, "part of a pair that its PREFIX.json describes", is_own_pair},
    {OutputKind::skipped, "a list of lines that were passed over", is_own_skipped},
    {OutputKind::tokens, "a token file with a mark, which such files have no place for", is_own_tokens},
    {OutputKind::tokenizer, "a tokenizer", is_own_tokenizer},
    {OutputKind::page, "a page", is_own_page},
    {OutputKind::trace, "a trace", is_own_trace},
    {OutputKind::results, "the results of a run, study or analysis", is_own_results},
    {OutputKind::speed, "the speeds of a study", is_own_speed},
    {OutputKind::metrics, "the metrics of a run", is_own_metrics},
    {OutputKind::loads, "the loads of a run", is_own_loads},
    {OutputKind::log, "the log of a run", is_own_log},
    {OutputKind::lock, "the lock of a run or study", is_own_lock},
    {OutputKind::events, "TensorBoard events", is_own_events},
    {OutputKind::table, "a table of the results.json above it", is_own_table},
    {OutputKind::member, "a file of a run or study", is_own_member},
    {OutputKind::subfolder, "a folder of a run, study or analysis", is_own_subfolder, Kind::folder},
    {OutputKind::checkpoint, "a checkpoint whose manifest.json lists all that is in it", is_own_checkpoint,
     Kind::whole_folder},
    {OutputKind::exported, "a Hugging Face folder whose evenkeel.json lists all that is in it", is_own_export,
     Kind::whole_folder},
};

const Kind& kind_of(const Output& output) {
  const auto is_it = [&](const Kind& kind) { return kind.kind == output.kind; };
  return *std::find_if(std::begin(kKinds), std::end(kKinds), is_it);
}

// Whether `input` lies in the folder, whatever links lead there.
bool is_below(const fs::path& input, const struct stat& folder) {
  std::error_code error;
  for (fs::path path = fs::canonical(input, error); !error && path.has_relative_path(); path = path.parent_path())
    if (const auto info = entry_at(path.parent_path()); info && is_same(*info, folder)) return true;
  return false;
}

// What is there has the right form, and is no input.
void require_replaceable(const Output& output, const std::vector<fs::path>& inputs) {
  const Kind& kind = kind_of(output);
  const std::string path = output.path.string();
  const bool is_above = output.path.filename() == "." || output.path.filename() == "..";
  require<ConfigError>(output.path.has_filename() && !is_above, path, ": got ", is_above ? "a folder" : "no file name",
                       "; need ", kind.form == Kind::file ? "the name of a file" : "a name",
                       " to write (another --out)");
  const auto info = entry_at(output.path);
  if (!info) return;
  const bool is_form = kind.form == Kind::file ? S_ISREG(info->st_mode) : S_ISDIR(info->st_mode);
  require<ConfigError>(
      is_form, path, ": got ", description(*info, output.path), " where ", kind.name,
      " is to be written; need another --out, or nothing there (nothing is written through pipes, devices and",
      " links, and no folder is replaced by a file)");
  for (const auto& input : inputs) {
    const auto read = target_of(input);
    require<ConfigError>(!read || !is_same(*read, *info), path, ": got an output that is the input ", input.string(),
                         "; need another --out");
    require<ConfigError>(!read || kind.form != Kind::whole_folder || !is_below(input, *info), path,
                         ": got an output folder that holds the input ", input.string(), "; need another --out");
  }
}

void require_mark(const Output& output) {
  const Kind& kind = kind_of(output);
  const auto info = entry_at(output.path);
  require<ConfigError>(!info || kind.is_own(output.path), output.path.string(), ": got ",
                       info ? description(*info, output.path) : "", " that evenkeel did not write as ", kind.name,
                       "; need it removed, or another --out");
}

}  // namespace

void require_own_outputs(const std::vector<Output>& outputs, const std::vector<fs::path>& inputs) {
  for (const auto& output : outputs) require_replaceable(output, inputs);
  for (auto output = outputs.rbegin(); output != outputs.rend(); ++output)
    require_mark(*output);  // what says whose the others are first
}

bool is_own(const Output& output) {
  const Kind& kind = kind_of(output);
  const auto info = entry_at(output.path);
  return info && (kind.form == Kind::file ? S_ISREG(info->st_mode) : S_ISDIR(info->st_mode)) &&
         kind.is_own(output.path);
}

bool has_content(const fs::path& file, std::string_view content) {
  const auto info = entry_at(file);
  return info && S_ISREG(info->st_mode) && static_cast<size_t>(info->st_size) == content.size() &&
         read_file(file) == content;
}

bool is_events_name(std::string_view name) {
  constexpr std::string_view kPrefix = "events.out.tfevents.", kSuffix = ".evenkeel";
  constexpr size_t kDigits = 10;
  if (name.size() != kPrefix.size() + kDigits + kSuffix.size() || !name.starts_with(kPrefix) ||
      !name.ends_with(kSuffix))
    return false;
  const auto digits = name.substr(kPrefix.size(), kDigits);  // a step; a time begins with 1 since 2001
  return digits[0] == '0' && digits.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<Output> pair_outputs(const fs::path& prefix) {
  std::vector<Output> out;
  for (const char* suffix : {".bin", ".idx", ".scored", ".json"})
    out.push_back({prefix.string() + suffix, OutputKind::pair});
  return out;
}

std::vector<fs::path> tables_of_results(const fs::path& folder) {
  std::vector<fs::path> out;
  const Json results = json_of(folder / "results.json");
  const Json* tables = results.find("tables");
  for (const auto& path : entries_of(folder / "csv"))
    if (path.extension() == ".csv" && tables != nullptr && tables->find(path.stem().string()) != nullptr)
      out.push_back(path);
  return out;
}

std::vector<Output> run_outputs(const fs::path& run, std::string_view recipe) {
  std::vector<Output> out = {
      {run / ".lock", OutputKind::lock},
      {run / "resolved.json", OutputKind::member},
      {run / "metrics.jsonl", OutputKind::metrics},
      {run / "load.columns", OutputKind::loads},
      {run / "results.json", OutputKind::results},
      {run / "report.html", OutputKind::page},
      {run / "log.txt", OutputKind::log},
      {run / "checkpoints", OutputKind::subfolder},
      {run / "csv", OutputKind::subfolder},
      {run / "tensorboard", OutputKind::subfolder},
  };
  if (!has_content(run / "recipe.toml", recipe)) out.push_back({run / "recipe.toml", OutputKind::member});
  for (const auto& path : entries_of(run / "tensorboard"))
    if (is_events_name(path.filename().string())) out.push_back({path, OutputKind::events});
  for (const auto& path : tables_of_results(run)) out.push_back({path, OutputKind::table});
  return out;
}

std::vector<Output> study_outputs(const fs::path& study, std::string_view recipe) {
  std::vector<Output> out = {
      {study / ".lock", OutputKind::lock},       {study / "results.json", OutputKind::results},
      {study / "speed.json", OutputKind::speed}, {study / "report.html", OutputKind::page},
      {study / "arms", OutputKind::subfolder},   {study / "csv", OutputKind::subfolder},
  };
  if (!has_content(study / "study.toml", recipe)) out.push_back({study / "study.toml", OutputKind::member});
  for (const auto& path : tables_of_results(study)) out.push_back({path, OutputKind::table});
  return out;
}

std::vector<Output> analysis_outputs(const fs::path& folder) {
  std::vector<Output> out;
  for (const auto& path : entries_of(folder / "csv")) out.push_back({path, OutputKind::table});
  out.push_back({folder / "csv", OutputKind::subfolder});
  out.push_back({folder / "report.html", OutputKind::page});
  out.push_back({folder / "results.json", OutputKind::results});
  return out;
}

}  // namespace evenkeel

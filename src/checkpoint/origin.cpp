#include "checkpoint/origin.h"

#include <algorithm>
#include <charconv>

#include "checkpoint/families.h"
#include "checkpoint/model_source.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"
#include "core/json_lines.h"
#include "data/tokenizer.h"

namespace evenkeel::checkpoint {
namespace {

constexpr const char* kNames[] = {"config.json",
                                  "generation_config.json",
                                  "tokenizer.json",
                                  "tokenizer.model",
                                  "tokenizer_config.json",
                                  "special_tokens_map.json",
                                  "added_tokens.json",
                                  "merges.txt",
                                  "vocab.json",
                                  "vocab.txt"};

// The class is no part of transformers: its code lies beside.
bool has_own_code(const fs::path& folder) {
  try {
    return HfConfig(folder).has("auto_map");
  } catch (const CheckpointError&) {
    return false;
  }
}

// A token that the files beside a tokenizer add to its pieces.
struct AddedToken {
  fs::path file;  // that says so
  std::string content;
  int64_t id = 0;
};

template <class Read>
void read_object(const fs::path& file, Read read) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return;
  const Json document = parse_foreign_json(read_file(file), file.string());
  with_path(file, document, [&] {
    document.as_object();
    read(document);
  });
}

// {"32000": {"content": "<pad>"}} of the one, {"<pad>": 32000} of the other.
std::vector<AddedToken> added_tokens(const fs::path& folder) {
  std::vector<AddedToken> out;
  const fs::path config = folder / "tokenizer_config.json", list = folder / "added_tokens.json";
  read_object(config, [&](const Json& document) {
    const Json* tokens = document.find("added_tokens_decoder");
    if (tokens == nullptr || tokens->is_null()) return;
    for (const auto& [key, token] : tokens->as_object()) {
      int64_t id = -1;
      const auto end = std::from_chars(key.data(), key.data() + key.size(), id).ptr;
      if (end == key.data() + key.size()) out.push_back({config, token.at("content").as_string(), id});
    }
  });
  read_object(list, [&](const Json& document) {
    for (const auto& [token, id] : document.as_object()) out.push_back({list, token, id.as_int()});
  });
  return out;
}

// Of the smallest of the tokenizers of a folder; 0 where none can be read.
int64_t n_pieces(const fs::path& folder) {
  int64_t out = 0;
  for (const auto& file : data::tokenizer_files(folder)) {
    try {
      const int64_t size = data::open_tokenizer(file)->vocab_size();
      out = out == 0 ? size : std::min(out, size);
    } catch (const DataError&) {
      continue;
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> origin_names(const fs::path& folder) {
  std::vector<std::string> out;
  const bool takes_code = has_own_code(folder);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_named = std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
                          name.starts_with("chat_template") || (takes_code && name.ends_with(".py"));
    if (is_named && entry.is_regular_file(error)) out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

fs::path origin_of(const fs::path& model) {
  if (is_hf_folder(model)) return model;
  std::error_code ignored;
  const fs::path kept = find_checkpoint(model, std::nullopt) / kOriginName;
  return fs::is_directory(kept, ignored) ? kept : fs::path();
}

void keep_origin(const fs::path& from, const fs::path& checkpoint, const fs::path& tokenizer) {
  constexpr const char* kPieces[] = {"tokenizer.json", "tokenizer.model", "added_tokens.json",
                                     "merges.txt",     "vocab.json",      "vocab.txt"};
  const fs::path to = checkpoint / kOriginName;
  const bool is_ours = from.filename() == kOriginName && fs::exists(from.parent_path() / "manifest.json");
  auto names = from.empty() ? std::vector<std::string>() : origin_names(from);
  if (!tokenizer.empty())
    std::erase_if(names, [&](const auto& name) {
      return std::find(std::begin(kPieces), std::end(kPieces), name) != std::end(kPieces);
    });
  if (!names.empty() || !tokenizer.empty()) make_folders(to);
  for (const auto& name : names) {
    std::error_code error;
    if (is_ours) fs::create_hard_link(from / name, to / name, error);
    if (!is_ours || error) write_file_atomically(to / name, read_file(from / name));
  }
  if (!tokenizer.empty())
    write_file_atomically(to / (tokenizer.extension() == ".json" ? "tokenizer.json" : "tokenizer.model"),
                          read_file(tokenizer));
}

void require_free_ids(const fs::path& origin, const fs::path& tokenizer) {
  const auto tokens = added_tokens(origin);
  if (tokens.empty()) return;
  const auto larger = data::open_tokenizer(tokenizer);
  const int64_t first = n_pieces(origin);
  for (const auto& token : tokens) {
    if (token.id < first || token.id >= larger->vocab_size()) continue;
    const std::string piece = larger->piece(static_cast<int32_t>(token.id));
    require<DataError>(piece == token.content, token.file.string(), ": got the added token '", token.content,
                       "' with the id ", token.id, ", which is the new piece '", piece, "' of ", tokenizer.string(),
                       "; need a tokenizer.json with that token, of which 'evenkeel tokenizer extend' makes one whose "
                       "new pieces come behind it, or a model without the token");
  }
}

}  // namespace evenkeel::checkpoint

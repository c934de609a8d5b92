// The kinds of token files that other trainers read and write. A kind is one file in data/token_files and one line in
// the registry.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/token_files/token_type.h"

namespace evenkeel::data {

// How documents are told apart in a stream of ids: by an id that ends, or begins, each.
enum class DocumentMark { none, ends, begins };
const char* name_of(DocumentMark mark);
std::optional<DocumentMark> document_mark_of(std::string_view name);

// Where in a file its ids are; they end with the file.
struct TokenLayout {
  TokenType type = TokenType::u16;
  int64_t first_byte = 0, n_tokens = 0;
  int64_t n_windows = 0;  // rows of a table of ids; 0: a plain list
};

// A file that is being read: its start, as far as it is needed, and its size.
struct TokenFileStart {
  std::filesystem::path path;
  std::string_view bytes;
  int64_t size_bytes = 0;
  std::optional<TokenType> dtype;  // what the caller says it is
};
constexpr int64_t kStartBytes = int64_t{1} << 16;  // at most, of `bytes`

struct TokenFileKind {
  const char* name;    // of --to
  const char* help;    // for people
  const char* suffix;  // of file names that mean this kind and no other; "" = none does
  DocumentMark mark;   // how its writers set documents apart
  bool (*is_kind)(std::string_view start);
  TokenLayout (*layout)(const TokenFileStart& file);  // DataError names the file
  // What is written ahead of the ids. DataError where the kind cannot hold such ids or so many.
  std::string (*header)(TokenType type, int64_t n_tokens, const std::string& where);
  bool has_type;  // whether its header says the type of its ids
};
const std::vector<TokenFileKind>& token_file_kinds();  // a file is of the first kind that takes it
const TokenFileKind& token_file_kind(std::string_view start);
// ConfigError where `dtype` is another type than the header says.
void require_type(const TokenFileStart& file, TokenType said_by_header);

}  // namespace evenkeel::data

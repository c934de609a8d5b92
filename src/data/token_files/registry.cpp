// The list of kinds of token files. To add one: its file in data/token_files, one line here, its test beside.
#include "data/token_files/registry.h"

#include <algorithm>

#include "core/errors.h"

#define EVENKEEL_TOKEN_FILES(X) \
  X(npy)                        \
  X(llmc)                       \
  X(raw)  // without a header: whatever the others leave

namespace evenkeel::data {

const char* name_of(DocumentMark mark) {
  switch (mark) {
    case DocumentMark::none: return "none";
    case DocumentMark::ends: return "ends";
    case DocumentMark::begins: break;
  }
  return "begins";
}

std::optional<DocumentMark> document_mark_of(std::string_view name) {
  for (const auto mark : {DocumentMark::none, DocumentMark::ends, DocumentMark::begins})
    if (name == name_of(mark)) return mark;
  return std::nullopt;
}

#define X(name) TokenFileKind name##_kind();
EVENKEEL_TOKEN_FILES(X)
#undef X

const std::vector<TokenFileKind>& token_file_kinds() {
#define X(name) name##_kind(),
  static const std::vector<TokenFileKind> kinds = {EVENKEEL_TOKEN_FILES(X)};
#undef X
  return kinds;
}

const TokenFileKind& token_file_kind(std::string_view start) {
  const auto& kinds = token_file_kinds();
  return *std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.is_kind(start); });
}

void require_type(const TokenFileStart& file, TokenType said_by_header) {
  require<ConfigError>(!file.dtype || *file.dtype == said_by_header, "--dtype: got ",
                       file.dtype ? name_of(*file.dtype) : "", ", and the header of ", file.path.string(), " says ",
                       name_of(said_by_header), "; need no --dtype for a file with a header");
}

}  // namespace evenkeel::data

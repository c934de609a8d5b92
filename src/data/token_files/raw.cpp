// Ids and nothing else, of a type that the caller says: nanoGPT's .bin, and the files of OLMo, whose memory-mapped .npy
// have no header in spite of their name.
#include "core/errors.h"
#include "core/file_io.h"
#include "data/token_files/registry.h"

namespace evenkeel::data {
namespace {

bool is_raw(std::string_view) { return true; }

// What is surely something else, whatever type is given for it.
void require_ids_alone(const TokenFileStart& file) {
  const std::string where = file.path.string(), suffix = file.path.extension().string();
  require<DataError>(!file.bytes.starts_with("MMIDIDX"), where,
                     ": got the index of a pair; need its PREFIX, without .idx");
  std::error_code ignored;
  const fs::path stem = fs::path(file.path).replace_extension();
  require<DataError>(suffix != ".bin" || !fs::exists(stem.string() + ".idx", ignored), where,
                     ": got a file of the pair; need its PREFIX: ", stem.string());
  for (const char* packed : {".npz", ".gz", ".xz", ".zst", ".zip"})
    require<DataError>(suffix != packed, where, ": got a packed file (", packed, "); need it unpacked");
}

TokenLayout raw_layout(const TokenFileStart& file) {
  require_ids_alone(file);
  const std::string where = file.path.string();
  const char* what = file.path.extension() == ".npy" ? "a .npy without numpy's header, as OLMo's files of tokens are"
                                                     : "a file without a header of numpy or llm.c";
  require<DataError>(file.dtype.has_value(), where, ": got ", what,
                     "; need --dtype with the type of its ids: ", token_type_names());
  const int64_t size = size_of(*file.dtype);
  require<DataError>(file.size_bytes % size == 0, where, ": got ", file.size_bytes, " bytes; need a multiple of ", size,
                     ", the size of an id of ", name_of(*file.dtype));
  return {*file.dtype, 0, file.size_bytes / size};
}

std::string raw_header(TokenType, int64_t, const std::string&) { return ""; }

}  // namespace

TokenFileKind raw_kind() {
  return {.name = "raw",
          .help = "ids alone, of the type that --dtype says (OLMo's .npy are such)",
          .suffix = "",
          .mark = DocumentMark::ends,
          .is_kind = is_raw,
          .layout = raw_layout,
          .header = raw_header,
          .has_type = false};
}

}  // namespace evenkeel::data

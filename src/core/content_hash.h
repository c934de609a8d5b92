// Files told apart by all their bytes, at the speed of memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_io.h"
#include "core/json.h"

namespace evenkeel {

// Called from several threads at once, each with pieces of its own: file number, offset in bytes, the bytes.
using PieceVisitor = std::function<void(size_t file, size_t offset_bytes, std::string_view piece)>;

// "xxh3:" and 32 hexadecimal digits: the XXH3-128 of a text of 16 bytes a piece and 8 a file, namely for each file in
// turn the XXH3-128 of each piece of 4 MiB (canonical form: big-endian), then the file's length (little-endian). The
// files are read once, by all cores, and need not stay in memory. A bar named `label` comes up when that takes more
// than two seconds.
std::string content_hash(const std::vector<const MappedFile*>& files, const std::string& label,
                         const PieceVisitor& visit = {});

// Size and time of the last change. Where both are as they were, the bytes are taken to be, too.
struct FileStamp {
  int64_t bytes = 0, modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const fs::path& path);                   // DataError when there is no such file
Json to_json(const std::vector<FileStamp>& stamps);         // [[bytes, modified_ns], …]
std::vector<FileStamp> stamps_from_json(const Json& json);  // DataError

}  // namespace evenkeel

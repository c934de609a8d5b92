// Files, or their beginnings, read once by all cores, at the speed of memory.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_io.h"

namespace evenkeel {

// The first bytes of a file.
struct FilePart {
  const MappedFile* file = nullptr;
  size_t size_bytes = 0;  // at most the file's
};

constexpr size_t kPieceBytes = size_t{4} << 20;

// Calls `visit` from several threads at once with each piece of kPieceBytes (the last of a part may be shorter): number
// of the part, offset in bytes, the bytes. What was read need not stay in memory. A bar named `label` comes up when it
// takes more than two seconds. What `visit` throws ends the reading and is thrown on.
void scan(const std::vector<FilePart>& parts, const std::string& label,
          const std::function<void(size_t part, size_t offset_bytes, std::string_view piece)>& visit);

}  // namespace evenkeel

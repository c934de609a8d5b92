#include "core/content_hash.h"

#include <array>
#include <bit>
#include <cstring>

#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/errors.h"
#include "core/file_scan.h"
#include "core/hex.h"

namespace evenkeel {
namespace {

static_assert(std::endian::native == std::endian::little, "lengths are hashed as they lie in memory");

using Digest = std::array<char, sizeof(XXH128_canonical_t)>;

Digest digest_of(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return std::bit_cast<Digest>(canonical);
}

}  // namespace

std::string content_hash(const std::vector<const MappedFile*>& files, const std::string& label,
                         const PieceVisitor& visit) {
  std::vector<FilePart> parts;
  std::vector<std::vector<Digest>> digests;  // of each file, of each of its pieces
  for (const auto* file : files) {
    parts.push_back({file, file->size()});
    digests.emplace_back((file->size() + kPieceBytes - 1) / kPieceBytes);
  }
  scan(parts, label, [&](size_t file, size_t offset, std::string_view piece) {
    digests[file][offset / kPieceBytes] = digest_of(piece);
    if (visit) visit(file, offset, piece);
  });
  std::string all;
  for (size_t i = 0; i < files.size(); ++i) {
    for (const auto& digest : digests[i]) all.append(digest.data(), digest.size());
    const auto size = static_cast<uint64_t>(files[i]->size());
    all.append(reinterpret_cast<const char*>(&size), sizeof size);
  }
  const auto digest = digest_of(all);
  return "xxh3:" + hex_text({digest.data(), digest.size()});
}

FileStamp stamp_of(const fs::path& path) {
  struct stat info {};
  require<DataError>(stat(path.c_str(), &info) == 0, path.string(), ": got no such file; need a readable file");
  return {info.st_size, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

Json to_json(const std::vector<FileStamp>& stamps) {
  Json out = Json::array();
  for (const auto& stamp : stamps) out.push_back(Json::Array{stamp.bytes, stamp.modified_ns});
  return out;
}

std::vector<FileStamp> stamps_from_json(const Json& json) {
  std::vector<FileStamp> out;
  for (const auto& stamp : json.as_array()) out.push_back({stamp.at(0).as_int(), stamp.at(1).as_int()});
  return out;
}

}  // namespace evenkeel

#include "report/compress.h"

#include <stdexcept>

#include <zlib.h>

namespace evenkeel::report {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j)
      three = three << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += i + j <= bytes.size() ? kDigits[three >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::string gzip_base64(std::string_view text) {
  constexpr int kGzip = 15 + 16,
                kMemory = 9;  // the largest window with a gzip header, which zlib writes without a time
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  // avail_in and avail_out are 32 bits wide.
  constexpr size_t kPiece = size_t{1} << 30;
  size_t read = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    stream.avail_in = static_cast<uInt>(std::min(kPiece, text.size() - read));
    stream.avail_out = static_cast<uInt>(std::min(kPiece, out.size() - stream.total_out));
    const auto given = stream.avail_in;
    status = deflate(&stream, read + given == text.size() ? Z_FINISH : Z_NO_FLUSH);
    read += given - stream.avail_in;
  }
  const size_t size = stream.total_out;
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::logic_error("gzip_base64: deflate did not end");
  return base64(std::string_view(out).substr(0, size));
}

}  // namespace evenkeel::report

#include "report/compress.h"

#include <stdexcept>

#include <zlib.h>

namespace evenkeel::report {

namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr int kGzip = 15 + 16;  // the largest window with a gzip header, which zlib writes without a time

std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const size_t digit = kDigits.find(c);
    if (digit == kDigits.npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    out += static_cast<char>(bits >> n_bits & 255);
  }
  return out;
}

}  // namespace

std::string base64(std::string_view bytes) {
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
  constexpr int kMemory = 9;
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

std::optional<std::string> unpack_gzip_base64(std::string_view packed, size_t most_bytes) {
  auto bytes = from_base64(packed);
  constexpr size_t kMostBytes = size_t{1} << 30;  // avail_in is 32 bits wide
  if (!bytes || bytes->size() > kMostBytes) return std::nullopt;
  z_stream stream{};
  if (inflateInit2(&stream, kGzip) != Z_OK) throw std::bad_alloc();
  stream.next_in = reinterpret_cast<Bytef*>(bytes->data());
  stream.avail_in = static_cast<uInt>(bytes->size());
  std::string out, piece(size_t{1} << 20, '\0');
  int status = Z_OK;
  while (status == Z_OK && out.size() <= most_bytes) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(piece, 0, piece.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END || out.size() > most_bytes) return std::nullopt;
  return out;
}

}  // namespace evenkeel::report

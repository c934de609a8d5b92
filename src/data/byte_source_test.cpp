#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "core/errors.h"
#include "data/readers.h"
#include "data/test_support.h"
#include "support/sanitizer.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string xz(const std::string& text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                                    text.size(), reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string read_all(const fs::path& path, size_t capacity = 4096) {
  const auto source = open_byte_source(path);
  std::string out, buffer(capacity, '\0');
  while (const size_t n = source->read(buffer.data(), buffer.size())) out.append(buffer, 0, n);
  EXPECT_EQ(source->compressed_position(), static_cast<int64_t>(fs::file_size(path)));
  return out;
}

struct Format {
  std::string suffix;
  std::string (*compress)(const std::string&);
};
std::string print(const std::string& text) { return text; }
const Format kFormats[] = {{"", print}, {".gz", gzip}, {".xz", xz}, {".zst", zstd}};

TEST(ByteSource, ReadsWhatWasCompressedWhateverThePieces) {
  const TemporaryFolder folder;
  const std::string text = joined(made_documents(3000), "\n\n") + std::string(700'000, 'x');
  for (const auto& format : kFormats)
    for (const size_t capacity : {size_t{1}, size_t{4096}, size_t{1} << 22}) {
      const std::string piece = capacity == 1 ? text.substr(0, 5000) : text;
      EXPECT_EQ(read_all(folder.write("t.txt" + format.suffix, format.compress(piece)), capacity), piece)
          << format.suffix;
    }
}

TEST(ByteSource, ReadsSeveralMembersAndEmptyOnes) {
  const TemporaryFolder folder;
  for (const auto& format : kFormats) {
    const auto& c = format.compress;
    EXPECT_EQ(read_all(folder.write("t.txt" + format.suffix, c("one ") + c("") + c("two ") + c("three"))),
              "one two three");
    EXPECT_EQ(read_all(folder.write("e.txt" + format.suffix, c(""))), "");
  }
  EXPECT_EQ(read_all(folder.write("pad.txt.gz", gzip("one ") + gzip("two") + std::string(512, '\0'))), "one two");
  EXPECT_EQ(read_all(folder.write("pad.txt.xz", xz("one ") + std::string(4, '\0') + xz("two"))), "one two");
}

TEST(ByteSource, RefusesAStreamCutAnywhere) {
  const TemporaryFolder folder;
  const std::string text = joined(made_documents(40), "\n");
  for (const auto& format : kFormats) {
    if (format.suffix.empty()) continue;
    const std::string whole = format.compress(text);
    for (size_t size = 0; size < whole.size(); size += size < 40 || size + 40 > whole.size() ? 1 : 37) {
      const auto path = folder.write("t.txt" + format.suffix, whole.substr(0, size));
      EXPECT_THAT(message_of<DataError>([&] { read_all(path); }),
                  HasSubstr(path.string() + ": got a stream that ends too early near byte "))
          << format.suffix << " " << size;
      // The second member cut: the first one must not hide it.
      if (size == 0) continue;
      folder.write("t.txt" + format.suffix, whole + whole.substr(0, size));
      EXPECT_THROW(read_all(path), DataError) << format.suffix << " " << size;
    }
  }
}

// A zstd frame of one raw block, "text", with a window of 2^window_log bytes.
std::string zstd_frame(int window_log) {
  return std::string("\x28\xB5\x2F\xFD\0", 5) + static_cast<char>((window_log - 10) << 3) + std::string("\x21\0\0", 3) +
         "text";
}

TEST(ByteSource, TakesTheFormatsAtTheirFullRange) {
  const TemporaryFolder folder;
  const std::string skippable = std::string("\x50\x2A\x4D\x18\3\0\0\0abc", 11);
  EXPECT_EQ(read_all(folder.write("t.txt.zst", zstd_frame(31))), "text");
  EXPECT_EQ(read_all(folder.write("t.txt.zst", skippable + zstd("one") + skippable + zstd("") + zstd_frame(27) +
                                                   zstd("two") + skippable)),
            "onetexttwo");
  EXPECT_EQ(read_all(folder.write("t.txt.zst", skippable)), "");
  EXPECT_THAT(message_of<DataError>([&] { read_all(folder.write("t.txt.zst", zstd_frame(32))); }),
              HasSubstr("got a window of more than 2 GiB"));
  const std::string padding(8, '\0');  // of xz streams: a multiple of four bytes
  EXPECT_EQ(read_all(folder.write("t.txt.xz", xz("one") + padding + xz("") + xz("two") + padding)), "onetwo");
  EXPECT_THROW(read_all(folder.write("t.txt.xz", xz("one") + padding + std::string(1, '\0'))), DataError);
  EXPECT_EQ(read_all(folder.write("t.txt.gz", gzip("one") + gzip("") + gzip("two") + padding)), "onetwo");
}

TEST(ByteSource, TakesAnXzDictionaryOfTheLargestSize) {
  if (evenkeel::testing::is_sanitized()) GTEST_SKIP() << "the sanitizer fills what is allocated";
  const TemporaryFolder folder;
  std::string stream = xz("text");
  // A block header behind the 12 bytes of the stream's: its size, flags, filter 0x21 with one byte of properties, the
  // dictionary's size.
  const size_t header = 12, header_bytes = (static_cast<size_t>(static_cast<unsigned char>(stream[header])) + 1) * 4;
  const size_t filter = stream.find("\x21\x01", header);
  ASSERT_LT(filter, header + header_bytes);
  stream[filter + 2] = 40;  // 4 GiB - 1
  const uint32_t sum = lzma_crc32(reinterpret_cast<const uint8_t*>(stream.data()) + header, header_bytes - 4, 0);
  for (size_t i = 0; i < 4; ++i) stream[header + header_bytes - 4 + i] = static_cast<char>(sum >> (8 * i) & 0xFF);
  EXPECT_EQ(read_all(folder.write("t.txt.xz", stream)), "text");
}

TEST(ByteSource, RefusesDamagedBytes) {
  const TemporaryFolder folder;
  const std::string text = joined(made_documents(40), "\n");
  for (const auto& format : kFormats) {
    if (format.suffix.empty()) continue;
    std::string damaged = format.compress(text);
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
    damaged[damaged.size() / 2 + 1] = static_cast<char>(damaged[damaged.size() / 2 + 1] ^ 0x55);
    const auto path = folder.write("t.txt" + format.suffix, damaged);
    const bool has_checksum = format.suffix != ".zst";  // ZSTD_compress writes none: bits may decode to other text
    if (has_checksum) {
      EXPECT_THAT(message_of<DataError>([&] { read_all(path); }), HasSubstr(path.string()));
    }
    EXPECT_THROW(read_all(folder.write("n.txt" + format.suffix, "this is plain text, no stream")), DataError);
    EXPECT_THROW(read_all(folder.write("g.txt" + format.suffix, format.compress(text) + "garbage")), DataError);
  }
}

TEST(ByteSource, NamesAPathThatIsMissingOrAFolder) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { open_byte_source(folder / "none.txt.gz"); }),
              HasSubstr("none.txt.gz: got no such file"));
  EXPECT_THAT(message_of<DataError>([&] { open_byte_source(folder / ""); }), HasSubstr("got a folder"));
}

}  // namespace
}  // namespace evenkeel::data

#include "data/delimited_reader.h"

#include <algorithm>

#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;

// Text in reads of a few bytes.
class TextSource final : public ByteSource {
 public:
  TextSource(std::string text, size_t read_bytes) : text_(std::move(text)), read_bytes_(read_bytes) {}
  size_t read(char* out, size_t capacity) override {
    const size_t n = std::min({capacity, read_bytes_, text_.size() - at_});
    std::copy_n(text_.data() + at_, n, out);
    at_ += n;
    return n;
  }
  int64_t compressed_position() const override { return static_cast<int64_t>(at_); }

 private:
  std::string text_;
  size_t read_bytes_, at_ = 0;
};

struct Piece {
  std::string text;
  int64_t offset;
  bool is_cut;
  bool operator==(const Piece&) const = default;
};

std::vector<Piece> pieces_of(const std::string& text, const Delimiter& delimiter, size_t read_bytes,
                             size_t most_bytes = 1000) {
  TextSource source(text, read_bytes);
  DelimitedReader reader(source, delimiter, most_bytes);
  std::vector<Piece> out;
  std::string_view piece;
  while (reader.next(piece)) out.push_back({std::string(piece), reader.piece_offset(), reader.is_cut()});
  return out;
}

TEST(DelimitedReader, CutsWhateverTheReads) {
  for (const size_t read_bytes : {1, 2, 3, 100}) {
    EXPECT_THAT(pieces_of("a\n\nbc\nd", {"\n"}, read_bytes),
                ElementsAre(Piece{"a", 0, false}, Piece{"", 2, false}, Piece{"bc", 3, false}, Piece{"d", 6, false}));
    EXPECT_THAT(pieces_of("a<s>b<s", {"<s>"}, read_bytes), ElementsAre(Piece{"a", 0, false}, Piece{"b<s", 4, false}));
    EXPECT_THAT(pieces_of("a\nb\n", {""}, read_bytes), ElementsAre(Piece{"a\nb\n", 0, false}));
  }
}

TEST(DelimitedReader, TakesALineEndOfTheDelimiterAsCarriageReturnToo) {
  for (const size_t read_bytes : {1, 2, 3, 100}) {
    EXPECT_THAT(
        pieces_of("a\r\n\r\nb\n\nc\r\n\nd\r\ne", {"\n\n", true}, read_bytes),
        ElementsAre(Piece{"a", 0, false}, Piece{"b", 5, false}, Piece{"c", 8, false}, Piece{"d\r\ne", 12, false}));
    EXPECT_THAT(pieces_of("a\r\n#\r\nb\r\n#", {"\n#\n", true}, read_bytes),
                ElementsAre(Piece{"a", 0, false}, Piece{"b\r\n#", 6, false}));
    EXPECT_THAT(pieces_of("a\r\n\r\nb", {"\n\n", false}, read_bytes), ElementsAre(Piece{"a\r\n\r\nb", 0, false}));
  }
}

TEST(DelimitedReader, PassesOverTheRestOfWhatIsTooLong) {
  for (const size_t read_bytes : {1, 3, 7, 100}) {
    EXPECT_THAT(pieces_of("abc\n" + std::string(50, 'x') + "\nde\n", {"\n"}, read_bytes, 5),
                ElementsAre(Piece{"abc", 0, false}, Piece{"xxxxx", 4, true}, Piece{"de", 55, false}));
    EXPECT_THAT(pieces_of(std::string(50, 'x'), {"\n"}, read_bytes, 5), ElementsAre(Piece{"xxxxx", 0, true}));
    EXPECT_THAT(pieces_of(std::string(50, 'x') + "<<>>de", {"<<>>"}, read_bytes, 5),
                ElementsAre(Piece{"xxxxx", 0, true}, Piece{"de", 54, false}));
  }
}

TEST(DelimitedReader, DropsAByteOrderMarkAndKnowsWhatIsNoText) {
  EXPECT_THAT(pieces_of("\xEF\xBB\xBF"
                        "a\nb",
                        {"\n"}, 100),
              ElementsAre(Piece{"a", 3, false}, Piece{"b", 5, false}));
  const std::pair<std::string, std::string> kinds[] = {
      {"\xFF\xFE"
       "a",
       "UTF-16 text"},
      {std::string("a\0n\0d\0.\0", 8), "UTF-16LE text"},
      {std::string("\0a\0n\0d\0.", 8), "UTF-16BE text"},
      {std::string("\xFF\xFE\0\0a\0\0\0", 8), "UTF-32 text"},
      {std::string("\0\0\xFE\xFF\0\0\0a", 8), "UTF-32 text"},
      {std::string("a\0\0\0\xe5\x65\0\0\x00\xf6\x01\0.\0\0\0", 16), "UTF-32LE text"},
      {std::string("\0\0\0a\0\0\x65\xe5\0\x01\xf6\x00\0\0\0.", 16), "UTF-32BE text"},
      {"\x1F\x8B", "gzip data under a name without .gz"},
      {"\x28\xB5\x2F\xFD", "zstd data under a name without .zst"},
      {"\xFD"
       "7zXZ",
       "xz data under a name without .xz"}};
  for (const auto& [bytes, kind] : kinds) {
    TextSource source(bytes, 100);
    DelimitedReader reader(source, {"\n"}, 100);
    std::string_view piece;
    EXPECT_TRUE(reader.next(piece));
    EXPECT_STREQ(reader.foreign_kind(), kind.c_str());
  }
}

}  // namespace
}  // namespace evenkeel::data

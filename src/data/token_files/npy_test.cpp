#include "core/errors.h"
#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

class NpyTest : public testing::Test {
 protected:
  TokenFile open(const std::string& bytes, std::optional<TokenType> dtype = {}) {
    return {folder_.write("en.npy", bytes), dtype};
  }
  std::string refusal(const std::string& bytes) {
    const std::string message = message_of<DataError>([&] { open(bytes); });
    EXPECT_THAT(message, HasSubstr("en.npy: got "));
    EXPECT_THAT(message, HasSubstr("; need "));
    return message;
  }
  TemporaryFolder folder_;
};

TEST_F(NpyTest, ReadsEveryType) {
  const auto check = [&](const char* descr, auto zero) {
    const TokenFile file = open(npy_start(descr, "(3,)") + bytes_of<decltype(zero)>({7, 0, 200}));
    EXPECT_STREQ(file.kind().name, "npy");
    EXPECT_EQ(ids_of(file), (std::vector<int32_t>{7, 0, 200})) << descr;
  };
  check("|u1", uint8_t{});
  check("<u2", uint16_t{});
  check("<u4", uint32_t{});
  check("<i4", int32_t{});
  check("<i8", int64_t{});
}

TEST_F(NpyTest, ReadsWindowsOneAfterAnother) {
  const TokenFile file = open(npy_start("<u2", "(2, 3)") + bytes_of<uint16_t>({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(ids_of(file), (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(file.layout().n_windows, 2);
  EXPECT_EQ(open(npy_start("<u2", "(3,)") + bytes_of<uint16_t>({1, 2, 3})).layout().n_windows, 0);
}

TEST_F(NpyTest, ReadsTheHeaderHoweverItIsWritten) {
  const std::string ids = bytes_of<uint16_t>({7, 8});
  for (const char* text : {"{'shape': (2,), 'fortran_order': True, 'descr': '<u2'}",  // the order of a list is one
                           "{\"descr\":\"<u2\",\"fortran_order\":False,\"shape\":(2,)}",
                           "{ 'descr' : '<u2' , 'fortran_order' : False , 'shape' : ( 2 , ) , }"})
    EXPECT_EQ(ids_of(open(npy_start(text) + ids)), (std::vector<int32_t>{7, 8})) << text;
  const std::string text = "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }\n";  // at an odd address
  for (const char version : {'\2', '\3'}) {
    const std::string start = std::string("\x93NUMPY") + version + std::string("\0", 1);
    const TokenFile file = open(start + bytes_of<uint32_t>({static_cast<uint32_t>(text.size())}) + text + ids);
    EXPECT_EQ(ids_of(file), (std::vector<int32_t>{7, 8}));
  }
}

TEST_F(NpyTest, RefusesWhatIsNoListOfIds) {
  const std::string ids = bytes_of<uint16_t>({7, 8, 9, 10});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {npy_start(">u2", "(4,)"), "got ids of type '>u2' (big-endian); need little-endian u8, u16, u32, i32, i64"},
      {npy_start("<f2", "(4,)"), "got ids of type '<f2' (floating-point)"},
      {npy_start("|O", "(4,)"), "got ids of type '|O' (objects of Python)"},
      {npy_start("<u8", "(1,)"), "got ids of type '<u8'; need"},
      {npy_start("", "(1,)"), "got ids of type ''; need"},
      {npy_start("<u2", "()"), "got an array of 0 dimensions"},
      {npy_start("<u2", "(2, 2, 1)"), "got an array of 3 dimensions; need 1, or 2: windows and their ids"},
      {npy_start("{'descr': '<u2', 'fortran_order': True, 'shape': (2, 2), }"), "in Fortran's order"},
      {npy_start("{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (4,), }"),
       "got records of several fields"},
      {npy_start("<u2", "(5,)"), "got 8 bytes behind the header; need those of 5 ids of u16, which its shape says"},
      {npy_start("<u2", "(3,)"), "got 8 bytes behind the header; need those of 3 ids"},
      {npy_start("<u4", "(1,)"), "got 8 bytes behind the header; need those of 1 ids of u32"},
      {npy_start("<u2", "(4294967296, 4294967296)"), "need more than there can be"},
      {npy_start("<u2", "(9223372036854775807,)"), "need those of 9223372036854775807 ids"}};
  for (const auto& [start, words] : cases) EXPECT_THAT(refusal(start + ids), HasSubstr(words));
}

TEST_F(NpyTest, RefusesADamagedHeader) {
  const std::string whole = npy_start("<u2", "(2,)") + bytes_of<uint16_t>({7, 8});
  for (size_t size = 6; size < whole.size(); ++size) refusal(whole.substr(0, size));
  EXPECT_THAT(refusal(whole + "x"), HasSubstr("got 5 bytes behind the header"));
  const auto with_byte = [&](size_t at, char value) {
    std::string bytes = whole;
    bytes[at] = value;
    return bytes;
  };
  EXPECT_THAT(refusal(with_byte(6, 4)), HasSubstr("got version 4 of numpy's format; need 1 to 3"));
  EXPECT_THAT(refusal(with_byte(9, '\xff')), HasSubstr("got a numpy header of 65398 bytes in a file of 132"));
  for (const std::string text :
       {"", "{", "{}", "[]", "{'descr': '<u2', 'fortran_order': False}", "{'descr': '<u2', 'shape': (2,)}",
        "{'descr': '<u2', 'fortran_order': 0, 'shape': (2,)}", "{'descr': '<u2', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (-2,)}", "{'descr': '<u2', 'descr': '<u2'}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), 'x': 1}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (2 2)}", "{'descr: }",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (2,)} 1"})
    EXPECT_THAT(refusal(npy_start(text) + bytes_of<uint16_t>({7, 8})), HasSubstr("damaged at its character ")) << text;
}

TEST_F(NpyTest, RefusesAnotherTypeThanItsHeaderSays) {
  const std::string bytes = npy_start("<u2", "(2,)") + bytes_of<uint16_t>({7, 8});
  EXPECT_NO_THROW(open(bytes, TokenType::u16));
  EXPECT_THAT(message_of<ConfigError>([&] { open(bytes, TokenType::u32); }),
              HasSubstr("--dtype: got u32, and the header of " + (folder_ / "en.npy").string() + " says u16"));
}

// numpy 2.4.6: numpy.lib.format.write_array_header_1_0 of {'descr': '<u2', 'fortran_order': False, 'shape': (10,)}.
TEST_F(NpyTest, WritesTheHeaderOfNumpy) {
  const auto& kind = token_file_kinds().front();
  EXPECT_EQ(kind.header(TokenType::u16, 10, ""), npy_start("<u2", "(10,)"));
  EXPECT_EQ(kind.header(TokenType::u32, INT64_C(123456789012), ""), npy_start("<u4", "(123456789012,)"));
  EXPECT_EQ(kind.header(TokenType::u8, 0, "").size(), 128U);
}

}  // namespace
}  // namespace evenkeel::data

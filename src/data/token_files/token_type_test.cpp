#include "data/token_files/token_type.h"

#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

TEST(TokenType, HasANameASizeAndALargestId) {
  EXPECT_EQ(token_type_names(), "u8, u16, u32, i32, i64");
  const std::vector<std::tuple<const char*, int64_t, int64_t>> types = {
      {"u8", 1, 255}, {"u16", 2, 65'535}, {"u32", 4, 4'294'967'295}, {"i32", 4, 2'147'483'647}, {"i64", 8, INT64_MAX}};
  for (const auto& [name, size, largest] : types) {
    const auto type = token_type_of(name);
    ASSERT_TRUE(type) << name;
    EXPECT_STREQ(name_of(*type), name);
    EXPECT_EQ(size_of(*type), size) << name;
    EXPECT_EQ(largest_of(*type), largest) << name;
  }
  EXPECT_FALSE(token_type_of("u64"));
  EXPECT_FALSE(token_type_of(""));
}

TEST(TokenType, IsTheNarrowerOneWhereTheLargestIdFits) {
  EXPECT_EQ(type_for(0), TokenType::u16);
  EXPECT_EQ(type_for(65'535), TokenType::u16);
  EXPECT_EQ(type_for(65'536), TokenType::u32);
}

template <class T>
void check_type(TokenType type, const std::vector<T>& values) {
  for (size_t shift = 0; shift < 2; ++shift) {  // an array in a file lies at any address
    const std::string bytes = std::string(shift, 'x') + bytes_of(values);
    const StoredIds ids{reinterpret_cast<const std::byte*>(bytes.data()) + shift, type,
                        static_cast<int64_t>(values.size())};
    const IdBounds bounds = bounds_of(ids);
    EXPECT_EQ(bounds.smallest, static_cast<int64_t>(*std::min_element(values.begin(), values.end())));
    EXPECT_EQ(bounds.largest, static_cast<int64_t>(*std::max_element(values.begin(), values.end())));
    std::vector<int32_t> copied(values.size());
    copy_ids(ids, copied.data());
    EXPECT_EQ(copied, std::vector<int32_t>(values.begin(), values.end()));
    const std::vector<int64_t> wide(values.begin(), values.end());
    EXPECT_EQ(stored(wide.data(), ids.count, type), bytes_of(values));
    const PlacedId second = first_outside(ids, values[0], values[0]);
    EXPECT_EQ(second.index, 1);
    EXPECT_EQ(second.id, static_cast<int64_t>(values[1]));
  }
}

TEST(TokenType, IsReadAndWrittenAtAnyAddress) {
  check_type(TokenType::u8, std::vector<uint8_t>{7, 255, 0});
  check_type(TokenType::u16, std::vector<uint16_t>{7, 65535, 0});
  check_type(TokenType::u32, std::vector<uint32_t>{7, 2147483647, 0});
  check_type(TokenType::i32, std::vector<int32_t>{7, -1, 2147483647});
  check_type(TokenType::i64, std::vector<int64_t>{7, -1, 2147483647});
}

TEST(IdBounds, OfNoIdsAreWithinAll) {
  const IdBounds none = bounds_of(StoredIds{});
  EXPECT_TRUE(none.are_within(0, 10));
  IdBounds bounds = none;
  bounds.add({3, 5});
  bounds.add({1, 4});
  EXPECT_TRUE(bounds.are_within(1, 5));
  EXPECT_FALSE(bounds.are_within(2, 5));
  EXPECT_FALSE(bounds.are_within(1, 4));
}

}  // namespace
}  // namespace evenkeel::data

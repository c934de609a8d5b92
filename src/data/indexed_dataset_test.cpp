#include "data/indexed_dataset.h"

#include <cstring>

#include "core/errors.h"
#include "core/json.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

std::string from_hex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

// Documents [5, 6, 7] and [8, 9] as u16, written out by hand from the layout of the format.
const std::string kIndex = from_hex(
    "4d4d494449445800000100000000000000080200000000000000030000000000000003000000020000000000000000000000"
    "0600000000000000000000000000000001000000000000000200000000000000");
const std::string kTokens = from_hex("05000600070008000900");

template <class T>
std::string patched(std::string bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class IndexedDatasetTest : public testing::Test {
 protected:
  IndexedDataset open(const std::string& index, const std::string& tokens) {
    folder_.write("d.idx", index);
    folder_.write("d.bin", tokens);
    return IndexedDataset::open(folder_ / "d");
  }
  std::string refusal(const std::string& index, const std::string& tokens = kTokens) {
    return message_of<DataError>([&] { open(index, tokens); });
  }
  TemporaryFolder folder_;
};

TEST_F(IndexedDatasetTest, WritesTheGoldenBytes) {
  IndexedDatasetWriter writer(folder_ / "d", /*vocab_size=*/100);
  writer.add_document({5, 6, 7});
  writer.add_document({8, 9});
  EXPECT_FALSE(fs::exists(folder_ / "d.bin"));
  writer.commit();
  EXPECT_EQ(read_file(folder_ / "d.idx"), kIndex);
  EXPECT_EQ(read_file(folder_ / "d.bin"), kTokens);
  EXPECT_THAT(folder_.names(), testing::ElementsAre("d.bin", "d.idx"));
}

TEST_F(IndexedDatasetTest, HasWhatIsScoredWhereItsDescriptionSaysSo) {
  const std::string scored("\0\1\1\0\1", 5), start = R"({"format": "evenkeel.data.v1", "tokens": 5, "bytes": 9)";
  EXPECT_EQ(open(kIndex, kTokens).scored(), nullptr);
  EXPECT_THAT(message_of<DataError>([&] { open(kIndex, kTokens).checked_scored(); }),
              HasSubstr("d: got a pair that does not say which tokens are scored"));
  const std::string plain_hash = open(kIndex, kTokens).contents().hash;

  const auto describe = [&](const std::string& hashed, const Json& contents) {
    Json json = Json::parse(start + "}", "test");
    json["scored"] = Json::Object{{"sha256", sha256_hex(hashed)}};
    if (!contents.is_null()) json["contents"] = contents;
    folder_.write("d.json", json.dump());
  };
  describe(scored, Json());
  EXPECT_THAT(refusal(kIndex), HasSubstr("d.scored"));
  folder_.write("d.scored", "\1");
  EXPECT_THAT(refusal(kIndex), HasSubstr("d.scored: got 1 bytes; need 5"));
  folder_.write("d.scored", scored);
  const auto data = open(kIndex, kTokens);
  std::vector<uint8_t> out(3);
  data.checked_scored().copy(2, 3, out.data());
  EXPECT_THAT(out, testing::ElementsAre(1, 0, 1));
  EXPECT_NE(data.contents().hash, plain_hash);  // what is scored is of the contents

  const Json record = IndexedDataset::open_tokens(folder_ / "d", true).contents_record();
  describe("another", record);  // sizes and times are those of the record: not hashed again
  EXPECT_NO_THROW(IndexedDataset::open(folder_ / "d").checked_scored());
  fs::last_write_time(folder_ / "d.scored", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_THAT(message_of<DataError>([&] { IndexedDataset::open(folder_ / "d").checked_scored(); }),
              HasSubstr("d.scored: got SHA-256 "));
}

TEST_F(IndexedDatasetTest, ReadsTheGoldenBytes) {
  const auto data = open(kIndex, kTokens);
  EXPECT_EQ(data.n_tokens(), 5);
  EXPECT_EQ(data.n_sequences(), 2);
  EXPECT_EQ(data.n_documents(), 2);
  EXPECT_EQ(data.contents().largest_id, 9);
  EXPECT_EQ(data.text_bytes(), 0);
  std::vector<int64_t> out(3);
  data.copy(1, 3, out.data());
  EXPECT_EQ(out, (std::vector<int64_t>{6, 7, 8}));
  for (int64_t token = 0; token < 5; ++token) EXPECT_EQ(data.document_of(token), token < 3 ? 0 : 1);
  EXPECT_THROW(data.copy(3, 3, out.data()), std::out_of_range);
  EXPECT_THROW(data.copy(-1, 1, out.data()), std::out_of_range);
  EXPECT_THROW(data.document_of(5), std::out_of_range);
  EXPECT_NO_THROW(data.check_vocabulary(10));
  EXPECT_THAT(message_of<DataError>([&] { data.check_vocabulary(9); }),
              HasSubstr("d.bin: got id 9 at token 4; need 0..8"));
}

TEST_F(IndexedDatasetTest, RefusesTheFormatsThatItIsNot) {
  EXPECT_THAT(refusal(std::string("TNTIDX\0\0", 8) + kIndex.substr(8)), HasSubstr("got a legacy TNTIDX index"));
  EXPECT_THAT(refusal(std::string("TNTIDX\0\0", 8)), HasSubstr("legacy"));
  EXPECT_THAT(refusal("MMIDIDY" + kIndex.substr(7)), HasSubstr("got no MMIDIDX"));
  EXPECT_THAT(refusal(patched(kIndex, 8, '\1')), HasSubstr("got no MMIDIDX"));
  EXPECT_THAT(refusal(patched(kIndex, 9, uint64_t{2})), HasSubstr("got version 2; need 1"));
  for (const int code : {0, 6, 7, 9, 255})
    EXPECT_THAT(refusal(patched(kIndex, 17, static_cast<uint8_t>(code))),
                HasSubstr("got type code " + std::to_string(code)));
  EXPECT_THAT(refusal(kIndex + std::string(2, '\0')), HasSubstr("multimodal"));
}

TEST_F(IndexedDatasetTest, RefusesEveryTruncationAndExtension) {
  for (size_t size = 0; size < kIndex.size(); ++size) refusal(kIndex.substr(0, size));
  refusal(kIndex + '\0');
  refusal(kIndex + std::string(8, '\0'));
  EXPECT_THAT(refusal(kIndex, kTokens.substr(1)), HasSubstr("d.bin: got 9 bytes; need at least 10"));
  EXPECT_THAT(refusal(kIndex, kTokens + '\0'), HasSubstr("d.bin: got 11 bytes; need 10 for 5 tokens of 2 bytes"));
  refusal(kIndex, "");
}

TEST_F(IndexedDatasetTest, RefusesSizesThatTheFileCannotHold) {
  for (const size_t field : {size_t{18}, size_t{26}})
    for (const uint64_t size :
         {uint64_t{0}, uint64_t{1}, uint64_t{4}, uint64_t{1} << 32, uint64_t{1} << 61, UINT64_MAX / 12, UINT64_MAX})
      EXPECT_THAT(refusal(patched(kIndex, field, size)), HasSubstr("d.idx: got")) << field << " " << size;
}

TEST_F(IndexedDatasetTest, RefusesContradictions) {
  EXPECT_THAT(refusal(patched(kIndex, 34, int32_t{-1})), HasSubstr("got length -1 of sequence 0"));
  EXPECT_THAT(refusal(patched(kIndex, 38, int32_t{3})),
              HasSubstr("d.bin: got 10 bytes; need at least 12 for sequences 0..1"));
  EXPECT_THAT(refusal(patched(kIndex, 42, int64_t{2})), HasSubstr("got offset 2 of sequence 0; need 0"));
  EXPECT_THAT(refusal(patched(kIndex, 50, int64_t{4})), HasSubstr("got offset 4 of sequence 1; need 6"));
  EXPECT_THAT(refusal(patched(kIndex, 58, int64_t{1})), HasSubstr("got document bound 1 at position 0; need 0..0"));
  for (const int64_t bound : {INT64_C(-1), INT64_C(3), INT64_MAX, INT64_MIN})
    EXPECT_THAT(refusal(patched(kIndex, 66, bound)), HasSubstr("at position 1; need 0..2"));
  EXPECT_THAT(refusal(patched(kIndex, 74, int64_t{1})), HasSubstr("got document bound 1 at position 2; need 2..2"));
}

TEST_F(IndexedDatasetTest, ReadsEveryItemType) {
  const auto check = [&](uint8_t code, const auto& values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    const std::string index = patched(patched(kIndex, 17, code), 50, static_cast<int64_t>(3 * sizeof(T)));
    const auto data = open(index, bytes_of(values));
    std::vector<int64_t> out(5);
    data.copy(0, 5, out.data());
    EXPECT_EQ(out, std::vector<int64_t>(values.begin(), values.end())) << int{code};
    EXPECT_EQ(data.contents().largest_id, *std::max_element(out.begin(), out.end()));
    EXPECT_EQ(out[0] < 0, std::is_signed_v<T>);
    if (out[0] < 0) {
      EXPECT_THROW(data.check_vocabulary(INT64_MAX), DataError);
    }
  };
  check(1, std::vector<uint8_t>{255, 1, 2, 3, 4});
  check(2, std::vector<int8_t>{-1, 1, 2, 3, 127});
  check(3, std::vector<int16_t>{-2, 1, 2, 3, 32767});
  check(4, std::vector<int32_t>{-3, 1, 2, 3, INT32_MAX});
  check(5, std::vector<int64_t>{INT64_MIN, 1, 2, 3, INT64_MAX});
  check(8, std::vector<uint16_t>{65535, 1, 2, 3, 4});
}

TEST_F(IndexedDatasetTest, SkipsDocumentsWithoutTokens) {
  IndexedDatasetWriter writer(folder_ / "d", 100);
  for (const auto& ids : std::vector<std::vector<int32_t>>{{}, {1}, {}, {}, {2, 3}, {}}) writer.add_document(ids);
  writer.commit();
  const auto data = IndexedDataset::open(folder_ / "d");
  EXPECT_EQ(data.n_documents(), 6);
  EXPECT_EQ(data.document_of(0), 1);
  EXPECT_EQ(data.document_of(1), 4);
  EXPECT_EQ(data.document_of(2), 4);
}

TEST_F(IndexedDatasetTest, ADocumentThatIsLongerThanASequenceMayBeTakesSeveral) {
  IndexedDatasetWriter writer(folder_ / "d", 100, /*most_sequence_tokens=*/3);
  writer.add_document({1, 2, 3});
  const std::vector<int32_t> ids = {4, 5, 6, 7, 8, 9, 10};
  writer.add_ids({ids.data(), 2});
  writer.add_ids({ids.data() + 2, 5});
  writer.end_document();
  writer.add_document({});
  writer.add_document({11});
  EXPECT_EQ(writer.n_documents(), 4);
  EXPECT_EQ(writer.n_sequences(), 6);
  writer.commit();
  const std::string index = read_file(folder_ / "d.idx");
  EXPECT_EQ(index.substr(34, 6 * 4), bytes_of<int32_t>({3, 3, 3, 1, 0, 1}));
  EXPECT_EQ(index.substr(34 + 6 * 12), bytes_of<int64_t>({0, 1, 4, 5, 6}));
  const auto data = IndexedDataset::open(folder_ / "d");
  EXPECT_EQ(data.n_documents(), 4);
  std::vector<int64_t> documents;
  for (int64_t token = 0; token < data.n_tokens(); ++token) documents.push_back(data.document_of(token));
  EXPECT_EQ(documents, (std::vector<int64_t>{0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 3}));
}

TEST_F(IndexedDatasetTest, RefusesToWriteADocumentWithoutItsEnd) {
  IndexedDatasetWriter writer(folder_ / "d", 100);
  writer.add_ids(std::vector<int32_t>{1});
  EXPECT_THROW(writer.finish(), std::logic_error);
}

TEST_F(IndexedDatasetTest, HoldsNothingAtAll) {
  IndexedDatasetWriter(folder_ / "d", 100).commit();
  const auto data = IndexedDataset::open(folder_ / "d");
  EXPECT_EQ(data.n_tokens(), 0);
  EXPECT_EQ(data.n_documents(), 0);
  EXPECT_EQ(data.contents().largest_id, -1);
}

TEST_F(IndexedDatasetTest, WritesWiderItemsForLargeVocabularies) {
  for (const int64_t vocab_size : {65'499, 65'500}) {
    IndexedDatasetWriter writer(folder_ / "d", vocab_size);
    writer.add_document({65'498, 0});
    EXPECT_THAT(message_of<DataError>([&] { writer.add_document({static_cast<int32_t>(vocab_size)}); }),
                HasSubstr("got id 65"));
    EXPECT_THROW(writer.add_document({-1}), DataError);
    writer.commit();
    EXPECT_EQ(fs::file_size(folder_ / "d.bin"), vocab_size < 65'500 ? 4U : 8U);
    EXPECT_EQ(IndexedDataset::open(folder_ / "d").contents().largest_id, 65'498);
  }
  EXPECT_THROW(IndexedDatasetWriter(folder_ / "e", INT64_C(1) << 32), DataError);
  EXPECT_THROW(IndexedDatasetWriter(folder_ / "e", 0), DataError);
}

TEST_F(IndexedDatasetTest, LeavesNothingWithoutCommit) {
  { IndexedDatasetWriter(folder_ / "d", 100).add_document({1, 2}); }
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(IndexedDatasetTest, FingerprintFollowsTheContentNotThePath) {
  const std::string one = open(kIndex, kTokens).order_key();
  fs::copy(folder_ / "d.idx", folder_ / "copy.idx");
  fs::copy(folder_ / "d.bin", folder_ / "copy.bin");
  EXPECT_EQ(IndexedDataset::open(folder_ / "copy").order_key(), one);
  EXPECT_NE(open(kIndex, patched(kTokens, 4, uint16_t{8})).order_key(), one);
}

TEST_F(IndexedDatasetTest, TakesTheBytesOfTextFromItsDescription) {
  const auto described = [&](const std::string& json) {
    folder_.write("d.json", json);
    return open(kIndex, kTokens).text_bytes();
  };
  EXPECT_EQ(described(R"({"format": "evenkeel.data.v1", "tokens": 5, "bytes": 21})"), 21);
  EXPECT_EQ(described(R"({"some": "other program's"})"), 0);
  EXPECT_THAT(message_of<DataError>([&] { described(R"({"format": "evenkeel.data.v1", "tokens": 6, "bytes": 21})"); }),
              HasSubstr("d.json: got 6 tokens; need 5"));
  EXPECT_THROW(described(R"({"format": "evenkeel.data.v1", "tokens": 5, "bytes": -1})"), DataError);
  EXPECT_EQ(described("{"), 0);  // another program's, whatever it is
  EXPECT_THROW(described(R"({"format": "evenkeel.data.v1", )"), DataError);
}

TEST_F(IndexedDatasetTest, NoticesAFileThatGetsShorter) {
  IndexedDatasetWriter writer(folder_ / "d", 100);
  writer.add_document({1, 2, 3, 4});
  writer.commit();
  const auto data = IndexedDataset::open(folder_ / "d");
  fs::resize_file(folder_ / "d.bin", 6);  // what is gone reads as zeros
  std::vector<int64_t> ids(4);
  EXPECT_THAT(message_of<MachineError>([&] { data.copy(0, 4, ids.data()); }),
              HasSubstr("d.bin: got 6 bytes while it is read; need the 8"));
  EXPECT_THROW(data.check_vocabulary(100), MachineError);
}

TEST_F(IndexedDatasetTest, NamesTheFileThatIsMissing) {
  EXPECT_THAT(message_of<DataError>([&] { IndexedDataset::open(folder_ / "none"); }),
              HasSubstr("none.idx: got no such file"));
  folder_.write("half.idx", kIndex);
  EXPECT_THAT(message_of<DataError>([&] { IndexedDataset::open(folder_ / "half"); }),
              HasSubstr("half.bin: got no such file"));
}

TEST_F(IndexedDatasetTest, ContentsAreOfEveryByteAndTrustedWhileTheFilesAreAsTheyWere) {
  const auto data = open(kIndex, kTokens);
  const Json record = data.contents_record();
  EXPECT_EQ(record.at("hash").as_string(), data.contents().hash);
  auto again = IndexedDataset::open(folder_ / "d");
  Json remembered = record;
  remembered["hash"] = "remembered";
  EXPECT_TRUE(again.trust(remembered));
  EXPECT_EQ(again.contents().hash, "remembered");

  auto other = open(kIndex, patched(kTokens, 4, uint16_t{8}));  // the same size, written later
  fs::last_write_time(folder_ / "d.bin", fs::last_write_time(folder_ / "d.bin") + std::chrono::seconds(1));
  other = IndexedDataset::open(folder_ / "d");
  EXPECT_FALSE(other.trust(remembered));
  EXPECT_NE(other.contents().hash, record.at("hash").as_string());
  EXPECT_FALSE(other.trust(Json::object()));
}

TEST_F(IndexedDatasetTest, LooksNoFurtherThanItIsAskedTo) {
  const auto data = open(kIndex, kTokens);
  EXPECT_NO_THROW(data.check_vocabulary(9, 4));  // the 9 is token 4
  EXPECT_THROW(data.check_vocabulary(9, 5), DataError);
}

// Of more than one piece of the scan: the id is named as when all is read.
TEST_F(IndexedDatasetTest, NamesAnIdFarIntoWhatItIsAskedFor) {
  IndexedDatasetWriter writer(folder_ / "d", 100);
  std::vector<int32_t> ids(3'000'000, 7);
  ids[2'500'000] = 99;
  writer.add_document(ids);
  writer.commit();
  const auto data = IndexedDataset::open(folder_ / "d");
  EXPECT_NO_THROW(data.check_vocabulary(50, 2'500'000));
  EXPECT_THAT(message_of<DataError>([&] { data.check_vocabulary(50, 2'500'001); }),
              HasSubstr("d.bin: got id 99 at token 2500000; need 0..49 (vocab_size 50)"));
}

}  // namespace
}  // namespace evenkeel::data

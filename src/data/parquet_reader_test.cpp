#include "data/parquet_reader.h"

#include "core/errors.h"
#include "data/test_support.h"

#ifndef EVENKEEL_HAS_ARROW

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

TEST(ReadParquet, SaysThatThisBuildHasNoArrow) {
  const TemporaryFolder folder;
  const auto path = folder.write("t.parquet", "PAR1");
  EXPECT_EQ(arrow_version(), "");
  for (const std::string& message :
       {message_of<ConfigError>([&] { check_input(path); }), message_of<ConfigError>([&] { documents_of(path); })})
    EXPECT_THAT(message, HasSubstr("t.parquet: got a Parquet file, and this build of evenkeel has no Arrow to read it "
                                   "with; need a build with the pyarrow package"));
}

}  // namespace
}  // namespace evenkeel::data

#else

#include <optional>

#include <arrow/io/file.h>
#include <parquet/column_writer.h>
#include <parquet/file_writer.h>
#include <parquet/schema.h>

namespace evenkeel::data {
namespace {

namespace pq = ::parquet;

using pq::schema::GroupNode;
using pq::schema::NodePtr;
using pq::schema::PrimitiveNode;
using testing::ElementsAre;
using testing::HasSubstr;

using Rows = std::vector<std::optional<std::string>>;

NodePtr column(const std::string& name, pq::Repetition::type repetition = pq::Repetition::OPTIONAL,
               pq::ConvertedType::type type = pq::ConvertedType::UTF8) {
  return PrimitiveNode::Make(name, repetition, pq::Type::BYTE_ARRAY, type);
}
NodePtr structure(const std::string& name, pq::schema::NodeVector fields) {
  return GroupNode::Make(name, pq::Repetition::OPTIONAL, fields);
}
NodePtr list(const std::string& name) {
  const NodePtr repeated = GroupNode::Make("list", pq::Repetition::REPEATED, {column("element")});
  return GroupNode::Make(name, pq::Repetition::OPTIONAL, {repeated}, pq::LogicalType::List());
}

// A file of one row group. Of each leaf the same rows; a null is one of the leaf itself, not of a struct around it.
fs::path write_parquet(const fs::path& path, const pq::schema::NodeVector& fields, const Rows& rows) {
  const auto schema = std::static_pointer_cast<GroupNode>(GroupNode::Make("schema", pq::Repetition::REQUIRED, fields));
  const auto file = ::arrow::io::FileOutputStream::Open(path.string()).ValueOrDie();
  const auto writer = pq::ParquetFileWriter::Open(file, schema);
  auto* const group = writer->AppendRowGroup();
  for (int i = 0; i < writer->num_columns(); ++i) {
    const auto* const leaf = writer->schema()->Column(i);
    auto* const values = static_cast<pq::ByteArrayWriter*>(group->NextColumn());
    for (const auto& row : rows) {
      const int16_t level = static_cast<int16_t>(leaf->max_definition_level() - (row ? 0 : 1)), repetition = 0;
      const pq::ByteArray value = row ? pq::ByteArray(*row) : pq::ByteArray();
      values->WriteBatch(1, &level, &repetition, &value);
    }
    values->Close();
  }
  writer->Close();
  return path;
}

class ReadParquet : public testing::Test {
 protected:
  fs::path written(const Rows& rows, const pq::schema::NodeVector& fields = {column("text")}) const {
    return write_parquet(folder_ / "t.parquet", fields, rows);
  }
  std::string refusal(const fs::path& path, const std::string& field = "text") const {
    return message_of<DataError>([&] { documents_of(path, {.text_field = field}); });
  }
  TemporaryFolder folder_;
};

TEST_F(ReadParquet, GivesADocumentARow) {
  Rows rows;
  std::vector<std::string> expected;
  for (int i = 0; i < 5000; ++i) {  // several batches
    rows.emplace_back(i % 7 == 3 ? std::optional<std::string>() : i % 5 == 2 ? "" : "row\r\n" + std::to_string(i));
    if (rows.back() && !rows.back()->empty()) expected.push_back("row\n" + std::to_string(i));
  }
  const auto path = written(rows);
  EXPECT_NO_THROW(check_input(path));
  std::vector<std::string> documents;
  std::vector<int64_t> progress;
  const auto read = read_documents(
      path, {}, [&](std::string&& text) { documents.push_back(std::move(text)); },
      [&](int64_t bytes) { progress.push_back(bytes); });
  EXPECT_EQ(documents, expected);
  EXPECT_EQ(read.n_parquet_files, 1);
  EXPECT_EQ(read.n_documents, static_cast<int64_t>(expected.size()));
  EXPECT_EQ(read.n_empty_records, 5000 - static_cast<int64_t>(expected.size()));
  EXPECT_EQ(read.n_carriage_returns, read.n_documents);
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
  EXPECT_EQ(progress.back(), static_cast<int64_t>(fs::file_size(path)));
}

TEST_F(ReadParquet, TakesStringsBytesAndRequiredColumns) {
  for (const auto type :
       {pq::ConvertedType::UTF8, pq::ConvertedType::NONE, pq::ConvertedType::ENUM, pq::ConvertedType::JSON})
    EXPECT_THAT(documents_of(written({"a", "b"}, {column("text", pq::Repetition::OPTIONAL, type)})),
                ElementsAre("a", "b"));
  EXPECT_THAT(documents_of(written({"a"}, {column("text", pq::Repetition::REQUIRED)})), ElementsAre("a"));
}

TEST_F(ReadParquet, FindsTheColumnByThePathOfTheField) {
  const auto path = written({"x", std::nullopt, "y"}, {column("id"), structure("a", {column("b"), column("c.d")})});
  for (const std::string field : {"id", "a.b", "a.c.d"})
    EXPECT_THAT(documents_of(path, {.text_field = field}), ElementsAre("x", "y")) << field;
  // Where a path can be read in two ways the longest name counts: the other one is no column of strings.
  const auto dotted = written({}, {structure("a", {list("b")}), column("a.b")});
  EXPECT_NO_THROW(documents_of(dotted, {.text_field = "a.b"}));
}

TEST_F(ReadParquet, NamesWhatIsNoColumnOfStrings) {
  const auto path = written({}, {column("body"), list("messages"), structure("a", {list("tags")}), column("twice"),
                                 column("twice"), column("when", pq::Repetition::OPTIONAL, pq::ConvertedType::BSON)});
  EXPECT_THAT(refusal(path), HasSubstr("t.parquet: got columns \"body\", \"messages.list.element\", "));
  EXPECT_THAT(refusal(path), HasSubstr("need the text field 'text' (--text-field)"));
  EXPECT_THAT(refusal(path, "messages"), HasSubstr("got a list in field 'messages'; need a column of strings"));
  EXPECT_THAT(refusal(path, "messages.list.element"), HasSubstr("got a list in field 'messages'; need a struct there"));
  EXPECT_THAT(refusal(path, "a.tags"), HasSubstr("got a list in field 'a.tags'"));
  EXPECT_THAT(refusal(path, "a"), HasSubstr("got a struct in field 'a'"));
  EXPECT_THAT(refusal(path, "body.x"), HasSubstr("got a column of String in field 'body'; need a struct there"));
  EXPECT_THAT(refusal(path, "twice"), HasSubstr("got the field 'twice' twice in the schema"));
  EXPECT_THAT(refusal(path, "when"), HasSubstr("got a column of BSON in field 'when'"));
}

TEST_F(ReadParquet, NamesTheRowThatIsNoUtf8OrPassesOverIt) {
  const auto path =
      written({"a", std::nullopt, "b\xff", "c"}, {column("text", pq::Repetition::OPTIONAL, pq::ConvertedType::NONE)});
  EXPECT_THAT(refusal(path), HasSubstr("t.parquet: row 3: got byte 0xff at byte 2, which is no UTF-8"));
  std::vector<std::string> bad;
  ReaderOptions options;
  options.on_bad_line = [&](const BadLine& line) { bad.push_back(line.place() + " " + line.reason); };
  EXPECT_THAT(documents_of(path, options), ElementsAre("a", "c"));
  EXPECT_THAT(bad, ElementsAre(path.string() + ": row 3 got byte 0xff at byte 2, which is no UTF-8; need UTF-8 text"));
}

TEST_F(ReadParquet, RefusesFilesThatAreNotWhole) {
  const auto path = written({"some text", "more"});
  const std::string whole = read_file(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    folder_.write("t.parquet", std::string_view(whole).substr(0, size));
    EXPECT_THAT(refusal(path), HasSubstr("do not end as a Parquet file does; need a whole one")) << size;
  }
  folder_.write("t.parquet", whole.substr(0, whole.size() - 4) + "PARE");
  EXPECT_THAT(refusal(path), HasSubstr("got an encrypted Parquet file"));
  folder_.write("t.parquet", whole.substr(0, whole.size() - 8) + std::string("\xff\xff\xff\x7f", 4) + "PAR1");
  EXPECT_THAT(refusal(path), HasSubstr("need a whole Parquet file"));
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder_ / "none.parquet"); }), HasSubstr("got no such file"));
}

// Any byte of a file may be another: the rows come out, perhaps others, or it is an error of one line.
TEST_F(ReadParquet, HoldsOutAgainstFlippedBytes) {
  const auto path = written({"some text", std::nullopt, "more", "some text"});
  const std::string whole = read_file(path);
  int n_refused = 0;
  for (size_t at = 0; at < whole.size(); ++at)
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      folder_.write("t.parquet", damaged);
      try {
        documents_of(path);
      } catch (const DataError& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
        ++n_refused;
      }
    }
  EXPECT_GT(n_refused, static_cast<int>(whole.size()));
}

}  // namespace
}  // namespace evenkeel::data

#endif

#include "data/token_files/registry.h"

#include <set>

#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

TEST(TokenFileKinds, AreToldApartByTheStartOfAFile) {
  EXPECT_STREQ(token_file_kind(npy_start("<u2", "(1,)")).name, "npy");
  EXPECT_STREQ(token_file_kind(llmc_start(20240520, 1, 1)).name, "llmc");
  for (const std::string start : {"", "\x93NUMP", "abc", "PK\3\4"}) EXPECT_STREQ(token_file_kind(start).name, "raw");
}

TEST(TokenFileKinds, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const auto& kind : token_file_kinds()) EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
  EXPECT_EQ(names, (std::set<std::string>{"npy", "llmc", "raw"}));
}

TEST(DocumentMark, HasNames) {
  for (const auto mark : {DocumentMark::none, DocumentMark::ends, DocumentMark::begins})
    EXPECT_EQ(document_mark_of(name_of(mark)), mark);
  EXPECT_FALSE(document_mark_of("end"));
}

}  // namespace
}  // namespace evenkeel::data

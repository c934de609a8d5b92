#include "data/token_files/document_cutter.h"

#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using Ids = std::vector<int32_t>;
using Documents = std::vector<std::vector<int64_t>>;

struct Cut {
  Documents documents;
  int64_t n_marks, n_joined;
};

// `files` in pieces of `piece` ids, cut at 0.
Cut cut(DocumentMark mark, const std::vector<Ids>& files, size_t piece) {
  const TemporaryFolder folder;
  IndexedDatasetWriter writer(folder / "d", 100);
  DocumentCutter cutter(writer, mark, 0);
  for (const auto& ids : files) {
    for (size_t at = 0; at < ids.size(); at += piece)
      cutter.add(std::span(ids).subspan(at, std::min(piece, ids.size() - at)));
    cutter.end_file();
  }
  cutter.finish();
  writer.commit();
  return {documents_of_pair(folder / "d"), cutter.n_marks(), cutter.n_joined()};
}

struct Case {
  DocumentMark mark;
  std::vector<Ids> files;
  Documents wanted;
  int64_t n_marks, n_joined;
};

TEST(DocumentCutter, CutsInPiecesOfAnySize) {
  using enum DocumentMark;
  const std::vector<Case> cases = {
      {ends, {{1, 2, 0, 3, 0, 0, 4}}, {{1, 2, 0}, {3, 0}, {0}, {4}}, 3, 0},
      {begins, {{1, 2, 0, 3, 0, 0, 4}}, {{1, 2}, {0, 3}, {0}, {0, 4}}, 3, 0},
      {none, {{1, 2, 0, 3}, {}, {4}}, {{1, 2, 0, 3}, {4}}, 0, 0},
      {ends, {{1, 0}, {2, 0}}, {{1, 0}, {2, 0}}, 2, 0},
      {begins, {{0, 1}, {0, 2}}, {{0, 1}, {0, 2}}, 2, 0},
      {ends, {{1, 0, 2}, {}, {3, 0}}, {{1, 0}, {2, 3, 0}}, 2, 1},  // a document goes on in the next file
      {begins, {{0, 1}, {2, 0, 3}, {4}}, {{0, 1, 2}, {0, 3, 4}}, 2, 2},
      {ends, {{1, 2}}, {{1, 2}}, 0, 0},
      {begins, {{0}}, {{0}}, 1, 0},
  };
  for (size_t i = 0; i < cases.size(); ++i)
    for (const size_t piece : {1, 2, 3, 100}) {
      const Cut got = cut(cases[i].mark, cases[i].files, piece);
      EXPECT_EQ(got.documents, cases[i].wanted) << i << " in pieces of " << piece;
      EXPECT_EQ(got.n_marks, cases[i].n_marks) << i << " in pieces of " << piece;
      EXPECT_EQ(got.n_joined, cases[i].n_joined) << i << " in pieces of " << piece;
    }
}

}  // namespace
}  // namespace evenkeel::data

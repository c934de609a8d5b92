#include "data/tokenizers/word_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(WorkspacePool, HandsAWorkspaceOutAgain) {
  WorkspacePool pool;
  const Workspace* first = nullptr;
  {
    const auto lease = pool.lease();
    first = &*lease;
    const auto other = pool.lease();
    EXPECT_NE(&*other, first);
    (*lease).symbols.resize(1'000'000);
  }
  const auto one = pool.lease(), two = pool.lease();
  EXPECT_TRUE(&*one == first || &*two == first);
  EXPECT_LT((*one).symbols.capacity() + (*two).symbols.capacity(), 1'000'000U);  // the memory of a long word is gone
}

}  // namespace
}  // namespace evenkeel::data

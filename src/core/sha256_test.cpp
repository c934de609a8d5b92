#include "core/sha256.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

// The two examples of FIPS 180-2 (appendix B.1 and B.2) and the hash of nothing.
TEST(Sha256, GivesThePublishedHashesHoweverTheTextIsCut) {
  EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 abc;
  abc.add("abc");
  EXPECT_EQ(abc.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  constexpr std::string_view kText = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{55}, kText.size()}) {
    Sha256 hash;
    hash.add(kText.substr(0, cut));
    hash.add(kText.substr(cut));
    EXPECT_EQ(hash.hex(), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1") << cut;
  }
}

}  // namespace
}  // namespace evenkeel

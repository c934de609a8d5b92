#include "core/toml_value.h"

#include <gtest/gtest.h>

#include "core/config_tree.h"
#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

std::string message(const std::string& text) {
  return testing::message_of<ConfigError>([&] { parse_toml(text, "r.toml", ""); });
}

TEST(BareValue, NamesTheKeyTheWordAndWhatIsNeeded) {
  EXPECT_EQ(message("[model]\nd_model = null\n"), "r.toml:2:11: got d_model = null, which is no value of TOML; need a value, or no such line: without the key its default holds");
  EXPECT_EQ(message("d_model = None # none"), "r.toml:1:11: got d_model = None, which is no value of TOML; need a value, or no such line: without the key its default holds");
  EXPECT_EQ(message("a = 1\ntie_embeddings = True\nb = 2\n"), "r.toml:2:18: got tie_embeddings = True, which is no value of TOML; need true or false, in small letters");
  EXPECT_EQ(message("kind = sinkhorn\n"), "r.toml:1:8: got kind = sinkhorn, which is no value of TOML; need a number, true or false, or a text in quotes: \"sinkhorn\"");
  EXPECT_EQ(message("path = ../data/en\n"), "r.toml:1:8: got path = ../data/en, which is no value of TOML; need a number, true or false, or a text in quotes: \"../data/en\"");
  EXPECT_EQ(message("steps = 400 steps\n"), "r.toml:1:9: got steps = 400 steps, which is no value of TOML; need a number, true or false, or a text in quotes: \"400 steps\"");
  EXPECT_EQ(message("tokens = 2M"), "r.toml:1:10: got tokens = 2M, which is no value of TOML; need a number, true or false, or a text in quotes: \"2M\"");
}

TEST(BareValue, IsFoundInListsAndInlineTables) {
  EXPECT_EQ(message("betas = [0.9,\n  None]\n"), "r.toml:2:3: got betas = None, which is no value of TOML; need a value, or no such line: without the key its default holds");
  EXPECT_EQ(message("router = {name = \"a=b, c\", kind = top_k}\n"), "r.toml:1:35: got kind = top_k, which is no value of TOML; need a number, true or false, or a text in quotes: \"top_k\"");
  EXPECT_EQ(message("name = \"größe\"\nb = {größe = ja}\n").substr(0, 6), "r.toml");
}

TEST(BareValue, IsNotEverything) {
  for (const char* text : {"[model\na = 1", "just words\n", "a = \"open\n", "a = 1\na = 2\n", "a = 1 2\n", "a = [1, 2\nb = 3\n", "= 3\n", "a = \n", "a = 01\n"}) {
    const auto found = message(text);
    EXPECT_NE(found.find("got text that is not TOML ("), std::string::npos) << found;
  }
  EXPECT_FALSE(bare_value_message("", "r.toml", {1, 1}));
  EXPECT_FALSE(bare_value_message("a", "r.toml", {9, 9}));
}

}  // namespace
}  // namespace evenkeel

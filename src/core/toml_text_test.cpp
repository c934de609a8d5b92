#include "core/toml_text.h"

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
  EXPECT_EQ(message("[model]\nd_model = null\n"),
            "r.toml:2:11: got d_model = null, which is no value of TOML; need a value, or no such line, where the key "
            "has a default");
  EXPECT_EQ(message("d_model = None # none"),
            "r.toml:1:11: got d_model = None, which is no value of TOML; need a value, or no such line, where the key "
            "has a default");
  EXPECT_EQ(message("a = 1\ntie_embeddings = True\nb = 2\n"),
            "r.toml:2:18: got tie_embeddings = True, which is no value of TOML; need true or false, in small letters");
  EXPECT_EQ(message("kind = sinkhorn\n"),
            "r.toml:1:8: got kind = sinkhorn, which is no value of TOML; need a number, true or false, or a text in "
            "quotes: \"sinkhorn\"");
  EXPECT_EQ(message("path = ../data/en\n"),
            "r.toml:1:8: got path = ../data/en, which is no value of TOML; need a number, true or false, or a text in "
            "quotes: \"../data/en\"");
  EXPECT_EQ(message("steps = 400 steps\n"),
            "r.toml:1:9: got steps = 400 steps, which is no value of TOML; need a number, true or false, or a text in "
            "quotes: \"400 steps\"");
  EXPECT_EQ(message("tokens = 2M"),
            "r.toml:1:10: got tokens = 2M, which is no value of TOML; need a number, true or false, or a text in "
            "quotes: \"2M\"");
}

TEST(BareValue, IsFoundInListsAndInlineTables) {
  EXPECT_EQ(message("betas = [0.9,\n  None]\n"),
            "r.toml:2:3: got betas = None, which is no value of TOML; need a value, or no such line, where the key has "
            "a default");
  EXPECT_EQ(message("router = {name = \"a=b, c\", kind = top_k}\n"),
            "r.toml:1:35: got kind = top_k, which is no value of TOML; need a number, true or false, or a text in "
            "quotes: \"top_k\"");
  EXPECT_EQ(message("name = \"größe\"\nb = {\"größe\" = ja}\n"),
            "r.toml:2:16: got \"größe\" = ja, which is no value of TOML; need a number, true or false, or a text in "
            "quotes: \"ja\"");
}

TEST(BareValue, IsNotEverything) {
  for (const char* text : {"[model\na = 1", "just words\n", "a = \"open\n", "a = 1\na = 2\n", "a = 1 2\n",
                           "a = [1, 2\nb = 3\n", "= 3\n", "a = \n", "a = 01\n"}) {
    const auto found = message(text);
    EXPECT_NE(found.find("got text that is not TOML ("), std::string::npos) << found;
  }
  EXPECT_FALSE(bare_value_message("", "r.toml", {1, 1}));
  EXPECT_FALSE(bare_value_message("a", "r.toml", {9, 9}));
}

TEST(TomlText, RefusesCharactersBeyondAsciiOutsideOfQuotes) {
  const std::string needed =
      " outside of quotes; need ASCII characters there, and keys and values with others in quotes";
  EXPECT_EQ(message("b = {größe = 1}\n"), "r.toml:1:8: got the character U+00F6" + needed);
  EXPECT_EQ(message("a = 1\nb = 字\n"), "r.toml:2:5: got the character U+5B57" + needed);
  EXPECT_EQ(message("a =\xc2\xa0"
                    "1\n"),
            "r.toml:1:4: got the character U+00A0" + needed);
  EXPECT_EQ(message("a = \"\"\"\"\"\"\nö = \"\n"), "r.toml:2:1: got the character U+00F6" + needed);
  EXPECT_EQ(message("a = 1 # ok\n\xf0\x9f\x98\x80 = 2\n"), "r.toml:2:1: got the character U+1F600" + needed);
  EXPECT_EQ(message("a = 1 \xff\n"), "r.toml:1:7: got the character 0xFF" + needed);
}

TEST(TomlText, TakesThemInStringsCommentsAndAsAByteOrderMark) {
  const auto tree = parse_toml(
      "\xef\xbb\xbf# größe\na = \"grö\\\"ße\" # 'ö\n\"ö\" = '''it's ö\n ö'''\nb = \"\"\"ö\\\"\n\"ö\"\"\"\nc = 'ö\\'\n",
      "r.toml", "");
  const auto text = [&](const char* key) { return std::get<std::string>(tree.find(key)->value); };
  EXPECT_EQ(text("a"), "grö\"ße");
  EXPECT_EQ(text("ö"), "it's ö\n ö");
  EXPECT_EQ(text("b"), "ö\"\n\"ö");
  EXPECT_EQ(text("c"), "ö\\");
}

TEST(TomlText, CountsNoDotsOfStringsAsPartsOfKeys) {
  const std::string dots(1000, '.');
  EXPECT_NO_THROW(
      parse_toml("a = \"\"\"\n" + dots + "\n" + dots + "\"\"\"\nb = '" + dots + "' # " + dots, "r.toml", ""));
}

TEST(TomlText, RefusesNumbersThatWouldBecomeOthers) {
  EXPECT_EQ(message("[a]\nlr_max = 1e-400\n"),
            "r.toml:2:10: got the number 1e-400, which no double is near; need 0 or one from 5e-324 to 1.7e308");
  EXPECT_EQ(message("a = [1, -1.5e+999]"),
            "r.toml:1:9: got the number -1.5e+999, which no double is near; need 0 or one from 5e-324 to 1.7e308");
  EXPECT_EQ(message("a = -9223372036854775809"),
            "r.toml:1:5: got the whole number -9223372036854775809, of more than 64 bits; need one from "
            "-9223372036854775808 to 9223372036854775807");
  const auto root = parse_toml(
      "a = 0.0\nb = 0e-999\nc = -9_223_372_036_854_775_808\nd = '1e-400' # 1e999\n"
      "e = 1e-320\nf = 0xFFe9",
      "r.toml", "");
  EXPECT_EQ(root.table().size(), 6U);
}

TEST(TomlText, SaysHowAnotherEncodingIsToBeSaved) {
  EXPECT_EQ(message(std::string("\xff\xfe"
                                "a\0 \0",
                                6)),
            "r.toml: got the byte order mark of UTF-16 or UTF-32; need TOML saved as UTF-8");
  EXPECT_EQ(message(std::string("\xfe\xff\0a\0 ", 6)),
            "r.toml: got the byte order mark of UTF-16 or UTF-32; need TOML saved as UTF-8");
  EXPECT_EQ(message(std::string("a\0=\0", 4)),
            "r.toml: got a zero byte, as in UTF-16 or UTF-32, at byte 2; need TOML saved as UTF-8");
  EXPECT_EQ(
      message("a = 1\rb = 2\r"),
      "r.toml:1: got a carriage return (CR) without a line feed; need lines that end with LF or CR LF (save it as "
      "UTF-8 with Unix line ends)");
  EXPECT_EQ(parse_toml("a = 1\r\nb = 2\r\n", "r.toml", "").table().size(), 2U);
}

}  // namespace
}  // namespace evenkeel

#include "data/ordered_encoder.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

OrderedEncoder::Encode encode_with(const Tokenizer& tokenizer) {
  return [&](const std::string& text) { return EncodedText{tokenizer.encode(text, /*add_special=*/false), {}, 0}; };
}

TEST(OrderedEncoder, KeepsTheOrder) {
  const auto tokenizer = open_tokenizer(small_model());
  const auto documents = made_documents(3000);
  for (const int64_t n_threads : {1, 5}) {
    std::vector<std::string> seen;
    OrderedEncoder encoder(encode_with(*tokenizer), n_threads, [&](const std::string& text, EncodedText&& encoded) {
      EXPECT_EQ(tokenizer->decode(encoded.ids), text);
      seen.push_back(text);
    });
    for (auto document : documents) encoder.add(std::move(document));
    encoder.finish();
    EXPECT_EQ(seen, documents);
  }
}

TEST(OrderedEncoder, HandsOnWhatATextIsRefusedFor) {
  const auto tokenizer = open_tokenizer(small_model());
  OrderedEncoder encoder(encode_with(*tokenizer), 2, [](const std::string&, EncodedText&&) {});
  encoder.add("fine");
  encoder.add("\xff");
  EXPECT_THROW(encoder.finish(), DataError);
}

TEST(OrderedEncoder, EndsWithoutAnyText) {
  const auto tokenizer = open_tokenizer(small_model());
  OrderedEncoder encoder(encode_with(*tokenizer), 2, [](const std::string&, EncodedText&&) { ADD_FAILURE(); });
  encoder.finish();
}

}  // namespace
}  // namespace evenkeel::data

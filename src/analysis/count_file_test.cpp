#include "analysis/count_file.h"

#include <gmock/gmock.h>
#include <lzma.h>

#include "core/errors.h"
#include "golden/golden.h"
#include "support/files.h"

namespace evenkeel::analysis {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kDomains =
    R"({"model": "m", "n_experts": 3, "source": {"any": [1, {"thing": null}]}, "layers": [0, 7],
 "domains": {"a": {"topk": [[4, 3, 1], [2, 4, 2]], "top1": [[3, 1, 0], [1, 2, 1]], "note": "x"}, "b": {"top1": [[1, 0, 0], [0, 0, 1]], "topk": [[1, 1, 0], [0, 1, 1]]}}})";
constexpr const char* kPlain = R"({"counts": [[4, 3, 1], [2, 4, 2]], "model": "m", "domain": "a", "n_experts": 3})";
constexpr const char* kIds = R"({"model": "m", "layers": [7], "top_k": 2, "n_experts": 3, "domain": "a",
 "layer_expert_token_counts": [{"2": {"11": 1, "5": 2}, "0": {"5": 2, "11": 2}, "1": {"11": 1}}]})";

class CountFile : public ::testing::Test {
 protected:
  std::vector<DomainCounts> read(const std::string& text, int64_t top_k = 0) const {
    return read_count_file(folder_.write("c.json", text), top_k);
  }
  // The message of `text` with `old` replaced.
  std::string message(std::string text, const std::string& old, const std::string& replacement,
                      int64_t top_k = 0) const {
    const size_t place = text.find(old);
    if (place == std::string::npos) throw std::logic_error("the text has no " + old);
    text.replace(place, old.size(), replacement);
    const auto out = testing::message_of<DataError>([&] { read(text, top_k); });
    EXPECT_THAT(out, StartsWith((folder_ / "c.json").string()));
    EXPECT_THAT(out, HasSubstr("; need "));
    return out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(CountFile, ReadsSeveralDomains) {
  const auto domains = read(kDomains);
  ASSERT_EQ(domains.size(), 2u);
  EXPECT_EQ(domains[0].name, "a");
  EXPECT_EQ(domains[0].model, "m");
  EXPECT_EQ(domains[0].n_tokens, 4);
  EXPECT_EQ(domains[0].top_k, 2);
  EXPECT_EQ(domains[0].layers[1].layer, 7);
  EXPECT_THAT(domains[0].layers[1].assignments, ElementsAre(2, 4, 2));
  EXPECT_THAT(domains[0].layers[0].first_choices, ElementsAre(3, 1, 0));
  EXPECT_EQ(domains[1].n_tokens, 1);
}

TEST_F(CountFile, ReadsOneDomainWhoseTokensAreKnownByTopKAlone) {
  const auto unknown = read(kPlain)[0];
  EXPECT_EQ(unknown.top_k, 0);
  EXPECT_EQ(unknown.n_tokens, 0);
  EXPECT_EQ(unknown.layers[1].layer, 1);
  EXPECT_TRUE(unknown.layers[0].first_choices.empty());
  const auto known = read(kPlain, 2)[0];
  EXPECT_EQ(known.top_k, 2);
  EXPECT_EQ(known.n_tokens, 4);
}

TEST_F(CountFile, ReadsCountsByTokenId) {
  const auto domain = read(kIds)[0];
  EXPECT_EQ(domain.n_tokens, 4);
  const auto& layer = domain.layers.at(0);
  EXPECT_EQ(layer.layer, 7);
  EXPECT_THAT(layer.assignments, ElementsAre(4, 1, 3));
  ASSERT_EQ(layer.ids.size(), 5u);
  EXPECT_EQ(layer.ids[0].id, 5);  // by id, then expert
  EXPECT_EQ(layer.ids[0].expert, 0);
  EXPECT_EQ(layer.ids[4].expert, 2);
  EXPECT_EQ(layer.ids[4].count, 1);
}

TEST_F(CountFile, ReadsXz) {
  const std::string text = kDomains;
  std::string packed(lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  ASSERT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                                    text.size(), reinterpret_cast<uint8_t*>(packed.data()), &size, packed.size()),
            LZMA_OK);
  EXPECT_EQ(read_count_file(folder_.write("c.json.xz", packed.substr(0, size)), 0).size(), 2u);
  EXPECT_THAT(testing::message_of<DataError>(
                  [&] { read_count_file(folder_.write("cut.json.xz", packed.substr(0, size / 2)), 0); }),
              HasSubstr("ends too early"));
}

TEST_F(CountFile, RefusesABombBeforeItFillsAnything) {
  const std::string text(size_t{24} << 20, ' ');  // whitespace is JSON that says nothing
  std::string packed(1 << 20, '\0');
  size_t size = 0;
  ASSERT_EQ(lzma_easy_buffer_encode(0, LZMA_CHECK_NONE, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                                    text.size(), reinterpret_cast<uint8_t*>(packed.data()), &size, packed.size()),
            LZMA_OK);
  EXPECT_THAT(
      testing::message_of<DataError>([&] { read_count_file(folder_.write("c.json.xz", packed.substr(0, size)), 0); }),
      HasSubstr("need a file of counts"));
}

TEST_F(CountFile, RefusesWhatHasNoShape) {
  EXPECT_THAT(message("[1]", "[1]", "[1]"), HasSubstr("got an array; need an object of counts"));
  EXPECT_THAT(message("3", "3", "3"), HasSubstr("got 3; need an object"));
  EXPECT_THAT(message("{}", "{}", "{}"),
              HasSubstr("got 0 of the keys domains, counts and layer_expert_token_counts; need one"));
  EXPECT_THAT(message(kPlain, "\"model\"", "\"domains\": {}, \"model\""), HasSubstr("got 2 of the keys"));
  EXPECT_THAT(message(kPlain, "\"n_experts\": 3", "\"n\": 3"), HasSubstr("got no 'n_experts'"));
  EXPECT_THAT(message(kPlain, "\"model\": \"m\"", "\"m\": 1"), HasSubstr("got no 'model'"));
  EXPECT_THAT(message(kPlain, "\"domain\": \"a\"", "\"d\": 1"), HasSubstr("got no 'domain'"));
  EXPECT_THAT(message(kPlain, "\"a\"", "7"), HasSubstr("domain: got 7; need a string"));
  EXPECT_THAT(message(kIds, "\"top_k\": 2", "\"k\": 2"), HasSubstr("got no 'top_k'"));
  EXPECT_THAT(message(kDomains, "{\"topk\": [[4, 3, 1], [2, 4, 2]], \"top1\": [[3, 1, 0], [1, 2, 1]], \"note\": \"x\"}",
                      "{\"topk\": [[4, 3, 1], [2, 4, 2]]}"),
              HasSubstr("a.top1: got 0 layers; need the 2"));
  EXPECT_THAT(message(kDomains, "[[4, 3, 1], [2, 4, 2]]", "[4, 3, 1]"),
              HasSubstr("domains.a.topk[0]: got another structure"));
  EXPECT_THAT(message(kPlain, "[[4, 3, 1], [2, 4, 2]]", "[[[4]]]"),
              HasSubstr("counts[0][0][0]: got 4; need a list of counts a layer"));
  EXPECT_THAT(message(kPlain, "}", ""), HasSubstr("not JSON at byte"));
  EXPECT_THAT(message(kPlain, "\"domain\": \"a\"", "\"counts\": [], \"domain\": \"a\""),
              HasSubstr("got 'counts' twice"));
  EXPECT_THROW(read_count_file(folder_ / "none.json", 0), DataError);
}

TEST_F(CountFile, RefusesCountsThatCannotBe) {
  EXPECT_THAT(message(kPlain, "[4,", "[-4,"), HasSubstr("counts[0][0]: got -4; need a whole number from 0"));
  EXPECT_THAT(message(kPlain, "[4,", "[4.5,"), HasSubstr("counts[0][0]: got 4.5"));
  EXPECT_THAT(message(kPlain, "[4,", "[4.0,"), AllOf(HasSubstr("counts[0][0]: got 4; need a whole number from 0 to"),
                                                     HasSubstr(", written without a point or an exponent")));
  EXPECT_THAT(message(kPlain, "[4,", "[99999999999999999999,"), HasSubstr("need a whole number"));
  EXPECT_THAT(message(kDomains, "[2, 4, 2]", "[2, 4, \"2\"]"), HasSubstr("domains.a.topk[1][2]: got \"2\""));
  EXPECT_THAT(message(kPlain, "[2, 4, 2]", "[2, 4]"), HasSubstr("counts[1]: got 2 counts; need 3 (n_experts)"));
  EXPECT_THAT(message(kPlain, "\"n_experts\": 3", "\"n_experts\": 1000000000"),
              HasSubstr("n_experts: got 1000000000; need a whole number from 0 to 4096"));
  EXPECT_THAT(message(kPlain, "\"n_experts\": 3", "\"n_experts\": 0"), HasSubstr("n_experts: got 0"));
  EXPECT_THAT(message(kDomains, "\"layers\": [0, 7]", "\"layers\": [0, 0]"),
              HasSubstr("got 2 layers of which 1 are distinct"));
  EXPECT_THAT(message(kDomains, "\"layers\": [0, 7]", "\"layers\": [0, 7, 15]"),
              HasSubstr("a.topk: got 2 layers; need the 3 of 'layers'"));
  EXPECT_THAT(message(kDomains, "\"layers\": [0, 7]", "\"layers\": [0, -7]"), HasSubstr("layers[1]: got -7"));
  EXPECT_THAT(message(kDomains, "\"b\": {", "\"a\": {"), HasSubstr("got the domain 'a' twice"));
  EXPECT_THAT(message(kIds, "\"11\": 1, \"5\": 2", "\"11\": 1, \"-5\": 2"),
              HasSubstr("got \"-5\"; need a token id from 0"));
  EXPECT_THAT(message(kIds, "\"1\": {", "\"x\": {"), HasSubstr("got \"x\"; need an expert from 0"));
  EXPECT_THAT(message(kIds, "\"1\": {", "\"3\": {"),
              HasSubstr("layer 7, token id 11: got expert 3; need different experts of 0..2"));
  EXPECT_THAT(message(kIds, "\"1\": {", "\"0\": {"), HasSubstr("got expert 0 twice"));
  EXPECT_THAT(message(kIds, "\"11\": 1, \"5\": 2", "\"5\": 1, \"5\": 2"),
              HasSubstr("layer 7, token id 5: got expert 2 twice"));
}

TEST_F(CountFile, RefusesSumsThatDisagree) {
  EXPECT_THAT(message(kDomains, "[4, 3, 1]", "[4, 3, 2]"),
              HasSubstr("a, layer 0: got 9 assignments of 4 tokens; need 2 a token"));
  EXPECT_THAT(message(kDomains, "[1, 2, 1]], \"note\"", "[1, 1, 0]], \"note\""),
              HasSubstr("a, layer 7: got 8 assignments of 2 tokens; need 2 a token"));
  EXPECT_THAT(message(kDomains, "[4, 3, 1], [2, 4, 2]", "[5, 2, 1], [2, 4, 2]"),
              HasSubstr("a, layer 0: got 5 tokens of expert 0, 3 as first choice; need at most 4"));
  EXPECT_THAT(message(kDomains, "[3, 1, 0], [1", "[2, 0, 2], [1"),
              HasSubstr("got 1 tokens of expert 2, 2 as first choice"));
  EXPECT_THAT(message(kDomains, "[3, 1, 0]", "[0, 0, 0]"), HasSubstr("a.top1[0]: got no token"));
  EXPECT_THAT(message(kDomains, "[1, 2, 1]], \"note\"", "[0, 1, 0]], \"note\""),
              HasSubstr("layer 7: got 8 assignments of 1 tokens"));
  EXPECT_THAT(message(kPlain, "[4, 3, 1]", "[4, 4, 1]", 2),
              HasSubstr("a, layer 0: got 9 assignments of 4 tokens; need 2 a token"));
  EXPECT_THAT(message(kPlain, "[2, 4, 2]", "[2, 2, 2]", 2),
              HasSubstr("a, layer 1: got 3 tokens; need 4 as in its other layers"));
  EXPECT_THAT(message(kPlain, "[4, 3, 1]", "[5, 2, 1]", 2), HasSubstr("got 5 tokens of expert 0; need at most 4"));
  EXPECT_THAT(message(kPlain, "[4, 3, 1]", "[0, 0, 0]"), HasSubstr("got no assignment"));
  EXPECT_THAT(message(kPlain, "[2, 4, 2]", "[2, 4, 1]"),
              HasSubstr("a, layer 1: got 7 assignments; need 8 as in layer 0"));  // whatever k is
  EXPECT_THAT(message(kDomains, "[[1, 1, 0], [0, 1, 1]]", "[[1, 0, 0], [0, 0, 1]]"),
              HasSubstr("b: got 1 experts a token; need 2 as in a"));
  EXPECT_THAT(message(kPlain, "a", "a", 4), HasSubstr("got --top-k 4; need 1..3"));
  EXPECT_THAT(message(kIds, "\"top_k\": 2", "\"top_k\": 4"), HasSubstr("top_k: got 4; need 1..3"));
  EXPECT_THAT(message(kIds, "\"top_k\": 2", "\"top_k\": 2", 1), HasSubstr("top_k: got 2; need 1 as --top-k says"));
  EXPECT_THAT(message(kIds, "{\"5\": 2, \"11\": 2}", "{\"5\": 3, \"11\": 2}"),
              HasSubstr("token id 5: got 5 assignments, 3 of them to one expert; need 2 a token"));
}

TEST_F(CountFile, RefusesTokenIdsThatDifferBetweenLayers) {
  const std::string two = R"({"model": "m", "layers": [7, 8], "top_k": 1, "n_experts": 3, "domain": "a",
 "layer_expert_token_counts": [{"0": {"5": 2, "11": 1}}, {"2": {"5": 1, "11": 1}, "1": {"5": 1, "9": 0}}]})";
  EXPECT_EQ(read(two)[0].n_tokens, 3);  // a count of 0 is none
  EXPECT_THAT(message(two, R"("2": {"5": 1, "11": 1})", R"("2": {"5": 2})"),
              HasSubstr("layer 8, token id 5: got 3 assignments; need 2 as in layer 7"));
  EXPECT_THAT(message(two, R"("2": {"5": 1, "11": 1})", R"("2": {"5": 1, "12": 1})"),
              HasSubstr("layer 8, token id 11: got 0 assignments; need 1 as in layer 7"));
  EXPECT_THAT(message(two, R"("9": 0)", R"("9": 1)"),
              HasSubstr("layer 8, token id 9: got 1 assignments; need 0 as in layer 7"));
  EXPECT_THAT(message(two, R"({"5": 1, "9": 0})", R"({"5": 1, "99": 2})"),
              HasSubstr("layer 8, token id 99: got 2 assignments; need 0 as in layer 7"));
}

}  // namespace
}  // namespace evenkeel::analysis

#include "data/conversations/own_template.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

class OwnTemplateTest : public testing::Test {
 protected:
  void config(const Json& chat_template, const std::string& bos_token = "<|begin_of_text|>") {
    folder_.write("tokenizer_config.json",
                  Json(Json::Object{{"chat_template", chat_template}, {"bos_token", bos_token}}).dump());
  }
  std::string chosen(const std::string& name = "") {
    return chosen_chat_template(name, folder_ / "tokenizer.json").name;
  }
  std::string refusal() {
    return message_of<DataError>([&] { chosen(); });
  }
  TemporaryFolder folder_;
};

TEST_F(OwnTemplateTest, IsToldByItsText) {
  for (const auto& each : chat_templates())
    for (const auto& published : each.published) {
      config(published);
      EXPECT_EQ(chosen(), each.name) << published;
      config(Json::Array{Json::Object{{"name", "rag"}, {"template", "x"}},
                         Json::Object{{"name", "default"}, {"template", published}}});
      EXPECT_EQ(chosen(), each.name) << published;
    }
  folder_.write("chat_template.jinja", chat_template_named("chatml").published[0] + "\n");
  EXPECT_EQ(chosen(), "chatml");
  EXPECT_EQ(chosen("plain"), "plain");
}

TEST_F(OwnTemplateTest, IsRefusedWhereItIsNoneOfOurs) {
  EXPECT_THAT(refusal(),
              HasSubstr("tokenizer.json: got no chat template beside it; need --template chatml, llama3, plain"));
  config(Json());
  EXPECT_THAT(refusal(), HasSubstr("got no chat template"));
  config("{{ messages }}");
  EXPECT_THAT(refusal(),
              HasSubstr("tokenizer_config.json: got the chat template \"{{ messages }}\", which is none of"));
  config(chat_template_named("llama3").published[0], "<s>");
  EXPECT_THAT(refusal(), HasSubstr("none of chatml, llama3, plain; need one of these by --template"));
  config(7);
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: chat_template: got integer"));
  EXPECT_EQ(chosen("chatml"), "chatml");  // by name, whatever stands there
}

}  // namespace
}  // namespace evenkeel::data

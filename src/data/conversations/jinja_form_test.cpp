#include "data/conversations/jinja_form.h"

#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

std::string form(std::string_view text) { return jinja_form(text, ""); }

TEST(JinjaForm, IsTheSameWhereTheTextIs) {
  const std::string wanted = form(R"({% for m in messages %}{{ 'a\n' + m['role'] + "b" }}{% endfor %})");
  EXPECT_EQ(wanted, "%for m in messages\n'\"a\\n\"\n=m . role\n'\"b\"\n%endfor\n");
  for (const char* same :
       {R"({%for m in messages%}{{'a\n'~m.role~'b'}}{%endfor%})",
        R"({% for m in messages %}{{ 'a' }}{{"\n"}}{{m.role}}b{% endfor %})",
        "{%- for m in messages -%}\n  {{- 'a\\n' -}}\n  {{- m.role -}}\n  b\n{%- endfor -%}\n",
        "{# a comment #}\n{% for m in messages %}\n    {% generation %}\n{{ 'a\\n' + m.role }}b{% endgeneration %}\n{% "
        "endfor %}\n",
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% for m in "
        "messages %}a\n{{ m.role }}b{% endfor %}"})
    EXPECT_EQ(form(same), wanted) << same;
}

TEST(JinjaForm, DiffersWhereTheTextMay) {
  const std::string one = form("{% for m in messages %}{{ 'a' + m.role }}{% endfor %}");
  for (const char* other : {"{% for m in messages %}{{ 'b' + m.role }}{% endfor %}",
                            "{% for m in messages %}{{ 'a' + m.content }}{% endfor %}",
                            "{% for m in messages %}{{ 'a' + m.role | trim }}{% endfor %}",
                            "{% for m in messages %} {{ 'a' + m.role }}{% endfor %}",
                            "{% for m in messages %}{{ 'a' + m.role }}{% endfor %}x",
                            "{% for m in messages[1:] %}{{ 'a' + m.role }}{% endfor %}",
                            "{% for m in messages %}{{ 'a' + m.role if m.role else '' }}{% endfor %}",
                            "{% for m in messages %}\n\n{{ 'a' + m.role }}{% endfor %}",
                            "{% for m in messages %}{{ m.role + 'a' }}{% endfor %}"})
    EXPECT_NE(form(other), one) << other;
  EXPECT_EQ(form("{{ a + b | trim + c }}"), "=a\n=b | trim\n=c\n");  // a filter binds first
  EXPECT_EQ(form("{{ '+' }}{{ (a + b) }}"), "'\"+\"\n=( a + b )\n");
}

TEST(JinjaForm, PutsInTheBos) {
  EXPECT_EQ(jinja_form("{{ bos_token + 'a' }}", "<s>"), "'\"<s>a\"\n");
  EXPECT_EQ(form("{{ bos_token + 'a' }}"), "=bos_token\n'\"a\"\n");
}

TEST(JinjaForm, OfNoTemplateIsEmpty) {
  for (const char* text : {"", "{% for", "{{ 'a }}", "{{ a", "{# a", "{%"}) EXPECT_EQ(form(text), "") << text;
  EXPECT_EQ(form("{ a } }} %}"), "'\"{ a } }} %}\"\n");
}

}  // namespace
}  // namespace evenkeel::data

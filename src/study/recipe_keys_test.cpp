#include "study/recipe_keys.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file_io.h"
#include "moe/balance_loss.h"
#include "moe/capacity_config.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "study/matrix.h"
#include "support/source_folder.h"
#include "support/tiny_run.h"

namespace evenkeel::study {
namespace {

using ::testing::HasSubstr;

// A key too unlike any for the message to name the nearest: it then names all that the parser knows of that table.
constexpr const char* kUnknown = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

class RecipeKeys : public ::testing::Test {
 protected:
  void SetUp() override { testing::write_tiny_sets(folder_); }

  std::string refusal(const std::vector<std::string>& overrides) const {
    return testing::message_of<ConfigError>([&] { testing::tiny_config(folder_.path(), overrides); });
  }
  // The keys that the parser's message lists.
  static std::set<std::string> known_of(const std::string& message) {
    const std::string begin = "need one of ";
    const size_t at = message.find(begin);
    std::set<std::string> out;
    if (at == std::string::npos) return out;
    std::string text = message.substr(at + begin.size()) + ", ";
    for (size_t end = text.find(", "); end != std::string::npos; end = text.find(", ")) {
      out.insert(text.substr(0, end));
      text.erase(0, end + 2);
    }
    return out;
  }
  // The keys right below `path`, of `kind` where one is named.
  static std::set<std::string> listed(const std::string& path, const std::string& kind = "") {
    std::set<std::string> out;
    for (const auto& key : recipe_keys()) {
      const std::string prefix = path.empty() ? "" : path + ".";
      const bool is_of_kind =
          kind.empty() || key.kinds.empty() || std::find(key.kinds.begin(), key.kinds.end(), kind) != key.kinds.end();
      if (!key.key.starts_with(prefix) || !is_of_kind) continue;
      const std::string rest = key.key.substr(prefix.size());
      if (rest.find('.') == std::string::npos) out.insert(rest);
    }
    return out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(RecipeKeys, AreFoundByWordsOfTheirMeaningToo) {
  const auto found = matching_keys(recipe_keys(), "z_loss");
  EXPECT_TRUE(std::any_of(found.begin(), found.end(),
                          [](const ConfigKey& key) { return key.key == "model.balance.z_coefficient"; }));
  EXPECT_EQ(matching_keys(recipe_keys(), "phase.german.tokens").at(0).key, "phase.NAME.tokens");
  EXPECT_THAT(testing::message_of<ConfigError>([] { matching_keys(recipe_keys(), "model.routr"); }),
              HasSubstr("did you mean 'model.router'?"));
}

TEST_F(RecipeKeys, TheParserKnowsTheseAndNoOthers) {
  const std::string unknown = std::string(kUnknown) + "=1";
  const auto compare = [&](const std::string& path, const std::vector<std::string>& overrides,
                           const std::string& kind = "") {
    const std::string message = refusal(overrides);
    EXPECT_EQ(known_of(message), listed(path, kind)) << path << " " << kind << ": " << message;
  };
  auto root = listed("");
  root.erase("study");
  EXPECT_EQ(known_of(refusal({std::string(kUnknown) + ".x=1"})), root);
  for (const char* table : {"model", "train"}) compare(table, {std::string(table) + "." + unknown});
  compare("phase.NAME", {"phase.one." + unknown});
  compare("phase.NAME.data.NAME", {"phase.one.data.a." + unknown});
  compare("phase.NAME.eval", {"phase.one.eval." + unknown});
  compare("phase.NAME.eval.data.NAME", {"phase.one.eval.data.held." + unknown});
  compare("phase.NAME.replay", {"phase.two.replay." + unknown});
  compare("phase.NAME.replay.data.NAME", {"phase.two.replay={fraction = 0.5, data = [{name = \"a\", path = \"a\", " +
                                          std::string(kUnknown) + " = 1}]}"});
  compare("phase.NAME.start", {"phase.two.start." + unknown});
}

TEST_F(RecipeKeys, EveryKindReadsTheKeysThatNameIt) {
  const std::string unknown = std::string(kUnknown) + " = 1";
  const auto compare = [&](const std::string& path, const std::string& override_text, const std::string& kind) {
    const std::string message = refusal({override_text});
    EXPECT_EQ(known_of(message), listed(path, kind)) << path << " " << kind << ": " << message;
  };
  for (const auto& kind : moe::router_kinds())
    compare("model.router", "model.router={kind = \"" + std::string(kind.name) + "\", " + unknown + "}", kind.name);
  for (const auto& kind : optim::optimizer_kinds())
    compare("optimizer", "optimizer={kind = \"" + std::string(kind.name) + "\", " + unknown + "}", kind.name);
  for (const auto& kind : optim::schedule_kinds())
    compare("phase.NAME.schedule",
            "phase.one.schedule={kind = \"" + std::string(kind.name) + "\", lr_max = 1, " + unknown + "}", kind.name);
  for (const auto& rule : moe::capacity_rules())
    compare("model.capacity", "model.capacity={rule = \"" + rule.config.rule + "\", " + unknown + "}",
            rule.config.rule);
  auto balance = listed("model.balance"), term = listed("model.balance.loss[]");
  balance.erase("loss[]");
  EXPECT_EQ(known_of(refusal({"model.balance={loss = \"gshard\", " + unknown + "}"})), balance);
  EXPECT_EQ(known_of(refusal({"model.balance={loss = [{loss = \"gshard\", coefficient = 1, " + unknown + "}]}"})),
            term);
}

TEST_F(RecipeKeys, AStudyKnowsTheseAndNoOthers) {
  ConfigNode root = testing::tiny_recipe(
      folder_.path(), {"study.matrix={\"train.seed\" = [1, 2]}", std::string("study.") + kUnknown + "=1"});
  EXPECT_EQ(known_of(testing::message_of<ConfigError>([&] { read_study(root); })), listed("study"));
  const ConfigNode arm =
      testing::tiny_recipe(folder_.path(), {"study.arms=[{name = \"x\", phases = [\"one\"], train.keep_last = 3}]"});
  const auto plan = read_study(arm);
  EXPECT_EQ(plan.arms.at(0).config.phases.size(), 1u);
  EXPECT_EQ(plan.arms.at(0).config.train.keep_last, 3);
}

// A default that is a value says what holds without the key: with it the recipe is the same run.
TEST_F(RecipeKeys, ADefaultIsWhatHoldsWithoutTheKey) {
  // A recipe in which each table is there.
  const std::vector<std::string> base = {"model.capacity={}", "model.balance={loss = \"switch\", coefficient = 0.01}",
                                         "phase.two.replay={fraction = 0.0, from = \"one\"}", "phase.two.start={}"};
  const std::map<std::string, std::string> places = {
      {"phase.NAME.data.NAME", "phase.one.data.a"}, {"phase.NAME.eval.data.NAME", "phase.one.eval.data.held"},
      {"phase.NAME.eval", "phase.one.eval"},        {"phase.NAME.replay", "phase.two.replay"},
      {"phase.NAME.start", "phase.two.start"},      {"phase.NAME", "phase.one"}};
  const auto resolved = [&](const std::vector<std::string>& more) {
    auto overrides = base;
    overrides.insert(overrides.end(), more.begin(), more.end());
    return train::run_config_json(testing::tiny_config(folder_.path(), overrides));
  };
  const Json without = resolved({});
  int n_checked = 0;
  for (const auto& key : recipe_keys()) {
    const size_t dot = key.key.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : key.key.substr(0, dot);
    const bool is_plain = key.kinds.empty() && !key.default_value.is_null() && key.key.find('.') != std::string::npos;
    if (!is_plain || key.key.find("[]") != std::string::npos || parent == "phase.NAME.replay.data.NAME") continue;
    if (key.key == "model.n_experts") continue;  // the recipe's model has experts
    const auto place = places.find(parent);
    const std::string path = (place == places.end() ? parent : place->second) + key.key.substr(parent.size());
    EXPECT_EQ(resolved({path + "=" + key.default_value.dump()}), without) << path;
    ++n_checked;
  }
  EXPECT_GE(n_checked, 25);
}

// The same of the keys that depend on a kind.
TEST_F(RecipeKeys, ADefaultOfAKindIsWhatHoldsWithoutTheKey) {
  struct Choice {
    std::string table, chooser, more;  // more: what the kind needs
  };
  const auto choice_of = [](const std::string& key, const std::string& kind) -> Choice {
    if (key.starts_with("model.router.")) return {"model.router", "kind", ""};
    if (key.starts_with("model.attention."))
      return {"model.attention", "kind", kind == "latent" ? ", kv_rank = 4, rope_dim = 2" : ""};
    if (key.starts_with("model.rope_scaling.")) {
      std::string needs = kind == "none" || kind == "linear" ? "" : ", original_length = 8";
      if (kind == "longrope") needs += ", short_factor = [1.0, 1.0], long_factor = [1.0, 1.0]";
      return {"model.rope_scaling", "kind", needs};
    }
    if (key.starts_with("phase.NAME.objective.prompts.")) return {"", "", ""};  // a table of its own
    if (key.starts_with("optimizer.")) return {"optimizer", "kind", ""};
    if (key.starts_with("phase.NAME.objective.")) return {"phase.two.objective", "kind", ""};
    if (key.starts_with("model.capacity.")) return {"model.capacity", "rule", ""};
    if (key.starts_with("model.balance.loss[].")) return {"", "", ""};
    if (key.starts_with("model.balance.")) return {"model.balance", "loss", ""};
    const bool is_infinite = kind.starts_with("infinite_");
    if (kind == "wsd") return {"phase.two.schedule", "kind", ", lr_max = 1, decay = 0.1"};
    return {"phase.two.schedule", "kind",
            is_infinite ? ", lr_max = 1, lr_constant = 0.5, cooldown = 0.5, constant = 0.5" : ", lr_max = 1"};
  };
  int n_checked = 0;
  for (const auto& key : recipe_keys()) {
    const std::string name = key.key.substr(key.key.rfind('.') + 1);
    for (const auto& kind : key.kinds) {
      const auto choice = choice_of(key.key, kind);
      const bool is_needed = choice.more.find(name + " =") != std::string::npos;
      if (choice.table.empty() || key.default_value.is_null() || name == choice.chooser || is_needed) continue;
      const std::string table = choice.table + "={" + choice.chooser + " = \"" + kind + "\"" + choice.more;
      const bool is_single = kind == "base" || kind == "hash";
      const bool has_no_losses = is_single || kind == "random" || kind == "uniform";
      std::vector<std::string> with = {table + ", " + name + " = " + key.default_value.dump() + "}"},
                               without = {table + "}"};
      if (key.key.starts_with("model.router.") && has_no_losses)
        for (auto* overrides : {&with, &without})
          overrides->insert(overrides->begin(),
                            {"model.balance={loss = []}", std::string("model.top_k=") + (is_single ? "1" : "2")});
      EXPECT_EQ(train::run_config_json(testing::tiny_config(folder_.path(), with)),
                train::run_config_json(testing::tiny_config(folder_.path(), without)))
          << with.back();
      ++n_checked;
    }
  }
  EXPECT_GE(n_checked, 200);
}

TEST_F(RecipeKeys, WhatIsRequiredIsMissed) {
  const auto without = [&](const std::string& table, const std::string& key) {
    ConfigNode root = testing::tiny_recipe(folder_.path());
    ConfigNode* node = &root;
    if (table == "phase.NAME") node = &root.find("phase")->list()[1];
    if (table == "model" || table == "train") node = root.find(table);
    EXPECT_NE(node->find(key), nullptr) << table << " " << key;
    node->erase(key);
    return testing::message_of<ConfigError>([&] { train::read_run_config(root); });
  };
  for (const auto& key : recipe_keys()) {
    const size_t dot = key.key.rfind('.');
    const std::string table = dot == std::string::npos ? "" : key.key.substr(0, dot),
                      name = key.key.substr(dot == std::string::npos ? 0 : dot + 1);
    const bool is_reached = table.empty() || table == "model" || table == "train" || table == "phase.NAME";
    if (key.is_required && is_reached) {
      EXPECT_NE(without(table, name), "") << key.key;
    }
  }
}

TEST(RecipeKeysPage, IsTheOneInDocs) {
  EXPECT_EQ(read_file(testing::source_folder() / "docs" / "recipe.md"), recipe_keys_markdown(recipe_keys()))
      << "need: build/evenkeel keys --markdown > docs/recipe.md";
}

TEST(RecipeKeysPage, HasEveryKeyOnceInItsSection) {
  const std::string page = recipe_keys_markdown(recipe_keys());
  for (const auto& key : recipe_keys()) {
    EXPECT_THAT(page, HasSubstr("\n| `" + key.key + "` | ")) << key.key;
    EXPECT_NE(key.meaning, "") << key.key;
  }
  const size_t router = page.find("## `[model.router]`"), balance = page.find("## `[model.balance]`"),
               rate = page.find("`model.router.rate`");
  EXPECT_TRUE(router < rate && rate < balance);
}

}  // namespace
}  // namespace evenkeel::study

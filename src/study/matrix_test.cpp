#include "study/matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/objectives/objective.h"
#include "support/tiny_run.h"
#include "train/phase_objective.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

// The tiny recipe under a [study] table.
ConfigNode study_node(const std::string& study, const std::string& folder = "/data") {
  return parse_toml("[study]\n" + study + "\n" + testing::tiny_recipe_text(), "s.toml", folder);
}
StudyPlan plan_of(const std::string& study) { return read_study(study_node(study)); }
double largest_rate(const ArmPlan& arm, size_t phase) {
  return train::phase_schedule(arm.config, arm.config.phases[phase])->options().at("lr_max").as_double();
}
std::vector<std::string> names_of(const StudyPlan& plan) {
  std::vector<std::string> out;
  for (const auto& arm : plan.arms) out.push_back(arm.name);
  return out;
}

TEST(Study, ArmsOverrideAnyKeyAndPhasesByName) {
  const auto plan = plan_of(R"(title = "T"
arms = [{name = "plain"}, {name = "hot", phase.two.schedule.lr_max = 0.5}, {name = "one", model.top_k = 1, optimizer.eps = 1e-6}])");
  EXPECT_EQ(plan.title, "T");
  EXPECT_THAT(names_of(plan), ElementsAre("plain", "hot", "one"));
  EXPECT_EQ(plan.arms[1].group, "hot");
  EXPECT_EQ(largest_rate(plan.arms[0], 1), 1e-2);
  EXPECT_EQ(largest_rate(plan.arms[1], 1), 0.5);
  EXPECT_EQ(largest_rate(plan.arms[1], 0), 1e-2);
  EXPECT_EQ(plan.arms[2].config.model.top_k, 1);
  EXPECT_EQ(train::run_optimizer(plan.arms[2].config)->options().at("eps").as_double(), 1e-6);
  EXPECT_EQ(plan.arms[0].config.model.top_k, 2);
}

// Tables and pages hold arms against each other by the names of their held-out sets.
TEST(Study, ASetOfOneNameHasOneObjective) {
  const std::string eval =
      "phase.one.eval = {data = [{name = \"held\", path = \"a-heldout\", objective = {kind = \"prefix_lm\"}}]}";
  EXPECT_THAT(
      message_of<ConfigError>([&] { plan_of("arms = [{name = \"plain\"}, {name = \"other\", " + eval + "}]"); }),
      HasSubstr("with 'held' scored by {\"kind\":\"prefix_lm\",\"prefix_attention\":false} of arm 'other', "
                "which phase 'one' of arm 'plain' scores by {\"kind\":\"causal\"}"));
  EXPECT_EQ(
      plan_of("arms = [{name = \"one\", " + eval + "}, {name = \"two\", " + eval + ", model.top_k = 1}]").arms.size(),
      2u);
}

// The tables whose keys mean something else under another kind are replaced, and an empty table is the default.
TEST(Study, ArmsReplaceTheRouterBalanceAndCapacityThatTheyName) {
  const std::string base = std::string(testing::tiny_recipe_text()) +
                           "[model.router]\nkind = \"top_k\"\nscore = \"sigmoid\"\nrenormalize = "
                           "true\n[model.capacity]\nrule = \"switch\"\nfactor_train = 2.0\n";
  const auto plan =
      read_study(parse_toml("[study]\narms = [{name = \"pb\"}, {name = \"sb\", model.router = {kind = \"sinkhorn\"}, "
                            "model.balance = {}, model.capacity = {}}, "
                            "{name = \"none\", model.balance = {loss = []}}, {name = \"half\", "
                            "model.balance.coefficient = 0.005, model.router.renormalize = false}]\n" +
                                base,
                            "s.toml", "/data"));
  const auto& pb = plan.arms[0].config.model;
  EXPECT_EQ(pb.router.find("score")->shown(), "'sigmoid'");
  const auto& sb = plan.arms[1].config.model;
  EXPECT_EQ(sb.router.find("kind")->shown(), "'sinkhorn'");
  EXPECT_EQ(sb.router.find("score"), nullptr);
  EXPECT_TRUE(sb.balance.terms.empty());
  EXPECT_EQ(sb.balance.z_coefficient, 0);
  EXPECT_TRUE(sb.capacity.is_dropless());
  EXPECT_TRUE(plan.arms[2].config.model.balance.terms.empty());
  const auto& half = plan.arms[3].config.model;
  EXPECT_EQ(half.balance.terms[0].coefficient, 0.005);
  EXPECT_EQ(half.balance.z_coefficient, 0.001);
  EXPECT_EQ(half.router.find("score")->shown(), "'sigmoid'");
  EXPECT_EQ(half.capacity.factor_train, 2.0);
}

// The keys of the base's kind do not fit another; those of the same kind stay.
TEST(Study, ArmsReplaceTheOptimizerOfAnotherKind) {
  const std::string base = std::string(testing::tiny_recipe_text()) + "[optimizer]\nbetas = [0.8, 0.9]\n";
  const auto plan = read_study(
      parse_toml("[study]\nmatrix = {optimizer.kind = [\"adamw\", \"adafactor\"]}\n" + base, "s.toml", "/data"));
  const auto options_of = [&](size_t arm) { return train::run_optimizer(plan.arms[arm].config)->options(); };
  EXPECT_EQ(options_of(0).at("betas").at(0).as_double(), 0.8);
  EXPECT_EQ(options_of(1).at("kind").as_string(), "adafactor");
}

// The same of a phase's objective. A schedule of another kind keeps the keys that this kind has too.
TEST(Study, ArmsReplaceTheObjectiveAndTheKeysOfTheScheduleOfAnotherKind) {
  auto base = parse_toml(testing::tiny_recipe_text(), "s.toml", "/data");
  apply_override(base, "phase.one.objective={kind = \"prefix_lm\", prefix_attention = true}");
  apply_override(base, "phase.one.schedule={kind = \"cosine\", lr_max = 0.25, lr_min = 0.125, warmup = 0.2}");
  const auto arms = parse_toml(R"([study]
arms = [{name = "base"}, {name = "causal", phase.one.objective = {kind = "causal"}},
        {name = "list", phase = [{name = "one", objective.kind = "causal"}]},
        {name = "other", phase.two.objective = {kind = "prefix_lm"}},
        {name = "same", phase.one.objective.prefix_attention = false},
        {name = "flat", phase.one.schedule.kind = "constant"},
        {name = "lower", phase.one.schedule = {kind = "linear", lr_max = 0.5}}])",
                               "s.toml", "/data");
  base.set("study", *arms.find("study"));
  const auto plan = read_study(base);
  const auto objective_of = [&](size_t arm, size_t phase) {
    return train::phase_objective(plan.arms[arm].config, plan.arms[arm].config.phases[phase])->options().dump();
  };
  const std::string causal = R"({"kind":"causal"})";
  EXPECT_THAT(objective_of(0, 0), HasSubstr("\"prefix_attention\":true"));
  EXPECT_EQ(objective_of(1, 0), causal);
  EXPECT_EQ(objective_of(2, 0), causal);
  EXPECT_THAT(objective_of(3, 1), HasSubstr("\"prefix_attention\":false"));
  EXPECT_THAT(objective_of(4, 0), HasSubstr("\"prefix_attention\":false"));
  const auto schedule_of = [&](size_t arm) {
    return train::phase_schedule(plan.arms[arm].config, plan.arms[arm].config.phases[0])->options();
  };
  EXPECT_EQ(schedule_of(5).at("kind").as_string(), "constant");
  EXPECT_EQ(schedule_of(5).at("lr_max").as_double(), 0.25);
  EXPECT_EQ(schedule_of(6).at("lr_max").as_double(), 0.5);
  EXPECT_EQ(schedule_of(6).at("lr_min").as_double(), 0.125);
}

// The recipe's balance loss is for the router that it names: an arm with another kind of router that keeps it says so.
TEST(Study, AnArmThatKeepsABalanceLossSilentlyIsWarnedOf) {
  const auto plan = plan_of(R"(matrix = {model.router.kind = ["top_k", "sinkhorn"], train.seed = [1]})");
  EXPECT_EQ(plan.arms[0].warning, "");
  EXPECT_THAT(plan.arms[1].warning, AllOf(HasSubstr("got model.router.kind = 'sinkhorn'"),
                                          HasSubstr("keeps the balance loss switch 0.01, the z-loss 0.001"),
                                          HasSubstr("need model.balance = {loss = []}")));
  const auto said = plan_of(
      R"(arms = [{name = "none", model = {router = {kind = "sinkhorn"}, balance = {}}}, {name = "kept", model = {router = {kind = "sinkhorn"}, balance = {loss = "switch", coefficient = 0.01}}},
                                       {name = "same", model.router.renormalize = true}])");
  for (const auto& arm : said.arms) EXPECT_EQ(arm.warning, "") << arm.name;
}

TEST(Study, TheTableOfRecipeWarningsHasEachGroupOnce) {
  const auto table = recipe_warnings(plan_of(
      R"(matrix = {model.router.kind = ["top_k", "sinkhorn"], optimizer.weight_decay = [0.0, 0.1], train.seed = [1, 2]})"));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0][0].as_string(), "sinkhorn-weight_decay0");
  EXPECT_EQ(table.rows[1][0].as_string(), "sinkhorn-weight_decay0.1");
  EXPECT_THAT(table.rows[0][1].as_string(),
              ::testing::StartsWith("got model.router.kind = 'sinkhorn'"));  // without the path of a file
  EXPECT_EQ(table.rows[0][1], table.rows[1][1]);
  EXPECT_TRUE(recipe_warnings(plan_of(R"(arms = [{name = "plain"}])")).rows.empty());
}

TEST(Study, SeedsMultiplyArmsAndShareAGroup) {
  const auto plan = plan_of("seeds = [3, 5]\narms = [{name = \"a\"}, {name = \"b\"}]");
  EXPECT_THAT(names_of(plan), ElementsAre("a-seed3", "a-seed5", "b-seed3", "b-seed5"));
  EXPECT_EQ(plan.arms[1].group, "a");
  EXPECT_EQ(plan.arms[1].config.train.seed, 5);
  const auto single = plan_of("seeds = [7]\narms = [{name = \"a\"}]");
  EXPECT_THAT(names_of(single), ElementsAre("a"));  // one seed needs no suffix
  EXPECT_EQ(single.arms[0].config.train.seed, 7);
}

TEST(Study, AMatrixIsEveryCombinationNamedByItsValues) {
  const auto plan = plan_of(
      R"(matrix = {model.router.kind = ["top_k", "sinkhorn"], phase.two.schedule.lr_max = [0.1, 0.2], train.seed = [1]})");
  EXPECT_THAT(names_of(plan), ElementsAre("top_k-lr_max0.1-seed1", "top_k-lr_max0.2-seed1", "sinkhorn-lr_max0.1-seed1",
                                          "sinkhorn-lr_max0.2-seed1"));
  EXPECT_EQ(model::model_config_json(plan.arms[3].config.model).at("router").at("kind").as_string(), "sinkhorn");
  EXPECT_EQ(largest_rate(plan.arms[3], 1), 0.2);
  EXPECT_EQ(largest_rate(plan.arms[2], 1), 0.1);
}

TEST(Study, ArmsOfAMatrixThatDifferBySeedShareAGroup) {
  const auto groups_of = [](const StudyPlan& plan) {
    std::vector<std::string> out;
    for (const auto& arm : plan.arms) out.push_back(arm.group);
    return out;
  };
  const auto plan = plan_of(R"(matrix = {train.seed = [1, 2], phase.two.schedule.lr_max = [0.1, 0.2]})");
  EXPECT_THAT(names_of(plan), ElementsAre("seed1-lr_max0.1", "seed1-lr_max0.2", "seed2-lr_max0.1", "seed2-lr_max0.2"));
  EXPECT_THAT(groups_of(plan), ElementsAre("lr_max0.1", "lr_max0.2", "lr_max0.1", "lr_max0.2"));
  EXPECT_THAT(groups_of(plan_of("matrix = {train.seed = [1, 2]}")), ElementsAre("all", "all"));
  EXPECT_THAT(groups_of(plan_of("matrix = {optimizer.eps = [1e-6, 1e-8]}")), ElementsAre("eps1e-06", "eps1e-08"));
}

TEST(Study, ATableOfAMatrixMayCarryItsName) {
  const auto plan = plan_of(
      R"(matrix = {model.balance = [{name = "weak", coefficient = 0.25}, {name = "strong", coefficient = 0.5}]})");
  EXPECT_THAT(names_of(plan), ElementsAre("weak", "strong"));
  EXPECT_EQ(plan.arms[0].config.model.balance.terms.at(0).coefficient, 0.25);
  EXPECT_EQ(plan.arms[1].config.model.balance.terms.at(0).coefficient, 0.5);
}

TEST(Study, PhasesAreChosenByNameInTheOrderGiven) {
  const auto plan = plan_of("phases = [\"two\", \"one\"]\narms = [{name = \"a\"}, {name = \"b\", phases = [\"one\"]}]");
  ASSERT_EQ(plan.arms[0].config.phases.size(), 2u);
  EXPECT_EQ(plan.arms[0].config.phases[0].name, "two");
  EXPECT_EQ(plan.arms[0].config.phases[1].name, "one");
  ASSERT_EQ(plan.arms[1].config.phases.size(), 1u);
  EXPECT_EQ(plan.arms[1].config.phases[0].name, "one");
  EXPECT_THAT(message_of<ConfigError>([] { plan_of("phases = [\"tow\"]\narms = [{name = \"a\"}]"); }),
              HasSubstr("'tow'"));
}

TEST(Study, TheBaseIsAFileOrTheRestOfTheFile) {
  const testing::TemporaryFolder folder;
  folder.write("base.toml", testing::tiny_recipe_text());
  const auto plan = read_study(parse_toml("[study]\nbase = \"base.toml\"\narms = [{name = \"a\"}]\n[train]\nseed = 9\n",
                                          "s.toml", folder.path().string()));
  EXPECT_EQ(plan.arms[0].config.train.seed, 9);
  EXPECT_EQ(plan.arms[0].config.phases[0].data[0].path.value, (folder / "a").string());
}

TEST(Study, AnArmsTextIsARecipeThatGivesTheSameRun) {
  const auto plan = plan_of(R"(seeds = [1, 2]
arms = [{name = "a", phase.two.freeze = ["head.weight"], phase.two.slow = {"layers.*" = 0.5}}, {name = "b", phase.two.replay = {fraction = 0.25, from = "one"}}])");
  for (const auto& arm : plan.arms) {
    const auto again = train::read_run_config(parse_toml(arm.text, "recipe.toml", "/elsewhere"));
    EXPECT_EQ(train::run_config_json(again), train::run_config_json(arm.config)) << arm.text;
  }
}

TEST(Study, AnArmsTextHasNoPathThatDependsOnItsPlace) {
  const testing::TemporaryFolder folder;
  std::filesystem::create_directories(folder / "other");
  const auto root = [&](const std::string& arm) {
    return parse_toml("[study]\narms = [{name = \"a\", " + arm + "}]\n" + testing::tiny_recipe_text(), "s.toml",
                      folder.path().string());
  };
  const auto started = [&](const std::string& arm) {
    const auto plan = read_study(root(arm));
    const auto again = train::read_run_config(parse_toml(plan.arms[0].text, "recipe.toml", "/elsewhere"));
    EXPECT_EQ(train::run_config_json(again), train::run_config_json(plan.arms[0].config)) << plan.arms[0].text;
    return again;
  };
  EXPECT_EQ(started(R"(phase.one.start.from = "other/../other")").phases[0].start->from, (folder / "other").string());
  EXPECT_EQ(started(R"(phase.two.start = {from = "other", step = 3})").phases[1].start->from,
            (folder / "other").string());
  EXPECT_EQ(started(R"(phase.two.start = {from = "one", step = 3})").phases[1].start->from, "one");  // a phase
  EXPECT_EQ(started(R"(phase.two.replay = {fraction = 0.5, from = "one"})").phases[1].replay->from, "one");
  // The weights that a model begins from: the error names the whole path.
  EXPECT_THAT(message_of<Error>([&] { read_study(root(R"(model.from = "none")")); }),
              HasSubstr((folder / "none").string()));
}

TEST(Study, RefusesWhatItCannotRead) {
  const auto refusal = [](const std::string& study) { return message_of<ConfigError>([&] { plan_of(study); }); };
  EXPECT_THAT(message_of<ConfigError>([] { read_study(testing::tiny_recipe("/data")); }), HasSubstr("got no [study]"));
  EXPECT_THAT(refusal(""), HasSubstr("neither arms nor matrix"));
  EXPECT_THAT(refusal("arms = [{name = \"a\"}]\nmatrix = {train.seed = [1]}"), HasSubstr("both arms and matrix"));
  EXPECT_THAT(refusal("arms = []"), HasSubstr("study.arms"));
  EXPECT_THAT(refusal("arms = [{train.seed = 1}]"), HasSubstr("without 'name'"));
  EXPECT_THAT(refusal("arms = [{name = \"a\"}, {name = \"a\"}]"), HasSubstr("'a' twice"));
  EXPECT_THAT(refusal("arms = [{name = \"../a\"}]"), HasSubstr("it names a folder"));
  EXPECT_THAT(refusal("arms = [{name = \".a\"}]"), HasSubstr("it names a folder"));
  EXPECT_THAT(refusal("arms = [{name = \"a\", train.sede = 1}]"), AllOf(HasSubstr("arm a: "), HasSubstr("sede")));
  EXPECT_THAT(refusal("arms = [{name = \"a\"}]\nseeds = [1, 1]"), HasSubstr("need distinct seeds"));
  EXPECT_THAT(refusal("arms = [{name = \"a\"}]\nsedes = [1]"), HasSubstr("seeds"));
  EXPECT_THAT(refusal("arms = [{name = \"a\", train.seed = 3}]\nseeds = [1, 2]"),
              HasSubstr("got train.seed of arm 'a' beside study.seeds"));
  EXPECT_THAT(refusal("matrix = {train.seed = [1, 2]}\nseeds = [3, 4]"), HasSubstr("beside study.seeds"));
  EXPECT_THAT(refusal("matrix = {}"), HasSubstr("empty matrix"));
  EXPECT_THAT(refusal("matrix = {train.seed = 1}"), HasSubstr("a list of values"));
}

}  // namespace
}  // namespace evenkeel::study

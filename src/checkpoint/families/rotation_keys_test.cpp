#include "checkpoint/families/rotation_keys.h"

#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class RotationKeys : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    make_llama();
  }
  double theta() const { return read_config().config.rope_theta; }
  std::string scaling_of(const std::string& table) {
    set("rope_parameters", Json::parse(table, "test"));
    return to_json(read_config().config.rope_scaling).dump();
  }
};

TEST_F(RotationKeys, FindTheBaseOfBothVersions) {
  EXPECT_EQ(theta(), 500000.0);  // rope_parameters
  set("rope_parameters", nullptr);
  EXPECT_EQ(theta(), 10000.0);
  set("rope_theta", 2000);
  set("rope_scaling", nullptr);
  EXPECT_EQ(theta(), 2000.0);
  set("rope_scaling", Json::parse(R"({"type": "default"})", "test"));
  EXPECT_EQ(theta(), 2000.0);
}

TEST_F(RotationKeys, ReadEveryScaling) {
  EXPECT_EQ(scaling_of(R"({"rope_type":"linear","factor":4})"), R"({"kind":"linear","factor":4})");
  EXPECT_EQ(scaling_of(R"({"type":"dynamic","factor":2.0})"),
            R"({"kind":"dynamic","factor":2,"original_length":64})");  // max_position_embeddings
  EXPECT_EQ(
      scaling_of(
          R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":16})"),
      R"({"kind":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_length":16})");
  EXPECT_EQ(scaling_of(R"({"rope_type":"yarn","factor":null,"original_max_position_embeddings":16,"truncate":false,)"
                       R"("mscale":0.5,"mscale_all_dim":0.7,"beta_fast":null})"),
            R"({"kind":"yarn","factor":4,"original_length":16,"beta_fast":32,"beta_slow":1,"truncate":false,)"
            R"("attention_factor":0,"mscale":0.5,"mscale_all_dim":0.7})");  // 64 / 16
  EXPECT_EQ(scaling_of(R"({"rope_type":"longrope","short_factor":[1,2],"long_factor":[3,4],"attention_factor":1.1})"),
            R"({"kind":"longrope","short_factor":[1,2],"long_factor":[3,4],"factor":1,"original_length":64,)"
            R"("attention_factor":1.1})");
  EXPECT_EQ(scaling_of(R"({"rope_type":"default","rope_theta":7.0})"), R"({"kind":"none"})");
}

TEST_F(RotationKeys, GoThereAndBack) {
  for (
      const char* table :
      {R"({"rope_type":"linear","factor":4.0,"rope_theta":500.0})", R"({"rope_type":"dynamic","factor":2.0})",
       R"({"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":16,"attention_factor":1.3})",
       R"({"rope_type":"longrope","short_factor":[1.5,2.5],"long_factor":[3.0,4.0],"factor":8.0,"original_max_position_embeddings":32})"}) {
    SCOPED_TRACE(table);
    make_llama();
    set("rope_parameters", Json::parse(table, "test"));
    expect_there_and_back();
    config_.erase("rope_parameters");  // as transformers 4 has it
    set("rope_theta", 321.5);
    set("rope_scaling", Json::parse(table, "test"));
    config_["rope_scaling"].erase("rope_theta");
    expect_there_and_back();
  }
}

TEST_F(RotationKeys, AreWrittenInBothForms) {
  set("rope_parameters", Json::parse(R"({"rope_type":"linear","factor":4.0,"rope_theta":500.0})", "test"));
  import_and_export();
  const Json config = HfConfig(root_ / "exported").json();
  EXPECT_EQ(config.at("rope_theta"), Json(500.0));
  EXPECT_EQ(config.at("rope_scaling").at("type"), Json("linear"));
  EXPECT_EQ(config.at("rope_parameters").dump(), R"({"rope_type":"linear","factor":4,"rope_theta":500})");
}

TEST_F(RotationKeys, RefuseWhatContradictsOrIsNotKnown) {
  set("rope_theta", 10000.0);
  expect_refusal({"rope_parameters.rope_theta", "5e+05", "10000"});
  make_llama();
  expect_refused_setting("rope_parameters", R"({"rope_type":"su"})",
                         {"rope_parameters.rope_type", "\"su\"", "longrope"});
  expect_refused_setting("rope_parameters", R"({"rope_type":"none"})", {"rope_parameters.rope_type", "\"none\""});
  expect_refused_setting("rope_parameters", R"({"full_attention":{"rope_theta":10000.0}})",
                         {"rope_parameters.full_attention"});
  expect_refused_setting("rope_parameters", R"({"rope_type":"linear","factor":2.0,"beta_fast":32})",
                         {"rope_parameters.beta_fast", "linear"});
  expect_refused_setting("rope_parameters", R"({"rope_type":"linear","factor":-2.0})", {"factor", "-2"});
  expect_refused_setting("rope_parameters", R"({"rope_type":"linear"})", {"rope_parameters.factor", "no default"});
  expect_refused_setting(
      "rope_parameters",
      R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":4.0,"high_freq_factor":1.0,"original_max_position_embeddings":16})",
      {"high_freq_factor", "low_freq_factor"});
  expect_refused_setting("rope_parameters",
                         R"({"rope_type":"dynamic","factor":2.0,"original_max_position_embeddings":16})",
                         {"rope_parameters.original_max_position_embeddings", "64, as max_position_embeddings"});
  expect_refused_setting("rope_parameters", R"({"rope_theta":10000.0,"partial_rotary_factor":0.5})",
                         {"rope_parameters.partial_rotary_factor", "0.5"});
  expect_refused_setting("partial_rotary_factor", "0.5");
  expect_refused_setting("rope_scaling", R"(2.0)");
  set("rope_parameters", Json::parse(R"({"rope_type":"linear","factor":2.0})", "test"));
  expect_refused_setting("rope_scaling", R"({"type":"linear","factor":3.0})", {"rope_scaling"});
  set("rope_parameters", nullptr);
  expect_refused_setting("rope_theta", "-1.0");
  expect_refused_setting("rope_theta", R"("big")");
}

}  // namespace
}  // namespace evenkeel::checkpoint

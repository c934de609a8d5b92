// The table that compares the routing rules of a study: what each looks at, and what its arms came to.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/columns.h"
#include "train/results.h"

namespace evenkeel::study {

struct RouterRow {
  std::string arm;
  // Which rule the arm has, its router's and its capacity's together; none for a dense arm.
  std::optional<std::string> router, capacity, scope, eval_scope;
  std::optional<bool> causal, eval_causal;
  std::optional<std::string> balance;
  std::string old_data, new_data;
  std::optional<double> lower_bound;
  std::optional<int64_t> experts;  // of all layers
  // What it came to.
  std::optional<double> loss_before, loss_old, loss_new, forgetting, mri_before, mri_peak;
  std::optional<int64_t> steps_to_recover;
  std::optional<double> eval_mri_old, eval_mri_new, dropped;
  std::optional<int64_t> dead;
  std::optional<double> eval_mri_old_se, eval_mri_new_se;
  std::optional<double> loss_before_se, loss_old_se, loss_new_se;  // by the text, of the evaluation that the loss is of
  std::optional<double> forgetting_se;                             // paired by blocks, as in `forgetting`
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("router", row.router);
    visit("capacity", row.capacity);
    visit("scope", row.scope);
    visit("eval_scope", row.eval_scope);
    visit("causal", row.causal);
    visit("eval_causal", row.eval_causal);
    visit("balance", row.balance);
    visit("old_data", row.old_data);
    visit("new_data", row.new_data);
    visit("lower_bound", row.lower_bound, "share of tokens");
    visit("experts", row.experts, "experts");
    visit("loss_before", row.loss_before, "nats/token");
    visit("loss_old", row.loss_old, "nats/token");
    visit("loss_new", row.loss_new, "nats/token");
    visit("forgetting", row.forgetting, "nats/token");
    visit("mri_before", row.mri_before, "share of tokens");
    visit("mri_peak", row.mri_peak, "share of tokens");
    visit("steps_to_recover", row.steps_to_recover, "steps");
    visit("eval_mri_old", row.eval_mri_old, "share of tokens");
    visit("eval_mri_new", row.eval_mri_new, "share of tokens");
    visit("dropped", row.dropped, "share of assignments");
    visit("dead", row.dead, "experts");
    visit("eval_mri_old_se", row.eval_mri_old_se, "share of tokens");
    visit("eval_mri_new_se", row.eval_mri_new_se, "share of tokens");
    visit("loss_before_se", row.loss_before_se, "nats/token");
    visit("loss_old_se", row.loss_old_se, "nats/token");
    visit("loss_new_se", row.loss_new_se, "nats/token");
    visit("forgetting_se", row.forgetting_se, "nats/token");
  }
};

// Adds `routers`, a row for each arm: rule (null for a dense one), scope, causality, losses on the old and the new
// data, MRI around the shift and at evaluation, drops, dead experts. Old and new data: shift_sets of
// study/comparison.h. Nothing is added where the arms have fewer than three routing rules (kinds of router with rules
// of capacity). Reads `shift_mri` of `tables`.
void add_router_table(const std::vector<train::Arm>& arms, train::NamedTables& tables);

// The columns that say which rule an arm has; the others are figures.
const std::vector<std::string>& router_table_keys();

}  // namespace evenkeel::study

#include "record/run_lines.h"

#include <algorithm>

namespace evenkeel::record {

double StepRow::cross_entropy() const {
  for (const auto& [name, value] : loss_terms)
    if (name == "cross_entropy") return value;
  return loss;
}

const SetResult* EvaluationRow::find(const std::string& data) const {
  const auto found = std::find_if(eval.begin(), eval.end(), [&](const auto& entry) { return entry.first == data; });
  return found == eval.end() ? nullptr : &found->second;
}

int64_t step_of(const RunLine& line) {
  return std::visit([](const auto& row) { return row.step; }, line);
}

const std::string& phase_of(const RunLine& line) {
  return std::visit([](const auto& row) -> const std::string& { return row.phase; }, line);
}

Json to_json(const RunLine& line) {
  return std::visit([](const auto& row) { return columns::to_value(row); }, line);
}

namespace {

void require_blocks(const EvaluationRow& row, const std::string& where) {
  for (const auto& [data, result] : row.eval) {
    if (!result.loss_blocks) continue;
    const auto& [means, tokens] = *result.loss_blocks;
    require<DataError>(means.size() == tokens.size(), where, ": got ", means.size(), " losses of ", tokens.size(),
                       " blocks of '", data, "'; need one of each");
  }
}

}  // namespace

RunLine run_line(const Json& json, const std::string& where) {
  require<DataError>(json.is_object(), where, ": got ", json.kind(), "; need an object, as in every line of a run");
  if (json.find("eval") != nullptr) {
    auto row = row_from_json<EvaluationRow>(json, where);
    require_blocks(row, where);
    return row;
  }
  if (json.find("saturation") != nullptr) return row_from_json<SaturationRow>(json, where);
  return row_from_json<StepRow>(json, where);
}

}  // namespace evenkeel::record

// Whether the ids that an objective adds are free: ids that the tokenizer of a set makes of no text.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "data/objectives/objective.h"
#include "data/tokenizer.h"

namespace evenkeel::train {

// Of the sets of a recipe, whose tokenizers are opened once.
class SentinelCheck {
 public:
  // DataError naming `first_sentinel` and the tokenizer where one of the objective's sentinels is a piece of text of
  // it. A piece with a name in angle brackets, such as <extra_id_0>, is there to be a sentinel. Returns a warning where
  // bos, eos or an id of a prompt is a piece of text, else "". Nothing is checked where the objective adds no ids, and
  // where the set's tokenizer is unknown, not there, or not the one that the set was made with. What the set itself has
  // is Objective::check_set's.
  std::string operator()(const data::Objective& objective, const data::IndexedDataset& dataset,
                         const std::string& where);

 private:
  // The piece of text that an id of a tokenizer's file is; "" where it is none.
  const std::string& piece_of_text(const std::string& file, int64_t id);
  std::string warning_of(const data::Objective& objective, const data::AddedIds& added, const std::string& file);
  std::map<std::string, std::unique_ptr<data::Tokenizer>> tokenizers_;
  std::map<std::pair<std::string, int64_t>, std::string> pieces_;
};

}  // namespace evenkeel::train

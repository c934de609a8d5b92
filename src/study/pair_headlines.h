// Sentences that compare two groups of arms which differ in one thing, run by run of the same seed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "study/outcomes.h"
#include "study/pairs.h"

namespace evenkeel::study {

// A printf pattern with its values.
std::string format(const char* pattern, ...);

// A sentence for a pair: how much replay helps, or what one routing, schedule or size is worth against the other, in
// losses, tokens to a loss, tasks and balance. Each figure is a mean over the paired seeds, and each difference has its
// 95 % interval. Empty where the arms have no figure in common.
std::string pair_headline(const Pair& pair, const std::map<std::string, Outcome>& outcomes);

// Of a pair whose losses and balance stand elsewhere: the tokens to a loss, and the tasks. Empty where it has neither.
std::string pace_headline(const Pair& pair, const std::map<std::string, Outcome>& outcomes);

}  // namespace evenkeel::study

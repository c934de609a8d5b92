// The tables that published counts alone can give: load, domain specialization and similarity, and where they are by
// token id, token and vocabulary specialization.
#pragma once

#include "analysis/count_file.h"
#include "analysis/runner.h"

namespace evenkeel::analysis {

// All domains of the files, in their order. DataError for another model, number of experts or k than the first file's,
// and for a domain that two files have.
std::vector<DomainCounts> read_count_files(const std::vector<std::filesystem::path>& paths, int64_t top_k);

// minimum_count as in AnalysisInput: 0 = the sources' own rules (129 for token, 1 and 10 for vocabulary
// specialization).
AnalysisTables analyze_counts(const std::vector<DomainCounts>& domains, int64_t minimum_count);

}  // namespace evenkeel::analysis

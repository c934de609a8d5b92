// A mean over tokens that come in clusters, windows or documents. The tokens of a cluster resemble each other, so that
// T tokens say less than T independent ones: how sure the mean is shows between clusters.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "record/run_lines.h"

namespace evenkeel::analysis {

using record::ClusterMeans;

double mean_of(const ClusterMeans& clusters);  // over tokens; at least one cluster

// Standard error of mean_of, M = sum_c n_c m_c / sum_c n_c, a ratio estimator over C clusters drawn from many (Cochran,
// Sampling Techniques, 3rd edition, 1977, chapter 6; with the usual factor for few clusters):
//   sqrt(C / (C - 1) * sum_c (n_c (m_c - M))^2) / sum_c n_c
// With equal n_c it is the standard deviation of the m_c over sqrt(C). nullopt below two clusters.
std::optional<double> standard_error(const ClusterMeans& clusters);

// Neighbours together, into at most `most` blocks of as many clusters each (the last may have fewer).
ClusterMeans in_blocks(const ClusterMeans& clusters, size_t most);

// a - b, cluster by cluster: its standard error is that of a paired difference. nullopt where they are not of the same
// clusters.
std::optional<ClusterMeans> difference(const ClusterMeans& a, const ClusterMeans& b);

}  // namespace evenkeel::analysis

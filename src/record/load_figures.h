// The figures of a layer's routing that follow from its load.
#pragma once

#include <string>

#include "record/run_lines.h"

namespace evenkeel::record {

// DataError "WHERE: got …" where the shares of a load do not sum to 1 (to 0 without tokens), or where dead experts,
// entropy or cv are not those of the load. Nothing is said of a layer whose load was not read.
void require_figures_of_load(const LayerRouting& layer, const std::string& where);

}  // namespace evenkeel::record

// Files inside the binary (cmake/Embed.cmake).
#pragma once

#include <string_view>

#define EVENKEEL_ASSETS(X) X(plotly_js) X(report_html) X(report_css) X(report_js)

#define X(name)                                  \
  extern "C" const char evenkeel_asset_##name[]; \
  extern "C" const char evenkeel_asset_##name##_end[];
EVENKEEL_ASSETS(X)
#undef X

namespace evenkeel::report {

#define X(name) \
  inline std::string_view name() { return {evenkeel_asset_##name, static_cast<size_t>(evenkeel_asset_##name##_end - evenkeel_asset_##name)}; }
EVENKEEL_ASSETS(X)
#undef X

}  // namespace evenkeel::report

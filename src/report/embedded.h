// Files inside the binary (cmake/Embed.cmake). packed_plotly is base64 of gzip, as the page holds it.
#pragma once

#include <string_view>

#define EVENKEEL_ASSETS(X) X(packed_plotly) X(report_html) X(report_css) X(report_js)

#define X(name)                                  \
  extern "C" const char evenkeel_asset_##name[]; \
  extern "C" const char evenkeel_asset_##name##_end[];
EVENKEEL_ASSETS(X)
#undef X

namespace evenkeel::report {

#define X(name)                                                                                               \
  inline std::string_view name() {                                                                            \
    return {evenkeel_asset_##name, static_cast<size_t>(evenkeel_asset_##name##_end - evenkeel_asset_##name)}; \
  }
EVENKEEL_ASSETS(X)
#undef X

}  // namespace evenkeel::report

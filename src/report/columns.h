// Columns of numbers as a page stores them: without loss, in little room, each distinct one once. The page's script
// reads them back (readColumn in assets/unpack.js).
//
//   {"same": v, "n": N}               N times v
//   {"from": a, "by": d, "n": N}      a, a + d, ... (integers)
//   {"per": d, "counts": [k, ...]}    k / d
//   {"single": [v, ...]}              the nearest single-precision number of each
//   [v, ...]                          as they are
//   {"at": i}                         entry i of the pool: one of the above
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/json.h"

namespace evenkeel::report {

class ColumnPool {
 public:
  // Numbers or nulls. `divisors`: numbers that the values may be shares of, tried in order; a form is taken only when
  // it gives every value back to the bit.
  Json put(const std::vector<Json>& values, const std::vector<int64_t>& divisors = {});
  // Any value that may stand in several places: {"at": i} when it is worth it, else the value.
  Json share(Json value);
  const Json& pool() const { return pool_; }

 private:
  Json pool_ = Json::array();
  std::map<std::string, int64_t> index_of_;
};

}  // namespace evenkeel::report

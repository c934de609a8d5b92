// SHA-256 of bytes that come piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace evenkeel {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::string_view bytes);
  std::string hex();  // of all that was added; nothing may follow

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace evenkeel

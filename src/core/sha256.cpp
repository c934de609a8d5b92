#include "core/sha256.h"

#include <openssl/evp.h>

#include "core/hex.h"

namespace evenkeel {

struct Sha256::Context {
  Context() { EVP_DigestInit_ex(state, EVP_sha256(), nullptr); }
  ~Context() { EVP_MD_CTX_free(state); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  EVP_MD_CTX* state = EVP_MD_CTX_new();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) { EVP_DigestUpdate(context_->state, bytes.data(), bytes.size()); }

std::string Sha256::hex() {
  unsigned char digest[32];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_->state, digest, &size);
  return hex_text({reinterpret_cast<const char*>(digest), size});
}

}  // namespace evenkeel

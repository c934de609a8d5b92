// What the tests of this folder share: the bytes of ids and of headers, written out apart from the code under test.
#pragma once

#include <string>
#include <vector>

#include "data/indexed_dataset.h"
#include "data/test_support.h"
#include "data/token_files/token_file.h"

namespace evenkeel::data {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Version 1.0 with this dictionary, padded to 128 bytes.
inline std::string npy_start(const std::string& dictionary) {
  return std::string("\x93NUMPY\1\0\x76\0", 10) + dictionary + std::string(117 - dictionary.size(), ' ') + "\n";
}
inline std::string npy_start(const std::string& descr, const std::string& shape) {
  return npy_start("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }");
}

inline std::string llmc_start(int32_t magic, int32_t version, int32_t n_tokens) {
  std::vector<int32_t> numbers(256);
  numbers[0] = magic;
  numbers[1] = version;
  numbers[2] = n_tokens;
  return bytes_of(numbers);
}

inline std::vector<int32_t> ids_of(const TokenFile& file) {
  std::vector<int32_t> out(static_cast<size_t>(file.n_tokens()));
  copy_ids(file.ids(0, file.n_tokens()), out.data());
  return out;
}

// The documents of a pair.
inline std::vector<std::vector<int64_t>> documents_of_pair(const fs::path& prefix) {
  const auto dataset = IndexedDataset::open(prefix);
  std::vector<int64_t> ids(static_cast<size_t>(dataset.n_tokens()));
  dataset.copy(0, dataset.n_tokens(), ids.data());
  std::vector<std::vector<int64_t>> out(static_cast<size_t>(dataset.n_documents()));
  for (size_t i = 0; i < ids.size(); ++i)
    out[static_cast<size_t>(dataset.document_of(static_cast<int64_t>(i)))].push_back(ids[i]);
  return out;
}

}  // namespace evenkeel::data

// The mapped files of the process, and what happens when one of them cannot be read any more.
#pragma once

#include <cstddef>
#include <string>

#include <sys/types.h>

namespace evenkeel {

struct Mapping;
struct MappedSource {
  std::string path;
  dev_t device;
  ino_t inode;
};

// Used by MappedFile of core/file_io.h. An entry is never freed, only used again.
Mapping* list_mapping(const void* data, size_t size_bytes, const MappedSource& source);
void forget_mapping(Mapping* mapping);
void require_whole_mapping(const Mapping* mapping);  // MachineError when the file got shorter

// From now on a fault (SIGBUS) in a mapped file ends the process with one line that names the file, no temporary file
// of core/file_io.h, and exit code 4. A fault elsewhere does what it does by default.
void install_mapping_faults();

// Where that line goes: to `descriptor`, after `prefix`; by default to stderr after "evenkeel: error: ".
void report_mapping_faults_to(int descriptor, const std::string& prefix);
// And a copy at the end of this file, after "evenkeel: error: ", as a log has it; "" = none.
void copy_mapping_faults_to(const std::string& log);

}  // namespace evenkeel

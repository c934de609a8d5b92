// SIGINT and SIGTERM. Set by signal handlers, hence the globals of this folder.
#pragma once

namespace evenkeel::train {

// The first signal ends the process with 130 and leaves no temporary file of core/file_io.h, until
// save_on_signal() is called: from then on the first asks for a stop, the second ends the process.
void install_signal_handlers();
void save_on_signal();
bool stop_requested();

// In a process of a study: only the parent's request (SIGUSR1) counts, so that a signal to the whole process group
// (Ctrl-C) is not taken for a second one.
void listen_to_parent();
void request_stop_of(int process);

}  // namespace evenkeel::train

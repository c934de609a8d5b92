// SIGINT and SIGTERM. Set by signal handlers, hence the globals of this folder.
#pragma once

namespace evenkeel::train {

// The first signal ends the process with 130 and leaves no temporary file of core/file_io.h, until
// save_on_signal() is called: from then on the first asks for a stop, the second ends the process.
void install_signal_handlers();
// Keeps SIGINT and SIGTERM waiting, through an execve too, until install_signal_handlers() takes them: a signal while
// the libraries load would end the process without a word. For .preinit_array.
void hold_signals();
void save_on_signal();
bool stop_requested();

// In a process of a study: only the parent's request (SIGUSR1) counts, so that a signal to the whole process group
// (Ctrl-C) is not taken for a second one.
void listen_to_parent();
void request_stop_of(int process);

}  // namespace evenkeel::train

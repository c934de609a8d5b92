#include "train/interrupt.h"

#include <csignal>

#include <gtest/gtest.h>
#include <unistd.h>

namespace evenkeel::train {
namespace {

TEST(Interrupt, EndsTheProcessBeforeThereIsAnythingToSave) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        raise(SIGTERM);
        _exit(1);
      },
      ::testing::ExitedWithCode(130), "evenkeel: stopped by a signal; nothing half-written is left");
}

TEST(Interrupt, ASignalBeforeTheHandlersWaitsForThem) {
  EXPECT_EXIT(
      {
        hold_signals();
        raise(SIGINT);  // would end the process by the signal
        install_signal_handlers();
        _exit(1);
      },
      ::testing::ExitedWithCode(130), "evenkeel: stopped by a signal; nothing half-written is left");
}

TEST(Interrupt, TheFirstSignalAsksForAStop) {
  EXPECT_FALSE(stop_requested());
  for (const int signal : {SIGINT, SIGTERM})
    EXPECT_EXIT(
        {
          install_signal_handlers();
          save_on_signal();
          if (stop_requested()) _exit(1);
          raise(signal);
          _exit(stop_requested() ? 7 : 2);
        },
        ::testing::ExitedWithCode(7), "");
}

TEST(Interrupt, TheSecondEndsAtOnce) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        save_on_signal();
        raise(SIGINT);
        raise(SIGTERM);
        _exit(1);
      },
      ::testing::ExitedWithCode(130), "");
}

TEST(Interrupt, AProcessOfAStudyListensToItsParentAlone) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        save_on_signal();
        listen_to_parent();
        raise(SIGINT);
        raise(SIGINT);
        raise(SIGTERM);
        if (stop_requested()) _exit(1);
        request_stop_of(getpid());
        _exit(stop_requested() ? 7 : 2);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(Interrupt, AFullQuotaAndAClosedPipeAreErrorsOfTheWrite) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        raise(SIGXFSZ);
        raise(SIGPIPE);
        _exit(7);
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace evenkeel::train

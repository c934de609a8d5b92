// Where tensors on the CPU get their memory.
#pragma once

namespace evenkeel::ops {

// For the whole process, before the first tensor. LibTorch takes its blocks by posix_memalign, and glibc before 2.38
// gives a block that was freed to no request of the same size that is aligned (its bug 14581): each pass through the
// layers leaves holes, which came to a third of the peak. This allocator asks for a little more and aligns by itself,
// so that holes are filled.
void install_allocator();

}  // namespace evenkeel::ops

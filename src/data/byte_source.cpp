#include <array>

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "core/errors.h"
#include "core/input_file.h"
#include "data/readers.h"

namespace evenkeel::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kInputBytes = size_t{1} << 18;
// Windows and dictionaries are taken at the formats' full size. Their memory is touched only as far as the text fills
// it.
constexpr int kZstdWindowLog = 31;               // --long=31, 2 GiB: the most that the library decodes
constexpr uint64_t kXzMemoryBytes = UINT64_MAX;  // no limit but the format's, a dictionary of 4 GiB

// The file as it lies on the disk.
class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(fs::path path) : file_(std::move(path)) {}

  size_t read(char* out, size_t capacity) override {
    const size_t n = file_.read_up_to(position_, out, capacity);
    position_ += static_cast<int64_t>(n);
    return n;
  }
  int64_t compressed_position() const override { return position_; }
  const fs::path& path() const { return file_.path(); }

 private:
  InputFile file_;
  int64_t position_ = 0;
};

// What the decoders share: a buffer of compressed bytes and the words for what is wrong with them.
class CompressedSource : public ByteSource {
 public:
  CompressedSource(const fs::path& path, const char* format) : file_(path), format_(format) {}
  int64_t compressed_position() const override { return file_.compressed_position() - static_cast<int64_t>(left()); }

 protected:
  // Fetches more input when none is left; false at the end of the file.
  bool refill() {
    if (next_ < size_) return true;
    next_ = 0;
    size_ = file_.read(input_.data(), input_.size());
    return size_ > 0;
  }
  const char* input() const { return input_.data() + next_; }
  size_t left() const { return size_ - next_; }
  void consume(size_t n) { next_ += n; }
  [[noreturn]] void fail_damaged(const std::string& what) const {
    fail<DataError>(file_.path().string(), ": got ", what, " near byte ", compressed_position(), "; need a whole ",
                    format_, " stream");
  }
  [[noreturn]] void fail_memory() const {
    fail<MachineError>(file_.path().string(), ": got no memory for the window of its ", format_,
                       " stream; need more, or text packed with a smaller window");
  }
  [[noreturn]] void fail_truncated() const { fail_damaged("a stream that ends too early"); }

 private:
  PlainSource file_;
  const char* format_;
  std::array<char, kInputBytes> input_;
  size_t next_ = 0, size_ = 0;
};

// One or more gzip members; zero bytes may pad the end, as gzip allows.
class GzipSource final : public CompressedSource {
 public:
  explicit GzipSource(const fs::path& path) : CompressedSource(path, "gzip") {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  size_t read(char* out, size_t capacity) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(capacity);
    while (stream_.avail_out == capacity) {
      if (!refill()) {
        if (is_inside_ || n_members_ == 0) fail_truncated();
        return 0;
      }
      if (!is_inside_ && !begin_member()) continue;
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input()));
      stream_.avail_in = static_cast<uInt>(left());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      consume(left() - stream_.avail_in);
      if (status == Z_STREAM_END) {
        is_inside_ = false;
        ++n_members_;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        fail_damaged(stream_.msg != nullptr ? stream_.msg : "damaged data");
      }
    }
    return capacity - stream_.avail_out;
  }

 private:
  bool begin_member() {
    if (n_members_ > 0 && *input() == '\0') {
      consume(1);
      return false;
    }
    if (n_members_ > 0) inflateReset(&stream_);
    is_inside_ = true;
    return true;
  }
  z_stream stream_{};
  bool is_inside_ = false;
  int64_t n_members_ = 0;
};

// One or more .xz streams, with the padding that the format allows.
class XzSource final : public CompressedSource {
 public:
  explicit XzSource(const fs::path& path) : CompressedSource(path, "xz") {
    if (lzma_stream_decoder(&stream_, kXzMemoryBytes, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  ~XzSource() override { lzma_end(&stream_); }

  size_t read(char* out, size_t capacity) override {
    stream_.next_out = reinterpret_cast<uint8_t*>(out);
    stream_.avail_out = capacity;
    while (stream_.avail_out == capacity && !is_finished_) {
      const bool has_input = refill();
      stream_.next_in = reinterpret_cast<const uint8_t*>(input());
      stream_.avail_in = left();
      const lzma_ret status = lzma_code(&stream_, has_input ? LZMA_RUN : LZMA_FINISH);
      consume(left() - stream_.avail_in);
      is_finished_ = status == LZMA_STREAM_END;
      if (status == LZMA_BUF_ERROR) fail_truncated();
      if (status == LZMA_MEM_ERROR) fail_memory();
      if (status == LZMA_FORMAT_ERROR) fail_damaged("bytes that are no xz header");
      if (status != LZMA_OK && status != LZMA_STREAM_END) fail_damaged("damaged data");
    }
    return capacity - stream_.avail_out;
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool is_finished_ = false;
};

// One or more zstd frames.
class ZstdSource final : public CompressedSource {
 public:
  explicit ZstdSource(const fs::path& path)
      : CompressedSource(path, "zstd"), stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
    if (stream_ == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  }

  size_t read(char* out, size_t capacity) override {
    ZSTD_outBuffer output{out, capacity, 0};
    while (output.pos == 0) {
      // With a full output the decoder may hold more without needing input, so it is asked before the file is.
      const bool has_input = refill();
      if (!has_input && is_between_frames_) {
        if (!has_frame_) fail_truncated();
        return 0;
      }
      ZSTD_inBuffer in{input(), left(), 0};
      const size_t status = ZSTD_decompressStream(stream_.get(), &output, &in);
      consume(in.pos);
      if (ZSTD_isError(status)) fail_decoding(status);
      if (!has_input && output.pos == 0) fail_truncated();
      is_between_frames_ = status == 0;
      has_frame_ = true;
    }
    return output.pos;
  }

 private:
  [[noreturn]] void fail_decoding(size_t status) const {
    const auto code = ZSTD_getErrorCode(status);
    if (code == ZSTD_error_memory_allocation) fail_memory();
    if (code == ZSTD_error_frameParameter_windowTooLarge)
      fail_damaged("a window of more than 2 GiB (zstd --long=31 is the widest)");
    fail_damaged(std::string("'") + ZSTD_getErrorName(status) + "'");
  }

  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  bool is_between_frames_ = true;
  bool has_frame_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_byte_source(const fs::path& path) {
  const std::string suffix = path.extension().string();
  if (suffix == ".gz") return std::make_unique<GzipSource>(path);
  if (suffix == ".xz") return std::make_unique<XzSource>(path);
  if (suffix == ".zst") return std::make_unique<ZstdSource>(path);
  return std::make_unique<PlainSource>(path);
}

}  // namespace evenkeel::data

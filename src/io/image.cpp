// SPDX-License-Identifier: BSD-3-Clause
// libpng's errors as exceptions, and rows of samples as channels between 0 and 1.
#include "adjoin/io/image.hpp"

#include <ATen/ATen.h>
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "io/claims.hpp"

namespace adjoin {

namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// libpng reports errors by a callback that must not return. Exceptions may not cross its C frames, so the message is
// kept here and libpng jumps back to the caller, who throws.
struct PngError {
  std::string message;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  static_cast<PngError*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

// Owns libpng's state for reading or writing.
struct Png {
  explicit Png(bool to_read)
      : png(to_read ? png_create_read_struct(PNG_LIBPNG_VER_STRING, &error, on_error, on_warning)
                    : png_create_write_struct(PNG_LIBPNG_VER_STRING, &error, on_error, on_warning)),
        info(png_create_info_struct(png)),
        reading(to_read) {}
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
  ~Png() { reading ? png_destroy_read_struct(&png, &info, nullptr) : png_destroy_write_struct(&png, &info); }

  PngError error;
  png_structp png;
  png_infop info;
  bool reading;
};

// A picture in libpng's form: what its header says, and memory for one of its rows, or for all where they are
// interlaced. The functions below, between which libpng's errors jump, make nothing that needs a destructor.
struct Samples {
  png_uint_32 width = 0;
  png_uint_32 height = 0;
  int channels = 0;
  int bytes = 0;              // a sample
  std::size_t stride = 0;     // bytes of a row
  std::int64_t deflated = 0;  // bytes that the file's compressed data must make, at least
  int passes = 1;
  std::vector<png_byte> data = {};
  std::vector<png_bytep> rows = {};
};

bool read_header(png_structp png, png_infop info, std::FILE* file, Samples& samples) {
  if (setjmp(png_jmpbuf(png)) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp): libpng's way
    return false;
  }
  png_init_io(png, file);
  // Texts, profiles and the like are skipped: they may claim, or unpack to, any size.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_chunk_malloc_max(png, 1 << 20);
  png_read_info(png, info);
  samples.deflated = static_cast<std::int64_t>(png_get_rowbytes(png, info)) * png_get_image_height(png, info);
  png_set_expand(png);
  png_set_strip_alpha(png);
  samples.passes = png_set_interlace_handling(png);
  if (png_get_bit_depth(png, info) == 16) {
    png_set_swap(png);  // PNG is big endian
  }
  png_read_update_info(png, info);
  samples.width = png_get_image_width(png, info);
  samples.height = png_get_image_height(png, info);
  samples.channels = png_get_channels(png, info);
  samples.bytes = png_get_bit_depth(png, info) / 8;
  samples.stride = png_get_rowbytes(png, info);
  return true;
}

// Reads every row and keeps none.
bool skim_rows(png_structp png, const Samples& samples) {
  if (setjmp(png_jmpbuf(png)) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp): libpng's way
    return false;
  }
  for (int pass = 0; pass < samples.passes; ++pass) {
    for (png_uint_32 row = 0; row < samples.height; ++row) {
      png_read_row(png, nullptr, nullptr);
    }
  }
  png_read_end(png, nullptr);
  return true;
}

// Sorts a row of samples by channel, as numbers in [0, 1]; channels are `plane` numbers apart.
template <class Sample>
void spread_row(const png_byte* row, const Samples& samples, float* out, std::int64_t plane) {
  constexpr float greatest = std::numeric_limits<Sample>::max();
  for (std::int64_t x = 0; x < samples.width; ++x) {
    for (std::int64_t c = 0; c < samples.channels; ++c) {
      Sample value = 0;
      std::memcpy(&value, row + (x * samples.channels + c) * static_cast<std::int64_t>(sizeof value), sizeof value);
      out[c * plane + x] = static_cast<float>(value) / greatest;
    }
  }
}

void spread_row(const png_byte* row, const Samples& samples, float* image, std::int64_t y) {
  const std::int64_t plane = std::int64_t{samples.height} * samples.width;
  float* out = image + y * samples.width;
  samples.bytes == 2 ? spread_row<std::uint16_t>(row, samples, out, plane)
                     : spread_row<std::uint8_t>(row, samples, out, plane);
}

bool read_rows(png_structp png, Samples& samples, float* image) {
  if (setjmp(png_jmpbuf(png)) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp): libpng's way
    return false;
  }
  if (samples.passes > 1) {
    png_read_image(png, samples.rows.data());
  }
  for (png_uint_32 y = 0; y < samples.height; ++y) {
    if (samples.passes == 1) {
      png_read_row(png, samples.rows[y], nullptr);
    }
    spread_row(samples.rows[y], samples, image, y);
  }
  png_read_end(png, nullptr);
  return true;
}

// Where the bytes of a picture go. Memory that runs out is reported as libpng reports errors.
void append_bytes(png_structp png, png_bytep data, png_size_t length) {
  auto* bytes = static_cast<std::string*>(png_get_io_ptr(png));
  bool appended = true;
  try {
    bytes->append(data, data + length);
  } catch (const std::bad_alloc&) {
    appended = false;
  }
  if (!appended) {
    png_error(png, "out of memory");
  }
}

bool write_samples(png_structp png, png_infop info, std::string& bytes, Samples& samples) {
  if (setjmp(png_jmpbuf(png)) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp): libpng's way
    return false;
  }
  png_set_write_fn(png, &bytes, append_bytes, nullptr);
  png_set_IHDR(png, info, samples.width, samples.height, 8,
               samples.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, samples.rows.data());
  png_write_end(png, nullptr);
  return true;
}

// What follows the header, as a float tensor of this shape.
template <class Must>
at::Tensor read_pixels(const Png& reader, Samples& samples, at::IntArrayRef shape, const Must& must) {
  at::Tensor image = at::empty(shape, at::kFloat);
  const std::size_t kept = samples.passes > 1 ? samples.height : 1;
  samples.data.resize(samples.stride * kept);
  for (std::size_t row = 0; row < samples.height; ++row) {
    samples.rows.push_back(samples.data.data() + (row % kept) * samples.stride);
  }
  must(read_rows(reader.png, samples, image.mutable_data_ptr<float>()), reader);
  return image;
}

}  // namespace

at::Tensor read_png(const std::filesystem::path& path) {
  const std::int64_t size = file_size("read_png", path);
  const File file(std::fopen(path.c_str(), "rb"));
  check(file != nullptr, "read_png: cannot open ", path);
  std::array<png_byte, 8> signature{};
  const bool is_png = std::fread(signature.data(), 1, signature.size(), file.get()) == signature.size() &&
                      png_sig_cmp(signature.data(), 0, signature.size()) == 0;
  check(is_png, "read_png: ", path, " is not a PNG file");

  const auto must = [&](bool done, const Png& reader) {
    check(done, "read_png: ", path, " is damaged: ", reader.error.message);
  };
  const auto begin = [&](const Png& reader, Samples& samples) {
    std::rewind(file.get());
    must(read_header(reader.png, reader.info, file.get(), samples), reader);
    // libpng itself refuses more than a million rows or columns, so nothing overflows here.
    check(samples.deflated <= most_inflated * size, "read_png: ", path, " claims ", samples.width, " x ",
          samples.height, " pixels, which its ", size, " bytes cannot hold");
  };
  Samples samples;
  const Png reader(true);
  begin(reader, samples);
  const std::vector<std::int64_t> shape = {1, samples.channels, samples.height, samples.width};
  // More memory than a file of this size usually takes is taken only when the file holds all that it claims.
  constexpr std::int64_t usual = 32 << 20;
  if (claimed_bytes(shape, at::kFloat).value_or(0) > 4 * size + usual) {
    const Png skimmer(true);
    begin(skimmer, samples);
    must(skim_rows(skimmer.png, samples), skimmer);
    const Png again(true);
    begin(again, samples);
    return read_pixels(again, samples, shape, must);
  }
  return read_pixels(reader, samples, shape, must);
}

std::string encode_png(const at::Tensor& image) {
  const bool one_picture = image.defined() && (image.dim() == 3 || (image.dim() == 4 && image.size(0) == 1)) &&
                           (image.size(-3) == 1 || image.size(-3) == 3) && image.numel() > 0 && !image.is_complex();
  check(one_picture, "write_png: image must be real, of shape (C, H, W) or (1, C, H, W) with 1 or 3 channels, got ",
        image.defined() ? c10::str(image.scalar_type(), " ", image.sizes()) : "an undefined tensor");
  at::Tensor values =
      image.detach().to(at::kCPU, at::kDouble).reshape({image.size(-3), image.size(-2), image.size(-1)});
  values = values.nan_to_num().clamp(0.0, 1.0).mul_(255.0).round_().to(at::kByte).permute({1, 2, 0}).contiguous();

  Samples samples;
  samples.height = static_cast<png_uint_32>(values.size(0));
  samples.width = static_cast<png_uint_32>(values.size(1));
  samples.channels = static_cast<int>(values.size(2));
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    samples.rows.push_back(values.mutable_data_ptr<std::uint8_t>() + row * values.stride(0));
  }
  Png writer(false);
  std::string bytes;
  if (!write_samples(writer.png, writer.info, bytes, samples)) {
    throw Error(c10::str("write_png: ", writer.error.message));
  }
  return bytes;
}

void write_png(const std::filesystem::path& path, const at::Tensor& image) {
  const std::string bytes = encode_png(image);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    throw Error(c10::str("write_png: cannot write ", path));
  }
}

}  // namespace adjoin

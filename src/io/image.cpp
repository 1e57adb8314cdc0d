#include "adjoin/io/image.hpp"

#include <ATen/ATen.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"

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

// A picture in libpng's form. Filled by read_samples, in which nothing may need a destructor: errors jump out of it.
struct Samples {
  png_uint_32 width = 0;
  png_uint_32 height = 0;
  int channels = 0;
  int bytes = 0;  // a sample
  std::vector<png_byte> data;
  std::vector<png_bytep> rows;
};

bool read_samples(png_structp png, png_infop info, std::FILE* file, Samples& samples) {
  if (setjmp(png_jmpbuf(png)) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp): libpng's way
    return false;
  }
  png_init_io(png, file);
  png_read_info(png, info);
  png_set_expand(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  if (png_get_bit_depth(png, info) == 16) {
    png_set_swap(png);  // PNG is big endian
  }
  png_read_update_info(png, info);
  samples.width = png_get_image_width(png, info);
  samples.height = png_get_image_height(png, info);
  samples.channels = png_get_channels(png, info);
  samples.bytes = png_get_bit_depth(png, info) / 8;
  const std::size_t stride = png_get_rowbytes(png, info);
  samples.data.resize(stride * samples.height);
  samples.rows.resize(samples.height);
  for (std::size_t row = 0; row < samples.height; ++row) {
    samples.rows[row] = samples.data.data() + row * stride;
  }
  png_read_image(png, samples.rows.data());
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

}  // namespace

at::Tensor read_png(const std::filesystem::path& path) {
  const File file(std::fopen(path.c_str(), "rb"));
  check(file != nullptr, "read_png: cannot open ", path);
  std::vector<png_byte> signature(8);
  const bool is_png = std::fread(signature.data(), 1, signature.size(), file.get()) == signature.size() &&
                      png_sig_cmp(signature.data(), 0, signature.size()) == 0;
  check(is_png, "read_png: ", path, " is not a PNG file");
  std::fseek(file.get(), 0, SEEK_SET);

  Png reader(true);
  Samples samples;
  const bool read = read_samples(reader.png, reader.info, file.get(), samples);
  check(read, "read_png: ", path, " is damaged: ", reader.error.message);

  const std::vector<std::int64_t> shape = {samples.height, samples.width, samples.channels};
  const bool wide = samples.bytes == 2;
  // Torch's unsigned 16-bit type knows few operations, so its values are taken from signed ones.
  at::Tensor values = at::from_blob(samples.data.data(), shape, wide ? at::kShort : at::kByte).to(at::kFloat);
  if (wide) {
    values.add_(at::where(values < 0, 65536.0F, 0.0F));
  }
  return values.div_(wide ? 65535.0 : 255.0).permute({2, 0, 1}).unsqueeze(0).contiguous();
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

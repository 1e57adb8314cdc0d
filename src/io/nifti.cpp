// SPDX-License-Identifier: BSD-3-Clause
// The 348 bytes of a header, with sizes, voxels and an affine map, and the numbers behind it.
#include "adjoin/io/nifti.hpp"

#include <ATen/ATen.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

static_assert(std::endian::native == std::endian::little, "nifti.cpp writes numbers as they are");

/// Codes of nifti1.h.
constexpr std::array<std::pair<at::ScalarType, std::int16_t>, 7> nifti_codes = {{{at::kByte, 2},
                                                                                 {at::kShort, 4},
                                                                                 {at::kInt, 8},
                                                                                 {at::kFloat, 16},
                                                                                 {at::kComplexFloat, 32},
                                                                                 {at::kDouble, 64},
                                                                                 {at::kComplexDouble, 1792}}};

constexpr std::size_t nifti_header_size = 348;
constexpr std::size_t nifti_data_offset = 352;  // behind four bytes that announce no extension

/// A header, as zeros but for what is put.
class NiftiHeader {
 public:
  template <class T>
  void put(std::size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(T));
  }
  std::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, nifti_data_offset> bytes_ = {};
};

bool write_plain(const std::filesystem::path& path, std::string_view header, std::string_view data) {
  std::ofstream file(path, std::ios::binary);
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  file.write(data.data(), static_cast<std::streamsize>(data.size()));
  file.close();
  return static_cast<bool>(file);
}

bool write_compressed(const std::filesystem::path& path, std::string_view header, std::string_view data) {
  const gzFile file = gzopen(path.c_str(), "wb");
  if (file == nullptr) {
    return false;
  }
  constexpr std::size_t most = std::size_t{1} << 30;  // gzwrite counts in unsigned numbers of 32 bits
  bool written = true;
  for (std::string_view part : {header, data}) {
    for (; written && !part.empty(); part.remove_prefix(std::min(most, part.size()))) {
      const std::size_t bytes = std::min(most, part.size());
      written = gzwrite(file, part.data(), static_cast<unsigned>(bytes)) == static_cast<int>(bytes);
    }
  }
  return gzclose(file) == Z_OK && written;
}

}  // namespace

void write_nifti(const std::filesystem::path& path, const at::Tensor& image, const NiftiOptions& options) {
  const auto* code = nifti_codes.end();
  if (image.defined()) {
    code = std::ranges::find(nifti_codes, image.scalar_type(), [](const auto& entry) { return entry.first; });
  }
  check(
      code != nifti_codes.end() && (image.dim() == 2 || image.dim() == 3),
      "write_nifti: image must be (D, H, W) or (H, W), floating point or complex of single or double precision, uint8, "
      "int16 or int32, got ",
      image.defined() ? c10::str(image.scalar_type(), " ", image.sizes()) : "an undefined tensor");
  const at::Tensor volume = image.dim() == 2 ? image.unsqueeze(0) : image;
  for (const double size : options.voxel_size) {
    check(std::isfinite(size) && size > 0.0, "write_nifti: voxel_size must be positive, got ", size);
  }
  for (const std::int64_t size : volume.sizes()) {
    check(size > 0 && size <= std::numeric_limits<std::int16_t>::max(), "write_nifti: sizes must be 1 to 32767, got ",
          image.sizes());
  }
  // The offsets of nifti1.h; axes are x, y, z, of which x changes fastest.
  NiftiHeader header;
  header.put<std::int32_t>(0, nifti_header_size);
  header.put<std::int16_t>(40, 3);
  header.put<std::int16_t>(70, code->second);
  header.put(72, static_cast<std::int16_t>(8 * image.element_size()));
  header.put(76, 1.0F);  // right-handed
  std::array<std::array<double, 4>, 3> affine = {};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::int64_t size = volume.size(2 - static_cast<std::int64_t>(axis));
    const double step = options.voxel_size[2 - axis];
    header.put(42 + 2 * axis, static_cast<std::int16_t>(size));
    header.put(80 + 4 * axis, static_cast<float>(step));
    affine[axis][axis] = step;
    affine[axis][3] = -0.5 * step * static_cast<double>(size - 1);
  }
  for (std::size_t axis = 3; axis < 7; ++axis) {
    header.put<std::int16_t>(42 + 2 * axis, 1);
  }
  header.put(108, static_cast<float>(nifti_data_offset));
  header.put(112, 1.0F);             // no scaling
  header.put<char>(123, 2);          // millimetres
  header.put<std::int16_t>(254, 1);  // the matrix leads to the scanner's axes
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 4; ++column) {
      header.put(280 + 16 * row + 4 * column, static_cast<float>(options.affine.value_or(affine)[row][column]));
    }
  }
  header.put(344, std::array<char, 4>{'n', '+', '1', '\0'});
  const at::Tensor plain = volume.detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
  const std::string_view data(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  const bool written = path.extension() == ".gz" ? write_compressed(path, header.bytes(), data)
                                                 : write_plain(path, header.bytes(), data);
  if (!written) {
    throw Error(c10::str("write_nifti: cannot write ", path));
  }
}

}  // namespace adjoin

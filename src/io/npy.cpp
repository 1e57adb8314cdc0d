// SPDX-License-Identifier: BSD-3-Clause
// The dictionary at the head of a .npy file, and the numbers behind it, of all ranks or of a slab.
#include "adjoin/io/npy.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <fstream>
#include <functional>
#include <numeric>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "io/claims.hpp"
#include "io/numbers.hpp"

// The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

namespace adjoin {

namespace {

static_assert(std::endian::native == std::endian::little, "npy.cpp copies little-endian data as they are");

constexpr std::string_view kMagic = "\x93NUMPY";

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 11> kNpyTypes = {{{"|b1", at::kBool},
                                                                                    {"|u1", at::kByte},
                                                                                    {"|i1", at::kChar},
                                                                                    {"<i2", at::kShort},
                                                                                    {"<i4", at::kInt},
                                                                                    {"<i8", at::kLong},
                                                                                    {"<f2", at::kHalf},
                                                                                    {"<f4", at::kFloat},
                                                                                    {"<f8", at::kDouble},
                                                                                    {"<c8", at::kComplexFloat},
                                                                                    {"<c16", at::kComplexDouble}}};

/// The dtype of a tensor for NumPy's type such as "<f4" or ">u2", and how its numbers lie in the file.
struct NumberType {
  at::ScalarType stored;  // an unsigned type as the signed one of its size
  bool swapped = false;
  bool is_unsigned = false;
};

std::optional<NumberType> number_type(std::string text) {
  NumberType type{};
  type.swapped = text.starts_with('>');
  type.is_unsigned = text.size() == 3 && text[1] == 'u' && text[2] != '1';
  if (type.is_unsigned) {
    text[1] = 'i';
  }
  if (text.starts_with('>') || text.starts_with('=')) {
    text[0] = '<';
  }
  const auto* known = std::ranges::find(kNpyTypes, text, [](const auto& entry) { return entry.first; });
  if (known == kNpyTypes.end()) {
    return {};
  }
  type.stored = known->second;
  return type;
}

/// Reverses the bytes of every number, of which a complex one has two.
void swap_bytes(const at::Tensor& array) {
  const auto size = static_cast<std::ptrdiff_t>(c10::elementSize(c10::toRealValueType(array.scalar_type())));
  auto* bytes = static_cast<char*>(array.mutable_data_ptr());
  for (const char* end = bytes + array.nbytes(); bytes != end; bytes += size) {
    std::reverse(bytes, bytes + size);
  }
}

struct Header {
  std::string type;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The text after "'key':" in a header such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
std::optional<std::string_view> value_of(std::string_view header, std::string_view key) {
  const auto at_key = header.find(c10::str("'", key, "'"));
  if (at_key == std::string_view::npos) {
    return {};
  }
  const auto colon = header.find(':', at_key);
  const auto start = colon == std::string_view::npos ? colon : header.find_first_not_of(' ', colon + 1);
  return start == std::string_view::npos ? std::optional<std::string_view>{} : header.substr(start);
}

std::optional<std::vector<std::int64_t>> parse_shape(std::string_view text) {
  const auto close = text.find(')');
  if (!text.starts_with('(') || close == std::string_view::npos) {
    return {};
  }
  std::vector<std::int64_t> shape;
  const char* end = text.data() + close;
  for (const char* next = text.data() + 1; next != end;) {
    if (*next == ' ' || *next == ',') {
      ++next;
      continue;
    }
    const auto parsed = std::from_chars(next, end, shape.emplace_back());
    if (parsed.ec != std::errc{} || shape.back() < 0 || shape.size() > most_axes) {
      return {};
    }
    next = parsed.ptr + (parsed.ptr != end && *parsed.ptr == 'L' ? 1 : 0);  // as Python 2 wrote long numbers
  }
  return shape;
}

std::optional<Header> parse_header(std::string_view text) {
  const auto type = value_of(text, "descr");
  const auto order = value_of(text, "fortran_order");
  const auto shape = value_of(text, "shape");
  if (!type || !order || !shape || !type->starts_with('\'')) {
    return {};
  }
  const auto sizes = parse_shape(*shape);
  const auto quote = type->find('\'', 1);
  if (!sizes || quote == std::string_view::npos || (!order->starts_with("True") && !order->starts_with("False"))) {
    return {};
  }
  return Header{std::string(type->substr(1, quote - 1)), order->starts_with("True"), *sizes};
}

std::string read_bytes(std::ifstream& file, std::size_t count) {
  std::string bytes(count, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

// The header's text: after the magic string, two bytes of version, and its length in two bytes (version 1) or four.
std::optional<std::string> read_header(std::ifstream& file) {
  const std::string start = read_bytes(file, kMagic.size() + 2);
  if (start.size() != kMagic.size() + 2 || !start.starts_with(kMagic) || start[6] < 1 || start[6] > 3) {
    return {};
  }
  const std::string length_bytes = read_bytes(file, start[6] == 1 ? 2 : 4);
  std::size_t length = 0;
  for (const char byte : std::views::reverse(length_bytes)) {
    length = length * 256 + static_cast<unsigned char>(byte);
  }
  constexpr std::size_t kLongest = 1 << 20;
  std::string text = length > kLongest ? std::string() : read_bytes(file, length);
  return text.size() == length && length > 0 ? std::optional(std::move(text)) : std::nullopt;
}

// A file whose header has been read, and which holds what that says.
struct NpyFile {
  std::filesystem::path path;
  std::ifstream stream;  // at the first number
  Header header;
  NumberType type;
  std::vector<std::int64_t> stored_shape;  // in the order in which the numbers lie
  std::int64_t data_bytes = 0;
};

NpyFile open_npy(const std::filesystem::path& path) {
  const std::int64_t total = file_size("read_npy", path);
  NpyFile opened{
      .path = path, .stream = std::ifstream(path, std::ios::binary), .header = {}, .type = {}, .stored_shape = {}};
  std::ifstream& file = opened.stream;
  check(file.is_open(), "read_npy: cannot open ", path);
  const auto text = read_header(file);
  check(text.has_value(), "read_npy: ", path, " is not an .npy file");
  const auto header = parse_header(*text);
  check(header.has_value(), "read_npy: ", path,
        " must have a header with the type of its numbers, their order and a shape of at most ", most_axes,
        " axes, got '", text->substr(0, 80), "'");
  const auto type = number_type(header->type);
  check(type.has_value(), "read_npy: ", path, " has the unsupported type '", header->type, "'",
        header->type.ends_with('O') ? ": objects are pickles, which are programs" : "");
  opened.header = *header;
  opened.type = *type;
  opened.stored_shape = header->shape;
  if (header->fortran_order) {
    std::ranges::reverse(opened.stored_shape);
  }
  opened.data_bytes = total - file.tellg();
  const auto expected = claimed_bytes(opened.stored_shape, type->stored);
  check(expected == opened.data_bytes, "read_npy: ", path, " should hold ", expected ? c10::str(*expected) : "too many",
        " bytes of data, but holds ", opened.data_bytes);
  return opened;
}

// The next bytes of a file.
void read_on(NpyFile& file, std::byte* to, std::int64_t bytes) {
  file.stream.read(reinterpret_cast<char*>(to), bytes);
  check(file.stream.gcount() == bytes, "read_npy: ", file.path, " could not be read to its end");
}

// What the numbers that were read as they lie in the file are.
at::Tensor numbers_of(const NpyFile& file, at::Tensor array) {
  if (file.type.swapped) {
    swap_bytes(array);
  }
  if (file.type.stored == at::kBool) {
    keep_truth_values(array);
  }
  return file.type.is_unsigned ? from_unsigned("read_npy", file.path, array) : array;
}

// What precedes the numbers of an array.
std::string preamble(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto* type = std::ranges::find(kNpyTypes, dtype, [](const auto& entry) { return entry.second; });
  check(type != kNpyTypes.end(), "write_npy: array has the unsupported dtype ", dtype);
  std::string shape;
  for (const std::int64_t size : sizes) {
    shape += c10::str(size, ", ");
  }
  if (sizes.size() > 1) {
    shape.resize(shape.size() - 2);
  }
  std::string header = c10::str("{'descr': '", type->first, "', 'fortran_order': False, 'shape': (", shape, "), }");
  // Data start at a multiple of 64 bytes; the header ends with a newline.
  constexpr std::size_t kPreamble = kMagic.size() + 4;
  header.append(63 - (kPreamble + header.size()) % 64, ' ');
  header += '\n';
  std::string text(kMagic);
  text += {'\x01', '\x00', static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
  return text + header;
}

// Calls `body(first, begin, count)` for the runs of this rank's slab: elements of the flat image from `first` on, and
// of the flat slab from `begin` on.
template <class Body>
void for_runs(const ImageSpace& space, const Body& body) {
  const auto own = static_cast<std::size_t>(space.rank);
  const std::int64_t from = space.begins[own];
  const std::int64_t length = space.begins[own + 1] - from;
  const std::size_t axis = space.axis ? static_cast<std::size_t>(*space.axis) : 0;
  const auto product = [&](std::size_t first, std::size_t last) {
    return std::accumulate(space.sizes.begin() + static_cast<std::ptrdiff_t>(first),
                           space.sizes.begin() + static_cast<std::ptrdiff_t>(last), std::int64_t{1},
                           std::multiplies<>());
  };
  const std::int64_t inner = space.axis ? product(axis + 1, space.sizes.size()) : 1;
  const std::int64_t outer = space.axis ? product(0, axis) : 1;
  const std::int64_t stride = space.axis ? space.sizes[axis] * inner : 0;
  for (std::int64_t run = 0; run < outer && length > 0; ++run) {
    body(run * stride + from * inner, run * length * inner, length * inner);
  }
}

// A file that several processes write to, each its own bytes.
class SharedFile {
 public:
  SharedFile(const std::filesystem::path& path, std::int64_t bytes)
      : path_(path), number_(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)) {
    if (number_ < 0 || ftruncate(number_, bytes) != 0) {
      fail();
    }
  }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;
  ~SharedFile() {
    if (number_ >= 0) {
      close(number_);
    }
  }
  void write(const void* from, std::int64_t bytes, std::int64_t at) {
    for (std::int64_t done = 0; done < bytes;) {
      const ssize_t written = pwrite(number_, static_cast<const std::byte*>(from) + done,
                                     static_cast<std::size_t>(bytes - done), at + done);
      if (written <= 0) {
        fail();
      }
      done += written;
    }
  }

 private:
  [[noreturn]] void fail() const { throw Error(c10::str("write_npy: cannot write ", path_)); }

  std::filesystem::path path_;
  int number_;
};

}  // namespace

at::Tensor read_npy(const std::filesystem::path& path) {
  NpyFile file = open_npy(path);
  at::Tensor array = at::empty(file.stored_shape, file.type.stored);
  read_on(file, static_cast<std::byte*>(array.mutable_data_ptr()), file.data_bytes);
  array = numbers_of(file, array);
  if (file.header.fortran_order) {
    std::vector<std::int64_t> reversed(file.stored_shape.size());
    std::iota(reversed.rbegin(), reversed.rend(), 0);
    array = array.permute(reversed).contiguous();
  }
  return array;
}

void write_npy(const std::filesystem::path& path, const at::Tensor& array) {
  check(array.defined(), "write_npy: array must be defined");
  const std::string header = preamble(array.sizes(), array.scalar_type());
  const at::Tensor data = array.detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << header;
  file.write(static_cast<const char*>(data.const_data_ptr()), static_cast<std::streamsize>(data.nbytes()));
  file.close();
  if (!file) {
    throw Error(c10::str("write_npy: cannot write ", path));
  }
}

// ---- Slabs -------------------------------------------------------------------------------------------------------

std::vector<std::int64_t> npy_sizes(const std::filesystem::path& path) { return open_npy(path).header.shape; }

ShardedImage read_npy(const std::filesystem::path& path, std::shared_ptr<const ImageSpace> space) {
  check(space != nullptr, "read_npy: space must not be null");
  NpyFile file = open_npy(path);
  check(file.header.shape == space->sizes, "read_npy: ", path, " must hold an array of shape ",
        at::IntArrayRef(space->sizes), ", got ", at::IntArrayRef(file.header.shape));
  check(!file.header.fortran_order || file.header.shape.size() < 2, "read_npy: ", path,
        " must be in C order to be read in slabs, and is in Fortran order");
  at::Tensor local = at::empty(space->local_sizes(), file.type.stored);
  const auto item = static_cast<std::int64_t>(local.element_size());
  const std::streamoff start = file.stream.tellg();
  for_runs(*space, [&](std::int64_t first, std::int64_t begin, std::int64_t count) {
    file.stream.seekg(start + first * item);
    read_on(file, static_cast<std::byte*>(local.mutable_data_ptr()) + begin * item, count * item);
  });
  return {numbers_of(file, local), std::move(space)};
}

void write_npy(const std::filesystem::path& path, const ShardedImage& image) {
  check(image.defined() && image.space != nullptr, "write_npy: image must be defined");
  const at::Tensor local = image.local.detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
  const std::string header = preamble(image.space->sizes, local.scalar_type());
  const auto item = static_cast<std::int64_t>(local.element_size());
  const auto start = static_cast<std::int64_t>(header.size());
  SharedFile file(path, start + image.space->numel() * item);
  file.write(header.data(), start, 0);
  for_runs(*image.space, [&](std::int64_t first, std::int64_t begin, std::int64_t count) {
    file.write(static_cast<const std::byte*>(local.const_data_ptr()) + begin * item, count * item,
               start + first * item);
  });
}

}  // namespace adjoin

#include "adjoin/io/cfl.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "io/claims.hpp"

// The format: https://bart-doc.readthedocs.io (data format)

namespace adjoin {

namespace {

constexpr std::int64_t longest_header = 1 << 20;
constexpr std::size_t axes_of_bart = 16;

std::filesystem::path with_extension(std::filesystem::path path, const char* extension) {
  if (path.extension() == ".cfl" || path.extension() == ".hdr") {
    path.replace_extension();
  }
  path += extension;
  return path;
}

std::string text_of(const std::filesystem::path& path) {
  const std::int64_t size = file_size("read_cfl", path);
  check(size <= longest_header, "read_cfl: ", path, " is no header: it is longer than 1 MB");
  std::string text(static_cast<std::size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), size);
  check(file.gcount() == size, "read_cfl: cannot read ", path);
  return text;
}

/// The numbers of the line behind "# Dimensions".
std::vector<std::int64_t> sizes_of(std::string_view text, const std::filesystem::path& path) {
  constexpr std::string_view title = "# Dimensions";
  const auto start = text.find(title);
  check(start != std::string_view::npos, "read_cfl: ", path, " has no line '# Dimensions'");
  text.remove_prefix(start + title.size());
  text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + (text.empty() ? 0 : 1));
  text = text.substr(0, text.find('\n'));
  std::vector<std::int64_t> sizes;
  const char* next = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    next = std::find_if(next, end, [](char c) { return c != ' ' && c != '\t' && c != '\r'; });
    if (next == end) {
      break;
    }
    std::int64_t size = 0;
    const auto [rest, error] = std::from_chars(next, end, size);
    check(error == std::errc() && size >= 0 && sizes.size() < most_axes, "read_cfl: ", path,
          " must have at most 64 sizes behind '# Dimensions', none below zero");
    sizes.push_back(size);
    next = rest;
  }
  check(!sizes.empty(), "read_cfl: ", path, " has no sizes behind '# Dimensions'");
  while (sizes.size() > 1 && sizes.back() == 1) {
    sizes.pop_back();
  }
  return sizes;
}

std::vector<std::int64_t> reversed_axes(std::size_t count) {
  std::vector<std::int64_t> axes(count);
  std::iota(axes.rbegin(), axes.rend(), 0);
  return axes;
}

}  // namespace

at::Tensor read_cfl(const std::filesystem::path& path) {
  const std::filesystem::path header = with_extension(path, ".hdr");
  const std::filesystem::path data = with_extension(path, ".cfl");
  std::vector<std::int64_t> sizes = sizes_of(text_of(header), header);
  const auto bytes = claimed_bytes(sizes, at::kComplexFloat);
  const std::int64_t size = file_size("read_cfl", data);
  check(bytes.has_value() && *bytes == size, "read_cfl: ", data, " must hold ", at::IntArrayRef(sizes),
        " complex numbers of 8 bytes, as its header says, got ", size, " bytes");
  // The first axis changes fastest.
  std::ranges::reverse(sizes);
  at::Tensor array = at::empty(sizes, at::kComplexFloat);
  std::ifstream file(data, std::ios::binary);
  file.read(static_cast<char*>(array.mutable_data_ptr()), size);
  check(file.gcount() == size, "read_cfl: cannot read ", data);
  return array.permute(reversed_axes(sizes.size())).contiguous();
}

void write_cfl(const std::filesystem::path& path, const at::Tensor& array) {
  check(array.defined() && static_cast<std::size_t>(array.dim()) <= axes_of_bart,
        "write_cfl: array must have at most 16 axes");
  const std::filesystem::path header = with_extension(path, ".hdr");
  const std::filesystem::path data = with_extension(path, ".cfl");
  std::ofstream text(header, std::ios::binary);
  text << "# Dimensions\n";
  for (std::size_t axis = 0; axis < axes_of_bart; ++axis) {
    const bool own = axis < static_cast<std::size_t>(array.dim());
    text << (own ? array.size(static_cast<std::int64_t>(axis)) : 1) << (axis + 1 < axes_of_bart ? " " : "\n");
  }
  text.close();
  const at::Tensor plain = array.detach().resolve_conj().resolve_neg().to(at::kCPU, at::kComplexFloat);
  const at::Tensor reversed = plain.permute(reversed_axes(plain.sizes().size())).contiguous();
  std::ofstream file(data, std::ios::binary);
  file.write(static_cast<const char*>(reversed.const_data_ptr()), static_cast<std::streamsize>(reversed.nbytes()));
  file.close();
  if (!text || !file) {
    throw Error(c10::str("write_cfl: cannot write ", data));
  }
}

}  // namespace adjoin

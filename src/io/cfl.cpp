// SPDX-License-Identifier: BSD-3-Clause
// The text of a .hdr file, and the numbers beside it with the first axis changing fastest.
#include "adjoin/io/cfl.hpp"

#include <ATen/ATen.h>
#include <c10/util/accumulate.h>

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
constexpr std::int64_t item_bytes = 8;

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

/// What a header says of its data.
struct CflFile {
  std::filesystem::path data;
  std::vector<std::int64_t> sizes;  // in BART's order
};

/// Throws InvalidArgument unless the data are as long as the header says.
CflFile open_cfl(const std::filesystem::path& path) {
  const std::filesystem::path header = with_extension(path, ".hdr");
  CflFile file{.data = with_extension(path, ".cfl"), .sizes = sizes_of(text_of(header), header)};
  const auto bytes = claimed_bytes(file.sizes, at::kComplexFloat);
  const std::int64_t size = file_size("read_cfl", file.data);
  check(bytes.has_value() && *bytes == size, "read_cfl: ", file.data, " must hold ", at::IntArrayRef(file.sizes),
        " complex numbers of 8 bytes, as its header says, got ", size, " bytes");
  return file;
}

}  // namespace

std::vector<std::int64_t> cfl_sizes(const std::filesystem::path& path) { return open_cfl(path).sizes; }

at::Tensor read_cfl(const std::filesystem::path& path, const std::optional<CflPart>& part) {
  CflFile file = open_cfl(path);
  const std::int64_t axis = part ? part->axis : 0;
  check(axis >= 0 && axis < static_cast<std::int64_t>(most_axes), "read_cfl: axis must be from 0 to ", most_axes - 1,
        ", got ", axis);
  const auto place = static_cast<std::size_t>(axis);
  file.sizes.resize(std::max(file.sizes.size(), place + 1), 1);
  // The first axis changes fastest: an entry of the axis is a run of numbers for each entry of the axes behind it.
  const at::IntArrayRef sizes = file.sizes;
  const std::int64_t run = c10::multiply_integers(sizes.slice(0, place)) * item_bytes;
  const std::int64_t outer = c10::multiply_integers(sizes.slice(place + 1));
  const std::int64_t count = sizes[place];
  std::vector<std::int64_t> reversed(sizes.rbegin(), sizes.rend());
  if (part) {
    reversed[reversed.size() - 1 - place] = static_cast<std::int64_t>(part->indices.size());
    for (const std::int64_t index : part->indices) {
      check(index >= 0 && index < count, "read_cfl: ", file.data, ": indices of axis ", axis, " must be from 0 to ",
            count - 1, ", got ", index);
    }
  }
  at::Tensor array = at::empty(reversed, at::kComplexFloat);
  std::ifstream stream(file.data, std::ios::binary);
  auto* to = static_cast<char*>(array.mutable_data_ptr());
  const auto read_at = [&](std::int64_t offset, std::int64_t bytes) {
    stream.seekg(offset);
    stream.read(to, bytes);
    check(stream.gcount() == bytes, "read_cfl: cannot read ", file.data);
    to += bytes;
  };
  if (part) {
    for (std::int64_t k = 0; k < outer; ++k) {
      for (const std::int64_t index : part->indices) {
        read_at((k * count + index) * run, run);
      }
    }
  } else {
    read_at(0, static_cast<std::int64_t>(array.nbytes()));
  }
  return array.permute(reversed_axes(reversed.size())).contiguous();
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

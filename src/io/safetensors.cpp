// SPDX-License-Identifier: BSD-3-Clause
// A JSON header that is taken apart while it is parsed, and tensors where it says.
#include "adjoin/io/safetensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "io/claims.hpp"
#include "io/numbers.hpp"

// The format: https://github.com/huggingface/safetensors#format. Eight bytes of little-endian length, a JSON header of
// that length, and the data, row-major and without gaps.

namespace adjoin {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors.cpp copies little-endian data as they are");

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 10> kTensorTypes = {{{"F64", at::kDouble},
                                                                                       {"F32", at::kFloat},
                                                                                       {"F16", at::kHalf},
                                                                                       {"BF16", at::kBFloat16},
                                                                                       {"I64", at::kLong},
                                                                                       {"I32", at::kInt},
                                                                                       {"I16", at::kShort},
                                                                                       {"I8", at::kChar},
                                                                                       {"U8", at::kByte},
                                                                                       {"BOOL", at::kBool}}};
constexpr const char* kMetadata = "__metadata__";
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit
/// Of tensors and of metadata. The largest models have a thousand in a file; an entry takes many times the memory of
/// the text that claims it.
constexpr std::size_t most_entries = 65536;

struct Entry {
  std::string name = {};
  std::string type = {};
  std::vector<std::int64_t> shape = {};
  std::vector<std::int64_t> offsets = {};
  std::set<std::string> fields = {};

  std::int64_t begin() const { return offsets[0]; }  // bytes from the start of the data
  std::int64_t end() const { return offsets[1]; }
};

/// Takes the header apart while it is parsed, and stops where it leaves the format: so a header takes no more memory
/// than its tensors are worth, however it is nested.
class HeaderParser : public nlohmann::json_sax<json> {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string, std::less<>> metadata;
  /// What is wrong, after the name of the file.
  std::string fault = "is not a .safetensors file: its header is not JSON";

  bool start_object(std::size_t /*elements*/) override {
    depth_ += 1;
    return depth_ == 1 || (depth_ == 2 && !in_array_) || refuse();
  }
  bool end_object() override {
    depth_ -= 1;
    return true;
  }
  bool key(string_t& text) override {
    if (depth_ == 1) {
      in_metadata_ = text == kMetadata;
      key_ = text;
      if (!in_metadata_) {
        entries.push_back({.name = text});
      }
      if (names_.size() >= most_entries) {
        return refuse(c10::str("has more than ", most_entries, " tensors"));
      }
      return names_.insert(text).second || refuse(c10::str("has two entries '", text, "'"));
    }
    key_ = text;
    return in_metadata_ || entries.back().fields.insert(text).second || refuse();
  }
  bool string(string_t& text) override {
    if (in_metadata_ && depth_ == 2) {
      metadata[key_] = text;
      return metadata.size() <= most_entries ||
             refuse(c10::str("has more than ", most_entries, " entries of metadata"));
    }
    if (depth_ == 2 && !in_array_ && key_ == "dtype") {
      entries.back().type = text;
      return true;
    }
    return refuse();
  }
  bool start_array(std::size_t /*elements*/) override {
    in_array_ = depth_ == 2 && !in_array_ && !in_metadata_ && (key_ == "shape" || key_ == "data_offsets");
    return in_array_ || refuse();
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t number) override {
    if (!in_array_) {
      return refuse();
    }
    std::vector<std::int64_t>& numbers = key_ == "shape" ? entries.back().shape : entries.back().offsets;
    numbers.push_back(static_cast<std::int64_t>(number));
    return (numbers.back() >= 0 && numbers.size() <= most_axes) || refuse();
  }
  bool null() override { return refuse(); }
  bool boolean(bool /*value*/) override { return refuse(); }
  bool number_integer(number_integer_t /*number*/) override { return refuse(); }
  bool number_float(number_float_t /*number*/, const string_t& /*text*/) override { return refuse(); }
  bool binary(binary_t& /*bytes*/) override { return refuse(); }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  bool refuse(std::string what = {}) {
    if (what.empty()) {
      what = depth_ == 0    ? "is not a .safetensors file: its header is not JSON with names"
             : in_metadata_ ? c10::str("has metadata '", key_, "' that is no text")
             : depth_ == 1  ? c10::str("has an entry '", key_, "' that is no tensor")
                            : c10::str("has a tensor '", entries.back().name, "' with no valid ", key_);
    }
    fault = std::move(what);
    return false;
  }

  int depth_ = 0;
  bool in_array_ = false;
  bool in_metadata_ = false;
  std::string key_;
  std::set<std::string> names_;
};

/// The dtype of a tensor that lies where its header says. Throws InvalidArgument for any other.
at::ScalarType checked_dtype(const std::filesystem::path& path, const Entry& entry) {
  const auto* known = std::ranges::find(kTensorTypes, entry.type, [](const auto& pair) { return pair.first; });
  check(known != kTensorTypes.end(), "read_safetensors: ", path, " has a tensor '", entry.name,
        "' of the unsupported type '", entry.type, "'");
  for (const char* field : {"shape", "data_offsets"}) {
    check(entry.fields.contains(field), "read_safetensors: ", path, " has a tensor '", entry.name, "' with no valid ",
          field);
  }
  check(entry.offsets.size() == 2, "read_safetensors: ", path, " has a tensor '", entry.name,
        "' with no valid data_offsets");
  const auto bytes = claimed_bytes(entry.shape, known->second);
  check(bytes && entry.end() - entry.begin() == *bytes, "read_safetensors: ", path, " has a tensor '", entry.name,
        "' of shape ", at::IntArrayRef(entry.shape), " and type ", entry.type, ", which cannot lie in bytes ",
        entry.begin(), " to ", entry.end());
  return known->second;
}

}  // namespace

const at::Tensor& Safetensors::at(std::string_view name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    std::vector<std::string> known;
    known.reserve(tensors.size());
    for (const auto& [other, tensor] : tensors) {
      known.push_back(other);
    }
    throw InvalidArgument(c10::str(source.empty() ? "weights" : source, ": has no tensor '", std::string(name),
                                   "'; it has ", known.empty() ? "none" : c10::Join(", ", known)));
  }
  return found->second;
}

std::string Safetensors::metadata_or(std::string_view name, std::string_view fallback) const {
  const auto found = metadata.find(name);
  return found == metadata.end() ? std::string(fallback) : found->second;
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  const auto total = static_cast<std::uint64_t>(file_size("read_safetensors", path));
  std::ifstream file(path, std::ios::binary);
  check(file.is_open(), "read_safetensors: cannot open ", path);
  std::uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  check(total >= sizeof length && length <= kLongestHeader && length <= total - sizeof length,
        "read_safetensors: ", path, " is not a .safetensors file, or is cut off in its header");
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  HeaderParser header;
  check(json::sax_parse(text, &header), "read_safetensors: ", path, " ", header.fault);

  Safetensors content;
  content.source = path.string();
  content.metadata = std::move(header.metadata);
  std::vector<std::pair<Entry, at::ScalarType>> entries;
  for (Entry& entry : header.entries) {
    const at::ScalarType dtype = checked_dtype(path, entry);
    entries.emplace_back(std::move(entry), dtype);
  }
  std::ranges::sort(entries, {}, [](const auto& entry) { return entry.first.offsets; });
  const auto available = static_cast<std::int64_t>(total - sizeof length - length);
  std::int64_t position = 0;
  for (const auto& [entry, dtype] : entries) {
    check(entry.begin() == position, "read_safetensors: ", path, ": tensor '", entry.name, "' must start at byte ",
          position, ", where the one before it ends, but starts at ", entry.begin());
    position = entry.end();
  }
  check(position == available, "read_safetensors: ", path, " should hold ", position, " bytes of data, but holds ",
        available);
  for (const auto& [entry, dtype] : entries) {
    at::Tensor tensor = at::empty(entry.shape, dtype);
    file.read(static_cast<char*>(tensor.mutable_data_ptr()), entry.end() - entry.begin());
    if (dtype == at::kBool) {
      keep_truth_values(tensor);
    }
    content.tensors.emplace(entry.name, std::move(tensor));
  }
  check(static_cast<bool>(file), "read_safetensors: ", path, " could not be read to its end");
  return content;
}

void write_safetensors(const std::filesystem::path& path, const Safetensors& content) {
  json header = json::object();
  if (!content.metadata.empty()) {
    header[kMetadata] = content.metadata;
  }
  std::vector<at::Tensor> data;
  std::int64_t position = 0;
  for (const auto& [name, tensor] : content.tensors) {
    check(tensor.defined(), "write_safetensors: tensor '", name, "' must be defined");
    const auto* type =
        std::ranges::find(kTensorTypes, tensor.scalar_type(), [](const auto& pair) { return pair.second; });
    check(type != kTensorTypes.end(), "write_safetensors: tensor '", name, "' has the unsupported dtype ",
          tensor.scalar_type());
    data.push_back(tensor.detach().resolve_neg().to(at::kCPU).contiguous());
    const std::int64_t end = position + static_cast<std::int64_t>(data.back().nbytes());
    header[name] = {{"dtype", type->first}, {"shape", tensor.sizes().vec()}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // aligns the data
  const std::uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text;
  for (const at::Tensor& tensor : data) {
    file.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  }
  file.close();
  if (!file) {
    throw Error(c10::str("write_safetensors: cannot write ", path));
  }
}

}  // namespace adjoin

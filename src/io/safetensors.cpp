#include "adjoin/io/safetensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"

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

struct Entry {
  std::string name;
  at::ScalarType dtype;
  std::vector<std::int64_t> shape;
  std::int64_t begin;  // bytes from the start of the data
  std::int64_t end;
};

bool is_sizes(const json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const json& size) { return size.is_number_unsigned(); });
}

Entry parse_entry(const std::filesystem::path& path, const std::string& name, const json& fields) {
  const auto text = [&](const char* key) {
    return fields.is_object() && fields.contains(key) && fields[key].is_string() ? fields[key].get<std::string>() : "";
  };
  const auto sizes = [&](const char* key) {
    check(fields.is_object() && fields.contains(key) && is_sizes(fields[key]), "read_safetensors: ", path, ": tensor '",
          name, "' has no valid ", key);
    return fields[key].get<std::vector<std::int64_t>>();
  };
  const std::string type = text("dtype");
  const auto* known = std::ranges::find(kTensorTypes, type, [](const auto& pair) { return pair.first; });
  check(known != kTensorTypes.end(), "read_safetensors: ", path, ": tensor '", name, "' has the unsupported type '",
        type, "'");
  const std::vector<std::int64_t> offsets = sizes("data_offsets");
  check(offsets.size() == 2, "read_safetensors: ", path, ": tensor '", name, "' has no valid data_offsets");
  Entry entry{name, known->second, sizes("shape"), offsets[0], offsets[1]};
  auto bytes = static_cast<std::int64_t>(c10::elementSize(entry.dtype));
  bool fits = true;
  for (const std::int64_t size : entry.shape) {
    fits = fits && size >= 0 && !__builtin_mul_overflow(bytes, size, &bytes);
  }
  check(fits && entry.begin >= 0 && entry.end - entry.begin == bytes, "read_safetensors: ", path, ": tensor '", name,
        "' of shape ", at::IntArrayRef(entry.shape), " and type ", type, " cannot lie in bytes ", entry.begin, " to ",
        entry.end);
  return entry;
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
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  check(file.is_open(), "read_safetensors: cannot open ", path);
  const auto total = static_cast<std::uint64_t>(std::max<std::streamoff>(file.tellg(), 0));
  file.seekg(0);
  std::uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  check(total >= sizeof length && length <= kLongestHeader && length <= total - sizeof length,
        "read_safetensors: ", path, " is not a .safetensors file, or is cut off in its header");
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  const json header = json::parse(text, nullptr, /*allow_exceptions=*/false);
  check(header.is_object(), "read_safetensors: ", path, " is not a .safetensors file: its header is not JSON");

  Safetensors content;
  content.source = path.string();
  std::vector<Entry> entries;
  for (const auto& [name, fields] : header.items()) {
    if (name != kMetadata) {
      entries.push_back(parse_entry(path, name, fields));
      continue;
    }
    for (const auto& [key, value] : fields.items()) {
      check(value.is_string(), "read_safetensors: ", path, ": metadata '", key, "' must be text");
      content.metadata[key] = value.get<std::string>();
    }
  }
  std::ranges::sort(entries, {}, [](const Entry& entry) { return std::pair(entry.begin, entry.end); });
  const auto available = static_cast<std::int64_t>(total - sizeof length - length);
  std::int64_t position = 0;
  for (const Entry& entry : entries) {
    check(entry.begin == position, "read_safetensors: ", path, ": tensor '", entry.name, "' must start at byte ",
          position, ", where the one before it ends, but starts at ", entry.begin);
    position = entry.end;
  }
  check(position == available, "read_safetensors: ", path, " should hold ", position, " bytes of data, but holds ",
        available);
  for (const Entry& entry : entries) {
    at::Tensor tensor = at::empty(entry.shape, entry.dtype);
    file.read(static_cast<char*>(tensor.mutable_data_ptr()), entry.end - entry.begin);
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

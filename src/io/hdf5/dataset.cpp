// SPDX-License-Identifier: BSD-3-Clause
// The messages of a dataset's header read as its sizes, type, layout and filters.
#include "io/hdf5/dataset.hpp"

#include <utility>

namespace adjoin::hdf5 {

namespace {

constexpr unsigned most_axes = 32;

void read_dataspace(Block message, Dataset& data) {
  const unsigned version = message.byte();
  const unsigned rank = message.byte();
  const unsigned flags = message.byte();
  require((version == 1 || version == 2) && rank <= most_axes, "is damaged: it has no sensible number of axes");
  if (version == 1) {
    message.skip(5);
  } else {
    require(message.byte() != 2, "must be an array, but has no dataspace and so no values");
  }
  for (unsigned axis = 0; axis < rank; ++axis) {
    data.sizes.push_back(message.length());
  }
  data.most_sizes = data.sizes;
  if ((flags & 0x01U) != 0) {
    const std::uint64_t endless = nowhere >> (64 - 8 * message.length_bytes());
    for (std::uint64_t& size : data.most_sizes) {
      const std::uint64_t most = message.length();
      size = most == endless ? nowhere : most;
    }
  }
}

void read_filters(Block message, Dataset& data) {
  const unsigned version = message.byte();
  const unsigned count = message.byte();
  require(version == 1 || version == 2, "is damaged: its filters are of an unknown version");
  message.skip(version == 1 ? 6 : 0);
  for (unsigned i = 0; i < count; ++i) {
    const std::uint64_t id = message.number(2);
    const std::uint64_t name_bytes = version == 1 || id >= 256 ? message.number(2) : 0;
    message.skip(2);
    const std::uint64_t values = message.number(2);
    message.skip(version == 1 ? (name_bytes + 7) / 8 * 8 : name_bytes);
    message.skip(4 * values + (version == 1 && values % 2 == 1 ? 4 : 0));
    require(
        id >= 1 && id <= 3, "is compressed by filter ", id,
        "; deflate (gzip), shuffle and fletcher32 can be read, and what the HDF5 library has where trusted allows it");
    data.filters.push_back(static_cast<Filter>(id));
  }
}

/// Nothing where missing values are undefined.
std::optional<std::vector<std::uint8_t>> read_fill(Block message) {
  const unsigned version = message.byte();
  require(version >= 1 && version <= 3, "is damaged: its fill value is of an unknown version");
  bool has_value = false;
  bool undefined = false;
  constexpr unsigned never = 1;
  if (version == 3) {
    const unsigned flags = message.byte();
    undefined = (flags & 0x10U) != 0 || (flags >> 2U & 0x03U) == never;
    has_value = (flags & 0x20U) != 0;
  } else {
    message.skip(1);
    const unsigned time = message.byte();
    has_value = message.byte() != 0;
    undefined = !has_value || time == never;
    has_value = has_value || version == 1;
  }
  std::vector<std::uint8_t> value;
  if (has_value) {
    const auto bytes = message.take(message.number(4));
    value.assign(bytes.begin(), bytes.end());
  }
  return undefined ? std::nullopt : std::optional(std::move(value));
}

/// The sizes of a chunk, of which the last one in the file is that of an entry.
void read_chunk_sizes(Block& message, unsigned count, unsigned bytes, Dataset& data) {
  require(count == data.sizes.size() + 1, "is damaged: its chunks have another number of axes");
  for (unsigned axis = 0; axis + 1 < count; ++axis) {
    data.layout.chunk.push_back(message.number(bytes));
    require(data.layout.chunk.back() > 0, "is damaged: its chunks are empty");
  }
  require(message.number(bytes) == data.entry_bytes, "is damaged: its chunks have entries of another size");
}

Layout::Kind layout_kind(unsigned kind) {
  require(kind != 3, "has its values in other files, which trusted allows");
  require(kind < 3, "is damaged: its values are laid out in an unknown way");
  return static_cast<Layout::Kind>(kind);
}

void read_older_layout(Block& message, Dataset& data) {
  Layout& layout = data.layout;
  const unsigned axes = message.byte();
  layout.kind = layout_kind(message.byte());
  message.skip(5);
  if (layout.kind != Layout::Kind::Compact) {
    layout.address = message.address();
  }
  if (layout.kind == Layout::Kind::Chunked) {
    read_chunk_sizes(message, axes, 4, data);
    return;
  }
  message.skip(std::size_t{4} * axes);
  if (layout.kind == Layout::Kind::Compact) {
    const auto values = message.take(message.number(4));
    layout.compact.assign(values.begin(), values.end());
  }
}

void read_chunks_of_version_4(Block& message, Dataset& data) {
  Layout& layout = data.layout;
  const unsigned flags = message.byte();
  const unsigned axes = message.byte();
  const unsigned size_bytes = message.byte();
  require(size_bytes >= 1 && size_bytes <= 8, "is damaged: its chunks have no sensible sizes");
  read_chunk_sizes(message, axes, size_bytes, data);
  layout.whole_chunks_filtered_only = (flags & 0x01U) != 0;
  const unsigned index = message.byte();
  require(index >= 1 && index <= 5, "is damaged: its chunks are listed in an unknown way");
  layout.index = static_cast<ChunkIndex>(index);
  switch (layout.index) {
    case ChunkIndex::Single:
      if ((flags & 0x02U) != 0) {
        layout.single_bytes = message.length();
        layout.single_mask = message.number(4);
      }
      break;
    case ChunkIndex::FixedArray:
      message.skip(1);
      break;
    case ChunkIndex::ExtensibleArray:
      message.skip(5);
      break;
    case ChunkIndex::Records:
      message.skip(6);
      break;
    default:
      break;
  }
  layout.address = message.address();
}

void read_layout(Block message, Dataset& data) {
  Layout& layout = data.layout;
  const unsigned version = message.byte();
  require(version >= 1 && version <= 4, "is laid out in a way of a later version of HDF5");
  if (version <= 2) {
    read_older_layout(message, data);
    return;
  }
  layout.kind = layout_kind(message.byte());
  switch (layout.kind) {
    case Layout::Kind::Compact: {
      const auto values = message.take(message.number(2));
      layout.compact.assign(values.begin(), values.end());
      break;
    }
    case Layout::Kind::Contiguous:
      layout.address = message.address();
      break;
    case Layout::Kind::Chunked:
      if (version == 4) {
        read_chunks_of_version_4(message, data);
      } else {
        const unsigned axes = message.byte();
        layout.address = message.address();
        read_chunk_sizes(message, axes, 4, data);
      }
      break;
  }
}

/// `read_type` fills in what an entry is.
template <class ReadType>
Dataset read_any(const std::vector<Message>& messages, const ReadType& read_type) {
  const auto space = find(messages, MessageType::Dataspace);
  const auto type = find(messages, MessageType::Datatype);
  const auto layout = find(messages, MessageType::Layout);
  require(space && type && layout, "is no dataset");
  require(!find(messages, MessageType::ExternalFiles), "has its values in other files, which trusted allows");
  Dataset data;
  read_dataspace(*space, data);
  read_type(*type, data);
  if (const auto filters = find(messages, MessageType::Filters)) {
    read_filters(*filters, data);
  }
  read_layout(*layout, data);
  if (const auto fill = find(messages, MessageType::FillValue)) {
    data.fill = read_fill(*fill);
  } else if (auto old_fill = find(messages, MessageType::OldFillValue)) {
    const auto bytes = old_fill->take(old_fill->number(4));
    data.fill.emplace(bytes.begin(), bytes.end());
  } else {
    data.fill.emplace();
  }
  require(!data.fill || data.fill->empty() || data.fill->size() == data.entry_bytes,
          "is damaged: its fill value has another size than its entries");
  return data;
}

}  // namespace

Dataset read_dataset(const std::vector<Message>& messages) {
  return read_any(messages, [](const Block& type, Dataset& data) {
    data.type = read_number_type(type);
    data.entry_bytes = data.type.entry_bytes();
  });
}

Dataset read_record_dataset(const std::vector<Message>& messages) {
  return read_any(messages, [](const Block& type, Dataset& data) {
    data.record = read_record_type(type);
    data.entry_bytes = data.record.bytes;
  });
}

}  // namespace adjoin::hdf5

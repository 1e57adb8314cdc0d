// SPDX-License-Identifier: BSD-3-Clause
// Every index of chunks that the format has, walked in one way.
#include "io/hdf5/chunks.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <utility>

#include "io/hdf5/btree.hpp"

namespace adjoin::hdf5 {

namespace {

std::uint64_t chunks_along(std::uint64_t size, std::uint64_t chunk) {
  return size / chunk + (size % chunk != 0 ? 1 : 0);
}

/// The chunks of a dataset that may grow, in the order in which arrays list them: row by row, the axis without an end,
/// if there is one, first.
class Grid {
 public:
  explicit Grid(const Dataset& data) : axes_(data.sizes.size()), counts_(data.sizes.size()) {
    std::iota(axes_.begin(), axes_.end(), std::size_t{0});
    const auto endless = std::ranges::find(data.most_sizes, nowhere);
    if (endless != data.most_sizes.end() && data.layout.index == ChunkIndex::ExtensibleArray) {
      const auto axis = static_cast<std::size_t>(endless - data.most_sizes.begin());
      axes_.erase(axes_.begin() + static_cast<std::ptrdiff_t>(axis));
      axes_.insert(axes_.begin(), axis);
    }
    for (std::size_t axis = 0; axis < axes_.size(); ++axis) {
      counts_[axis] = chunks_along(data.most_sizes[axis], data.layout.chunk[axis]);
    }
  }

  std::vector<std::uint64_t> place(std::uint64_t index) const {
    std::vector<std::uint64_t> result(axes_.size());
    for (std::size_t i = axes_.size(); i-- > 0;) {
      const std::size_t axis = axes_[i];
      const std::uint64_t count = i == 0 ? nowhere : std::max<std::uint64_t>(counts_[axis], 1);
      result[axis] = index % count;
      index /= count;
    }
    return result;
  }

 private:
  std::vector<std::size_t> axes_;
  std::vector<std::uint64_t> counts_;
};

/// Lists chunks; hands out those that lie in the dataset.
class Lister {
 public:
  Lister(File& file, const Dataset& data, const std::function<void(const Chunk&)>& visit)
      : file_(file), data_(data), visit_(visit), grid_(data), whole_(hdf5::chunk_bytes(data)) {}

  void list() {
    const Layout& layout = data_.layout;
    if (layout.address == nowhere) {
      return;
    }
    switch (layout.index) {
      case ChunkIndex::Tree:
        list_tree();
        break;
      case ChunkIndex::Single:
        add({layout.address, layout.single_bytes > 0 ? layout.single_bytes : whole_, layout.single_mask,
             std::vector<std::uint64_t>(data_.sizes.size(), 0)});
        break;
      case ChunkIndex::Implicit:
        list_implicit();
        break;
      case ChunkIndex::FixedArray:
        list_fixed_array();
        break;
      case ChunkIndex::ExtensibleArray:
        list_extensible_array();
        break;
      case ChunkIndex::Records:
        list_records();
        break;
    }
  }

 private:
  void add(const Chunk& chunk) {
    bool inside = chunk.address != nowhere;
    for (std::size_t axis = 0; axis < data_.sizes.size(); ++axis) {
      inside = inside && chunk.place[axis] < chunks_along(data_.sizes[axis], data_.layout.chunk[axis]);
    }
    if (!inside) {
      return;
    }
    total_ += chunk.bytes;
    require(file_.holds(chunk.address, chunk.bytes) && total_ <= file_.size(),
            "is damaged or cut short: its chunks are larger than the file");
    visit_(chunk);
  }

  void list_tree() {
    const std::size_t axes = data_.sizes.size();
    walk_tree(file_, data_.layout.address, TreeKind::Chunks, 8 + 8 * (axes + 1), [&](Block key, std::uint64_t address) {
      Chunk chunk{address, key.number(4), key.number(4), std::vector<std::uint64_t>(axes)};
      for (std::size_t axis = 0; axis < axes; ++axis) {
        const std::uint64_t begin = key.number(8);
        require(begin % data_.layout.chunk[axis] == 0, "is damaged: a chunk begins within another one");
        chunk.place[axis] = begin / data_.layout.chunk[axis];
      }
      add(chunk);
    });
  }

  void list_implicit() {
    std::uint64_t count = 1;
    for (std::size_t axis = 0; axis < data_.sizes.size(); ++axis) {
      require(data_.most_sizes[axis] != nowhere, "is damaged: its chunks have no list");
      count *= chunks_along(data_.most_sizes[axis], data_.layout.chunk[axis]);
      require(count <= file_.size(), "is damaged or cut short: its chunks are larger than the file");
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      add({data_.layout.address + i * whole_, whole_, 0, grid_.place(i)});
    }
  }

  /// The next element of an array: an address, and where chunks are filtered their size and mask.
  void add_element(Block& block, std::uint64_t index, unsigned element_bytes, bool filtered) {
    const std::uint64_t address = block.address();
    std::uint64_t bytes = whole_;
    std::uint64_t mask = 0;
    if (filtered) {
      bytes = block.number(element_bytes - file_.address_bytes() - 4);
      mask = block.number(4);
    }
    if (address != nowhere) {
      add({address, bytes, mask, grid_.place(index)});
    }
  }

  /// Whether the chunks of an array are filtered, after the first bytes of its structures.
  bool read_client(Block& block) {
    require(block.byte() == 0, "is damaged: a list of chunks is of an unknown version");
    const unsigned client = block.byte();
    require(client <= 1, "is damaged: a list has no chunks");
    return client == 1;
  }

  void check_element(unsigned element_bytes, bool filtered) const {
    const unsigned address = file_.address_bytes();
    require(filtered ? element_bytes > address + 4 && element_bytes <= address + 12 : element_bytes == address,
            "is damaged: a list of chunks has entries of no sensible size");
  }

  void list_fixed_array() {
    Block header = file_.structure(data_.layout.address, 12 + file_.length_bytes() + file_.address_bytes());
    header.signature("FAHD");
    const bool filtered = read_client(header);
    const unsigned element_bytes = header.byte();
    const unsigned page_bits = header.byte();
    const std::uint64_t elements = header.length();
    const std::uint64_t address = header.address();
    header.checksum();
    check_element(element_bytes, filtered);
    require(page_bits < 32, "is damaged: a list of chunks has no sensible sizes");
    if (address == nowhere) {
      return;
    }
    const std::uint64_t page = std::uint64_t{1} << page_bits;
    const std::uint64_t head = 6 + file_.address_bytes();
    if (elements <= page) {
      Block block = file_.structure(address, head + elements * element_bytes + 4);
      block.signature("FADB");
      block.skip(head - 4);
      for (std::uint64_t i = 0; i < elements; ++i) {
        add_element(block, i, element_bytes, filtered);
      }
      block.checksum();
      return;
    }
    const std::uint64_t pages = chunks_along(elements, page);
    Block begin = file_.structure(address, head + (pages + 7) / 8 + 4);
    begin.signature("FADB");
    begin.skip(head - 4);
    const Block used = begin.part((pages + 7) / 8);
    begin.checksum();
    read_pages(used, address + begin.position(), 0, elements, page, element_bytes, filtered);
  }

  /// Pages of elements, of which those that a bit mentions were written.
  void read_pages(Block used, std::uint64_t address, std::uint64_t first, std::uint64_t elements, std::uint64_t page,
                  unsigned element_bytes, bool filtered) {
    unsigned bits = 0;
    for (std::uint64_t begin = 0, number = 0; begin < elements; begin += page, ++number) {
      bits = number % 8 == 0 ? used.byte() : bits << 1U;
      const std::uint64_t count = std::min(page, elements - begin);
      if ((bits & 0x80U) != 0) {
        Block block = file_.structure(address, count * element_bytes + 4);
        for (std::uint64_t i = 0; i < count; ++i) {
          add_element(block, first + begin + i, element_bytes, filtered);
        }
        block.checksum();
      }
      address += page * element_bytes + 4;
    }
  }

  void list_extensible_array();

  void list_records() {
    const std::size_t axes = data_.sizes.size();
    const bool filtered = !data_.filters.empty();
    // Sizes of filtered chunks have a byte more than a chunk's own needs.
    const unsigned size_bytes = std::min(8U, 1 + (static_cast<unsigned>(std::bit_width(whole_)) - 1 + 8) / 8);
    walk_records(file_, data_.layout.address, filtered ? 11 : 10, [&](Block record) {
      Chunk chunk{record.address(), whole_, 0, std::vector<std::uint64_t>(axes)};
      if (filtered) {
        chunk.bytes = record.number(size_bytes);
        chunk.mask = record.number(4);
      }
      for (std::uint64_t& place : chunk.place) {
        place = record.number(8);
      }
      add(chunk);
    });
  }

  File& file_;
  const Dataset& data_;
  const std::function<void(const Chunk&)>& visit_;
  Grid grid_;
  std::uint64_t whole_;
  std::uint64_t total_ = 0;
};

/// An index block has the first elements, and the addresses of blocks of elements: of the smallest ones itself, of all
/// others by secondary blocks. Blocks of level u are 2^(u/2) times 2^((u+1)/2) times the smallest.
void Lister::list_extensible_array() {
  Block header = file_.structure(data_.layout.address, 16 + 6 * file_.length_bytes() + file_.address_bytes());
  header.signature("EAHD");
  const bool filtered = read_client(header);
  const unsigned element_bytes = header.byte();
  const unsigned index_bits = header.byte();
  const std::uint64_t in_index = header.byte();
  const std::uint64_t smallest = header.byte();
  const std::uint64_t least_pointers = header.byte();
  const unsigned page_bits = header.byte();
  for (int i = 0; i < 6; ++i) {
    header.length();
  }
  const std::uint64_t address = header.address();
  header.checksum();
  check_element(element_bytes, filtered);
  require(std::has_single_bit(smallest) && std::has_single_bit(least_pointers) && index_bits >= 1 && index_bits <= 64 &&
              page_bits < 32,
          "is damaged: a list of chunks has no sensible sizes");
  if (address == nowhere) {
    return;
  }
  const unsigned addresses = file_.address_bytes();
  const std::uint64_t head = 6 + addresses;
  const unsigned offset_bytes = (index_bits + 7) / 8;
  const auto levels =
      static_cast<unsigned>(std::max(0, 2 + static_cast<int>(index_bits) - static_cast<int>(std::bit_width(smallest))));
  const unsigned own_levels = std::min(levels, 2 * (static_cast<unsigned>(std::bit_width(least_pointers)) - 1));
  const std::uint64_t own_blocks = 2 * (least_pointers - 1);
  Block index =
      file_.structure(address, head + in_index * element_bytes + (own_blocks + (levels - own_levels)) * addresses + 4);
  index.signature("EAIB");
  index.skip(head - 4);
  std::uint64_t first = 0;
  for (; first < in_index; ++first) {
    add_element(index, first, element_bytes, filtered);
  }
  const std::uint64_t page = std::uint64_t{1} << page_bits;
  const auto read_block = [&](std::uint64_t block_address, std::uint64_t elements, Block used) {
    if (block_address == nowhere) {
      return;
    }
    const std::uint64_t block_head = head + offset_bytes;
    if (elements <= page) {
      Block block = file_.structure(block_address, block_head + elements * element_bytes + 4);
      block.signature("EADB");
      block.skip(block_head - 4);
      for (std::uint64_t i = 0; i < elements; ++i) {
        add_element(block, first + i, element_bytes, filtered);
      }
      block.checksum();
    } else {
      Block block = file_.structure(block_address, block_head + 4);
      block.signature("EADB");
      block.skip(block_head - 4);
      block.checksum();
      read_pages(std::move(used), block_address + block.position(), first, elements, page, element_bytes, filtered);
    }
  };
  for (unsigned level = 0; level < levels; ++level) {
    if (level == own_levels) {
      index.skip(index.left() - 4 - (levels - own_levels) * addresses);
    }
    const std::uint64_t blocks = std::uint64_t{1} << (level / 2);
    const std::uint64_t elements = (std::uint64_t{1} << ((level + 1) / 2)) * smallest;
    const std::uint64_t pages = elements > page ? elements / page : 0;
    if (level < own_levels) {
      for (std::uint64_t i = 0; i < blocks; ++i, first += elements) {
        read_block(index.address(), elements, index.part(0));
      }
      continue;
    }
    const std::uint64_t secondary = index.address();
    if (secondary == nowhere) {
      first += blocks * elements;
      continue;
    }
    const std::uint64_t used_bytes = (pages + 7) / 8;
    require(blocks <= file_.size() && used_bytes <= file_.size(),
            "is damaged: a list of chunks is larger than the file");
    Block block = file_.structure(secondary, head + offset_bytes + blocks * (used_bytes + addresses) + 4);
    block.signature("EASB");
    block.skip(head + offset_bytes - 4);
    Block used = block.part(blocks * used_bytes);
    for (std::uint64_t i = 0; i < blocks; ++i, first += elements) {
      read_block(block.address(), elements, used.part(used_bytes));
    }
    block.checksum();
  }
  index.skip(index.left() - 4);
  index.checksum();
}

}  // namespace

std::uint64_t chunk_bytes(const Dataset& data) {
  std::uint64_t bytes = data.entry_bytes;
  bool fits = true;
  for (const std::uint64_t size : data.layout.chunk) {
    fits = fits && !__builtin_mul_overflow(bytes, size, &bytes);
  }
  require(fits && bytes < std::uint64_t{1} << 62, "is damaged: its chunks are larger than any memory");
  return bytes;
}

void for_each_chunk(File& file, const Dataset& data, const std::function<void(const Chunk&)>& visit) {
  file.count_structures_anew();
  Lister(file, data, visit).list();
}

}  // namespace adjoin::hdf5

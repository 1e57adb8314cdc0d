// SPDX-License-Identifier: BSD-3-Clause
// Trees of both versions, and the fractal heap, walked with a limit to what a damaged file can make of them.
#include "io/hdf5/btree.hpp"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

namespace adjoin::hdf5 {

namespace {

constexpr int deepest = 32;

/// Bytes that hold numbers up to `most`.
unsigned bytes_for(std::uint64_t most) { return (static_cast<unsigned>(std::bit_width(most | 1U)) - 1) / 8 + 1; }

}  // namespace

void walk_tree(File& file, std::uint64_t address, TreeKind kind, std::size_t key_bytes,
               const std::function<void(Block key, std::uint64_t address)>& leaf) {
  std::vector<std::uint64_t> waiting = {address};
  while (!waiting.empty()) {
    const std::uint64_t here = waiting.back();
    waiting.pop_back();
    const std::size_t head = 8 + 2 * file.address_bytes();
    Block begin = file.structure(here, head);
    begin.signature("TREE");
    require(begin.byte() == static_cast<unsigned>(kind), "is damaged: a tree is of another kind");
    const unsigned level = begin.byte();
    const std::uint64_t entries = begin.number(2);
    Block node = file.structure(here + head, entries * (key_bytes + file.address_bytes()));
    std::vector<std::uint64_t> children;
    for (std::uint64_t i = 0; i < entries; ++i) {
      Block key = node.part(key_bytes);
      const std::uint64_t child = node.address();
      if (level == 0) {
        leaf(std::move(key), child);
      } else {
        children.push_back(child);
      }
    }
    waiting.insert(waiting.end(), children.rbegin(), children.rend());
    require(waiting.size() <= file.size() / head, "is damaged: a tree has more nodes than the file");
  }
}

void walk_records(File& file, std::uint64_t address, unsigned type, const std::function<void(Block record)>& record) {
  Block header = file.structure(address, 22 + file.address_bytes() + file.length_bytes());
  header.signature("BTHD");
  require(header.byte() == 0 && header.byte() == type, "is damaged: a tree is of another kind");
  const std::uint64_t node_bytes = header.number(4);
  const std::uint64_t record_bytes = header.number(2);
  const std::uint64_t depth = header.number(2);
  header.skip(2);
  const std::uint64_t root = header.address();
  const std::uint64_t root_records = header.number(2);
  header.length();
  header.checksum();
  constexpr std::uint64_t around = 10;  // signature, version, type and checksum of a node
  require(record_bytes > 0 && node_bytes > around + record_bytes && depth <= deepest, "is damaged: a tree has no room");

  // How many records a node of each level holds at most, alone and with all below: the widths of its fields follow.
  std::uint64_t most = (node_bytes - around) / record_bytes;
  const unsigned count_bytes = bytes_for(most);
  std::vector<std::uint64_t> most_below = {most};
  std::vector<unsigned> total_bytes = {0};
  for (std::uint64_t level = 1; level <= depth; ++level) {
    const std::uint64_t pointer = file.address_bytes() + count_bytes + total_bytes.back();
    require(node_bytes > around + pointer, "is damaged: a tree has no room");
    most = (node_bytes - around - pointer) / (record_bytes + pointer);
    std::uint64_t total = 0;
    const bool fits =
        !__builtin_mul_overflow(most + 1, most_below.back(), &total) && !__builtin_add_overflow(total, most, &total);
    require(fits, "is damaged: a tree is too large");
    most_below.push_back(total);
    total_bytes.push_back(bytes_for(total));
  }

  struct Node {
    std::uint64_t address;
    std::uint64_t records;
    std::uint64_t level;
  };
  std::vector<Node> waiting;
  if (root != nowhere && root_records > 0) {
    waiting.push_back({root, root_records, depth});
  }
  while (!waiting.empty()) {
    const Node here = waiting.back();
    waiting.pop_back();
    require(here.records * record_bytes <= node_bytes, "is damaged: a tree's node has too many records");
    const std::uint64_t pointer =
        here.level == 0 ? 0 : file.address_bytes() + count_bytes + total_bytes[here.level - 1];
    const std::uint64_t pointers = here.level == 0 ? 0 : here.records + 1;
    Block node = file.structure(here.address, around + here.records * record_bytes + pointers * pointer);
    node.signature(here.level == 0 ? "BTLF" : "BTIN");
    require(node.byte() == 0 && node.byte() == type, "is damaged: a tree is of another kind");
    for (std::uint64_t i = 0; i < here.records; ++i) {
      record(node.part(record_bytes));
    }
    for (std::uint64_t i = 0; i < pointers; ++i) {
      const std::uint64_t child = node.address();
      const std::uint64_t records = node.number(count_bytes);
      node.skip(total_bytes[here.level - 1]);
      waiting.push_back({child, records, here.level - 1});
    }
    node.checksum();
    require(waiting.size() <= file.size() / around, "is damaged: a tree has more nodes than the file");
  }
}

FractalHeap::FractalHeap(File& file, std::uint64_t address) : file_(file) {
  Block header = file.structure(address, 26 + 3 * file.address_bytes() + 12 * file.length_bytes());
  header.signature("FRHP");
  require(header.byte() == 0, "is damaged: a heap is of an unknown version");
  id_bytes_ = header.number(2);
  require(header.number(2) == 0, "has compressed links");
  header.skip(1);
  const std::uint64_t most_managed = header.number(4);
  header.skip(2 * file.address_bytes() + 10 * file.length_bytes());
  width_ = static_cast<unsigned>(header.number(2));
  first_size_ = header.length();
  most_direct_ = header.length();
  const std::uint64_t bits = header.number(2);
  header.skip(2);
  root_ = header.address();
  root_rows_ = static_cast<unsigned>(header.number(2));
  header.checksum();
  require(std::has_single_bit(first_size_) && std::has_single_bit(most_direct_) && std::has_single_bit(width_) &&
              first_size_ <= most_direct_ && most_direct_ < std::uint64_t{1} << 40 && width_ <= 4096 && bits >= 8 &&
              bits <= 64 && root_rows_ <= 64,
          "is damaged: a heap has no sensible sizes");
  offset_bytes_ = static_cast<unsigned>((bits + 7) / 8);
  length_bytes_ = std::min(static_cast<unsigned>(std::bit_width(most_direct_) - 1 + 7) / 8, bytes_for(most_managed));
}

Block FractalHeap::object(Block id) {
  require((id.byte() & 0xF0U) == 0, "has links that are larger than its heap");
  const std::uint64_t offset = id.number(offset_bytes_);
  const std::uint64_t bytes = id.number(length_bytes_);
  return object_in(root_, root_rows_, 0, offset, bytes, 0);
}

/// Looks in a block that begins at `begin` of the heap: one of objects if it has no rows, else one of further blocks.
Block FractalHeap::object_in(std::uint64_t block, unsigned rows, std::uint64_t begin, std::uint64_t offset,
                             std::uint64_t bytes, int depth) {
  require(block != nowhere && offset >= begin && depth < deepest, "is damaged: a link is not in its heap");
  if (rows == 0) {
    require(offset - begin <= most_direct_ && bytes <= most_direct_, "is damaged: a link is not in its heap");
    return file_.structure(block + (offset - begin), bytes);
  }
  std::uint64_t row_begin = begin;
  for (unsigned row = 0; row < rows; ++row) {
    const std::uint64_t size = row_block_size(row);
    require(size < std::uint64_t{1} << 48, "is damaged: a heap is too large");
    if (offset - row_begin < width_ * size) {
      const std::uint64_t column = (offset - row_begin) / size;
      const std::uint64_t entry = std::uint64_t{row} * width_ + column;
      Block head = file_.structure(block, 4);
      head.signature("FHIB");
      const std::uint64_t entries = block + 5 + file_.address_bytes() + offset_bytes_;
      Block child = file_.structure(entries + entry * file_.address_bytes(), file_.address_bytes());
      // A further block of blocks has the rows that make up its size.
      const bool is_direct = size <= most_direct_;
      require(is_direct || size >= first_size_ * width_, "is damaged: a heap has no sensible sizes");
      const auto child_rows =
          static_cast<unsigned>(is_direct ? 0 : std::bit_width(size) - std::bit_width(first_size_ * width_) + 1);
      return object_in(child.address(), child_rows, row_begin + column * size, offset, bytes, depth + 1);
    }
    row_begin += width_ * size;
  }
  throw Fault("is damaged: a link is not in its heap");
}

}  // namespace adjoin::hdf5

// SPDX-License-Identifier: BSD-3-Clause
// Paths followed through groups of both kinds and through soft links.
#include "io/hdf5/group.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "io/hdf5/btree.hpp"
#include "io/hdf5/object_header.hpp"

namespace adjoin::hdf5 {

namespace {

constexpr int most_soft_links = 16;

/// Where a name leads: to an object, or on along another path, and then the object is nowhere.
struct Link {
  std::uint64_t object = nowhere;
  std::string path;
};

/// The link that a message describes, if it has this name.
std::optional<Link> read_link(Block message, std::string_view name) {
  require(message.byte() == 1, "is damaged: a link is of an unknown version");
  const unsigned flags = message.byte();
  const unsigned kind = (flags & 0x08U) != 0 ? message.byte() : 0;
  message.skip((flags & 0x04U) != 0 ? 8 : 0);
  message.skip((flags & 0x10U) != 0 ? 1 : 0);
  const auto characters = message.take(message.number(1U << (flags & 0x03U)));
  if (std::string(characters.begin(), characters.end()) != name) {
    return {};
  }
  require(kind <= 1, "is a link to another file, which trusted allows");
  if (kind == 0) {
    return Link{.object = message.address(), .path = {}};
  }
  const auto path = message.take(message.number(2));
  return Link{.object = nowhere, .path = std::string(path.begin(), path.end())};
}

/// Groups of the older kind: a tree of tables, whose names and paths lie in a heap.
std::optional<Link> find_in_tables(File& file, Block symbol_table, std::string_view name) {
  const std::uint64_t tree = symbol_table.address();
  const std::uint64_t heap = symbol_table.address();
  Block head = file.structure(heap, 8 + 2 * file.length_bytes() + file.address_bytes());
  head.signature("HEAP");
  head.skip(4);
  const std::uint64_t heap_bytes = head.length();
  head.length();
  const Block texts = file.structure(head.address(), heap_bytes);
  const auto text_at = [&](std::uint64_t offset) {
    Block from = texts;
    from.skip(offset);
    return from.text();
  };
  std::optional<Link> found;
  walk_tree(file, tree, TreeKind::Group, file.length_bytes(), [&](const Block& /*key*/, std::uint64_t address) {
    Block begin = file.structure(address, 8);
    begin.signature("SNOD");
    begin.skip(2);
    const std::uint64_t symbols = begin.number(2);
    Block node = file.structure(address + 8, symbols * (24 + 2 * file.address_bytes()));
    for (std::uint64_t i = 0; i < symbols; ++i) {
      const std::uint64_t name_offset = node.address();
      const std::uint64_t object = node.address();
      const bool is_soft = node.number(4) == 2;
      node.skip(4);
      const std::uint64_t path_offset = node.number(4);
      node.skip(12);
      if (!found && texts.has_text(name_offset, name)) {
        found = is_soft ? Link{.object = nowhere, .path = text_at(path_offset)} : Link{.object = object, .path = {}};
      }
    }
  });
  return found;
}

/// Groups of the newer kind with many links: these lie in a heap, and a tree has their ids.
std::optional<Link> find_in_heap(File& file, Block link_info, std::string_view name) {
  link_info.skip(1);
  const unsigned flags = link_info.byte();
  link_info.skip((flags & 0x01U) != 0 ? 8 : 0);
  const std::uint64_t heap_address = link_info.address();
  const std::uint64_t names = link_info.address();
  std::optional<Link> found;
  if (heap_address == nowhere || names == nowhere) {
    return found;
  }
  FractalHeap heap(file, heap_address);
  constexpr unsigned by_name = 5;
  walk_records(file, names, by_name, [&](Block record) {
    record.skip(4);  // the name's hash
    if (!found) {
      found = read_link(heap.object(record.part(heap.id_bytes())), name);
    }
  });
  return found;
}

std::optional<Link> find_link(File& file, std::uint64_t group, std::string_view name) {
  const std::vector<Message> messages = read_object_header(file, group);
  if (auto table = find(messages, MessageType::SymbolTable)) {
    return find_in_tables(file, std::move(*table), name);
  }
  for (const Message& message : messages) {
    if (message.type == MessageType::Link) {
      if (auto link = read_link(message.content, name)) {
        return link;
      }
    }
  }
  auto info = find(messages, MessageType::LinkInfo);
  return info ? find_in_heap(file, std::move(*info), name) : std::nullopt;
}

/// Follows a path from a group.
std::uint64_t follow(File& file, std::uint64_t group, const std::string& path, int& soft_links) {
  std::uint64_t here = path.starts_with('/') ? file.root() : group;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") {
      continue;
    }
    const auto link = find_link(file, here, name);
    require(link.has_value(), "has no object '", name, "' where the path leads");
    if (link->object == nowhere) {
      soft_links += 1;
      require(soft_links <= most_soft_links, "is reached by more than ", most_soft_links, " soft links");
      here = follow(file, here, link->path, soft_links);
    } else {
      here = link->object;
    }
  }
  return here;
}

}  // namespace

std::uint64_t find_object(File& file, const std::string& path) {
  int soft_links = 0;
  return follow(file, file.root(), path, soft_links);
}

}  // namespace adjoin::hdf5

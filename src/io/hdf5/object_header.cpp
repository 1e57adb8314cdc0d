// SPDX-License-Identifier: BSD-3-Clause
// Object headers of both versions, with their continuations and shared messages.
#include "io/hdf5/object_header.hpp"

#include <algorithm>
#include <utility>

namespace adjoin::hdf5 {

namespace {

/// Objects share messages by naming the object that holds one; that object holds its own.
constexpr int deepest_sharing = 4;
/// As many messages as an object of the older kind can count.
constexpr std::size_t most_messages = 65535;

std::vector<Message> read(File& file, std::uint64_t address, int depth);

/// Takes the messages out of one object header and the blocks that continue it.
class HeaderReader {
 public:
  HeaderReader(File& file, int depth) : file_(file), depth_(depth) {}

  std::vector<Message> read(std::uint64_t address) {
    const bool is_newer = file_.structure(address, 4).byte() == 'O';
    is_newer ? read_newer(address) : read_older(address);
    for (std::size_t i = 0; i < continuations_.size(); ++i) {
      const auto [place, bytes] = continuations_[i];
      Block block = file_.structure(place, bytes);
      if (is_newer) {
        block.signature("OCHK");
        read_newer_messages(block);
      } else {
        read_older_messages(block);
      }
    }
    return std::move(messages_);
  }

 private:
  void read_older(std::uint64_t address) {
    Block begin = file_.structure(address, 16);
    require(begin.byte() == 1, "is damaged: an object has no header of a known version");
    begin.skip(7);
    Block block = file_.structure(address + 16, begin.number(4));
    read_older_messages(block);
  }

  void read_older_messages(Block& block) {
    while (block.left() >= 8) {
      const auto type = static_cast<MessageType>(block.number(2));
      const std::size_t bytes = block.number(2);
      const unsigned flags = block.byte();
      block.skip(3);
      add(type, flags, block.part(bytes));
    }
  }

  void read_newer(std::uint64_t address) {
    constexpr std::uint64_t longest_begin = 4 + 2 + 16 + 4 + 8;
    const std::uint64_t available = file_.holds(address, longest_begin) ? longest_begin : 8;
    Block begin = file_.structure(address, available);
    begin.signature("OHDR");
    require(begin.byte() == 2, "is damaged: an object has no header of a known version");
    const unsigned flags = begin.byte();
    begin.skip((flags & 0x20U) != 0 ? 16 : 0);
    begin.skip((flags & 0x10U) != 0 ? 4 : 0);
    tracks_order_ = (flags & 0x04U) != 0;
    const std::uint64_t bytes = begin.number(1U << (flags & 0x03U));
    require(bytes <= file_.size(), "is damaged: an object's header is longer than the file");
    Block block = file_.structure(address, begin.position() + bytes + 4);
    block.skip(begin.position());
    read_newer_messages(block);
  }

  /// The messages of a block up to its checksum.
  void read_newer_messages(Block& block) {
    const std::size_t head = tracks_order_ ? 6 : 4;
    while (block.left() >= head + 4) {
      const auto type = static_cast<MessageType>(block.number(1));
      const std::size_t bytes = block.number(2);
      const unsigned flags = block.byte();
      block.skip(head - 4);
      require(bytes + 4 <= block.left(), "is damaged: a message is cut short");
      add(type, flags, block.part(bytes));
    }
    require(block.left() >= 4, "is damaged: an object's header is cut short");
    block.skip(block.left() - 4);
    block.checksum();
  }

  void add(MessageType type, unsigned flags, Block content) {
    require(messages_.size() + continuations_.size() < most_messages, "is damaged: an object has too many messages");
    if (type == MessageType::Continuation) {
      const std::uint64_t address = content.address();
      continuations_.emplace_back(address, content.length());
    } else if ((flags & 0x02U) != 0) {
      add_shared(type, content);
    } else {
      messages_.push_back({type, std::move(content)});
    }
  }

  void add_shared(MessageType type, Block& reference) {
    const unsigned version = reference.byte();
    const unsigned kind = reference.byte();
    require(version >= 1 && version <= 3 && (version < 3 || kind == 2), "keeps messages in a heap of shared ones");
    reference.skip(version == 1 ? 6 : 0);
    require(depth_ < deepest_sharing, "is damaged: its messages refer to each other in circles");
    const std::vector<Message> others = hdf5::read(file_, reference.address(), depth_ + 1);
    auto content = find(others, type);
    require(content.has_value(), "is damaged: a shared message is not where it should be");
    messages_.push_back({type, std::move(*content)});
  }

  File& file_;
  int depth_;
  bool tracks_order_ = false;
  std::vector<Message> messages_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> continuations_;
};

std::vector<Message> read(File& file, std::uint64_t address, int depth) {
  return HeaderReader(file, depth).read(address);
}

}  // namespace

std::vector<Message> read_object_header(File& file, std::uint64_t address) { return read(file, address, 0); }

std::optional<Block> find(const std::vector<Message>& messages, MessageType type) {
  const auto found = std::ranges::find(messages, type, &Message::type);
  return found == messages.end() ? std::nullopt : std::optional(found->content);
}

}  // namespace adjoin::hdf5

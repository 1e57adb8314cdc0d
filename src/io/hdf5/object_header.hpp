// SPDX-License-Identifier: BSD-3-Clause
// The messages that describe an object of an HDF5 file.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/hdf5/file.hpp"

namespace adjoin::hdf5 {

enum class MessageType : std::uint16_t {
  Dataspace = 0x01,
  LinkInfo = 0x02,
  Datatype = 0x03,
  OldFillValue = 0x04,
  FillValue = 0x05,
  Link = 0x06,
  ExternalFiles = 0x07,
  Layout = 0x08,
  Filters = 0x0B,
  Continuation = 0x10,
  SymbolTable = 0x11,
};

struct Message {
  MessageType type;
  Block content;
};

/// The messages of the object header at an address, in order; a message that others share is replaced by its content.
std::vector<Message> read_object_header(File& file, std::uint64_t address);

/// The first message of a type, from its beginning.
std::optional<Block> find(const std::vector<Message>& messages, MessageType type);

}  // namespace adjoin::hdf5

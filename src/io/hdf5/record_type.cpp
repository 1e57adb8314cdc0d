// SPDX-License-Identifier: BSD-3-Clause
// The type message of a compound, unfolded to members with places.
#include "io/hdf5/record_type.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace adjoin::hdf5 {

namespace {

constexpr const char* wanted_records =
    "must have entries of integers, floating-point numbers, texts, and arrays, lists and compounds of them";
constexpr int deepest_record = 8;
constexpr std::uint64_t longest_record = 1 << 20;

enum class TypeKind : std::uint8_t { Text = 3, Compound = 6, Varying = 9, Array = 10 };

class RecordReader {
 public:
  explicit RecordReader(Block& message) : message_(message) {}

  RecordType read() {
    RecordType record;
    record.bytes = read_type(record, "", 0, 0);
    require(record.bytes > 0 && record.bytes <= longest_record, "is damaged: its entries have no sensible size");
    for (const Member& member : record.members) {
      const std::uint64_t bytes = member.varies ? 0 : member.count * member.type.bytes;
      require(member.offset <= record.bytes && bytes <= record.bytes - member.offset,
              "is damaged: a member of its entries lies outside of them");
    }
    return record;
  }

 private:
  /// Adds what the next type is made of; returns its bytes.
  std::uint64_t read_type(RecordType& record, const std::string& name, std::uint64_t offset, int depth) {
    require(depth < deepest_record, "is damaged: its types are nested too deeply");
    const TypeHeader header = read_type_header(message_);
    require(header.bytes <= longest_record, "is damaged: its entries have no sensible size");
    switch (static_cast<TypeKind>(header.kind)) {
      case TypeKind::Compound:
        read_members(record, header, name, offset, depth);
        break;
      case TypeKind::Array:
        read_array(record, header, name, offset);
        break;
      case TypeKind::Varying:
        record.members.push_back({.name = name, .offset = offset, .type = read_element(), .varies = true});
        break;
      default:
        record.members.push_back({.name = name, .offset = offset, .type = read_number(header, message_)});
    }
    return header.bytes;
  }

  void read_members(RecordType& record, const TypeHeader& header, const std::string& name, std::uint64_t offset,
                    int depth) {
    const std::uint64_t members = header.fields & 0xFFFFU;
    const unsigned offset_bytes =
        header.version >= 3 ? (static_cast<unsigned>(std::bit_width(header.bytes | 1U)) - 1) / 8 + 1 : 4;
    for (std::uint64_t i = 0; i < members; ++i) {
      const std::string own = read_name(message_, header.version);
      const std::uint64_t place = message_.number(offset_bytes);
      require(place <= header.bytes, "is damaged: a member of its entries lies outside of them");
      std::uint64_t repeated = 1;
      if (header.version == 1) {
        const unsigned axes = message_.byte();
        message_.skip(11);
        for (unsigned axis = 0; axis < 4; ++axis) {
          const std::uint64_t size = message_.number(4);
          repeated *= axis < axes ? size : 1;
          require(repeated <= longest_record, "is damaged: its entries have no sensible size");
        }
      }
      const std::size_t first = record.members.size();
      read_type(record, name.empty() ? own : name + "." + own, offset + place, depth + 1);
      require(repeated == 1 || record.members.size() == first + 1, wanted_records);
      record.members.back().count *= repeated;
    }
    require(!record.members.empty(), wanted_records);
  }

  void read_array(RecordType& record, const TypeHeader& header, const std::string& name, std::uint64_t offset) {
    const unsigned axes = message_.byte();
    message_.skip(header.version < 3 ? 3 : 0);
    std::uint64_t count = 1;
    for (unsigned axis = 0; axis < axes; ++axis) {
      count *= message_.number(4);
      require(count <= longest_record, "is damaged: its entries have no sensible size");
    }
    message_.skip(header.version < 3 ? std::size_t{4} * axes : 0);
    record.members.push_back({.name = name, .offset = offset, .type = read_element(), .count = count});
  }

  NumberType read_element() {
    const TypeHeader header = read_type_header(message_);
    if (static_cast<TypeKind>(header.kind) == TypeKind::Text) {
      require(header.bytes == 1, wanted_records);
      return {.kind = NumberType::Kind::Integer, .dtype = c10::kByte, .bytes = 1, .bits = 8};
    }
    require(header.kind <= 1, wanted_records);
    return read_number(header, message_);
  }

  Block& message_;
};

}  // namespace

const Member& RecordType::member(std::string_view name) const {
  const auto found = std::ranges::find(members, name, &Member::name);
  require(found != members.end(), "has no '", std::string(name), "' in its entries");
  return *found;
}

RecordType read_record_type(Block message) { return RecordReader(message).read(); }

}  // namespace adjoin::hdf5

// SPDX-License-Identifier: BSD-3-Clause
// Integers, floats and complex numbers of any width and byte order, converted to what tensors hold.
#include "io/hdf5/number_type.hpp"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace adjoin::hdf5 {

namespace {

using Kind = NumberType::Kind;

constexpr const char* wanted = "must hold floating-point, complex or truth values, or integers of up to 64 bits";

NumberType read_integer(const TypeHeader& header, Block& message) {
  NumberType type{.kind = Kind::Integer,
                  .bytes = static_cast<unsigned>(header.bytes),
                  .big_endian = (header.fields & 0x01U) != 0,
                  .is_signed = (header.fields & 0x08U) != 0};
  type.first_bit = static_cast<unsigned>(message.number(2));
  type.bits = static_cast<unsigned>(message.number(2));
  require(type.bits > 0 && type.first_bit + type.bits <= 8 * header.bytes, wanted);
  switch (header.bytes) {
    case 1:
      type.dtype = type.is_signed ? c10::kChar : c10::kByte;
      break;
    case 2:
      type.dtype = type.is_signed ? c10::kShort : c10::kInt;
      break;
    case 4:
      type.dtype = type.is_signed ? c10::kInt : c10::kLong;
      break;
    case 8:
      type.dtype = c10::kLong;
      break;
    default:
      throw Fault(wanted);
  }
  return type;
}

NumberType read_float(const TypeHeader& header, Block& message) {
  struct Format {
    Kind kind;
    c10::ScalarType dtype;
    std::uint64_t bytes;
    std::uint64_t exponent_bits;
    std::uint64_t bias;
  };
  constexpr std::array<Format, 4> formats = {{{Kind::Half, c10::kFloat, 2, 5, 15},
                                              {Kind::BrainFloat, c10::kFloat, 2, 8, 127},
                                              {Kind::Float, c10::kFloat, 4, 8, 127},
                                              {Kind::Float, c10::kDouble, 8, 11, 1023}}};
  const std::uint64_t offset = message.number(2);
  const std::uint64_t bits = message.number(2);
  const std::uint64_t exponent_at = message.byte();
  const std::uint64_t exponent_bits = message.byte();
  const std::uint64_t mantissa_at = message.byte();
  const std::uint64_t mantissa_bits = message.byte();
  const std::uint64_t bias = message.number(4);
  const std::uint64_t sign_at = header.fields >> 8U & 0xFFU;
  const bool is_vax = (header.fields & 0x40U) != 0;
  for (const Format& format : formats) {
    if (format.bytes == header.bytes && format.exponent_bits == exponent_bits && format.bias == bias && offset == 0 &&
        bits == 8 * format.bytes && mantissa_at == 0 && exponent_at == mantissa_bits && sign_at == bits - 1 &&
        mantissa_bits + exponent_bits + 1 == bits && !is_vax) {
      return {.kind = format.kind,
              .dtype = format.dtype,
              .bytes = static_cast<unsigned>(header.bytes),
              .big_endian = (header.fields & 0x01U) != 0};
    }
  }
  throw Fault(wanted);
}

NumberType read_simple(Block& message) { return read_number(read_type_header(message), message); }

NumberType read_complex(const TypeHeader& header, Block& message) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> names = {
      {{"r", "i"}, {"re", "im"}, {"real", "imag"}, {"real", "imaginary"}}};
  require((header.fields & 0xFFFFU) == 2, wanted);
  std::array<std::string, 2> found;
  std::array<NumberType, 2> parts;
  for (std::size_t i = 0; i < 2; ++i) {
    found[i] = read_name(message, header.version);
    unsigned offset_bytes = 4;
    if (header.version >= 3) {
      offset_bytes = header.bytes < 256 ? 1 : 4;
    }
    const std::uint64_t offset = message.number(offset_bytes);
    if (header.version == 1) {
      require(message.byte() == 0, wanted);  // an array
      message.skip(27);
    }
    parts[i] = read_simple(message);
    require(offset == i * parts[i].bytes, wanted);
  }
  bool known = false;
  for (const auto& [real, imaginary] : names) {
    known = known || (found[0] == real && found[1] == imaginary);
  }
  NumberType type = parts[0];
  require(known && type.kind == Kind::Float && parts[1].kind == Kind::Float && parts[1].bytes == type.bytes &&
              parts[1].big_endian == type.big_endian && header.bytes == 2 * type.bytes,
          wanted);
  type.dtype = c10::toComplexType(type.dtype);
  return type;
}

NumberType read_enumeration(const TypeHeader& header, Block& message) {
  NumberType type = read_simple(message);
  require(type.kind == Kind::Integer && header.bytes == type.bytes, wanted);
  if ((header.fields & 0xFFFFU) == 2 && type.bytes == 1) {
    const std::string first = read_name(message, header.version);
    const std::string second = read_name(message, header.version);
    if (first == "FALSE" && second == "TRUE" && message.byte() == 0 && message.byte() == 1) {
      type.kind = Kind::Truth;
      type.dtype = c10::kBool;
    }
  }
  return type;
}

template <class T>
T load(const std::uint8_t* in, bool big_endian) {
  std::array<std::uint8_t, sizeof(T)> bytes{};
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[i] = in[big_endian ? sizeof(T) - 1 - i : i];
  }
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

std::int64_t load_integer(const NumberType& type, const std::uint8_t* in) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < type.bytes; ++i) {
    value = value << 8U | in[type.big_endian ? i : type.bytes - 1 - i];
  }
  value = type.first_bit < 64 ? value >> type.first_bit : 0;
  const unsigned above = 64 - type.bits;
  if (type.is_signed) {
    return static_cast<std::int64_t>(value << above) >> above;
  }
  value = value << above >> above;
  require(value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
          "holds unsigned numbers that are too large for an int64");
  return static_cast<std::int64_t>(value);
}

template <class T, class Load>
void convert_each(const std::uint8_t* in, unsigned bytes, std::uint64_t count, void* out, const Load& load_one) {
  auto* result = static_cast<std::uint8_t*>(out);
  for (std::uint64_t i = 0; i < count; ++i) {
    const T value = load_one(in + i * bytes);
    std::memcpy(result + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

bool NumberType::is_native() const {
  const bool whole = kind == Kind::Float || (kind == Kind::Integer && bits == 8 * bytes && (is_signed || bytes == 1));
  return whole && (!big_endian || bytes == 1);
}

TypeHeader read_type_header(Block& message) {
  const unsigned first = message.byte();
  const std::uint64_t fields = message.number(3);
  const TypeHeader header = {
      .kind = first & 0x0FU, .version = first >> 4U, .fields = fields, .bytes = message.number(4)};
  require(header.version >= 1 && header.version <= 5, "is damaged: its type is of an unknown version");
  return header;
}

std::string read_name(Block& message, unsigned version) {
  const std::size_t begin = message.position();
  std::string name = message.text();
  const std::size_t bytes = message.position() - begin;
  message.skip(version < 3 ? (8 - bytes % 8) % 8 : 0);
  return name;
}

NumberType read_number(const TypeHeader& header, Block& message) {
  require(header.kind <= 1, wanted);
  return header.kind == 0 ? read_integer(header, message) : read_float(header, message);
}

NumberType read_number_type(Block message) {
  const TypeHeader header = read_type_header(message);
  constexpr unsigned compound = 6;
  constexpr unsigned enumeration = 8;
  switch (header.kind) {
    case compound:
      return read_complex(header, message);
    case enumeration:
      return read_enumeration(header, message);
    default:
      return read_number(header, message);
  }
}

void convert(const NumberType& type, const std::uint8_t* in, std::uint64_t entries, void* out) {
  const std::uint64_t count = type.is_complex() ? 2 * entries : entries;
  if (type.is_native()) {
    std::memcpy(out, in, count * type.bytes);
    return;
  }
  const auto each = [&]<class T>(T /*type*/, const auto& load_one) {
    convert_each<T>(in, type.bytes, count, out, load_one);
  };
  const auto integers = [&]<class T>(T any) {
    each(any, [&](const std::uint8_t* p) { return static_cast<T>(load_integer(type, p)); });
  };
  switch (type.kind) {
    case Kind::Half:
      each(float{}, [&](const std::uint8_t* p) {
        return static_cast<float>(c10::Half(load<std::uint16_t>(p, type.big_endian), c10::Half::from_bits()));
      });
      return;
    case Kind::BrainFloat:
      each(float{}, [&](const std::uint8_t* p) {
        return static_cast<float>(c10::BFloat16(load<std::uint16_t>(p, type.big_endian), c10::BFloat16::from_bits()));
      });
      return;
    case Kind::Float:
      type.bytes == 4 ? each(float{}, [&](const std::uint8_t* p) { return load<float>(p, type.big_endian); })
                      : each(double{}, [&](const std::uint8_t* p) { return load<double>(p, type.big_endian); });
      return;
    case Kind::Truth:
      each(bool{}, [](const std::uint8_t* p) { return *p != 0; });
      return;
    case Kind::Integer:
      switch (c10::elementSize(type.dtype)) {
        case 1:
          integers(std::int8_t{});
          return;
        case 2:
          integers(std::int16_t{});
          return;
        case 4:
          integers(std::int32_t{});
          return;
        default:
          integers(std::int64_t{});
          return;
      }
  }
}

}  // namespace adjoin::hdf5

// SPDX-License-Identifier: BSD-3-Clause
// The bytes that say what a rank is about to do, cut to fit a fixed room.
#include "comm/call_entry.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace adjoin {

namespace {

/// Ahead of the texts.
struct Header {
  std::uint64_t fingerprint = 0;
  std::uint64_t left = 0;
  std::array<std::uint64_t, 3> lengths{};
};

/// The beginning of `text`, with no character of UTF-8 cut in two.
std::string_view beginning(std::string_view text, std::size_t most) {
  if (text.size() <= most) {
    return text;
  }
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) {
    --most;
  }
  return text.substr(0, most);
}

}  // namespace

std::string to_bytes(const CallDisagreement::Entry& entry, std::size_t most) {
  const std::size_t room = most - sizeof(Header);
  std::array<std::string_view, 3> texts = {beginning(entry.call, room / 4), beginning(entry.collective, room / 4), {}};
  texts[2] = beginning(entry.refusal, room - texts[0].size() - texts[1].size());
  Header header{.fingerprint = entry.fingerprint, .left = entry.left ? 1U : 0U};
  std::ranges::transform(texts, header.lengths.begin(), [](std::string_view text) { return text.size(); });
  std::string bytes(sizeof(Header), '\0');
  std::memcpy(bytes.data(), &header, sizeof(Header));
  for (const std::string_view text : texts) {
    bytes += text;
  }
  return bytes;
}

CallDisagreement::Entry entry_from(std::string_view bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), std::min(bytes.size(), sizeof(Header)));
  std::size_t begin = std::min(bytes.size(), sizeof(Header));
  const auto next = [&](std::uint64_t length) {
    const std::string_view text = bytes.substr(begin, length);
    begin += text.size();
    return std::string(text);
  };
  CallDisagreement::Entry entry;
  entry.fingerprint = header.fingerprint;
  entry.left = header.left != 0;
  entry.call = next(header.lengths[0]);
  entry.collective = next(header.lengths[1]);
  entry.refusal = next(header.lengths[2]);
  return entry;
}

}  // namespace adjoin

// SPDX-License-Identifier: BSD-3-Clause
// Collections of objects, each read once, in which lists and texts are looked up.
#include "io/hdf5/global_heap.hpp"

#include <algorithm>
#include <utility>

namespace adjoin::hdf5 {

List GlobalHeap::find(const std::uint8_t* reference, std::uint64_t element_bytes) {
  Block fields({reference, reference + reference_bytes()}, file_.address_bytes(), file_.length_bytes());
  const std::uint64_t count = fields.number(4);
  const std::uint64_t address = fields.address();
  const std::uint64_t index = fields.number(4);
  if (count == 0) {
    return {};
  }
  const std::vector<Object>& objects = collection(address);
  // Libraries number objects in the order in which they lie.
  const bool ordered = index >= 1 && index <= objects.size() && objects[index - 1].index == index;
  const auto found = ordered ? objects.begin() + static_cast<std::ptrdiff_t>(index - 1)
                             : std::ranges::find(objects, index, &Object::index);
  require(found != objects.end() && count <= found->bytes / element_bytes,
          "is damaged: a list of its entries is not where it should be");
  return {.address = found->address, .count = count};
}

const std::vector<GlobalHeap::Object>& GlobalHeap::collection(std::uint64_t address) {
  const auto known = collections_.find(address);
  if (known != collections_.end()) {
    return known->second;
  }
  const std::uint64_t head = 8 + file_.length_bytes();
  Block begin = file_.structure(address, head);
  begin.signature("GCOL");
  require(begin.byte() == 1, "is damaged: a heap is of an unknown version");
  begin.skip(3);
  const std::uint64_t bytes = begin.length();
  require(bytes >= head && file_.holds(address, bytes), "is damaged or cut short: a heap is larger than the file");
  std::vector<Object> objects;
  for (std::uint64_t place = head; place + head <= bytes;) {
    Block object = file_.structure(address + place, head);
    const std::uint64_t index = object.number(2);
    object.skip(6);
    const std::uint64_t length = object.length();
    if (index == 0) {  // free from here on
      break;
    }
    require(length <= bytes - place - head, "is damaged: a heap is larger than it says");
    objects.push_back({.index = index, .address = address + place + head, .bytes = length});
    place += head + (length + 7) / 8 * 8;
  }
  return collections_.emplace(address, std::move(objects)).first->second;
}

}  // namespace adjoin::hdf5

// SPDX-License-Identifier: BSD-3-Clause
// A fuzzer for where there is no libFuzzer: <program> [RUNS [SEED]] loads the files to begin with, then RUNS (1000)
// files changed at random, the same ones each time.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "target.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* /*data*/, std::size_t size, std::size_t /*most*/) { return size; }

namespace adjoin::fuzz {

namespace {

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::string from(const std::vector<std::string>& files) {
    std::string bytes = files[below(files.size())];
    for (std::size_t changes = std::size_t{1} << below(4); changes > 0; --changes) {
      change(bytes, files);
    }
    if (below(4) != 0) {
      repair(bytes);
    }
    return bytes;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }

  /// A number at the edge of what a field of a file can hold.
  std::uint64_t telling_number() {
    constexpr std::array<std::uint64_t, 14> numbers = {0,
                                                       1,
                                                       2,
                                                       3,
                                                       16,
                                                       0x7F,
                                                       0x80,
                                                       0xFF,
                                                       0x7FFF,
                                                       0xFFFF,
                                                       0x7FFFFFFF,
                                                       0xFFFFFFFF,
                                                       0x7FFFFFFFFFFFFFFF,
                                                       ~std::uint64_t{0}};
    switch (below(3)) {
      case 0:
        return numbers[below(numbers.size())];
      case 1:
        return std::uint64_t{1} << below(64);
      default:
        return random_() >> below(64);
    }
  }

  void change(std::string& bytes, const std::vector<std::string>& files) {
    if (bytes.empty()) {
      bytes.push_back(static_cast<char>(random_()));
      return;
    }
    const std::size_t place = below(bytes.size());
    const std::size_t length = std::min(bytes.size() - place, std::size_t{1} << below(8));
    switch (below(9)) {
      case 0:
        bytes[place] = static_cast<char>(bytes[place] ^ (1 << below(8)));
        return;
      case 1:
        bytes[place] = static_cast<char>(random_());
        return;
      case 2:
      case 3:
      case 4: {
        const std::uint64_t number = telling_number();
        const std::size_t size = std::min(bytes.size() - place, std::size_t{1} << below(4));
        const bool big_endian = below(2) == 0;
        for (std::size_t i = 0; i < size; ++i) {
          bytes[place + (big_endian ? size - 1 - i : i)] = static_cast<char>(number >> (8 * i));
        }
        return;
      }
      case 5:
        bytes.erase(place, length);
        return;
      case 6:
        bytes.insert(place, bytes.substr(below(bytes.size()), length));
        return;
      case 7: {
        const std::string& other = files[below(files.size())];
        const std::string piece = other.empty() ? std::string() : other.substr(below(other.size()), length);
        bytes.replace(place, piece.size(), piece);
        return;
      }
      default:
        if (below(4) == 0) {
          bytes.resize(place);
        } else {
          std::memmove(bytes.data() + place, bytes.data() + below(bytes.size() - length + 1), length);
        }
    }
  }

  std::mt19937_64 random_;
};

}  // namespace

}  // namespace adjoin::fuzz

int main(int argc, char** argv) {
  if (argc > 1 && std::filesystem::is_regular_file(argv[1])) {
    std::ifstream file(argv[1], std::ios::binary);
    adjoin::fuzz::run({std::istreambuf_iterator<char>(file), {}});
    return 0;
  }
  const long runs = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1000;
  adjoin::fuzz::Mutator mutator(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  std::vector<std::string> files = adjoin::fuzz::seeds();
  for (const std::string& file : files) {
    adjoin::fuzz::run(file);
  }
  std::erase_if(files, [](const std::string& file) { return file.size() > adjoin::fuzz::most_changed; });
  for (long i = 0; i < runs; ++i) {
    adjoin::fuzz::run(mutator.from(files));
  }
  std::printf("%zu files and %ld changed ones\n", files.size(), runs);
}

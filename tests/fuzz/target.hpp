// SPDX-License-Identifier: BSD-3-Clause
// What a fuzzer needs to know of a format. Each <format>.cpp beside this file defines these three, and makes a program
// together with target.cpp and either libFuzzer or mutate.cpp.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace adjoin::fuzz {

/// Files of more bytes are loaded as they are, and not changed.
constexpr std::size_t most_changed = 64 << 10;

/// Files to begin with: good ones of every kind, and bad ones that once did harm.
std::vector<std::string> seeds();

/// Reads a file as users do. May throw adjoin::Error, and nothing else.
void load(const std::filesystem::path& path);

/// Mends checksums in a changed file, so that the reader looks further; may do nothing.
void repair(std::string& bytes);

/// Loads a file of these bytes. Ends the program unless that takes at most 2 s of processor time, a minute, and, at any
/// moment, 8 times the file's size and 64 MiB of memory; the file, current.<name of the program>, is left for
/// inspection.
void run(const std::string& bytes);

/// The bytes of the file that `write`, a function of its path, makes.
template <class Write>
std::string written(const Write& write) {
  const std::filesystem::path path = std::filesystem::current_path() / ("seed." + std::to_string(getpid()));
  write(path);
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  return bytes;
}

}  // namespace adjoin::fuzz

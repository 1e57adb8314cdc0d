// The words that travel with every payload, by which one rank can call upon all to stop and confer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace adjoin {

/// Elements behind the payload of a reduction.
constexpr std::int64_t status_elements = 3;
/// Bytes of the header of a gathered segment; also the alignment of what follows it.
constexpr std::int64_t header_bytes = 64;

constexpr std::int64_t aligned(std::int64_t bytes) { return (bytes + header_bytes - 1) / header_bytes * header_bytes; }

/// Writes whether this rank must confer with the others behind `numel` elements of a flat tensor.
void write_status(at::Tensor& flat, std::int64_t numel, bool confer);
/// Whether any rank must, from the sum.
bool read_status(const at::Tensor& flat, std::int64_t numel);

/// The same in the header at byte `offset` of a flat tensor of bytes, and whether any header says so.
void write_header(at::Tensor& bytes, std::int64_t offset, bool confer);
bool read_headers(const at::Tensor& bytes, const std::vector<std::int64_t>& offsets);

}  // namespace adjoin

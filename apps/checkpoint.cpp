// SPDX-License-Identifier: BSD-3-Clause
// Complex images as pairs of numbers in a .safetensors file, which takes the place of the last one when it is complete.
#include "checkpoint.hpp"

#include <ATen/ATen.h>

#include <charconv>
#include <filesystem>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/safetensors.hpp"

namespace adjoin {

namespace {

constexpr const char* running_name = "running";

std::string numbered(const char* what, std::size_t number) { return c10::str(what, " ", number); }

/// The complex image `name` of a file.
at::Tensor image_in(const Safetensors& content, const std::string& name) {
  const at::Tensor& pairs = content.at(name);
  check(pairs.scalar_type() == at::kFloat && pairs.dim() >= 3 && pairs.size(-1) == 2, "recon: ", content.source,
        " is no checkpoint: ", name, " is ", pairs.scalar_type(), " ", pairs.sizes());
  return at::view_as_complex(pairs).clone();
}

}  // namespace

Checkpoint::Checkpoint(std::string file, std::string options) : file_(std::move(file)), options_(std::move(options)) {
  if (file_.empty() || !std::filesystem::exists(file_)) {
    return;
  }
  const Safetensors content = read_safetensors(file_);
  const std::string known = content.metadata_or("options", "");
  check(!known.empty(), "recon: --checkpoint: ", file_, " is no checkpoint; name another file, or remove it");
  check(known == options_, "recon: --checkpoint: ", file_, " is of a run with ", known, ", not ", options_,
        "; name another file, or remove it");
  resumed_ = true;
  while (content.contains(numbered("image", images_.size()))) {
    const std::size_t slice = images_.size();
    images_.push_back(image_in(content, numbered("image", slice)));
    gridded_.push_back(image_in(content, numbered("gridded", slice)));
  }
  if (content.contains(running_name)) {
    running_ = image_in(content, running_name);
    const std::string count = content.metadata_or("iterations", "0");
    std::from_chars(count.data(), count.data() + count.size(), iterations_);
  }
}

void Checkpoint::add_slice(const at::Tensor& image, const at::Tensor& gridded, bool writes) {
  images_.push_back(image);
  gridded_.push_back(gridded);
  running_.reset();
  iterations_ = 0;
  if (writes) {
    write({}, 0);
  }
}

void Checkpoint::write_running(const at::Tensor& x, int iterations) const { write(x, iterations); }

void Checkpoint::write(const at::Tensor& x, int iterations) const {
  if (!is_kept()) {
    return;
  }
  Safetensors content{.metadata = {{"options", options_}, {"iterations", std::to_string(iterations)}}};
  const auto add = [&](const std::string& name, const at::Tensor& image) {
    content.tensors[name] = at::view_as_real(image.to(at::kCPU, at::kComplexFloat).resolve_conj()).contiguous();
  };
  for (std::size_t slice = 0; slice < images_.size(); ++slice) {
    add(numbered("image", slice), images_[slice]);
    add(numbered("gridded", slice), gridded_[slice]);
  }
  if (x.defined()) {
    add(running_name, x);
  }
  // A run that is ended while it writes leaves the file of before.
  const std::string whole = file_ + ".new";
  write_safetensors(whole, content);
  std::error_code error;
  std::filesystem::rename(whole, file_, error);
  if (error) {
    throw Error(c10::str("recon: --checkpoint: cannot write ", file_, ": ", error.message()));
  }
}

void Checkpoint::remove() const {
  if (is_kept()) {
    std::filesystem::remove(file_);
  }
}

}  // namespace adjoin

// SPDX-License-Identifier: BSD-3-Clause
// What `adjoin recon` has found so far, in a file that a later run goes on from.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace adjoin {

/// Read by every rank, written by rank 0. Without a file, nothing is read or written.
class Checkpoint {
 public:
  /// Reads `file` where there is one. Throws InvalidArgument where it is no checkpoint, or one of other `options`.
  Checkpoint(std::string file, std::string options);

  bool is_kept() const { return !file_.empty(); }
  /// Whether there was a file.
  bool is_resumed() const { return resumed_; }
  /// The images of the slices that are done, and what was before the first iteration of each.
  const std::vector<at::Tensor>& images() const { return images_; }
  const std::vector<at::Tensor>& gridded() const { return gridded_; }
  /// Of the slice that is not done: its image (1, sets, image), undefined before the first iterations, and their count.
  const at::Tensor& running() const { return running_; }
  int iterations() const { return iterations_; }

  /// Throw Error where the file cannot be written.
  void add_slice(const at::Tensor& image, const at::Tensor& gridded, bool writes);
  void write_running(const at::Tensor& x, int iterations) const;
  void remove() const;

 private:
  void write(const at::Tensor& x, int iterations) const;

  std::string file_;
  std::string options_;
  std::vector<at::Tensor> images_;
  std::vector<at::Tensor> gridded_;
  at::Tensor running_;
  int iterations_ = 0;
  bool resumed_ = false;
};

}  // namespace adjoin

// SPDX-License-Identifier: BSD-3-Clause
// The extension module adjoin._adjoin. The package around it, in Python, is what users see.
#include "casters.hpp"

PYBIND11_MODULE(_adjoin, m) {
  namespace bindings = adjoin::python;
  m.doc() = "adjoin's C++ library, as the package adjoin uses it.";
  bindings::bind_errors(m);
  bindings::bind_context(m);
  bindings::bind_solvers(m);
  bindings::bind_physics(m);
  bindings::bind_operators(m);
  bindings::bind_mri(m);
  bindings::bind_blur_kernels(m);
  bindings::bind_testing(m);
  bindings::bind_lowered(m);
  bindings::bind_flat(m);
  bindings::bind_distributed(m);
  bindings::bind_processing(m);
  bindings::bind_fidelities(m);
  bindings::bind_priors(m);
  bindings::bind_algorithms(m);
  bindings::bind_models(m);
  bindings::bind_io(m);
  bindings::explain_arguments(m);
}

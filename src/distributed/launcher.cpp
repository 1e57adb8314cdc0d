// SPDX-License-Identifier: BSD-3-Clause
// Signs of mpirun, srun and torchrun in the environment, told from those inherited by a child of a rank.
#include "adjoin/distributed/launcher.hpp"

#include <c10/util/StringUtil.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <sstream>

#include "adjoin/core/errors.hpp"
#include "comm/backend/mpi_engine.hpp"

namespace adjoin {

namespace {

/// The value of a variable that is set to something, else "".
std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

long number(const char* name) { return std::strtol(variable(name).c_str(), nullptr, 10); }

/// How many processes an MPI launcher started: Open MPI, MPICH and other PMI launchers, MVAPICH, srun. SLURM_NTASKS
/// alone says nothing: batch scripts and interactive shells have it too.
constexpr std::array<const char*, 4> mpi_sizes = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS",
                                                  "MV2_COMM_WORLD_SIZE"};
constexpr std::array<const char*, 9> mpi_variables = {
    "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK",          "PMIX_NAMESPACE", "PMI_SIZE", "PMI_RANK",
    "MPI_LOCALNRANKS",      "SLURM_PROCID",         "MV2_COMM_WORLD_SIZE"};
constexpr std::array<const char*, 5> torch_variables = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT",
                                                        "TORCHELASTIC_RUN_ID"};

bool has_mpi_variables() {
  return std::ranges::any_of(mpi_sizes, [](const char* name) { return number(name) > 0; }) ||
         !variable("PMIX_RANK").empty() || (!variable("SLURM_STEP_ID").empty() && number("SLURM_STEP_NUM_TASKS") > 1);
}

bool has_torch_variables() { return !variable("RANK").empty() && !variable("WORLD_SIZE").empty(); }

/// The parent of a process; 0 where that cannot be told.
pid_t parent_of(pid_t process) {
  std::ifstream file(c10::str("/proc/", process, "/stat"));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');  // the name of the program may contain anything
  if (name_end == std::string::npos) {
    return 0;
  }
  std::istringstream fields(text.substr(name_end + 1));
  std::string state;
  pid_t parent = 0;
  fields >> state >> parent;
  return parent;
}

/// Whether a process began with variable `name` set as it is here.
bool began_with(const std::string& environment, const char* name) {
  const std::string entry = c10::str('\0', name, '=', variable(name), '\0');
  return environment.find(entry) != std::string::npos;
}

/// The number of ancestors that have all those of the variables that are set here.
int ancestors_with(std::span<const char* const> names) {
  constexpr int most = 64;
  int count = 0;
  for (pid_t process = getppid(); process > 0 && count < most; process = parent_of(process)) {
    std::ifstream file(c10::str("/proc/", process, "/environ"), std::ios::binary);
    const std::string environment = '\0' + std::string{std::istreambuf_iterator<char>(file), {}};
    const bool has_all = std::ranges::all_of(
        names, [&](const char* name) { return variable(name).empty() || began_with(environment, name); });
    if (!has_all) {
      break;
    }
    ++count;
  }
  return count;
}

/// What tells this launch from any other; the same in this process and in its children.
std::string launch_name() {
  std::string name;
  for (const std::span<const char* const> names :
       {std::span<const char* const>(mpi_variables), std::span<const char* const>(torch_variables)}) {
    for (const char* const one : names) {
      name += c10::str(variable(one), ' ');
    }
  }
  return name;
}

bool is_child_of_a_rank() {
  // "process launch": what an ancestor was started as, if that is what the variables here still say.
  const std::string mark = variable(children_mark_name);
  const std::size_t blank = mark.find(' ');
  return blank != std::string::npos && mark.substr(0, blank) != std::to_string(getpid()) &&
         mark.substr(blank + 1) == launch_name();
}

}  // namespace

std::string children_mark() { return c10::str(getpid(), ' ', launch_name()); }

void mark_children() { setenv(children_mark_name, children_mark().c_str(), 1); }

Launcher launcher() {
  if (is_child_of_a_rank()) {
    return Launcher::none;
  }
  const bool by_mpi = has_mpi_variables();
  const bool by_torch = has_torch_variables();
  if (by_mpi && by_torch) {
    return ancestors_with(torch_variables) < ancestors_with(mpi_variables) ? Launcher::torch : Launcher::mpi;
  }
  return by_mpi ? Launcher::mpi : by_torch ? Launcher::torch : Launcher::none;
}

bool launched_by_mpi() {
  const MpiEngine* const engine = adjoin_mpi_engine_if_loaded();
  return (engine != nullptr && engine->is_active()) || launcher() == Launcher::mpi;
}

void check_launched_ranks(int ranks) {
  if (ranks != 1) {
    return;
  }
  constexpr std::array<const char*, 4> sizes = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                                "SLURM_STEP_NUM_TASKS"};
  for (const char* const name : sizes) {
    if (const long launched = number(name); launched > 0) {
      if (launched > 1) {
        throw CommunicationError(
            c10::str("this process was started as one of ", launched, " (", name, "), but MPI (",
                     adjoin_mpi_engine()->library_version(),
                     ") finds one rank alone: the launcher belongs to another MPI, or to one without its plug-in "
                     "(srun --mpi=pmix). Use the mpirun of the MPI that adjoin was built with, or unset ",
                     name, " to run a process alone"));
      }
      return;
    }
  }
}

}  // namespace adjoin

# cmake -DROOT=<sources> -P readme.cmake: the README shows examples/quick_start.cpp as it is.
file(READ "${ROOT}/README.md" readme)
file(READ "${ROOT}/examples/quick_start.cpp" program)
string(FIND "${readme}" "${program}" place)
if(place EQUAL -1)
  message(FATAL_ERROR "The program in README.md is not examples/quick_start.cpp")
endif()

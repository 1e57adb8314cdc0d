# SPDX-License-Identifier: BSD-3-Clause
# cmake -DROOT=<sources> -P readme.cmake: pages show programs as they are, but for the line that names the licence.
function(adjoin_shows page program)
  file(READ "${ROOT}/${page}" text)
  file(READ "${ROOT}/${program}" code)
  string(REGEX REPLACE "^// SPDX-License-Identifier: [^\n]*\n" "" code "${code}")
  string(FIND "${text}" "${code}" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "The program in ${page} is not ${program}")
  endif()
endfunction()
adjoin_shows(README.md examples/quick_start.cpp)
adjoin_shows(docs/writing_an_operator.md examples/own_operator/shift.cpp)

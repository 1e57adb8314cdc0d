# SPDX-License-Identifier: BSD-3-Clause
# Every preset that this machine has a compiler for can be configured: -DSOURCE=..., -DFOLDER=... to configure in.
foreach(preset release debug sanitize tsan)
  execute_process(COMMAND "${CMAKE_COMMAND}" --preset ${preset} -B "${FOLDER}/${preset}" WORKING_DIRECTORY "${SOURCE}"
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "preset ${preset}: ${output}")
  endif()
endforeach()

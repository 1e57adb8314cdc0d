# SPDX-License-Identifier: BSD-3-Clause
# cmake -DMPIRUN=… -DPROGRAM=… -P leaving.cmake: in whatever way rank 1 leaves, with shared memory and without, the job ends
# soon, not with 0, and with a message that names the rank.
separate_arguments(MPIRUN)
foreach(sharing automatic off)
  foreach(way return throw exit abort context)
    set(ENV{ADJOIN_SHARED_MEMORY} ${sharing})
    execute_process(COMMAND ${MPIRUN} "${PROGRAM}" ${way} RESULT_VARIABLE result OUTPUT_VARIABLE output
                    ERROR_VARIABLE output TIMEOUT 20)
    if(NOT result MATCHES "^[1-9][0-9]*$")
      message(FATAL_ERROR "${way}, shared memory ${sharing}: expected an end that is not 0, got ${result}\n${output}")
    endif()
    if(NOT output MATCHES "rank 1|rank: 1|,1\\]")
      message(FATAL_ERROR "${way}, shared memory ${sharing}: nobody names rank 1\n${output}")
    endif()
  endforeach()
endforeach()

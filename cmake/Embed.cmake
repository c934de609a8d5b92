# embed_file(NAME PATH): the bytes of a file inside the binary, as evenkeel_asset_NAME .. _end
# (src/report/embedded.h). Rebuilt when the file changes.
set(EMBEDDED_SOURCES "")
function(embed_file name path)
  set(source "${CMAKE_BINARY_DIR}/embedded/${name}.S")
  file(CONFIGURE OUTPUT "${source}" CONTENT "
.section .rodata
.global evenkeel_asset_${name}
.global evenkeel_asset_${name}_end
.balign 16
evenkeel_asset_${name}:
.incbin \"${path}\"
evenkeel_asset_${name}_end:
.byte 0
.section .note.GNU-stack,\"\",@progbits
" @ONLY)
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${path}" SKIP_PRECOMPILE_HEADERS ON)
  set(EMBEDDED_SOURCES ${EMBEDDED_SOURCES} "${source}" PARENT_SCOPE)
endfunction()

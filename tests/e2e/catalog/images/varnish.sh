# What it is: Debian's varnishd, varnishstat and the C compiler that the VCL needs, under the name and the paths of the official image.
#
# Debian 12 has Varnish 7.1, so the cases run 7.1 under the tag of the catalog's default image.
image=docker.io/library/varnish:7.7
packages=(varnish gcc libc6-dev)
triplet=$(uname -m)-linux-gnu compiler=/usr/lib/gcc/$triplet/12 libraries=/usr/lib/$triplet
files=(/usr/sbin/varnishd /usr/bin/varnishstat
  "/usr/bin/$triplet-gcc" /usr/bin/as /usr/bin/ld "$compiler/cc1" "$compiler/collect2" "$compiler/include"
  "$compiler/crtbeginS.o" "$compiler/crtendS.o" "$compiler/libgcc.a" "$compiler/libgcc_s.so" "$compiler/liblto_plugin.so"
  "$libraries/crti.o" "$libraries/crtn.o" "$libraries/libc.so" "$libraries/libc_nonshared.a" "$libraries/libpthread.a"
  "$libraries/libgcc_s.so.1"
  /usr/include/features.h /usr/include/features-time64.h /usr/include/stdc-predef.h /usr/include/stdint.h
  "/usr/include/$triplet/bits" "/usr/include/$triplet/gnu" "/usr/include/$triplet/sys/cdefs.h")
entrypoint=(varnishd)
user=1000
# Only long cases run it.
part=long

# What it is: Debian's OpenJDK 17 under the name and the path of Eclipse Temurin's image, with the modules that a small server needs.
image=docker.io/library/eclipse-temurin:17-jdk
packages=(openjdk-17-jdk-headless)
modules=java.base,java.instrument,java.logging,java.management,java.naming,java.net.http,java.security.jgss,java.sql,java.xml
modules+=,jdk.compiler,jdk.httpserver,jdk.jfr,jdk.management,jdk.unsupported,jdk.crypto.ec,jdk.zipfs
# The program and the library are listed for the sake of their shared libraries.
files=("$cache/jdk:/opt/java/openjdk" "$cache/jdk/bin/java:/opt/java/openjdk/bin/java"
  "$cache/jdk/lib/server/libjvm.so:/opt/java/openjdk/lib/server/libjvm.so")
entrypoint=(/opt/java/openjdk/bin/java)
part=long
prepare() {
  [ -x "$cache/jdk/bin/java" ] && return
  rm -rf "$cache/jdk" "$cache/jdk.part"
  /usr/lib/jvm/java-17-openjdk-amd64/bin/jlink --add-modules "$modules" --strip-debug --no-header-files --no-man-pages \
    --output "$cache/jdk.part"
  mv "$cache/jdk.part" "$cache/jdk"
}

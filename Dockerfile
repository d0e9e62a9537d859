# The image of the webhook: one static program, nothing else, not even a shell.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) --tag outrigger:dev .
#
# The manifests and the chart run it. By itself it does not start: give it a certificate and templates, and addresses that can be
# reached from outside.
#
#   docker run -p 9443:9443 -v "$PWD/certs:/certs:ro" -v "$PWD/templates:/templates:ro" outrigger:dev serve --templates /templates \
#     --tls-cert /certs/tls.pem --tls-key /certs/tls.key --listen 0.0.0.0:9443 --admin-listen 0.0.0.0:8080
#
# The program is linked against glibc statically; it finds the API server by address and brings its own certificates, so that
# an empty base serves. BUILDER may name any image with that version of Rust and a C compiler; its glibc becomes part of the program.
#
# The same source gives the same bytes: name the builder by digest and set SOURCE_DATE_EPOCH, and let buildx write the files' times
# with `--output type=…,rewrite-timestamp=true`.
ARG BUILDER=rust:1.95.0-bookworm
ARG BASE=scratch
# The list of what is inside is made of Cargo.lock as well: a static program by itself does not tell.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

FROM ${BUILDER} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
# Tests and benchmarks are no part of the image, and Cargo wants to see every target that Cargo.toml names.
RUN awk '/^\[/ { left_out = /^\[\[(test|bench|example)\]\]/ } !left_out' Cargo.toml > Cargo.image.toml && mv Cargo.image.toml Cargo.toml
COPY src src
COPY config config
# Parts of the program too: `generate schema` prints them.
COPY docs/schemas docs/schemas
# `outrigger serve` tells it as /version and in outrigger_build_info.
ARG REVISION=
ARG SOURCE_DATE_EPOCH=0
# With an explicit target the flags do not reach build scripts and procedural macros, which cannot be linked statically. No path of
# the builder gets into the program; of two that match, the last counts. Relative relocations are packed where the linker can, which
# saves 0.7 MB. Randomness comes from the kernel's call, which a static program would not find by name, and not from /dev.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && paths="--remap-path-prefix=$(rustc --print sysroot)=rust --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=/src=outrigger" \
 && CFLAGS="-ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=cargo" \
    RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs --cfg getrandom_backend=\"linux_getrandom\" $paths" \
    OUTRIGGER_REVISION="$REVISION" SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
    cargo build --profile dist --locked --features otel --bin outrigger --target "$target" \
 && install -D -m 0755 "target/$target/dist/outrigger" /out/outrigger

FROM ${BASE}
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=""
LABEL org.opencontainers.image.title="Outrigger" \
      org.opencontainers.image.description="A Kubernetes sidecar injector: templates, annotations, a mutating admission webhook" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /out/outrigger /outrigger
USER 65532:65532
EXPOSE 9443 8080
# No HEALTHCHECK: Kubernetes does not read it, and there is no shell or curl to run one.
ENTRYPOINT ["/outrigger"]
# Arguments of a manifest replace these; the default of the program is to listen on loopback alone.
CMD ["serve", "--listen", "0.0.0.0:9443", "--admin-listen", "0.0.0.0:8080"]

# The image that `make image` builds without a container daemon, for people who have one:
#
#   docker build -t registry.example.com/berth:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Static on the gnu target: the image below holds no C library. `--target` keeps the flag away from build scripts and
# procedural macros, which are loaded by the compiler and cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target x86_64-unknown-linux-gnu --package controller --package node-plugin \
    && install -D -t /out target/x86_64-unknown-linux-gnu/release/berth-controller \
        target/x86_64-unknown-linux-gnu/release/berth-node

FROM scratch
COPY --from=build /out/berth-controller /out/berth-node /
LABEL org.opencontainers.image.title="berth" \
      org.opencontainers.image.description="ReadWriteMany volumes for Kubernetes on any NFS server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# The controller's user. The chart names a user and a program for either pod; nothing is left to the image.
USER 65532:65532

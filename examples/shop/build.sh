#!/bin/sh
# Builds the shop's three static binaries and puts each beside its Dockerfile.
set -eu
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build -q --release --target "$host" --target-dir ../../.build/shop
for name in web api store; do
    cmp -s "../../.build/shop/$host/release/$name" "$name/$name" || cp "../../.build/shop/$host/release/$name" "$name/$name"
done

#!/bin/sh
# Builds the native part without optimisation and puts it into the package's source, for tests and development.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
cargo build --quiet --package dockerkit-python --message-format short
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
package=bindings-python/python/dockerkit
for built in "$target/debug/lib_native.so" "$target/debug/lib_native.dylib"; do
  if [ -f "$built" ]; then
    # A new file, never the old one overwritten: a running interpreter may have that one mapped.
    cp "$built" "$package/.native.new"
    mv "$package/.native.new" "$package/_native.abi3.so"
  fi
done

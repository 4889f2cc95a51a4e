# Sourced, at the top of the checkout: $go, the command that builds ffi/go. Its build cache does not look into
# libgrpclb.a; the archive's hash among the flags makes it build anew when that has changed.
[ -e target/c/lib/libgrpclb.a ] || {
    echo "target/c/lib/libgrpclb.a is missing: run .ci/build-c.sh (without CARGO_TARGET_DIR, which ffi/go does not know)" >&2
    exit 1
}
go=$(.ci/setup-go.sh --toolchain) || exit
export CGO_CFLAGS="${CGO_CFLAGS:--O2 -g} -DGRPCLB_ARCHIVE=\"$(cksum <target/c/lib/libgrpclb.a | tr -d ' ')\""
export CGO_ENABLED=1

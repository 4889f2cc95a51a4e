# Sourced, at the top of the checkout: $go, the command that builds ffi/go. Its build cache does not look into
# libgrpclb.a; the archive's hash among the flags makes it build anew when that has changed.
go=$(.ci/setup-go.sh --toolchain)
export CGO_CFLAGS="-O2 -g -DGRPCLB_ARCHIVE=\"$(cksum <target/c/lib/libgrpclb.a | tr -d ' ')\""
export CGO_ENABLED=1
